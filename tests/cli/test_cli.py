"""The command line, as scripts meet it."""

import gzip
import inspect
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import typer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline

import xclassic
from tests.helpers.contract import assert_same_arrays
from tests.helpers.interrupts import HANG
from tests.helpers.neural import SMALL
from xclassic import Blend, DiSMEC, ModelFileError, datasets, metrics
from xclassic.cli import models
from xclassic.cli.commands import train
from xclassic.cli.measure import align_labels, widen
from xclassic.cli.models import TrainedModel, read_model
from xclassic.cli.parameters import DEFAULTS, OPTIONS, descriptions, parse, spell
from xclassic.features import FourierFeatures, TextFeatures
from xclassic.storage import registry
from xclassic.storage.folder import save_model

PROGRAM = [sys.executable, "-m", "xclassic"]
PACKAGE = str(Path(xclassic.__file__).parents[1])
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), PACKAGE]))}
ENDLESS = ["--C", "1000", "--eps", "1e-12", "--max-passes", "1000000", "--verbose", "1"]
BOOKS = [
    ("a1", "The moons of Jupiter", ["astronomy", "nature"]),
    ("a2", "Bread and butter", ["cooking"]),
    ("a3", "A field guide to the planets", ["astronomy", "nature"]),
    ("a4", "Baking bread with rye", ["cooking", "Brot: für Anfänger"]),
    ("a5", "Jupiter, Saturn and their moons", ["astronomy"]),
]


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


@pytest.fixture(scope="module")
def model(tmp_path_factory, bibtex):
    """Return the path of a model of bibtex, made by the command."""
    path = str(tmp_path_factory.mktemp("models") / "bibtex.model")
    subprocess.run(
        [*PROGRAM, "train", "DiSMEC", "bibtex", "--model", path], check=True, capture_output=True, env=ENVIRONMENT
    )
    return path


@pytest.fixture
def books(tmp_path):
    """Write the books in each format of texts."""
    lines = [json.dumps({"key": key, "title": title, "subjects": labels}) for key, title, labels in BOOKS]
    (tmp_path / "books.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = [f'{key},"{title}",{";".join(labels)}' for key, title, labels in BOOKS]
    (tmp_path / "books.csv").write_text("\n".join(["key,title,subjects", *rows]), encoding="utf-8")
    return "--text-field title --label-field subjects"


# Train


def test_train_evaluate_and_python_agree(run, model, bibtex):
    fitted = DiSMEC().fit(bibtex.X, bibtex.Y)
    counts = bibtex.Y.sum(axis=0)
    expected = metrics.evaluate(
        bibtex.Y_test,
        fitted.predict_topk(bibtex.X_test, 5),
        propensities=metrics.propensity(counts, bibtex.X.shape[0]),
        train_counts=counts,
    )
    plain = {name: value for name, value in expected.items() if name.split()[0] not in ("head", "torso", "tail")}
    assert run(["evaluate", model, "bibtex"]).out == metrics.format_table(plain) + "\n"
    found = json.loads(run(["evaluate", model, "bibtex", "--json", "--by-frequency"]).out)
    assert found["metrics"] == expected
    assert (found["n_rows"], found["n_unknown_labels"]) == (2515, 0)


@pytest.mark.parametrize("spelling", ["--max-passes", "--max_passes"])
def test_parameters_reach_the_estimator(run, spelling):
    run(f"train dismec bibtex --model m --C 2 --loss logistic {spelling} 3 --no-normalize --propensity 0.5,0.4")
    params = json.loads(run("info m --json").out)["params"]
    assert (params["C"], params["loss"], params["max_passes"]) == (2.0, "logistic", 3)
    assert (params["normalize"], params["propensity"]) == (False, [0.5, 0.4])


@pytest.mark.parametrize("name", [*registry.ESTIMATORS, *registry.NEURAL_ESTIMATORS, *registry.TEXT_ESTIMATORS])
def test_options_are_the_parameters_of_the_constructor(run, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "200")  # so that no option is broken over lines
    estimator_class = getattr(xclassic, name)
    parameters = inspect.signature(estimator_class).parameters
    described = descriptions(inspect.getdoc(estimator_class))
    options = {OPTIONS.get(parameter, parameter) for parameter in parameters}
    assert not options & inspect.signature(train).parameters.keys()
    assert described.keys() >= parameters.keys()
    assert all(described.values())
    for parameter in parameters.values():
        default = DEFAULTS.get(parameter.name, parameter.default)
        value = parse(parameter, default if isinstance(default, bool) else spell(default))
        assert value == default
        assert type(value) is type(default)
    shown = run(f"train {name} --help").out
    assert all("--" + option.replace("_", "-") in shown for option in options)


def test_trees_and_arrays_are_read_from_files(tmp_path):
    tree = xclassic.LabelTree.flat([0, 1])
    tree.save(tmp_path / "tree")
    np.save(tmp_path / "names.npy", np.eye(2))
    parameters = inspect.signature(xclassic.PrefixTree).parameters
    assert parse(parameters["tree"], str(tmp_path / "tree")) == tree
    np.testing.assert_array_equal(parse(parameters["embeddings"], str(tmp_path / "names.npy")), np.eye(2))
    for name in ("tree", "embeddings"):
        with pytest.raises(typer.BadParameter, match=f"--{name} is"):
            parse(parameters[name], str(tmp_path / "nowhere"))


def test_parse_takes_the_strictest_type():
    parameter = inspect.Parameter("x", inspect.Parameter.KEYWORD_ONLY, annotation="str | tuple[int, int] | None")
    values = [parse(parameter, text) for text in ("None", "1,2.5", "3", "auto")]
    assert values == [None, (1.0, 2.5), "3", "auto"]
    untyped = inspect.Parameter("x", inspect.Parameter.KEYWORD_ONLY, default=0.5)
    assert [type(number) for number in parse(parameter, "1,2.5")] == [int, float]
    assert type(parse(untyped, "2")) is float


def test_workers_and_progress_are_not_part_of_the_model(model):
    loaded = xclassic.load(model)
    assert (loaded.n_jobs, loaded.verbose) == (None, 0)


def test_labels_may_have_weights(run, tmp_path):
    rows = ["text,labels", *["moon of a planet,sky::2", "bread with butter,food::0.5", "planet,sky", "bread,C::x"] * 3]
    Path("rows.csv").write_text("\n".join(rows), encoding="utf-8")
    run("train dismec rows.csv --model weighted --label-weights --quiet")
    run("train dismec rows.csv --model plain --quiet")
    weighted, plain = (xclassic.load(Path(name)) for name in ("weighted", "plain"))
    assert weighted[-1].classes_.tolist() == ["C::x", "food", "sky"]
    assert plain[-1].classes_.tolist() == ["C::x", "food::0.5", "sky", "sky::2"]  # Files mean what they did.
    names, relevance = datasets.split_weights(datasets.read_texts("rows.csv")[1])
    expected = DiSMEC().fit(weighted[0].transform(datasets.read_texts("rows.csv")[0]), names, relevance=relevance)
    assert_same_arrays(weighted[-1], expected)
    measured = json.loads(run("evaluate weighted rows.csv --label-weights --json --quiet").out)
    assert measured["metrics"]["P@1"] == 1
    run("train dismec rows.csv --model on_disk --label-weights --on-disk folder --quiet")
    for shard in ("1/2", "2/2"):
        run(f"train dismec rows.csv --model pieces --label-weights --shard {shard} --quiet")
    run("join pieces")
    for name in ("on_disk", "pieces"):
        assert_same_arrays(xclassic.load(Path(name))[-1], expected)


def test_weights_of_labels_are_refused_in_words(run):
    Path("rows.csv").write_text("text,labels\nmoon,sky::0\n", encoding="utf-8")
    done = run("train plst rows.csv --model model --label-weights", code=2)
    assert "PLST.fit takes no relevance" in " ".join(done.err.split()).replace("│ ", "")
    assert "sky" in run("train dismec rows.csv --model model --label-weights --quiet", code=1).err
    done = run("train dismec bibtex --model model --label-weights --quiet", code=2)
    assert "--label-weights is for JSON lines" in " ".join(done.err.split()).replace("│ ", "")


def test_train_rejects_replacing_a_model(run, model):
    Path("other").mkdir()
    Path("other/file").touch()
    Path("m").mkdir()
    Path("m/.lock").touch()  # as a saver leaves it that was killed
    run("train DiSMEC bibtex --model m")
    assert "--force" in run("train DiSMEC bibtex --model m --C 2", 2).err
    assert "something else" in run("train DiSMEC bibtex --model other --force", 2).err
    assert "a file" in run("train DiSMEC bibtex --model other/file --force", 2).err
    assert "there is no folder" in run("train DiSMEC bibtex --model no/m", 2).err
    assert json.loads(run("info m --json").out)["params"]["C"] == 1.0
    run("train DiSMEC bibtex --model m --C 2 --force")
    assert json.loads(run("info m --json --full").out)["params"]["C"] == 2.0
    assert os.listdir("other") == ["file"]


# Kinds of data


def test_data_in_matrices(run, bibtex):
    scipy.sparse.save_npz("X.npz", bibtex.X)
    scipy.sparse.save_npz("Y.npz", bibtex.Y)
    np.save("dense.npy", bibtex.X_test.toarray())
    scipy.sparse.save_npz("Y_test.npz", bibtex.Y_test)
    assert "--label-matrix" in run("train DiSMEC X.npz --model m", 2).err
    run("train DiSMEC X.npz --label-matrix Y.npz --model m")
    expected = DiSMEC().fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 2)
    run("predict m dense.npy -k 2 -o top.npz")
    found = np.load("top.npz")
    np.testing.assert_array_equal(found["ids"], expected.ids)
    np.testing.assert_allclose(found["scores"], expected.scores, rtol=1e-5)
    table = run("evaluate m dense.npy --label-matrix Y_test.npz").out
    assert run("evaluate m dense.npy --label-matrix Y_test.npz --train X.npz --train-label-matrix Y.npz").out == table
    assert "PSP" in table


