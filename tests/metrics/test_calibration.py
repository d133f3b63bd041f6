"""Metrics of probabilities: against plain twins, bounds, restrictions and bad input."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import brier_score_loss

from xclassic import TopK, metrics
from xclassic.metrics import brier_score, expected_calibration_error


def problem(n_rows=60, n_labels=8, seed=0):
    rng = np.random.default_rng(seed)
    truth = (rng.random((n_rows, n_labels)) < 0.3).astype(np.int8)
    probabilities = rng.permutation(n_rows * n_labels).reshape(n_rows, n_labels) / 512  # All differ.
    probabilities[rng.random(probabilities.shape) < 0.4] = -np.inf
    return truth, probabilities


def pairs(truth, probabilities, k, labels):
    """Return (probability, hit) of the best `k` labels of each row, the least probable first."""
    found = []
    for row, scores in zip(truth.tolist(), probabilities.tolist(), strict=True):
        ranked = sorted((score, label) for label, score in enumerate(scores) if score != -np.inf)[-k:]
        found += [(score, row[label]) for score, label in ranked if label in labels]
    return sorted(found)


@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("labels", [range(8), [1, 2, 6]])
@pytest.mark.parametrize("n_bins", [1, 4, 15])
def test_errors_equal_loops_over_pairs(k, labels, n_bins):
    truth, probabilities = problem()
    found = pairs(truth, probabilities, k, labels)
    bins = [found[i * len(found) // n_bins : (i + 1) * len(found) // n_bins] for i in range(n_bins)]
    gaps = [abs(sum(score for score, _ in part) - sum(hit for _, hit in part)) for part in bins]
    options = {"k": k, "labels": list(labels)}
    top = TopK.from_dense(probabilities, k)
    error = expected_calibration_error(truth, top, n_bins=n_bins, **options)
    assert error == pytest.approx(sum(gaps) / len(found))
    squares = [(score - hit) ** 2 for score, hit in found]
    assert brier_score(csr_array(truth), top, **options) == pytest.approx(np.mean(squares))
    scores, hits = zip(*found, strict=True)
    assert brier_score(truth, top, **options) == pytest.approx(brier_score_loss(hits, scores))


def test_probabilities_that_come_true_have_no_error():
    truth = np.array([[1], [0], [0], [0]])
    assert expected_calibration_error(truth, np.full((4, 1), 0.25), k=1, n_bins=1) == 0
    assert brier_score(truth, np.full((4, 1), 0.25), k=1) == pytest.approx(0.25 * 0.75)
    assert brier_score(truth, truth.astype(float), k=1) == 0


def test_more_bins_than_pairs_make_each_pair_a_bin():
    truth, probabilities = np.array([[1, 0]]), np.array([[0.75, 0.5]])
    assert expected_calibration_error(truth, probabilities, k=2, n_bins=100) == pytest.approx(0.375)


def test_nothing_predicted_is_no_error():
    assert expected_calibration_error(np.eye(2), TopK.empty(2, 5), k=2) == 0
    assert brier_score(np.eye(2), TopK.empty(2, 5), k=2) == 0


def test_excluded_pairs_do_not_count():
    truth, probabilities = np.array([[1, 0]]), np.array([[0.75, 0.5]])
    assert brier_score(truth, probabilities, k=1, exclude=np.array([[1, 0]])) == pytest.approx(0.25)


@pytest.mark.parametrize("metric", [expected_calibration_error, brier_score])
@pytest.mark.parametrize("score", [-0.5, 1.5])
def test_scores_that_are_no_probabilities_are_refused(metric, score):
    with pytest.raises(ValueError, match=r"row 1, label 0 is .*no probability; Calibrated"):
        metric(np.eye(2), np.array([[0.5, 0.25], [score, -np.inf]]), k=2)


@pytest.mark.parametrize("n_bins", [0, 2.5, "ten"])
def test_bad_numbers_of_bins_are_refused(n_bins):
    with pytest.raises((TypeError, ValueError), match="n_bins is"):
        metrics.expected_calibration_error(np.eye(2), np.eye(2), k=2, n_bins=n_bins)
