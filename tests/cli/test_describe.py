"""``xclassic describe``: every kind of data, as text, as JSON and as a figure."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import scipy.sparse

from xclassic import datasets
from xclassic.html_report.data_figure import panels

ROWS = [
    ("b1", "The moons of Jupiter", "Science > Sky", "astronomy"),
    ("b2", "Bread and butter", "Home > Food", "cooking,food"),
    ("b3", "The moons of Jupiter", "Science > Sky", "astronomy,nature"),
    ("b4", "Baking with rye", "Home > Food", ""),
]


@pytest.fixture
def books(run):
    """Write the books in each format of texts."""
    header = ["key", "title", "shelf", "subjects"]
    records = [dict(zip(header, row, strict=True)) for row in ROWS]
    lines = [json.dumps(record | {"subjects": [s for s in record["subjects"].split(",") if s]}) for record in records]
    Path("books.jsonl").write_text("\n".join(lines), encoding="utf-8")
    Path("books.tsv").write_text("\n".join(["\t".join(header), *("\t".join(row) for row in ROWS)]), encoding="utf-8")
    quoted = [",".join(f'"{cell}"' for cell in row) for row in ROWS]
    Path("books.csv").write_text("\n".join([",".join(header), *quoted]), encoding="utf-8")


def of(run, line):
    found = json.loads(run(f"describe {line} --json --quiet").out)
    del found["data"]
    return found


def test_texts_in_every_format_are_described_alike(run, books):
    expected = datasets.describe(
        [
            (
                [{"key": row[0], "title": row[1], "shelf": row[2]} for row in ROWS],
                [["astronomy"], ["cooking", "food"], ["astronomy", "nature"], []],
            )
        ],
        text=["title"],
    )
    for name in ("books.jsonl", "books.csv", "books.tsv"):
        assert of(run, f"{name} --text-field title --label-field subjects") == json.loads(json.dumps(expected))
    assert expected["duplicates"] == {"rows": 1, "of them with other labels": 1}


def test_fields_that_were_not_named_may_be_missing(run, books):
    found = of(run, "books.csv")
    assert "labels" not in found
    assert list(found["fields"]) == ["key", "title", "shelf", "subjects"]
    assert "there is no field 'tags'" in run("describe books.csv --label-field tags", 1).err
    assert "there is no field 'text'" in run("describe books.csv --text-field text", 1).err


def test_levels_are_those_of_labels_or_of_fields(run, books):
    levels = of(run, "books.jsonl --label-field shelf")["levels"]
    assert [(level["level"], level["nodes"]) for level in levels] == [("L0", 2), ("L1", 2)]
    found = of(run, "books.csv --label-field shelf --path shelf,key")
    assert [(level["level"], level["nodes"]) for level in found["levels"]] == [("shelf", 2), ("key", 4)]
    assert "shelf" in found["fields"]
    assert "--path is for JSON lines" in " ".join(run("describe bibtex --path a,b", 2).err.split()).replace("│ ", "")


def test_matrices_files_and_folders_are_described_alike(run):
    data = datasets.load_bibtex()
    scipy.sparse.save_npz("X.npz", data.X)
    scipy.sparse.save_npz("Y.npz", data.Y)
    np.save("dense.npy", data.X.toarray())
    datasets.write_xmc("train.txt", data.X, data.Y)
    expected = json.loads(json.dumps(datasets.describe([(data.X, data.Y)])))
    for line in ("X.npz --label-matrix Y.npz", "dense.npy --label-matrix Y.npz", "train.txt"):
        assert of(run, line) == expected
    found = of(run, "bibtex")
    assert found["features"] == expected["features"]
    assert found["test"]["rows"] == 2515
    assert found["labels"]["most frequent"][0][0] == data.label_names[int(np.argmax(data.Y.sum(axis=0)))]
    assert "labels" not in of(run, "X.npz")


def test_test_data_is_compared(run, books):
    Path("new.csv").write_text("title,subjects\nBread and butter,cooking\nOats,breakfast\n", encoding="utf-8")
    found = of(run, "books.csv --test new.csv --text-field title --label-field subjects")
    assert found["overlap"] == {
        "test rows that are in training": 1,
        "labels of test rows alone": 1,
        "pairs with such labels": 1,
        "fields missing in test": ["key", "shelf"],
    }


def test_weights_of_labels_are_read(run):
    Path("rows.csv").write_text("text,labels\nmoon,sky::2\nbread,food::0.5\nplanet,sky\n", encoding="utf-8")
    assert of(run, "rows.csv")["labels"]["distinct"] == 3
    assert of(run, "rows.csv --label-weights")["labels"]["distinct"] == 2


def test_text_of_a_terminal(run, books):
    out = run("describe books.csv --text-field title --label-field subjects --test books.jsonl").out
    rows = [line.split() for line in out.splitlines()]
    assert ["rows", "4"] in rows
    assert ["rows", "that", "repeat", "another", "1"] in rows
    assert ["title", "text", "0.0", "%", "3"] in rows
    assert ["1", "3", "3"] in rows  # Labels with one row.
    assert "TEST" in out
    assert "* 4 of 4 test rows (100.0 %) are training rows too. Measures on them say too much." in out
    assert "most frequent: astronomy (2), cooking (1)" in out


def test_what_a_terminal_would_obey_is_spelled(run):
    Path("rows.csv").write_text("text,labels\nmoon,s\x1bky\n", encoding="utf-8")
    out = run("describe rows.csv").out
    assert "\x1b" not in out
    assert "s\\u001bky" in out


def test_figure_is_drawn(run, books):
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg", "a.png", "a.pdf"):
        run(f"describe books.csv --text-field title --label-field subjects --plot {name}")
    assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()
    texts = [element.text for element in ElementTree.parse("a.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert {"Rows of a label", "Labels of a row", "Words of title"} <= set(texts)
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    assert Path("a.pdf").read_bytes().startswith(b"%PDF")
    assert "exists" in run("describe books.csv --plot a.svg", 2).err
    assert "accepted are names that end in .png" in run("describe books.csv --plot a.gif", 2).err
    run("describe books.csv --plot a.svg --force")


def test_panels_hold_all_rows():
    found = datasets.describe([(["a b", "c", "d e f"], [["x"], ["x", "y"], []])])
    drawn = {title: bars for title, _, bars in panels(found)}
    assert drawn["Rows of a label"] == [("1", 1), ("2 to 5", 1)]
    assert drawn["Labels of a row"] == [("0", 1), ("1", 1), ("2", 1)]
    assert drawn["Words of text"] == [("1", 1), ("2", 1), ("3 to 5", 1)]
    assert panels(datasets.describe([(np.eye(3), None)])) == [("Features of a row", "rows", [("1", 3)])]
    assert panels({"rows": 0}) == []


def test_broken_data_is_named(run):
    Path("bad.csv").write_text("text,labels\na,b,c\n", encoding="utf-8")
    assert "bad.csv, line 2: expected 2 cells" in run("describe bad.csv", 1).err
    Path("empty.csv").write_text("text,labels\n", encoding="utf-8")
    assert "There are no rows." in run("describe empty.csv").out
    assert "--label-matrix is for" in run("describe bad.csv --label-matrix Y.npz", 2).err
    assert "nowhere" in run("describe nowhere.csv", 1).err