def test_data_in_text_files_of_the_field(run, bibtex):
    datasets.write_xmc("test.txt.xz", bibtex.X_test, bibtex.Y_test)
    Path("tiny.svm").write_text("0 1:1\n1 2:1\n0,1 1:1 2:1\n")
    Path("new.svm").write_text("0 1:1\n")
    run("train DiSMEC bibtex --model m")
    assert run("evaluate m test.txt.xz").out == run("evaluate m bibtex").out
    assert "header" in run("train DiSMEC tiny.svm --model n", 1).err
    run("train DiSMEC tiny.svm --one-based --model n")
    assert run("predict n new.svm --one-based -k 1").out.startswith("0\t0:")
    assert "features" in run("predict n bibtex", 1).err


@pytest.mark.parametrize("file", ["books.jsonl", "books.csv"])
def test_data_in_texts(run, books, file):
    run(f"train DiSMEC {file} {books} --label-delimiter ; --model m --C 3 --ngram-range 1,2 --no-sublinear-tf")
    texts, labels = [title for _, title, _ in BOOKS], [labels for _, _, labels in BOOKS]
    pipe = make_pipeline(TextFeatures(ngram_range=(1, 2), sublinear_tf=False), DiSMEC(C=3)).fit(texts, labels)
    expected = xclassic.predict_topk(pipe, texts, 2)
    done = run(f"predict m {file} --text-field title --id-field key -k 2 --format jsonl")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["id"] for row in rows] == [key for key, _, _ in BOOKS]
    assert [row["labels"] for row in rows] == [list(names) for names in pipe.classes_[expected.ids]]
    np.testing.assert_allclose([row["scores"] for row in rows], expected.scores, rtol=1e-4)
    assert not [path for path in Path("m").iterdir() if path.suffix in (".pkl", ".joblib")]
    metadata = json.loads(run("info m --json --full").out)
    assert (metadata["class"], metadata["input"], metadata["n_labels"]) == ("DiSMEC", "texts", 4)
    assert metadata["steps"] == {"textfeatures": "TextFeatures(ngram_range=(1, 2), sublinear_tf=False)"}
    assert metadata["training"]["n_rows"] == 5


