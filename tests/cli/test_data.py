"""Points of every kind of file, as the commands take them."""

import gzip
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from xclassic import datasets
from xclassic.cli.data import Source, read_points

ROWS = [("green tea", ["Tea"]), ("desk lamp", ["Lamp"])]
JSONL = "".join(json.dumps({"text": text, "labels": labels}) + "\n" for text, labels in ROWS)
CSV = "text,labels\ngreen tea,Tea\ndesk lamp,Lamp\n"
POINTS = "0,1 3:1\n1 0:2\n"


@pytest.fixture
def texts(run):
    """Train `m` on the texts of `t.jsonl`; return the predictions for them."""
    Path("t.jsonl").write_text(JSONL)
    run("train DiSMEC t.jsonl -m m")
    return run("predict m t.jsonl").out


@pytest.mark.parametrize(
    "name", ["a.json", "A.JSONL", "a", "a.txt", "a.json.gz", "a.gz", "BOOKS.CSV", "b", "b.dat", "t"]
)
def test_name_or_content_tells_the_kind(run, texts, name):
    content = {"B": CSV, "b": CSV, "t": CSV.replace(",", "\t")}.get(name[0], JSONL).encode()
    Path(name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert run(f"predict m {name}").out == texts


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes in the file system")
@pytest.mark.parametrize("content", [JSONL, CSV])
def test_standard_input_and_pipes(run, texts, monkeypatch, content):
    for path in ("-", "/dev/stdin"):
        Path("copy").write_text(content)
        with open("copy") as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            saved = os.dup(0)
            os.dup2(stdin.fileno(), 0)
            try:
                assert run(f"predict m {path}").out == texts
            finally:
                os.dup2(saved, 0)
                os.close(saved)
    Path("copy").write_text('{"text": 5}\n')
    with open("copy") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert "error: standard input, line 1: field 'text' must be a string" in run("predict m -", 1).err
    monkeypatch.setattr("sys.stdin", None)
    assert "standard input is closed" in run("predict m -", 1).err


def test_first_lines_may_be_long(run):
    Path("a.txt").write_text("0 " + " ".join(f"{i}:1" for i in range(50_000)) + "\n")
    run("train DiSMEC a.txt --zero-based -m m")
    Path("a.txt").write_text("x" * 300_000)
    assert "begins with 'xxxx" in run("predict m a.txt", 1).err


def test_data_format_is_forced(run, texts):
    Path("a.txt").write_text(CSV.replace(",", "\t"))
    Path("a.csv").write_text(CSV.replace(",", "\t"))
    assert run("predict m a.csv --data-format tsv").out == texts
    assert "there is no field 'text'" in run("predict m a.csv", 1).err
    assert run("evaluate m a.txt --data-format tsv -k 1").out == run("evaluate m t.jsonl -k 1").out
    assert "there are jsonl, csv, tsv, xmc, npz" in run("predict m a.csv --data-format xml", 2).err


def test_content_that_tells_nothing(run, texts):
    Path("a.txt").write_text("title,type\nx,y\n")
    message = run("predict m a.txt", 1).err
    assert "a.txt: neither its name nor its first line tells what it is, which begins with 'title,type'" in message
    assert "CSV or TSV with a column 'text' in the first line" in message
    assert "--data-format names one" in message
    Path("a.txt").write_text(POINTS)
    assert "pass --zero-based or --one-based" in run("train DiSMEC a.txt -m n", 1).err
    with open("matrix", "wb") as stream:
        np.save(stream, np.eye(2))
    assert read_points(Source("matrix"), "test", labels=False).X.shape == (2, 2)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt", "a"])
def test_empty_files_are_named(run, texts, name):
    Path(name).write_text("\n" if name == "a.jsonl" else "")
    for command in ("train DiSMEC {} -m n", "evaluate m {}"):
        error = run(command.format(name), 1).err
        assert f"error: {name}: " in error
        assert "there are no rows in it" in error or "it is empty" in error
    Path("h.csv").write_text("text,labels\n")
    assert "h.csv: there are no rows in it" in run("evaluate m h.csv", 1).err
    done = run("predict m h.csv")
    assert (done.out, done.err) == ("", "xclassic: warning: h.csv: there are no rows in it\n")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("train DiSMEC a.svm --zero-based --text-field title", "--text-field is for JSON lines, CSV and TSV"),
        ("train DiSMEC a.svm --zero-based --label-field x", "--label-field is for JSON lines, CSV and TSV"),
        ("train DiSMEC a.svm --zero-based --label-delimiter ;", "--label-delimiter is for JSON lines"),
        ("train DiSMEC a.svm --zero-based --label-matrix Y.npz", "--label-matrix is for .npz and .npy features"),
        ("train DiSMEC a.svm --zero-based --preset abstract", "--preset is for TF-IDF of texts"),
        ("train DiSMEC a.svm --zero-based --min-df 1", "--min-df is for TF-IDF of texts"),
        ("train DiSMEC a.svm --zero-based --n-hashed 10", "--n-hashed is for TF-IDF of texts"),
        ("train DiSMEC a.svm --zero-based --analyzer voikko", "The analyzer 'voikko' is not registered"),
        ("train DiSMEC a.svm --zero-based --no-sublinear-tf", "--sublinear-tf is for TF-IDF of texts"),
        ("train DiSMEC t.jsonl --one-based", "--zero-based or --one-based is for text files of the field"),
        ("train DiSMEC bibtex --text-field title", "bibtex is a folder of points"),
        ("train DiSMEC bibtex --label-matrix Y.npz", "bibtex is a folder of points"),
    ],
)
def test_options_of_other_data_are_refused(run, line, problem):
    Path("a.svm").write_text(POINTS)
    Path("t.jsonl").write_text(JSONL)
    done = run(f"{line} --model m", 2)
    assert problem in done.err
    assert not Path("m").exists()


