"""``xclassic audit``: the table, and what it refuses."""

import json


def test_command_writes_a_table(run, tmp_path):
    titles = {"bread": ["rye bread", "white bread", "bread, butter"], "stars": ["stars", "far stars", "moons, stars"]}
    rows = [{"text": title, "labels": [tag]} for tag in titles for title in titles[tag] * 4]
    rows[2]["labels"] = ["stars"]
    (tmp_path / "books.jsonl").write_text("\n".join(map(json.dumps, rows)))
    head, *lines = run("audit knn books.jsonl -n 1 --preset title --quiet").out.splitlines()
    assert head.split("\t") == ["kind", "id", "label", "probability", "usual"]
    assert [line.split("\t")[:3] for line in lines] == [["missing", "2", "bread"], ["wrong", "2", "stars"]]
    run("audit knn books.jsonl -n 1 --preset title --quiet --output doubts.jsonl")
    assert json.loads((tmp_path / "doubts.jsonl").read_text().splitlines()[0])["kind"] == "missing"
    assert "exists" in run("audit knn books.jsonl --quiet --output doubts.jsonl", code=2).err
    assert "arrays" in run("audit knn books.jsonl --quiet --output doubts.npz", code=2).err