@pytest.mark.parametrize(
    ("options", "params"),
    [
        ("", {}),
        ("--preset abstract --min-df 1", {"preset": "abstract", "min_df": 1}),
        ("--ngram-range none --char-ngrams 2,4", {"ngram_range": (), "char_ngrams": (2, 4)}),
        ("--char-ngrams none --max-features 7", {"char_ngrams": (), "max_features": 7}),
        ("--stop-words english", {"stop_words": "english"}),
        ("--sublinear-tf --stop-words none", {"sublinear_tf": True}),
        ("--analyzer simple --n-hashed 50 --n-jobs 2", {"analyzer": "simple", "n_hashed": 50}),
    ],
    ids=str,
)
def test_text_options_reach_the_encoder(run, books, options, params):
    run(f"train DiSMEC books.jsonl {books} --model m {options}")
    default = TextFeatures().get_params()
    assert xclassic.load("m")[0].get_params() == default | params


def test_text_field_is_remembered(run, books):
    run(f"train DiSMEC books.jsonl {books} --model m")
    expected = run("predict m books.jsonl --text-field title").out
    assert run("predict m books.jsonl").out == expected
    assert run("predict m books.csv").out == expected
    assert run("explain m books.jsonl").out
    assert "P " in run("evaluate m books.jsonl --label-field subjects").out
    assert "'text'" in run("predict m books.jsonl --text-field text", 1).err


def test_text_model_wants_text(run, books, model):
    run(f"train DiSMEC books.jsonl {books} --model m")
    assert "trained on text" in run("predict m bibtex", 1).err
    assert "trained on features" in run(["predict", model, "books.jsonl", "--text-field", "title"], 1).err


def test_text_of_several_fields_and_whole_labels(run, books):
    fields = "--text-field title --text-field key --label-field subjects"
    run(f"train DiSMEC books.csv {fields} --label-delimiter= --model m")
    assert "astronomy;nature" in xclassic.load("m").classes_
    encoder = xclassic.load("m")[0]
    assert "a3" in encoder.terms_["key"][0].names()
    assert "a3" not in encoder.terms_["title"][0].names()
    assert "leave --text-field out" in run("predict m books.csv --text-field nothing", 2).err
    Path("new.csv").write_text("title,subjects\nRye,cooking\n")
    found = " ".join(run("predict m new.csv", 1).err.split())
    assert "the model reads a field 'key'; found are subjects, title" in found


def test_data_in_records(run):
    """A price decides where the title is the same."""
    rows = [
        {"name": "Watch", "note": None, "price": price, "kind": "toys" if price < 50 else "jewels"}
        for price in range(9, 99)
    ]
    Path("shop.jsonl").write_text("\n".join(map(json.dumps, rows)))
    lines = [f"{row['name']},,{row['price']},{row['kind']}" for row in rows]
    Path("shop.csv").write_text("\n".join(["name,note,price,kind", *lines, "Watch,,,toys"]))
    run("train DiSMEC shop.jsonl --text-field name --numeric-field price --label-field kind --model m")
    pipe = make_pipeline(TextFeatures(["name"], numeric=["price"]), DiSMEC()).fit(rows, [[row["kind"]] for row in rows])
    expected = pipe.classes_[xclassic.predict_topk(pipe, rows, 1).ids[:, 0]].tolist()
    assert expected == [row["kind"] for row in rows]
    for file, count in (("shop.jsonl", 90), ("shop.csv", 91)):
        found = [
            json.loads(line)["labels"][0] for line in run(f"predict m {file} -k 1 --format jsonl").out.splitlines()
        ]
        assert len(found) == count
        assert found[:90] == expected
    assert json.loads(run("info m --json").out)["input"] == "records"
    assert "price" in run("explain m shop.csv --row 2").out
    assert json.loads(run("evaluate m shop.jsonl --label-field kind -k 1 --json").out)["metrics"]["P@1"] == 1
    Path("bad.csv").write_text("name,price\nWatch,9 EUR\n")
    assert "X['price'][0] is '9 EUR', no finite number" in run("predict m bad.csv", 1).err


def test_categories_in_records(run):
    """A shop and a tag decide where the title is the same."""
    rows = [
        {"name": "Watch", "shop": "nso"[i % 3], "tags": ["x", "yz"[i % 2]], "kind": f"{'nso'[i % 3]}{i % 2}"}
        for i in range(60)
    ]
    Path("shop.jsonl").write_text("\n".join(map(json.dumps, rows)))
    lines = [f"{row['name']},{row['shop']},{'|'.join(row['tags'])},{row['kind']}" for row in rows]
    Path("shop.csv").write_text("\n".join(["name,shop,tags,kind", *lines]))
    fields = "--text-field name --category-field shop --several-field tags --label-field kind --category-weight 1"
    run(f"train DiSMEC shop.jsonl {fields} -m m")
    assert json.loads(run("evaluate m shop.jsonl --label-field kind -k 1 --json").out)["metrics"]["P@1"] == 1
    run(f"train DiSMEC shop.csv {fields} --separator | --min-rows 3 -m m2")
    assert json.loads(run("evaluate m2 shop.csv --label-field kind -k 1 --json").out)["metrics"]["P@1"] == 1
    run("train DiSMEC shop.csv --text-field name --crossed-fields shop,tags --label-field kind -m m3")
    assert json.loads(run("evaluate m3 shop.csv --label-field kind -k 1 --json").out)["metrics"]["P@1"] == 1
    assert "shop = n & tags = x|y" in run("explain m3 shop.csv --row 0").out
    refused = "train DiSMEC shop.csv --text-field name --label-field kind -m m4 --crossed-fields"
    assert "name two fields with a comma between" in " ".join(run(f"{refused} shop", 2).err.split())


def test_field_presets(run, books):
    fields = "--text-field title --text-field key --preset title --preset abstract --min-df 1 --label-field subjects"
    run(f"train DiSMEC books.jsonl {fields} --model m")
    encoder = xclassic.load("m")[0]
    assert {field: len(made) for field, made in encoder.terms_.items()} == {"title": 2, "key": 1}


# Predict


