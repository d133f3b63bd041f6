"""``xclassic train --vocabulary``: names, deprecated labels, and trees of concepts."""

import json
from pathlib import Path

import pytest

import xclassic
from xclassic import datasets, read_vocabulary
from xclassic.storage import registry

CONCEPTS = """id,label_en,label_de,broader,replaced_by
s1,sky,Himmel,,
s2,planets,Planeten,s1,
s3,moons,Monde,s1|s4,
s4,food,Essen,,
s5,bread,Brot,s4,
s6,loaves,,,s5
"""
ROWS = [
    ("Jupiter and its moons", ["s2", "s3"]),
    ("The moon of the earth", ["s3"]),
    ("Rye bread", ["s5"]),
    ("Loaves of bread", ["s6"]),
    ("A planet of ice", ["s2"]),
    ("Bread with butter", ["s5"]),
]


@pytest.fixture
def files(run):
    Path("concepts.csv").write_text(CONCEPTS, encoding="utf-8")
    names = read_vocabulary("concepts.csv").names("en") | {"s6": "loaves"}
    for file, of_label in (("ids.jsonl", str), ("names.jsonl", names.get)):
        lines = [json.dumps({"text": text, "labels": [of_label(label) for label in labels]}) for text, labels in ROWS]
        Path(file).write_text("\n".join(lines), encoding="utf-8")


HOW = "--vocabulary concepts.csv --vocabulary-language en --quiet"


def test_model_writes_names_of_current_concepts(run, files):
    assert "3 labels" in run(f"train dismec ids.jsonl --model m {HOW}").out
    assert xclassic.load("m")[-1].classes_.tolist() == ["s2", "s3", "s5"]
    lines = [json.loads(line) for line in run("predict m ids.jsonl -k 1 --format jsonl").out.splitlines()]
    assert lines[3]["labels"] == ["bread"]
    ids = run("predict m ids.jsonl -k 1 --format jsonl --label-ids").out.splitlines()
    assert json.loads(ids[3])["labels"] == ["s5"]
    run(f"train dismec ids.jsonl --model g {HOW.replace('language en', 'language de')}")
    assert json.loads(run("predict g ids.jsonl -k 1 --format jsonl").out.splitlines()[3])["labels"] == ["Brot"]


def test_labels_may_be_names(run, files):
    run(f"train dismec names.jsonl --model m {HOW}")
    assert xclassic.load("m")[-1].classes_.tolist() == ["bread", "moons", "planets"]


@pytest.mark.parametrize("data", ["ids.jsonl", "names.jsonl"])
def test_methods_search_along_the_vocabulary(run, files, data):
    run(f"train plt {data} --model m {HOW} --vocabulary-tree")
    clf = xclassic.load("m")[-1]
    concepts = read_vocabulary("concepts.csv")
    called = concepts if data == "ids.jsonl" else concepts.by_name("en")
    assert clf.trees_[0] == called.graph(clf.classes_.tolist()).tree
    assert clf.trees_[0].names is not None


def test_labels_of_matrices_have_names_of_concepts(run, files):
    texts, labels = datasets.read_texts("ids.jsonl")
    Y, classes = xclassic.encode_labels(labels)
    X = xclassic.features.TextFeatures().fit_transform(texts)
    Path("folder").mkdir()
    datasets.write_xmc("folder/train.txt", X, Y)
    Path("folder/label_names.txt").write_text("\n".join(classes.tolist()), encoding="utf-8")
    run(f"train xrlinear folder --model m {HOW} --vocabulary-tree")
    assert run("predict m folder/train.txt -k 1").out.splitlines()[0].split("\t")[1].split(":")[0] in (
        "planets",
        "moons",
    )
    assert xclassic.load("m").trees_[0] == read_vocabulary("concepts.csv").graph(classes.tolist()).tree


def test_strangers_are_told(run, files):
    Path("concepts.csv").write_text(CONCEPTS.replace("s2,", "s9,"), encoding="utf-8")
    done = run(f"train dismec ids.jsonl --model m {HOW}")
    assert "1 of 4 labels are no concepts of concepts.csv, by id or by name (first: 's2')" in done.err
    assert xclassic.load("m")[-1].classes_.tolist() == ["s2", "s3", "s5"]
    assert "1 of 3 labels are no concepts" in run(f"train plt ids.jsonl --model t {HOW} --vocabulary-tree", 2).err