def test_options_of_other_data_are_refused_by_models(run, texts):
    Path("a.svm").write_text(POINTS)
    run("train DiSMEC a.svm --zero-based -m n")
    for command in ("predict", "evaluate", "explain"):
        assert "--text-field is for" in run(f"{command} n a.svm --zero-based --text-field title", 2).err
    assert "--id-field is for" in run("predict n a.svm --zero-based --id-field key", 2).err
    assert "--zero-based" in run("predict m t.jsonl --zero-based", 2).err


def test_ids_are_written_as_they_are(run, texts):
    ids = [" 007 ", 7, 1.5, None]
    Path("i.jsonl").write_text("".join(json.dumps({"id": key, "text": "tea"}) + "\n" for key in ids))
    lines = run("predict m i.jsonl --id-field id -k 1").out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [" 007 ", "7", "1.5", ""]
    rows = run("predict m i.jsonl --id-field id -k 1 --format jsonl").out.splitlines()
    assert [json.loads(row)["id"] for row in rows] == [" 007 ", 7, 1.5, ""]
    Path("i.jsonl").write_text(json.dumps({"id": 2**70, "text": "tea"}))
    run("predict m i.jsonl --id-field id -o top.npz")
    assert np.load("top.npz")["row_ids"].tolist() == [str(2**70)]
    Path("i.jsonl").write_text('{"id": ["a", "b"], "text": "tea"}\n')
    assert "i.jsonl, line 1: field 'id' must be a string or a number" in run("predict m i.jsonl --id-field id", 1).err


def test_names_of_files_need_no_encoding(run, texts):
    name = os.fsdecode(b"t\xff.jsonl")
    shutil.copy("t.jsonl", name)
    run(["train", "DiSMEC", name, "-m", "n"])
    assert json.loads(run("info n --json").out)["training"]["data"] == "t\\udcff.jsonl"
    assert "t\\udcff.csv" in run(["predict", "n", os.fsdecode(b"t\xff.csv")], 1).err


def test_labels_of_one_name(run, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.txt").write_text("2 2 2\n0 0:1\n1 1:1\n")
    (folder / "label_names.txt").write_text("tea\ntea \n")
    trained = run("train DiSMEC data -m m")
    assert "label_names.txt: the labels 0 and 1 are both called 'tea'" in trained.err
    assert (
        "2 labels are called 'tea'; name one by its id, with --label-ids"
        in run("explain m data/train.txt --label tea", 2).err
    )
    assert run("explain m data/train.txt --label 1 --label-ids").out
    with pytest.warns(UserWarning, match="called 'tea'"):
        assert datasets.load(folder).label_names == ["tea", "tea"]


def test_paths_may_begin_at_home(run, texts, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    run(["train", "DiSMEC", "~/t.jsonl", "--model=~/n"])
    run(["predict", "~/n", "~/t.jsonl", "--output=~/top.txt"])
    assert Path("top.txt").read_text() == texts
    X, Y = np.eye(2, dtype=np.float32), np.eye(2)
    datasets.write_xmc("~/a.txt", X, Y)
    np.save("X.npy", X)
    assert datasets.read_xmc("~/a.txt")[0].shape == datasets.read_npz("~/X.npy")[0].shape == (2, 2)
    assert len(datasets.read_records("~/t.jsonl")) == 2
    os.mkdir("data")
    os.rename("a.txt", "data/train.txt")
    assert datasets.load("~/data").X.shape == (2, 2)