def test_t5_reads_what_the_command_reads(run, books, t5_tokenizer):
    transformers = pytest.importorskip("transformers")
    config = transformers.T5Config(**SMALL, decoder_start_token_id=0)
    transformers.T5ForConditionalGeneration(config).save_pretrained("t5")
    run("--version")  # and what was printed so far is read
    network = f"--base-model t5 --tokenizer {t5_tokenizer} --epochs 1 --device cpu --quiet"
    how = f"--label-delimiter ; {network}"
    trained = run(f"train t5classifier books.jsonl {books} --model m {how}")
    assert "T5Classifier, 5 points, 4 labels" in trained.out
    assert trained.err == ""
    assert json.loads(run("info m --json").out)["input"] == "texts"
    assert len(run("predict m books.jsonl --text-field title -k 2").out.splitlines()) == 5
    done = run(
        ["train", "t5classifier", "books.jsonl", *f"{books} --model n {how}".split(), "--prompt", "Book: {title}"]
    )
    assert "5 points" in done.out
    assert json.loads(run("info n --json").out)["input"] == "records"
    run("report n books.jsonl --label-field subjects --label-delimiter ; -o page.html --quiet")
    assert "scores are probabilities" in Path("page.html").read_text(encoding="utf-8")
    assert "reads texts; pass JSON lines" in run(f"train t5classifier bibtex --model o {network}", 2).err


def test_t5_writes_fields(run, t5_tokenizer):
    transformers = pytest.importorskip("transformers")
    config = transformers.T5Config(**SMALL, decoder_start_token_id=0)
    transformers.T5ForConditionalGeneration(config).save_pretrained("t5")
    rows = [
        {"title": f"{brand} {kind}", "brand": brand, "group": "Food" if kind == "Tea" else "Home", "kind": kind}
        for brand, kind in [("Acme", "Tea"), ("Bolt", "Tea"), ("Acme", "Lamp"), ("Bolt", None)]
    ]
    rows = [{**row, "tags": ["new", "big"] if i else []} for i, row in enumerate(rows)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run("--version")
    how = (
        f"--text-field title --base-model t5 --tokenizer {t5_tokenizer} --epochs 1 --device cpu --quiet --target fields"
    )
    named = "--fields brand=Brand,group=Group,kind=Kind,tags=Tags --path group,kind"
    assert "T5Classifier, 4 points, 4 labels" in run(f"train t5classifier rows.jsonl {how} {named} --model m").out
    lines = [json.loads(line) for line in run("predict m rows.jsonl -k 3 --format jsonl").out.splitlines()]
    assert [set(record) for record in lines[0]["labels"]] == [{"brand", "group", "kind", "tags"}] * 3
    assert all(isinstance(record["tags"], list) for line in lines for record in line["labels"])
    text = run("predict m rows.jsonl -k 1").out.splitlines()
    assert text[0].split("\t")[1].startswith("Brand: ")
    found = json.loads(run("evaluate m rows.jsonl --json").out)
    assert set(found["metrics"]) == {"brand", "group", "kind", "tags", "whole record"}
    assert "whole record" in run("evaluate m rows.jsonl").out
    options = "--label-field kind is for labels"
    assert options.split()[0] in run(f"train t5classifier rows.jsonl {how} {named} --model n --label-field kind", 2).err
    missing = run(f"train t5classifier rows.jsonl {how} --fields brand,maker --model n", 1).err
    assert "the model predicts a field 'maker'; found are brand, group, kind, tags, title" in missing
    wide = "".join(f"{row['title']},{row['brand']},{row['kind'] or ''}\n" for row in rows)
    Path("rows.csv").write_text("title,brand,kind\n" + wide, encoding="utf-8")
    assert "4 points" in run(f"train t5classifier rows.csv {how} --fields brand,kind --path= --model c").out
    assert len(json.loads(run("info c --json").out)["params"]) > 10


def test_xml_cnn_reads_what_the_command_reads(run, books):
    pytest.importorskip("transformers")
    network = "--epochs 1 --windows 1,2 --n-filters 4 --embeddings random --device cpu --quiet"
    trained = run(f"train xmlcnn books.jsonl {books} --label-delimiter ; --model m {network}")
    assert "XMLCNN, 5 points, 4 labels" in trained.out
    assert json.loads(run("info m --json").out)["input"] == "texts"
    assert len(run("predict m books.jsonl --text-field title -k 2").out.splitlines()) == 5


def test_label_matcher_reads_names_from_a_file(run, books):
    pytest.importorskip("ahocorasick_rs")
    rows = [json.loads(line) for line in Path("books.jsonl").read_text(encoding="utf-8").splitlines()]
    Path("names.tsv").write_text("new\tunseen label\tzebra\tgnu\n", encoding="utf-8")
    how = f"{books} --label-delimiter ; --quiet"
    trained = run(f"train labelmatcher books.jsonl {how} --model m --names names.tsv --synonyms names.tsv")
    assert "LabelMatcher, 5 points, 5 labels" in trained.out
    Path("rows.jsonl").write_text(json.dumps({**rows[0], "title": "A gnu"}) + "\n", encoding="utf-8")
    assert run("predict m rows.jsonl --text-field title -k 1").out.split("\t")[1].startswith("new:")
    Path("bad.tsv").write_text("a\tname\nb\n", encoding="utf-8")
    assert "line 2: 'b' has no tab" in run(f"train labelmatcher books.jsonl {how} --model m --names bad.tsv", 2).err
    Path("bad.tsv").write_text("a\tname\na\tname\n", encoding="utf-8")
    assert (
        "line 2: the label 'a' is in an earlier"
        in run(f"train labelmatcher books.jsonl {how} --model m --names bad.tsv", 2).err
    )
    assert "is no text file" in run(f"train labelmatcher books.jsonl {how} --model m --names nowhere", 2).err


def test_predictions_as_text(run, model):
    lines = run(["predict", model, "bibtex", "-k", "3"]).out.splitlines()
    assert len(lines) == 2515
    row, *predictions = lines[7].split("\t")
    assert row == "7"
    assert len(predictions) == 3
    assert all(prediction.startswith("TAG_") for prediction in predictions)
    scores = [float(prediction.rpartition(":")[2]) for prediction in predictions]
    assert scores == sorted(scores, reverse=True)
    by_id = run(["predict", model, "bibtex", "-k", "3", "--label-ids"]).out.splitlines()[7].split("\t")
    assert [float(prediction.rpartition(":")[2]) for prediction in by_id[1:]] == scores
    assert all(prediction.rpartition(":")[0].isdigit() for prediction in by_id[1:])


def test_predictions_in_files(run, model):
    to_stdout = run(["predict", model, "bibtex", "-o", "-"]).out
    run(["predict", model, "bibtex", "-o", "top.txt"])
    run(["predict", model, "bibtex", "-o", "top.jsonl.gz"])
    assert Path("top.txt").read_text() == to_stdout
    with gzip.open("top.jsonl.gz", "rt") as file:
        assert len([json.loads(line) for line in file]) == 2515
    assert "--force" in run(["predict", model, "bibtex", "-o", "top.txt", "-k", "1"], 2).err
    assert Path("top.txt").read_text() == to_stdout
    run(["predict", model, "bibtex", "-o", "top.txt", "-k", "1", "--force"])
    assert Path("top.txt").read_text() != to_stdout
    run(["predict", model, "bibtex", "-o", os.devnull])
    assert not Path(os.devnull).is_file()
    assert sorted(os.listdir()) == ["top.jsonl.gz", "top.txt"]


def test_predict_threshold(run, model):
    kept = [line.split("\t")[1:] for line in run(["predict", model, "bibtex", "--threshold", "0"]).out.splitlines()]
    scores = [float(prediction.rpartition(":")[2]) for predictions in kept for prediction in predictions]
    assert min(scores) >= 0
    assert min(map(len, kept)) == 0


def ranked(lines):
    return [[prediction.rpartition(":")[0] for prediction in line.split("\t")[1:]] for line in lines.splitlines()]


def test_ranking_weights(run, books):
    run(f"train DiSMEC books.jsonl {books} --model m")
    tagger, titles = xclassic.load("m"), [title for _, title, _ in BOOKS]
    counts = [sum(name in labels for _, _, labels in BOOKS) for name in tagger.classes_]
    Path("weights.tsv").write_text("cooking\t0\nnature\t1e3\n")
    for option, weights in (
        ("--ranking-weights weights.tsv", {"cooking": 0, "nature": 1e3}),
        ("--propensity-power 0.5", (1 / metrics.propensity(counts, len(BOOKS))) ** 0.5),
    ):
        top = xclassic.predict_topk(tagger, titles, 3, label_weights=weights)
        names = [[label for label, _ in row] for row in top.named(tagger.classes_)]
        assert ranked(run(f"predict m books.jsonl --text-field title -k 3 {option}").out) == names
        found = json.loads(run(f"evaluate m books.jsonl {books} -k 2 --json {option}").out)["metrics"]
        assert found["P@2"] == metrics.precision_at_k([labels for _, _, labels in BOOKS], top, 2, classes=tagger)


def test_ranking_weights_by_id(run, model, bibtex):
    Path("weights.tsv").write_text(f"{bibtex.label_names[3]}\t0\n")
    Path("ids.tsv").write_text("3\t0\n")
    run(["predict", model, "bibtex", "--ranking-weights", "weights.tsv", "-o", "names.npz"])
    run(["predict", model, "bibtex", "--label-ids", "--ranking-weights", "ids.tsv", "-o", "ids.npz"])
    names, ids = np.load("names.npz"), np.load("ids.npz")
    np.testing.assert_array_equal(names["ids"], ids["ids"])
    assert not (names["ids"] == 3).any()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("cooking 2", "line 1: 'cooking 2' has no tab; a line is a label and its weight"),
        ("cooking\ttwo", "the weight of 'cooking' is 'two'; it is a number"),
        ("x\t2", "the model has no label 'x'; labels are written as predict writes them, such as"),
        ("cooking\t2\ncooking\t3", "line 2: the label 'cooking' is in an earlier line too"),
        ("", "weights.tsv is empty"),
    ],
)
def test_bad_ranking_weights_are_refused(run, books, content, problem):
    run(f"train DiSMEC books.jsonl {books} --model m")
    Path("weights.tsv").write_text(content)
    assert problem in run("predict m books.jsonl --text-field title --ranking-weights weights.tsv", 2).err