def test_names_that_concepts_share_are_told(run, files):
    Path("shared.tsv").write_text("<a>\tplanets\n<b>\tplanets\n", encoding="utf-8")
    done = run("train dismec names.jsonl --model m --vocabulary shared.tsv")
    assert "'planets' is the name of several, a, b: write ids for such labels" in done.err
    concepts = CONCEPTS.replace("s3,moons", "s3,planets")
    Path("shared.csv").write_text(concepts, encoding="utf-8")
    done = run("train dismec ids.jsonl --model ids --vocabulary shared.csv --vocabulary-language en")
    assert "2 labels have a name that another one has (first: 's2', 'planets'); predictions show their ids" in done.err
    lines = [json.loads(line) for line in run("predict ids ids.jsonl -k 3 --format jsonl").out.splitlines()]
    assert sorted(lines[0]["labels"]) == ["bread", "s2", "s3"]


@pytest.mark.parametrize("data", ["ids.jsonl", "names.jsonl"])
def test_levels_are_measured(run, files, data):
    run(f"train dismec {data} --model m {HOW}")
    measured = json.loads(run(f"evaluate m {data} --json {HOW}").out)
    concepts = read_vocabulary("concepts.csv")
    called = concepts if data == "ids.jsonl" else concepts.by_name("en")
    model = xclassic.load("m")
    texts, labels = datasets.read_texts(data)
    Y = xclassic.encode_labels(called.replace_deprecated(labels))[0]
    top = xclassic.predict_topk(model, texts, 1)
    assert measured["levels"] == called.graph(model.classes_.tolist()).evaluate_levels(Y, top)
    assert (measured["n_unknown_labels"], measured["metrics"]["P@1"]) == (0, 1.0)
    plain = json.loads(run(f"evaluate m {data} --json --quiet").out)
    assert "levels" not in plain
    assert plain["n_unknown_labels"] == 1  # the deprecated one
    shown = run(f"evaluate m {data} {HOW} --train {data}").out.splitlines()
    assert any(line.split()[:2] == ["L0", "100.00"] for line in shown)


def test_strangers_are_measured_at_the_top(run, files):
    run(f"train dismec ids.jsonl --model m {HOW}")
    Path("concepts.csv").write_text(CONCEPTS.replace("s2,", "s9,"), encoding="utf-8")
    done = run(f"evaluate m ids.jsonl --json {HOW}")
    assert "1 of 3 labels are no concepts" in done.err
    assert json.loads(done.out)["levels"]["L0"]["accuracy"] == 1
    assert "needs a --vocabulary" in run("evaluate m ids.jsonl --vocabulary-language en", 2).err


@pytest.mark.parametrize("data", ["ids.jsonl", "names.jsonl"])
def test_label_matcher_looks_for_all_names(run, files, data):
    pytest.importorskip("ahocorasick_rs")
    if "LabelMatcher" not in registry.TEXT_ESTIMATORS:
        pytest.skip("there is no such method")
    run(f"train labelmatcher {data} --model m {HOW}")
    Path("new.jsonl").write_text(
        json.dumps({"text": "The sky above us"}) + "\n" + json.dumps({"text": "Old loaves"}), encoding="utf-8"
    )
    lines = [json.loads(line) for line in run("predict m new.jsonl -k 1 --format jsonl").out.splitlines()]
    # "sky" has no row, and "loaves" was given up for "bread".
    assert [line["labels"] for line in lines] == [["sky"], ["bread"]]


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("train dismec ids.jsonl --model m --vocabulary concepts.csv", 2, "pass one of those that the vocabulary has"),
        ("train dismec ids.jsonl --model m --vocabulary-tree", 2, "--vocabulary-tree needs a --vocabulary"),
        ("train dismec ids.jsonl --model m --vocabulary-language en", 2, "--vocabulary-language needs a --vocabulary"),
        (f"train dismec ids.jsonl --model m {HOW} --vocabulary-tree", 2, "DiSMEC does not fit"),
        (f"train dismec ids.jsonl --model m {HOW} --label-weights", 2, "speaks of deprecated concepts"),
        ("train dismec ids.jsonl --model m --vocabulary ids.jsonl", 1, "neither its name nor its first line"),
        ("train dismec ids.jsonl --model m --vocabulary nowhere.csv", 1, "nowhere.csv"),
    ],
)
def test_options_that_do_not_fit_are_refused(run, files, line, code, message):
    assert message in " ".join(run(line, code).err.replace("│", " ").split())
