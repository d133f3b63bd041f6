"""``xclassic train auto``: a model chosen on the rows, its table, and its use."""

import json

import pytest

from xclassic import AutoXMC, load


@pytest.fixture
def books(tmp_path):
    titles = {
        "bread": ["rye bread", "white bread", "bread and butter"],
        "stars": ["stars", "far stars", "moons, stars"],
    }
    rows = [{"text": title, "labels": [tag]} for tag, all in titles.items() for title in all * 4]
    (tmp_path / "books.jsonl").write_text("\n".join(map(json.dumps, rows)))


def test_auto_ends_with_its_table(run, books, tmp_path):
    done = run("train auto books.jsonl --model books.model --n-trials 2 --preset title --quiet")
    model = load(tmp_path / "books.model")
    assert isinstance(model[-1], AutoXMC)
    assert [trial["name"] for trial in model[-1].trials_][:2] == ["neighbors", "tree"]
    first, table = done.out.split("\n\n", 1)
    assert first.startswith("books.model: AutoXMC, 24 points")
    assert table.strip() == model[-1].report_
    assert run("predict books.model books.jsonl -k 1 --quiet").out.count("bread") >= 12


def test_what_no_text_can_spell_is_no_option(run, books):
    assert "--members" not in run("train auto --help").out
    assert "time_limit is 0" in run("train auto books.jsonl --model m --time-limit 0", code=2).err
