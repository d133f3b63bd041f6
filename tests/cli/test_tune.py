"""``xclassic tune``: the table, the command it ends with, and what it refuses."""

import json
import re
import shlex

import numpy as np
import pytest

from xclassic import KNN, load, tune


@pytest.fixture
def books(tmp_path):
    titles = {
        "bread": ["rye bread", "white bread", "bread and butter"],
        "stars": ["stars", "far stars", "moons, stars"],
    }
    rows = [{"name": title, "tags": [tag]} for tag, all in titles.items() for title in all * 4]
    (tmp_path / "books.jsonl").write_text("\n".join(map(json.dumps, rows)))


def test_table_and_command_are_those_of_python(run, points, tmp_path):
    done = run("tune knn X.npz --label-matrix Y.npz --for nDCG@3 --trials 4 --splits 2 --seed 1 --no-normalize")
    tuning = tune(KNN(normalize=False), *points, "nDCG@3", n_trials=4, n_splits=2, random_state=1)
    table, command = done.out.split("\n\n")
    assert [line.split()[:3] for line in table.splitlines()] == [line.split()[:3] for line in str(tuning).splitlines()]
    program, *arguments = shlex.split(command)
    assert program == "xclassic"
    run([*arguments, "--quiet"])
    fitted = load(tmp_path / "knn.model")
    assert fitted.get_params() == tuning.estimator.set_params(n_jobs=None).get_params()
    assert np.array_equal(fitted.predict_topk(points[0]).ids, tuning.estimator.fit(*points).predict_topk(points[0]).ids)


def test_texts_get_their_features_and_the_command_keeps_what_was_given(run, books, tmp_path):
    given = "--text-field name --label-field tags --preset title"
    done = run(f"tune knn books.jsonl --trials 2 --for P@1 {given} -q --power 1.5 --n-jobs 1")
    command = done.out.splitlines()[-1]
    assert command.startswith("xclassic train KNN books.jsonl --text-field name --label-field tags --preset title")
    assert "--n-neighbors" in command
    assert "--power 1.5" in command
    assert "--trials" not in command
    assert "--for" not in command
    assert command.endswith(" --model knn.model")
    run(shlex.split(command)[1:])
    assert load(tmp_path / "knn.model")[-1].power == 1.5


def test_trials_are_kept_and_not_run_again(run, points, tmp_path):
    line = "tune knn X.npz --label-matrix Y.npz --splits 1 --out trials.jsonl"
    run(f"{line} --trials 2")
    first = (tmp_path / "trials.jsonl").read_text()
    run(f"{line} --trials 3")
    longer = (tmp_path / "trials.jsonl").read_text()
    assert longer.startswith(first)
    assert len(longer.splitlines()) == 4
    assert "holds trials with metric 'P@5', but these have 'P@1'" in run(f"{line} --for P@1", 1).err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("popularity X.npz --label-matrix Y.npz", 2, "Popularity has no parameters that are tuned"),
        ("knn X.npz --label-matrix Y.npz --for F1", 2, "metric is 'F1'; it must be one of P, R, nDCG"),
        ("knn X.npz --label-matrix Y.npz --n-neighbors 3 --power 2", 2, "that are tuned .n_neighbors, power. are set"),
        ("knn X.npz --label-matrix Y.npz --trials 0", 2, "Invalid value for '--trials'"),
        ("knn X.npz --label-matrix Y.npz --preset title", 2, "--preset is for TF-IDF of texts"),
        ("knn X.npz --label-matrix Y.npz --text-field a", 2, "--text-field is for"),
        ("xmlcnn X.npz --label-matrix Y.npz", 2, "XMLCNN reads texts; pass JSON lines, CSV or TSV"),
        ("nothing X.npz", 2, "there is no estimator 'nothing'"),
        ("knn missing.npz --label-matrix Y.npz", 1, "No such file or directory: missing.npz"),
    ],
)
def test_wrong_usage_is_refused(run, points, arguments, code, message):
    done = run(f"tune {arguments}", code)
    assert done.out == ""
    assert re.search(message, done.err), done.err
