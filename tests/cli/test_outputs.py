"""What commands write, for programs, terminals and spreadsheets."""

import json
from pathlib import Path

import pytest

from tests.helpers.folders import edit_header
from xclassic.cli.outputs import choose_format
from xclassic.cli.printing import printable, to_json

ODD = ["a\tb", "a\\tb", "\x1b[2Jred", "half \ud83d", "\x9b", "=1+1", "-5", "@home", "plain", "tea 🍵"]


@pytest.fixture
def odd(run):
    """Train `m` on texts with odd labels, `t.jsonl`."""
    rows = [{"text": f"word{i} word{i}", "labels": [label], "id": label} for i, label in enumerate(ODD)]
    Path("t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run("train DiSMEC t.jsonl -m m")


def spellings(text):
    return [[cell.rpartition(":")[0] or cell for cell in line.split("\t")] for line in text.splitlines()]


@pytest.mark.usefixtures("odd")
def test_labels_and_ids_are_spelled_so_that_they_differ(run):
    expected = [
        "a\\tb",
        "a\\\\tb",
        "\\u001b[2Jred",
        "half \\ud83d",
        "\\u009b",
        "=1+1",
        "-5",
        "@home",
        "plain",
        "tea 🍵",
    ]
    assert spellings(run("predict m t.jsonl -k 1 --id-field id").out) == [[name, name] for name in expected]
    unquoted = [name.replace('"', '\\"') for name in expected]
    assert [json.loads(f'"{name}"') for name in unquoted] == ODD
    rows = [json.loads(line) for line in run("predict m t.jsonl -k 1 --id-field id --format jsonl").out.splitlines()]
    assert [row["labels"] for row in rows] == [[name] for name in ODD]
    assert [row["id"] for row in rows] == ODD


@pytest.mark.usefixtures("odd")
def test_spreadsheets_get_no_formulas(run):
    run("predict m t.jsonl -k 1 --id-field id -o top.tsv")
    rows = spellings(Path("top.tsv").read_text(encoding="utf-8"))
    assert [row[0] for row in rows[5:8]] == ["\\u003d1+1", "\\u002d5", "\\u0040home"]
    assert all(cell[0] not in "=+-@" for row in rows for cell in row)
    run("predict m t.jsonl -k 1 -o numbers.tsv")
    assert Path("numbers.tsv").read_text(encoding="utf-8").startswith("0\t")


@pytest.mark.usefixtures("odd")
def test_terminals_get_no_commands(run):
    edit_header(Path("m"), lambda header: header.update(version="1\x1b[2J"))
    edit_header(Path("m"), lambda header: header["training"].update(data="x\nchecked  everything"))
    info = run("info m")
    assert "\x1b" not in info.out
    assert sum(line.startswith("checked") for line in info.out.splitlines()) == 1
    assert "x\\nchecked" in info.out
    explained = run("explain m t.jsonl --row 2")
    assert explained.out.startswith("\\u001b[2Jred: score")
    assert json.loads(run("explain m t.jsonl --row 2 --json").out)["name"] == ODD[2]
    assert "\x1b" not in run(["explain", "m", "t.jsonl", "--label", "\x1b[31m"], 2).err


def test_printable():
    assert printable("a\tb\x7f\x85\u2028\ud83d\\ é") == "a\\tb\\u007f\\u0085\\u2028\\ud83d\\ é"
    assert to_json({"é": "\x1b\x9b"}) == '{"é": "\\u001b\\u009b"}'


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("-", "text"),
        ("a.txt.gz", "text"),
        ("a.tsv", "text"),
        ("a", "text"),
        ("a.jsonl", "jsonl"),
        ("A.JSONL", "jsonl"),
        ("a.ndjson.xz", "jsonl"),
        ("a.npz", "npz"),
    ],
)
def test_suffix_tells_the_format(path, form):
    assert choose_format(path, None) == form
    assert choose_format(path, "npz") == "npz"


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".xlsx", ".arrow", ".json", ".CSV", ".csv.gz"])
def test_other_suffixes_are_refused(run, suffix):
    for form in ("", " --format text", " --format npz"):
        assert f"top{suffix} would hold" in run(f"predict m bibtex -o top{suffix}{form}", 2).err
    assert choose_format("top.json", "jsonl") == "jsonl"


def test_threshold_is_a_number(run):
    assert "--threshold is nan" in run("predict m bibtex --threshold nan", 2).err
