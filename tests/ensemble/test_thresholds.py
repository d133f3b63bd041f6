"""choose_thresholds: each search against a slow twin, strategies where each is right, and what it refuses."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from tests.helpers.contract import assert_same_predictions, assert_well_formed
from xclassic import TopK, choose_thresholds, metrics
from xclassic.ensemble.aims import AIMS, Judged, read_aim
from xclassic.ensemble.label_curves import label_thresholds

ALL_AIMS = (*AIMS, ("precision", 0.6))


def problem(n_rows=40, n_labels=7, seed=0, k=None):
    """Truth, and scores that know something of it, with ties."""
    rng = np.random.default_rng(seed)
    Y = (rng.random((n_rows, n_labels)) < np.linspace(0.5, 0.05, n_labels)).astype(np.float32)
    Y[0] = 0
    scores = np.round(1.5 * Y + rng.normal(0, 1, Y.shape) - np.linspace(0, 1, n_labels), 1)
    return Y, TopK.from_dense(scores, k or n_labels)


def naive_value(aim, Y, sets):
    """Return a metric of sets, counted one pair after the other."""
    chosen = sets.to_csr(Y.shape[1]).toarray() if sets.counts.any() else np.zeros(Y.shape)
    chosen = np.zeros(Y.shape, bool)
    for i in range(Y.shape[0]):
        chosen[i, sets.ids[i, : sets.counts[i]]] = True
    if aim in ("micro_f1", "macro_f1"):
        return metrics.f1(Y, chosen.astype(float), average=aim[:5])
    if aim == "example_f1":
        pairs = [(true > 0, own) for true, own in zip(Y, chosen, strict=True) if true.any() or own.any()]
        return np.mean([2 * (true & own).sum() / (true.sum() + own.sum()) for true, own in pairs])
    hits = (chosen & (Y > 0)).sum()
    return hits / max(chosen.sum(), 1) if hits / Y.sum() >= aim[1] else -1


@pytest.mark.parametrize("aim", ALL_AIMS)
@pytest.mark.parametrize("seed", range(5))
def test_one_threshold_is_the_best_of_all(aim, seed):
    Y, top = problem(seed=seed)
    found = choose_thresholds(Y, top, aim=aim, strategy="one")
    best = max(naive_value(aim, Y, top.above(t)) for t in np.unique(top.scores))
    assert naive_value(aim, Y, found.sets(top)) == pytest.approx(best, abs=1e-12)
    assert_same_predictions(found.sets(top), top.above(float(found.values[0])))


@pytest.mark.parametrize("aim", ALL_AIMS)
def test_count_is_the_best_of_all(aim):
    Y, top = problem()
    found = choose_thresholds(Y, top, aim=aim, strategy="count")
    best = max(naive_value(aim, Y, top.head(k)) for k in range(1, 8))
    assert naive_value(aim, Y, found.sets(top)) == pytest.approx(best, abs=1e-12)


def judged(Y, top):
    rows, slots = np.nonzero(top.filled())
    labels = top.ids[rows, slots].astype(np.int64)
    of_rows, of_labels = (Y.sum(axis=axis).astype(np.int64) for axis in (1, 0))
    return Judged(rows, labels, Y[rows, labels] > 0, of_rows, of_labels), top.scores[rows, slots].astype(np.float64)


@pytest.mark.parametrize("aim", ["micro_f1", "macro_f1"])
def test_own_thresholds_of_labels_are_the_best_of_all(aim):
    # With next to nothing shared; three labels, so that all triples of thresholds can be tried.
    Y, top = problem(20, 3, seed=1)
    pairs, scores = judged(Y, top)
    read = read_aim(aim)
    steps = [np.append(np.unique(scores[pairs.labels == label]), np.inf) for label in range(3)]
    best = max(
        read.value(pairs, scores >= np.array(tried)[pairs.labels])
        for tried in np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, 3)
    )
    found = label_thresholds(read, pairs, scores, np.array([4, 4, 4]), 1e-9)
    assert read.value(pairs, scores >= found[pairs.labels]) == pytest.approx(best, abs=1e-9)


def test_thresholds_of_labels_are_better_for_rows_than_one():
    rng = np.random.default_rng(0)
    Y = (rng.random((200, 4)) < 0.4).astype(np.float32)
    top = TopK.from_dense(Y + rng.normal(0, 0.3, Y.shape) + 3 * np.arange(4), 4)
    pairs, scores = judged(Y, top)
    aim = read_aim("example_f1")
    found = label_thresholds(aim, pairs, scores, np.array([4, 4, 4, 4]), 1e-9)
    one = aim.value(pairs, scores >= aim.threshold(pairs, scores))
    assert aim.value(pairs, scores >= found[pairs.labels]) > one + 0.1


def test_labels_at_a_wanted_recall_are_more_precise_than_one_threshold():
    Y, top = problem(300, 7, seed=2)
    pairs, scores = judged(Y, top)
    aim = read_aim(("precision", 0.6))
    found = scores >= label_thresholds(aim, pairs, scores, Y.sum(axis=0).astype(int), 1e-9)[pairs.labels]
    one = scores >= aim.threshold(pairs, scores)
    assert pairs.hits[found].sum() >= 0.6 * Y.sum()
    assert pairs.hits[found].mean() > pairs.hits[one].mean()


def naive_shared(aim, pairs, scores, counts, shared, label):
    """Return the best value and threshold of a label for macro F1, beside the labels of the same power of two."""
    same = np.floor(np.log2(counts)) == np.floor(np.log2(counts[label]))
    of_band = same[pairs.labels]
    true, of_same = pairs.of_labels[label], pairs.of_labels[same].sum()
    values = {}
    for threshold in [*np.unique(scores[pairs.hits]), np.inf]:
        high = scores >= threshold
        own, band = high & (pairs.labels == label), high & of_band
        both = pairs.hits[own].sum() + shared * pairs.hits[band].sum() / of_same
        sizes = own.sum() + shared * band.sum() / of_same
        values[threshold] = 2 * both / (sizes + true + shared)
    best = max(values.values())
    return max(threshold for threshold, value in values.items() if value > best - 1e-12)


@pytest.mark.parametrize("shared", [4.0, 64.0])
def test_labels_share_the_pairs_of_their_like(shared):
    Y, top = problem(60, 7, seed=3)
    pairs, scores = judged(Y, top)
    counts = Y.sum(axis=0).astype(int)
    found = label_thresholds(read_aim("macro_f1"), pairs, scores, counts, shared)
    for label in range(7):
        exact = naive_shared("macro_f1", pairs, scores, counts, shared, label)
        np.testing.assert_array_equal(scores >= found[label], scores >= exact)


def test_label_seen_once_takes_the_threshold_of_its_like():
    rng = np.random.default_rng(0)
    Y = np.zeros((400, 201), np.float32)
    Y[np.arange(400) // 2, np.arange(400) // 2] = 1  # two rows for each of 200 labels
    Y[:200, :200] = np.eye(200)
    Y[200:, :200] = np.eye(200)
    Y[7, 200] = 1
    scores = np.where(Y > 0, 1.0, 0.0) + rng.normal(0, 0.2, Y.shape)
    scores[7, 200] = -3  # by itself it would be chosen everywhere
    found = choose_thresholds(Y, TopK.from_dense(scores, 201), aim="macro_f1", strategy="label")
    assert not (found.sets(TopK.from_dense(scores, 201)).ids == 200).all(axis=1).any()


@pytest.mark.parametrize(
    ("aim", "strategy"), [(aim, strategy) for aim in ALL_AIMS for strategy in ("auto", "probability", "row", "label")]
)
def test_sets_are_well_formed_and_the_same_alone(aim, strategy):
    Y, top = problem(80, 7, seed=4, k=5)
    found = choose_thresholds(Y, top, aim=aim, strategy=strategy)
    sets = found.sets(top)
    assert_well_formed(sets, 80, 5, 7)
    alone = TopK.concat([found.sets(TopK(*(array[i : i + 1] for array in top))) for i in range(80)])
    assert_same_predictions(alone, sets)
    again = choose_thresholds(csr_array(Y), top, aim=aim, strategy=strategy)
    np.testing.assert_array_equal(again.values, found.values)


def test_auto_finds_what_the_scores_need():
    rng = np.random.default_rng(0)
    Y = np.zeros((600, 12), np.float32)
    for row in Y:
        row[rng.choice(12, 3, replace=False)] = 1
    noise = rng.normal(0, 0.1, Y.shape)
    by_rank = Y + noise + rng.normal(0, 50, (600, 1))  # only ranks can be compared between rows
    assert choose_thresholds(Y, TopK.from_dense(by_rank, 12)).sets(TopK.from_dense(by_rank, 12)).counts.mean() == 3
    by_label = Y + noise + 50 * np.arange(12)  # only the scores of one label can be compared
    top = TopK.from_dense(by_label, 12)
    found = choose_thresholds(Y, top)
    assert found.strategy == "label"
    assert metrics.f1(Y, found.sets(top)) > 0.95
    by_score = np.where(rng.random((600, 1)) < 0.5, Y, 0) + noise
    top = TopK.from_dense(by_score, 12)
    truth = np.where(by_score > 0.5, 1, 0)
    assert metrics.f1(truth, choose_thresholds(truth, top).sets(top)) > 0.99


def test_recall_out_of_reach_chooses_all_true_candidates():
    Y, top = problem(k=3)
    pairs, scores = judged(Y, top)
    for strategy in ("one", "probability", "label"):
        found = choose_thresholds(Y, top, aim=("precision", 1.0), strategy=strategy).sets(top)
        chosen = found.to_csr(7).toarray() != 0
        assert chosen[pairs.rows[pairs.hits], pairs.labels[pairs.hits]].all()
    one = choose_thresholds(Y, top, aim=("precision", 1.0), strategy="one").sets(top)
    assert one.counts.sum() == (scores >= scores[pairs.hits].min()).sum()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"aim": "f1"}, ValueError, r'aim is \'f1\'.*or \("precision", recall\)'),
        ({"aim": ("recall", 0.5)}, ValueError, "as a pair it is"),
        ({"aim": ("precision", 0)}, ValueError, "the recall of aim is 0"),
        ({"aim": ("precision", 1.5)}, ValueError, "the recall of aim is 1.5"),
        ({"aim": ("precision", "high")}, TypeError, "the recall of aim is 'high'"),
        ({"strategy": "two"}, ValueError, "strategy is 'two'"),
        ({"Y": np.zeros((40, 7))}, ValueError, "No row of the ranking names a true label"),
        ({"Y": np.ones((39, 7))}, ValueError, "40 rows but Y_true has 39"),
        ({"Y": np.ones((40, 6))}, ValueError, "label id"),
        ({"Y": None}, TypeError, "Y is not a matrix"),
    ],
)
def test_choose_thresholds_rejects(change, error, message):
    Y, top = problem()
    options = {"Y": Y, "top": top, **change}
    with pytest.raises(error, match=message):
        choose_thresholds(options.pop("Y"), options.pop("top"), **options)


def test_single_row_has_thresholds():
    top = TopK.from_dense([[0.9, 0.4, 0.1]], 3)
    for strategy in ("auto", "one", "probability", "row", "count", "label"):
        found = choose_thresholds([[1, 1, 0]], top, strategy=strategy).sets(top)
        assert set(found.ids[0, : found.counts[0]]) >= {0, 1}
