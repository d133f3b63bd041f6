"""``xclassic train --calibrate --aim`` and ``xclassic predict --sets``: what Python does."""

import numpy as np
import pytest

from xclassic import Calibrated, DiSMEC, ThresholdedClassifier, load


def sets_of(out):
    return [{int(cell.partition(":")[0]) for cell in line.split("\t")[1:]} for line in out.splitlines()]


def test_sets_are_those_of_python(run, points, tmp_path):
    X, Y = points
    run("train dismec X.npz --label-matrix Y.npz --aim macro_f1 --model sets.model --quiet")
    expected = ThresholdedClassifier(DiSMEC(), aim="macro_f1").fit(X, Y)
    assert sets_of(run("predict sets.model X.npz --sets --quiet").out) == [
        set(row.indices.tolist()) for row in expected.predict(X)
    ]
    kept = load(tmp_path / "sets.model")
    assert kept.get_params()["estimator__n_jobs"] is None
    assert kept.n_jobs is None


def test_probabilities_are_those_of_python(run, points, tmp_path):
    X, Y = points
    run("train dismec X.npz --label-matrix Y.npz --calibrate --aim precision@0.5 --model both.model --quiet")
    model = load(tmp_path / "both.model")
    assert isinstance(model, ThresholdedClassifier)
    assert model.aim == ("precision", 0.5)
    assert isinstance(model.estimator_, Calibrated)
    run("predict both.model X.npz -k 3 --output top.npz --quiet")
    found = np.load(tmp_path / "top.npz")
    expected = Calibrated(DiSMEC()).fit(X, Y).predict_topk(X, 3)
    np.testing.assert_array_equal(found["ids"], expected.ids)
    np.testing.assert_array_equal(found["scores"], expected.scores)


def test_sets_without_thresholds_are_those_of_predict(run, points):
    run("train dismec X.npz --label-matrix Y.npz --model plain.model --quiet")
    lines = run("predict plain.model X.npz --sets --quiet").out.splitlines()
    assert {len(line.split("\t")) - 1 for line in lines} == {round(points[1].nnz / 200)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--aim f1", "aim is 'f1'"),
        ("--aim precision@high", "after @ comes a recall"),
        ("--aim recall@0.5", "precision"),
    ],
)
def test_bad_aims(run, points, options, message):
    command = f"train dismec X.npz --label-matrix Y.npz --model m.model --quiet {options}"
    assert message in run(command, code=2).err


def test_sets_and_thresholds_exclude_each_other(run, points):
    run("train dismec X.npz --label-matrix Y.npz --model plain.model --quiet")
    assert "leave out --threshold" in run("predict plain.model X.npz --sets --threshold 1 --quiet", code=2).err
