"""``xclassic train --shard``, ``--resume`` and ``--cluster``, and ``xclassic join``."""

import json
from pathlib import Path

import pytest

from xclassic.cli import commands
from xclassic.storage.folder import PIECES


def stored(folder):
    """Return the checksums of all arrays of a model."""
    arrays = json.loads(Path(folder, "model.json").read_text())["arrays"]
    return {name: entry["crc32"] for name, entry in arrays.items()}


@pytest.fixture
def texts(tmp_path):
    rows = [{"text": f"word{i % 7} of part{i % 3}", "labels": [f"label{i % 53}", f"group{i % 3}"]} for i in range(60)]
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.parametrize("method", ["DiSMEC", "Parabel", "FastXML --n-trees 4"])
def test_parts_are_joined_to_the_model_of_one_training(method, texts, run, tmp_path, monkeypatch):
    run(f"train {method} texts.jsonl --model whole")
    assert "missing are 1, 3" in run(f"train {method} texts.jsonl --model parts --shard 2/3").out
    assert "shards 1, 3 of 3 are not complete" in run("join parts", code=1).err
    assert "xclassic join" in run("info parts", code=1).err
    assert "missing are 1" in run(f"train {method} texts.jsonl --model parts --shard 3/3").out
    assert "xclassic join parts makes the model" in run(f"train {method} texts.jsonl --model parts --shard 1/3").out
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run("join ../parts")
    assert stored(tmp_path / "parts") == stored(tmp_path / "whole")
    assert not (tmp_path / "parts" / "unfinished.pieces").exists()
    assert Path.cwd() == tmp_path / "elsewhere"
    assert "There are no parts" in run("join ../parts", code=1).err


def test_parts_of_other_data_or_parameters_are_refused(texts, run):
    run("train DiSMEC texts.jsonl --model parts --shard 1/2")
    assert (
        "parameter C is 1.0, here it is 3.0" in run("train DiSMEC texts.jsonl -m parts --shard 2/2 --C 3", code=1).err
    )
    texts.write_text(texts.read_text() + '{"text": "more", "labels": ["label0"]}\n')
    assert "of another fit: their data is" in run("train DiSMEC texts.jsonl -m parts --shard 2/2", code=1).err


def test_training_that_failed_to_save_goes_on(texts, run, monkeypatch):
    run("train FastXML texts.jsonl --model whole --n-trees 4")

    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("xclassic.cli.models.TrainedModel.save", full_disk)
        run("train FastXML texts.jsonl --model kept --n-trees 4 --resume", code=1)
    pieces = Path("kept", PIECES)
    assert len(list(pieces.glob("*.npz"))) == 4
    begun = {file: file.stat().st_mtime_ns for file in pieces.glob("*.npz")}
    next(iter(begun)).unlink()
    with monkeypatch.context() as patched:
        patched.setattr("xclassic.cli.in_pieces.InPieces.remove", lambda self: None)
        run("train FastXML texts.jsonl --model kept --n-trees 4 --resume")
    again = {file: file.stat().st_mtime_ns for file in pieces.glob("*.npz")}
    assert [file for file in begun if again[file] != begun[file]] == [next(iter(begun))]
    run("train FastXML texts.jsonl --model kept --n-trees 4 --resume --force")
    assert stored("kept") == stored("whole")
    assert not pieces.exists()


@pytest.mark.long
def test_local_cluster_gives_the_same_model(texts, run):
    pytest.importorskip("distributed")
    run("train Parabel texts.jsonl --model whole")
    run("train Parabel texts.jsonl --model there --cluster local --resume")
    assert stored("there") == stored("whole")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--shard 3/2", "accepted is I/N"),
        ("--shard 0/2", "accepted is I/N"),
        ("--shard 1", "accepted is I/N"),
        ("--shard x/y", "accepted is I/N"),
        ("--shard 1/2 --resume", "--resume is for a whole training"),
    ],
)
def test_wrong_options(options, message, texts, run):
    assert message in run(f"train DiSMEC texts.jsonl --model parts {options}", code=2).err


def test_standard_input_cannot_be_shared_out(run):
    assert "standard input comes once" in run("train DiSMEC - --model parts --shard 1/2", code=2).err


@pytest.mark.parametrize(
    "content", ["{", "{}", '{"folder": 1, "arguments": []}', '{"folder": "", "arguments": ["rm"]}']
)
def test_damaged_command_is_refused(content, texts, run):
    run("train DiSMEC texts.jsonl --model parts --shard 1/1")
    Path("parts", PIECES, "command.json").write_text(content)
    assert "command" in run("join parts", code=1).err


def test_rows_of_a_prediction(texts, run):
    run("train DiSMEC texts.jsonl --model whole")
    lines = run("predict whole texts.jsonl").out.splitlines()
    parts = [run(f"predict whole texts.jsonl --rows {rows}").out for rows in (":20", "20:21", "21:")]
    assert "".join(parts).splitlines() == lines
    for rows in ("60:80", "70:"):
        assert run(f"predict whole texts.jsonl --rows {rows}").out == ""
    for rows in ("5", "7:3", "-3:2", "a:b"):
        assert "accepted is A:B" in run(["predict", "whole", "texts.jsonl", f"--rows={rows}"], code=2).err
    assert commands.row_range(":", 7) == slice(0, 7)