def test_weights_that_cannot_be_used_are_refused(run, model, bibtex):
    Path("weights.tsv").write_text(f"{bibtex.label_names[0]}\t-1\n")
    predict = ["predict", model, "bibtex", "--ranking-weights", "weights.tsv"]
    assert "label_weights of label 0 is -1.0" in run(predict, 1).err
    assert "both weigh labels; leave one out" in run([*predict, "--propensity-power", "1"], 2).err
    assert "no text file of weights" in run([*predict[:-1], "nothing.tsv"], 2).err
    DiSMEC().fit(bibtex.X[:50], bibtex.Y[:50]).save("m")
    assert "holds no label counts" in run("predict m bibtex --propensity-power 1", 2).err


def test_labels_cannot_break_lines(run):
    rows = [{"text": "tab", "labels": ["a\tb\nc\u2028d"]}, {"text": "colon", "labels": ["x:y z"]}]
    Path("t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run("train DiSMEC t.jsonl --model m")
    lines = run("predict m t.jsonl -k 1").out.splitlines()
    assert [line.rpartition(":")[0] for line in lines] == ["0\ta\\tb\\nc\\u2028d", "1\tx:y z"]


# Evaluate


def test_models_from_python_have_no_label_counts(run, bibtex):
    DiSMEC().fit(bibtex.X, bibtex.Y).save("m")
    assert "PSP" not in run("evaluate m bibtex").out
    assert "PSP" in run("evaluate m bibtex --train bibtex").out
    for option in ("--by-frequency", "--preset amazon"):
        assert "--train" in run(f"evaluate m bibtex {option}", 1).err
    assert json.loads(run("info m --json").out)["training"] == {}


def test_propensity_presets(run, model, bibtex):
    counts = bibtex.Y.sum(axis=0)
    top = DiSMEC().fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    amazon = metrics.propensity(counts, bibtex.X.shape[0], preset="amazon")
    expected = metrics.evaluate(bibtex.Y_test, top, ks=[5], propensities=amazon)
    for options in (["--preset", "amazon"], ["--A", "0.6", "--B", "2.6"]):
        found = json.loads(run(["evaluate", model, "bibtex", "-k", "5", "--json", *options]).out)
        assert found["metrics"] == expected
    for options in (
        ["--preset", "none"],
        ["--A", "0.6"],
        ["--A", "1", "--B", "1", "--preset", "amazon"],
        ["-k", "5,x"],
    ):
        run(["evaluate", model, "bibtex", *options], 2)


def test_propensities_need_training_points(run):
    Path("two.svm").write_text("0 0:1\n1 1:1\n")
    run("train DiSMEC two.svm --zero-based --model m")
    assert "PSP" not in run("evaluate m two.svm --zero-based -k 1 --by-frequency").out


def test_unknown_labels_count_as_missed(run, books):
    run(f"train DiSMEC books.jsonl {books} --model m --min-df 1")
    Path("new.jsonl").write_text(json.dumps({"title": "moons", "subjects": ["astronomy", "orbit"]}))
    found = json.loads(run(f"evaluate m new.jsonl {books} -k 1,9 --json").out)
    assert found["n_unknown_labels"] == 1
    assert (found["metrics"]["P@1"], found["metrics"]["R@9"]) == (1.0, 0.5)
    Path("new.jsonl").write_text(json.dumps({"title": "moons", "subjects": ["orbit"]}))
    strange = run(f"evaluate m new.jsonl {books}")
    assert "Not one of the 1 labels of the data" in strange.err
    assert "--label-field" in strange.err
    assert "P           0.00    0.00    0.00" in strange.out


def test_align_labels():
    classes = np.array([2, 5, 10])
    from_csv = align_labels([["10", "2"], [], ["7"]], classes)
    np.testing.assert_array_equal(from_csv.toarray(), [[1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    matrix = scipy.sparse.csr_array(np.eye(6, dtype=np.float32)[[5, 0]])
    aligned = align_labels(matrix, np.arange(6)[::2] + 1)
    assert aligned.toarray()[:, :3].tolist() == [[0, 0, 1], [0, 0, 0]]
    assert aligned.sum() == 2


def test_widen():
    top = xclassic.TopK.from_dense(np.array([[0.5, 1.0]]), 2)
    wide = widen(top, 3)
    assert wide.ids.tolist() == [[1, 0, -1]]
    assert wide.counts.tolist() == [2]
    assert widen(top, 1) is top


# Model folders


def test_python_loads_what_the_command_wrote(run, books, model, bibtex):
    expected = DiSMEC().fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    np.testing.assert_array_equal(xclassic.load(model, verify="full").predict_topk(bibtex.X_test).ids, expected.ids)
    run(f"train DiSMEC books.jsonl {books} --model m --stop-words english")
    trained, _ = read_model("m", "full")
    np.testing.assert_array_equal(trained.label_counts, [1, 3, 2, 2])
    tagger = xclassic.load("m", verify="full")
    assert type(tagger) is Pipeline
    vocabulary = tagger[0].terms_["text"][0].names()
    assert "moons" in vocabulary
    assert "of" not in vocabulary
    lines = run("predict m books.jsonl -k 1").out.splitlines()
    top = xclassic.predict_topk(tagger, [title for _, title, _ in BOOKS], 1)
    assert [line.split("\t")[1].rpartition(":")[0] for line in lines] == tagger.classes_[top.ids[:, 0]].tolist()


def test_command_reads_what_python_saved(run, books, bibtex):
    titles, labels = [title for _, title, _ in BOOKS], [labels for _, _, labels in BOOKS]
    records = [{"title": title} for title in titles]
    views = FeatureUnion([("words", TextFeatures("title")), ("letters", TextFeatures("title", ngram_range=()))])

    def blend(*encoders):
        return Blend([(f"m{i}", make_pipeline(e, DiSMEC())) for i, e in enumerate(encoders)], normalization="none")

    for pipe, X, kind in (
        (make_pipeline(TextFeatures(), DiSMEC()), titles, "texts"),
        (make_pipeline(views, DiSMEC()), records, "records"),
        (blend(TextFeatures(), TextFeatures(char_ngrams=())), titles, "texts"),
        (blend(TextFeatures("title"), views), records, "records"),
    ):
        xclassic.save(pipe.fit(X, labels), "m")
        found = [json.loads(line)["labels"] for line in run(
            f"predict m books.jsonl -k 1 --format jsonl {'--text-field title' if kind == 'texts' else ''}"
        ).out.splitlines()]  # fmt: skip
        assert found == pipe.classes_[xclassic.predict_topk(pipe, X, 1).ids].tolist()
        assert json.loads(run("info m --json --full").out)["input"] == kind
    pipe = make_pipeline(FourierFeatures(50), DiSMEC()).fit(bibtex.X, bibtex.Y)
    xclassic.save(pipe, "m")
    assert run("evaluate m bibtex").out
    assert json.loads(run("info m --json").out)["input"] == "features"
    xclassic.save(pipe[0], "m")
    assert "holds a FourierFeatures, which ranks no labels" in run("info m", 1).err


def damaged_encoder(**changes):
    encoder = TextFeatures()
    X = encoder.fit_transform([title for _, title, _ in BOOKS])
    estimator = DiSMEC().fit(X, [labels for _, _, labels in BOOKS])
    training = {"n_rows": 5} | changes.pop("training", {})
    encoder.set_params(**changes)
    return TrainedModel(make_pipeline(encoder, estimator), np.array([1, 3, 2, 2]), training=training)


@pytest.mark.parametrize(
    "changes",
    [
        {"preset": "word2"},
        {"ngram_range": [1, 2, 3]},
        {"ngram_range": 3},
        {"ngram_range": [1, "2"]},
        {"text": "title"},
        {"numeric": "price"},
        {"stop_words": [[]]},
        {"min_df": -1.0},
        {"training": {"n_rows": 2}},
        {"training": {"n_rows": "5"}},
    ],
    ids=str,
)
def test_damaged_metadata_are_rejected(tmp_path, monkeypatch, changes):
    monkeypatch.setattr(models, "save_packed", save_model)  # `save_packed` writes no model that cannot be loaded.
    damaged_encoder(**changes).save(str(tmp_path / "m"))
    with pytest.raises(ModelFileError, match="damaged"):
        read_model(str(tmp_path / "m"))


def test_info_full_finds_a_flipped_bit(run, books):
    run(f"train DiSMEC books.jsonl {books} --model m")
    run("info m --full")
    for path in Path("m").glob("*.npy"):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert "m" in run("info m --full", 1).err
        path.write_bytes(content)
    run("info m --full")


def test_info(run, model):
    table = run(["info", model, "--full"]).out
    lines = dict(line.split(maxsplit=1) for line in table.splitlines() if len(line.split()) > 1)
    assert lines["class"] == "DiSMEC"
    assert lines["n_features"] == "1,836"
    assert lines["n_rows"] == "4,880"
    assert lines["checked"] == "everything"
    metadata = json.loads(run(["info", model, "--json"]).out)
    assert metadata["bytes"] == sum(path.stat().st_size for path in Path(model).iterdir())
    assert metadata["version"] == xclassic.__version__


def test_explain(run, model, bibtex):
    label = bibtex.label_names.index("TAG_web")
    fitted = DiSMEC().fit(bibtex.X, bibtex.Y)
    expected = fitted.explain(
        bibtex.X_test[[3]],
        label,
        n_features=4,
        label_names=bibtex.label_names,
        feature_names=bibtex.feature_names,
    )
    chosen = f"explain {model} bibtex --row 3 --n-features 4"
    assert run(f"{chosen} --label TAG_web").out == f"{expected}\n"
    assert json.loads(run(f"{chosen} --label TAG_web --json").out) == json.loads(json.dumps(expected.to_dict()))
    by_id = json.loads(run(f"{chosen} --label {label} --label-ids --json").out)
    assert by_id["score"] == expected.score
    assert (by_id["label"], by_id["name"]) == (label, str(label))
    assert run(chosen).out.startswith(f"{expected.best_name}: score {expected.best_score:.4g} (the best)\n")


def test_explain_texts(run, books):
    run(f"train Parabel books.jsonl --model m {books}")
    shown = json.loads(run("explain m books.csv --text-field title --row 1 --label cooking --json").out)
    assert {effect["name"] for step in shown["steps"] for effect in step["features"]} >= {
        "bread",
        "butter",
        "and butter",
    }
    assert "no row 5; books.csv has 5 rows" in run("explain m books.csv --text-field title --row 5", 2).err
    unknown = run("explain m books.csv --text-field title --label sky", 2).err
    assert "no label 'sky'; some of its labels: Brot: für Anfänger, astronomy, cooking" in unknown


# For scripts


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("trian", "No such command 'trian'"),
        ("train Foo bibtex --model m", "there are RandomOrder"),
        ("train DiSMEC bibtex", "--model"),
        ("train DiSMEC bibtex --model m --depth 3", "No such option: --depth; accepted are --model"),
        ("train DiSMEC bibtex --model m --C x", "--C is 'x'; accepted is float"),
        ("train DiSMEC bibtex --model m --C -1", "C is -1.0"),
        ("train DiSMEC bibtex --model m --loss hinge", "squared_hinge"),
        ("train DiSMEC books.jsonl --model m --preset words", "preset is 'words'"),
        ("train DiSMEC books.jsonl --model m --preset title --preset title", "preset has 2 entries for 1 text field"),
        ("train DiSMEC books.jsonl --model m --ngram-range 1-2", "--ngram-range is '1-2'"),
        ("train DiSMEC books.jsonl --model m --ngram-range none --char-ngrams none", "are both empty"),
        ("train DiSMEC books.jsonl --model m --char-ngrams 3,2", "char_ngrams is (3, 2)"),
        ("predict m", "DATA"),
        ("predict m bibtex -k", "Option '-k' requires an argument"),
        ("predict m bibtex --threshold", "Option '--threshold' requires an argument"),
        ("predict m bibtex -qk", "Option '-k' requires an argument"),
        ("predict m bibtex -z", "No such option: -z; accepted are --output, -k"),
        ("predict m bibtex --quiet=1", "Option '--quiet' does not take a value"),
        ("predict m bibtex --zero-based=1", "Option '--zero-based' does not take a value"),
        ("train DiSMEC bibtex --model m --normalize=yes", "Option '--normalize' does not take a value"),
        ("train DiSMEC bibtex --model", "Option '--model' requires an argument"),
        ("train --depth 3", "No such option: --depth; accepted are --help"),
        ("--version=1", "Option '--version' does not take a value"),
        ("info m --full=1", "Option '--full' does not take a value"),
        ("predict m bibtex -k 0", "-k"),
        ("predict m bibtex -o no/top.txt", "there is no folder"),
        ("predict m bibtex -o .", ". is a folder; name a file"),
        ("predict m bibtex --format xml", "there are text, jsonl, npz"),
        ("evaluate m bibtex --preset wiki", "preset is 'wiki'"),
    ],
)
def test_usage_errors_are_explained(run, books, line, problem):
    if "books" in line:
        line += f" {books}"
    done = run(line, 2)
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert problem in done.err
    assert not Path("m").exists()


@pytest.mark.parametrize(
    "line",
    [
        "train DiSMEC none.txt --model m",
        "predict none bibtex",
        "evaluate none bibtex",
        "explain none bibtex",
        "info none",
    ],
)
def test_failure_is_one_line(run, line):
    done = run(line, 1)
    assert done.out == ""
    assert done.err.startswith("xclassic: error: ")
    assert done.err.count("\n") == 1
    assert "none" in done.err
    debugged = run(f"{line} --debug", 1)
    assert "Traceback" in debugged.err
    assert debugged.err.endswith(done.err)


def test_data_errors_name_the_line(run):
    Path("bad.txt").write_text("2 3 2\n0 0:1\n1 0:x\n")
    assert "bad.txt, line 3" in run("train DiSMEC bad.txt --model m", 1).err


def test_warnings_are_one_line(run):
    Path("twice.txt").write_text("2 3 2\n0,0 0:1\n1 1:1\n")
    done = run("train DiSMEC twice.txt --model m")
    assert done.err.startswith("xclassic: warning: twice.txt")
    assert done.err.count("\n") == 1


def test_version(run):
    assert run("--version").out == f"xclassic {xclassic.__version__}\n"


def test_help_loads_nothing_heavy():
    code = "import sys; from xclassic.cli import app\ntry: app(['--help'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert "evaluate" in done.stdout
    assert not {"numpy", "scipy", "sklearn", "joblib", "numba"} & set(done.stdout.splitlines()[-1].split())


def interrupt(*arguments):
    """Start an endless training, press Ctrl-C once it shows its progress, and wait for its end."""
    command = [*PROGRAM, "train", "DiSMEC", "bibtex", *ENDLESS, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    seen = b""
    while b"0%|" not in seen:
        character = process.stderr.read(1)
        assert character, seen
        seen += character
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG)
    assert out == b""
    assert err.endswith(b"xclassic: interrupted\n")
    assert b"Traceback" not in err
    return process.returncode


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_nothing(tmp_path):
    assert interrupt("--model", str(tmp_path / "m")) == 130
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_keeps_the_old_model(run, tmp_path):
    run("train DiSMEC bibtex --model m")
    before = {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}
    assert interrupt("--model", str(tmp_path / "m"), "--force") == 130
    assert {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()} == before


def test_closed_pipe_is_silent(model):
    command = [*PROGRAM, "predict", model, "bibtex", "-k", "50"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=HANG) == 141


def test_failure_while_writing_leaves_nothing(run, model, monkeypatch):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xclassic.cli.outputs._text_line", fail)
    assert "No space left on device" in run(["predict", model, "bibtex", "-o", "top.txt"], 1).err
    assert os.listdir() == []


# Labels that are known already


@pytest.fixture
def told(run, tmp_path):
    """Train a model of texts that takes known labels, and return texts and known labels in every form."""
    titles = ["moons of Jupiter", "bread and butter", "a guide to planets", "baking bread", "Jupiter and Saturn"]
    labels = [["astronomy", "nature"], ["cooking", "food"], ["astronomy", "nature"], ["cooking", "food"], ["astronomy"]]
    known = [["astronomy"], [], ["a label that no row has"], ["food"], []]
    rest = [sorted(set(own) - set(row)) for own, row in zip(labels, known, strict=True)]
    rows = list(zip(titles, labels, known, rest, strict=True))
    names = ("text", "labels", "known", "rest")
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    (tmp_path / "known.jsonl").write_text("\n".join(json.dumps({"labels": row}) for row in known))
    (tmp_path / "known.csv").write_text("\n".join(["labels", *('"' + ",".join(row) + '"' for row in known)]))
    run("train SwiftXML rows.jsonl --model m --n-trees 2 --max-leaf 1 --quiet")
    return known


def test_known_labels_reach_the_model_and_are_not_predicted(run, told):
    plain = [json.loads(line) for line in run("predict m rows.jsonl --format jsonl").out.splitlines()]
    assert any(set(row["labels"]) & set(known) for row, known in zip(plain, told, strict=True))
    tagger = xclassic.load("m")
    titles = [json.loads(line)["text"] for line in Path("rows.jsonl").read_text().splitlines()]
    expected = xclassic.predict_topk(tagger, titles, 5, revealed=told).named(tagger.classes_)
    asked = ["--revealed known.jsonl", "--revealed known.csv", "--revealed rows.jsonl --revealed-field known"]
    for option in [*asked, "--revealed-field known"]:
        rows = [json.loads(line) for line in run(f"predict m rows.jsonl --format jsonl {option}").out.splitlines()]
        assert [row["labels"] for row in rows] == [[label for label, _ in row] for row in expected]
        assert not any(set(row["labels"]) & set(known) for row, known in zip(rows, told, strict=True))


def test_evaluate_takes_known_labels_and_refuses_them_as_truth(run, told):
    done = run("evaluate m rows.jsonl --label-field rest --revealed-field known --json")
    assert json.loads(done.out)["metrics"]["P@1"] > 0
    error = run("evaluate m rows.jsonl --revealed-field known", code=1).err
    assert "Y_true has 2 labels that were revealed, the first in row 0" in error


def test_known_labels_of_points_and_of_a_matrix(run, bibtex, tmp_path):
    X, Y = bibtex.X_test[:40], bibtex.Y_test[:40]
    revealed, rest = datasets.reveal_labels(Y, 0.5, random_state=0)
    datasets.write_xmc("rows.txt", X, rest)
    datasets.write_xmc("known.txt", X, revealed)
    scipy.sparse.save_npz("known.npz", revealed)
    model = xclassic.SwiftXML(n_trees=2).fit(bibtex.X[:300], bibtex.Y[:300])
    model.save(tmp_path / "m")
    expected = model.predict_topk(X, 5, revealed=revealed)
    for name in ("known.txt", "known.npz"):
        run(f"predict m rows.txt --revealed {name} --output top.npz --force")
        np.testing.assert_array_equal(np.load("top.npz")["ids"], expected.ids)
    found = json.loads(run("evaluate m rows.txt --revealed known.txt --json").out)["metrics"]
    assert found["P@1"] == metrics.precision_at_k(rest, expected, 1)


def test_known_labels_that_cannot_be_used_are_refused(run, told, model, bibtex, tmp_path):
    error = run(["predict", model, "bibtex", "--revealed", "bibtex"], code=2).err
    assert "DiSMEC cannot be told labels that are known; --revealed is for SwiftXML" in error
    (tmp_path / "short.jsonl").write_text('{"labels": []}')
    assert "revealed has 1 rows but X has 5" in run("predict m rows.jsonl --revealed short.jsonl", code=1).err
    assert "no such file" in run("predict m rows.jsonl --revealed nothing.jsonl", code=1).err.lower()
    assert "second look at standard input" in run("predict m - --revealed-field known", code=2).err
    scipy.sparse.save_npz("known.npz", bibtex.Y_test[:5])
    error = run("predict m rows.jsonl --revealed known.npz --revealed-field known", code=2).err
    assert "--revealed-field is for JSON lines, CSV and TSV, which known.npz is not" in error
