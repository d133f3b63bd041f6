"""Label blocks: the trainers against slow twins and scikit-learn, the storage, and every instruction-set level."""

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csc_array, csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from tests.helpers.blocks import dense_weights, problem_data, train
from tests.helpers.naive import blocks as naive_blocks
from tests.helpers.naive import linear as naive
from xclassic._kernels import blocks as kernels
from xclassic.blocks import weights as weights_module
from xclassic.blocks.problem import BlockProblem, by_descending_count, label_ranges, positives
from xclassic.blocks.training import ridge_blocks, train_blocks
from xclassic.blocks.weights import BlockWeights
from xclassic.storage.folder import ModelFileError

OPTIMA = {}  # by problem: all levels and forms of the rows are compared with the same


def optimum(*problem):
    """Least objective of a label, by an optimizer that takes longer than what is tested."""
    key = joblib.hash(problem)
    if key not in OPTIMA:
        OPTIMA[key] = naive.linear_objective(naive.train_linear(*problem), *problem)[0]
    return OPTIMA[key]


def excess(trained, X, Y, labels, costs, loss):
    """Objective of each label relative to its optimum, minus one."""
    rows = naive.with_bias(X, 1)
    found = dense_weights(trained.weights, Y.shape[1])
    truth = Y.toarray() > 0
    result = []
    for label in labels:
        cost = costs(truth[:, label])
        problem = (rows, truth[:, label], cost, loss)
        ours, _ = naive.linear_objective(found[:, label], *problem)
        result.append(ours / optimum(*problem) - 1)
    return np.array(result)


# Training


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("loss", ["squared_hinge", "logistic"])
@pytest.mark.parametrize("n_labels", [2, 3, 7, 20], ids=lambda n: f"{n}-labels")
@pytest.mark.parametrize("C", [0.3, 1.0, 10.0])
def test_training_reaches_the_optimum(level, n_labels, loss, dense, C):
    X, Y = problem_data()
    labels = np.arange(n_labels - 1) if n_labels == 20 else np.linspace(0, 15, n_labels).astype(int)
    trained = train(X.toarray() if dense else X, Y, labels, C=C, loss=loss)
    error = excess(trained, X, Y, labels, lambda positive: np.full(len(positive), C), loss)
    assert error.max() < 1e-4
    assert trained.residuals.max() < 1e-3


def test_costs_of_rows_and_positives(level):
    X, Y = problem_data()
    labels = np.arange(10)
    row_weights = np.random.default_rng(0).uniform(0.2, 3, X.shape[0]).astype(np.float32)
    trained = train(X, Y, labels, C=0.5, positive_costs=np.full(10, 2.0, np.float32), row_weights=row_weights)

    def costs(positive):
        return np.where(positive, 2.0, 0.5) * row_weights

    assert excess(trained, X, Y, labels, costs, "squared_hinge").max() < 1e-4


def test_costs_of_pairs(level):
    X, Y = problem_data()
    shares = csr_array((np.random.default_rng(0).uniform(0.1, 1, Y.nnz), Y.indices, Y.indptr), dtype=np.float32)
    labels = np.arange(19)[::-1]
    trained = train(X, Y, labels, C=0.5, positive_costs=np.full(19, 2.0, np.float32), pair_costs=shares)
    rows, found, truth = naive.with_bias(X, 1), dense_weights(trained.weights, 20), Y.toarray() > 0
    for label in labels:
        costs = np.where(truth[:, label], 2 * shares.toarray()[:, label], 0.5)
        best = naive.train_linear(rows, truth[:, label], costs, "squared_hinge")
        values = [
            naive.linear_objective(w, rows, truth[:, label], costs, "squared_hinge")[0] for w in (found[:, label], best)
        ]
        assert values[0] < (1 + 1e-4) * values[1]


@pytest.mark.parametrize("label", [0, 8, 15])
@pytest.mark.parametrize("eps", [0.3, 0.01])
def test_training_takes_the_steps_of_the_plain_version(label, eps, level):
    X, Y = problem_data(n=300)
    bound = {"loss": "squared_hinge", "eps": eps, "max_passes": 50, "prune": 0.0, "seed": 7}
    costs = {"positive_costs": np.full(1, 2.0, np.float32), "negative_costs": np.full(1, 0.5, np.float32)}
    problem = BlockProblem(X, bias=1.0)
    problem.reading_order = None  # short rows are read by length, which the plain version knows nothing of
    found = train_blocks(problem, Y, np.array([label]), **bound, **costs)
    positive = Y[:, [label]].toarray()[:, 0] > 0
    plain = naive_blocks.OneLabel(
        naive.with_bias(X, 1.0), np.where(positive, 1.0, -1.0), np.where(positive, 2.0, 0.5), eps=eps, seed=7
    )
    gap = plain.train(50)
    np.testing.assert_allclose(dense_weights(found.weights, Y.shape[1])[:, label], plain.w, atol=2e-5)
    assert found.residuals[0] == pytest.approx(gap, rel=1e-3, abs=1e-6)
    np.testing.assert_allclose(found.work, list(plain.counts.values()), rtol=0.02)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 16])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": "logistic"},
        {"l1": 0.1},
        {"pair_costs": True},
        {"row_weights": np.linspace(0.5, 2, 400, dtype=np.float32)},
    ],
    ids=["squared hinge", "logistic", "l1", "pair costs", "row weights"],
)
def test_a_label_has_the_same_weights_in_every_block(level, options, size):
    X, Y = problem_data(n=400)
    if "pair_costs" in options:
        shares = np.random.default_rng(0).uniform(0.1, 1, Y.nnz)
        options = {"pair_costs": csr_array((shares, Y.indices, Y.indptr), dtype=np.float32)}
    labels = np.random.default_rng(size).permutation(19)
    whole = train(X, Y, np.arange(19), eps=0.01, **options).weights
    part = train(X, Y, labels[:size], eps=0.01, **options).weights
    expected, found = dense_weights(whole, 20), dense_weights(part, 20)
    np.testing.assert_array_equal(found[:, labels[:size]], expected[:, labels[:size]])


@pytest.mark.parametrize("size", [1, 3, 16])
def test_a_ridge_regression_has_the_same_weights_in_every_block(level, size):
    X, Y = problem_data(n=400)
    problem = BlockProblem(X, bias=1.0)

    def fit(labels):
        options = {"alpha": 0.5, "tolerance": 0.01, "max_sweeps": 50, "prune": 0.0}
        targets = np.linspace(1, 2, 19, dtype=np.float32)[labels]
        return dense_weights(ridge_blocks(problem, Y, labels, targets=targets, **options).weights, 20)

    labels = np.random.default_rng(size).permutation(19)[:size]
    np.testing.assert_array_equal(fit(labels)[:, labels], fit(np.arange(19))[:, labels])


@pytest.mark.parametrize("loss", ["squared_hinge", "logistic"])
def test_training_equals_liblinear(loss):
    X, Y = problem_data()
    labels = np.arange(12)
    found = dense_weights(train(X, Y, labels, loss=loss, eps=1e-7, max_passes=500).weights, Y.shape[1])
    for label in labels:
        if loss == "squared_hinge":
            reference = LinearSVC(tol=1e-9, max_iter=100_000)
        else:
            reference = LogisticRegression(solver="liblinear", tol=1e-9, max_iter=100_000)
        reference.fit(X, Y[:, [label]].toarray().ravel())
        expected = np.append(reference.coef_[0], reference.intercept_)
        np.testing.assert_allclose(found[:, label], expected, atol=1e-3)


def test_gap_bounds_the_error_and_vanishes():
    X, Y = problem_data(n=400)
    labels = np.arange(19)
    optimum = dense_weights(train(X, Y, labels, eps=1e-7, max_passes=500).weights, 20)
    for eps in (0.3, 0.03, 0.003):
        trained = train(X, Y, labels, eps=eps)
        found = dense_weights(trained.weights, 20)
        assert (trained.residuals <= eps).all()
        error = ((found - optimum) ** 2).sum(axis=0)[labels] / (found**2).sum(axis=0)[labels]
        assert (error <= eps).all()
    assert trained.residuals.max() > 1e-5
    assert train(X, Y, labels, eps=1e-6, max_passes=300).residuals.max() < 1e-5


@pytest.mark.parametrize(
    ("n_labels", "n_tasks", "size"),
    [(1, 1, 1), (17, 2, 16), (159, 10, 16), (22_625, 118, 192), (3_000_000, 2930, 1024)],
)
def test_tasks_are_ranges_of_all_labels_and_none_is_large(n_labels, n_tasks, size):
    starts, ends = map(list, zip(*label_ranges(n_labels), strict=True))
    assert len(starts) == n_tasks
    assert ends == [*starts[1:], n_labels]
    assert max(end - start for start, end in zip(starts, ends, strict=True)) == size


def test_passes_are_bounded():
    X, Y = problem_data()
    trained = train(X, Y, np.arange(16), eps=1e-9, max_passes=2)
    assert trained.work[0] == 2


def test_instruction_sets_agree():
    X, Y = problem_data(n=300)
    found = []
    for name in kernels.simd_levels():
        kernels.use_simd_level(name)
        found.append(dense_weights(train(X, Y, np.arange(19), eps=1e-6).weights, 20))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=2e-3)


def test_instruction_set_must_be_known():
    with pytest.raises(ValueError, match="can run: baseline"):
        kernels.use_simd_level("v9")


def test_stop_byte_ends_training():
    X, Y = problem_data()
    problem = BlockProblem(X, bias=1.0)
    pointers, rows, _ = positives(Y, np.arange(16))
    ones = np.ones(16, np.float32)
    cells, *_ = kernels.train_labels(
        problem.rows,
        square_norms=problem.square_norms,
        reading_order=problem.reading_order,
        feature_of=problem.feature_of,
        row_weights=None,
        label_ptr=pointers,
        label_rows=rows,
        label_shares=None,
        positive_costs=ones,
        negative_costs=ones,
        width=16,
        loss=0,
        l1=-1,
        eps=1e-3,
        max_passes=20,
        prune=0.0,
        seed=0,
        stop=np.ones(1, np.uint8),
    )
    assert cells.values == []


@pytest.mark.parametrize("rows", [0, 1])
def test_training_on_degenerate_rows(level, rows):
    """Rows without features, and a label on every row."""
    X = csr_array((4, 3), dtype=np.float32)
    X[0, 1] = rows
    X.eliminate_zeros()
    Y = csr_array(np.array([[1, 1], [1, 0], [1, 0], [1, 1]]), dtype=np.float32)
    trained = train(X, Y, np.array([0, 1]))
    error = excess(trained, X, Y, [0, 1], lambda positive: np.ones(len(positive)), "squared_hinge")
    assert error.max() < 1e-4


# Ridge regression


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("n_labels", [2, 7, 19])
def test_ridge_blocks_equal_the_solution(level, n_labels, dense):
    X, Y = problem_data()
    labels = np.arange(n_labels)
    targets = np.linspace(1, 3, n_labels).astype(np.float32)
    fitted = ridge_blocks(
        BlockProblem(X.toarray() if dense else X, bias=1.0),
        Y,
        labels,
        alpha=0.7,
        targets=targets,
        tolerance=1e-6,
        max_sweeps=200,
        prune=0.0,
    )
    expected = naive.ridge(naive.with_bias(X, 1), Y.toarray()[:, labels] * targets, 0.7)
    np.testing.assert_allclose(dense_weights(fitted.weights, 20)[:, labels], expected, atol=1e-4)
    assert fitted.residuals.max() <= 1e-6


# Storage


def stored(weights, bias, labels=None):
    labels = np.arange(weights.shape[1]) if labels is None else labels
    return BlockWeights.from_dense(weights, bias, labels, prune=0.0)


small = st.floats(-2, 2, width=16).map(lambda x: round(x, 1))


@given(st.data())
@settings(max_examples=150)
def test_topk_equals_naive(data):
    d, n_labels, n = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 40)), data.draw(st.integers(1, 9))
    W = data.draw(hnp.arrays(np.float32, (d, n_labels), elements=small | st.just(0.0)))
    bias = data.draw(hnp.arrays(np.float32, n_labels, elements=st.sampled_from([0.0, -1.0])))
    X = data.draw(hnp.arrays(np.float32, (n, d), elements=small | st.just(0.0)))
    k = data.draw(st.integers(1, n_labels))
    allowed = np.array(sorted(data.draw(st.sets(st.integers(0, n_labels - 1), min_size=1))), np.int32)
    before = kernels.simd_level()
    kernels.use_simd_level(data.draw(st.sampled_from(kernels.simd_levels())))
    try:
        top = stored(W, bias).topk(csr_array(X), k)
        dense_top = stored(W, bias).topk(X, k)
        restricted = stored(W, bias).topk(csr_array(X), k, allowed)
    finally:
        kernels.use_simd_level(before)
    scores = np.full((n, n_labels), bias)
    for f in range(d):  # in the order of the kernel, so that ties are ties
        scores = np.float32(scores + X[:, [f]] * W[f])
    np.testing.assert_allclose(top.scores, -np.sort(-scores, axis=1)[:, :k], atol=1e-5)
    np.testing.assert_array_equal(top.ids, dense_top.ids)
    assert (top.counts == k).all()
    for i in range(n):
        chosen = scores[i, top.ids[i]]
        np.testing.assert_allclose(chosen, top.scores[i], atol=1e-5)
        assert len(set(top.ids[i])) == k
        ties = np.diff(top.scores[i]) == 0
        assert (np.diff(top.ids[i])[ties] > 0).all()
        assert set(restricted.ids[i][: restricted.counts[i]]) <= set(allowed)
        assert restricted.counts[i] == min(k, len(allowed))


def test_ties_go_to_the_smaller_label():
    W = np.zeros((2, 5), np.float32)
    top = stored(W, np.zeros(5, np.float32), np.array([4, 2, 0, 3, 1])).topk(csr_array(np.ones((1, 2), np.float32)), 3)
    assert top.ids.tolist() == [[0, 1, 2]]


def test_batch_equals_row_by_row(level):
    X, Y = problem_data(n=40)
    weights = train(X, Y, by_descending_count(Y)).weights
    batch = weights.topk(X, 5)
    for i in range(X.shape[0]):
        row = weights.topk(X[[i]], 5)
        assert (row.ids[0] == batch.ids[i]).all()
        assert (row.scores[0] == batch.scores[i]).all()


def test_lane_scores_are_those_of_the_ranking(level):
    X, Y = problem_data(n=40)
    weights = train(X, Y, by_descending_count(Y)).weights
    scores, used = weights.lane_scores(X), weights.labels >= 0
    assert scores.shape == (40, weights.labels.size)
    assert (scores[:, ~used] == 0).all()
    top = weights.topk(X, int(used.sum()))
    order = np.argsort(weights.labels[used])
    of_label = scores[:, used][:, order]
    ranked = np.searchsorted(np.sort(weights.labels[used]), top.ids)
    np.testing.assert_array_equal(np.take_along_axis(of_label, ranked, axis=1), top.scores)
    np.testing.assert_array_equal(weights.lane_scores(X[[3]])[0], scores[3])


def test_chunks_hold_what_they_were_given():
    """More labels than a chunk holds, most weights absent."""
    random = np.random.default_rng(0)
    W = np.where(random.random((5, 9_000)) < 0.2, random.standard_normal((5, 9_000)), 0).astype(np.float32)
    weights = stored(W, np.zeros(9_000, np.float32), random.permutation(9_000))
    assert len(weights.chunk_feature_ptr) == 4
    np.testing.assert_array_equal(weights.to_csc(9_000).toarray()[:, weights.labels[weights.labels >= 0]], W)
    X = random.standard_normal((6, 5)).astype(np.float32)
    np.testing.assert_allclose(weights.topk(X, 9_000).scores, -np.sort(-(X @ W), axis=1), atol=1e-5)
    weights.verify()


def test_sparse_weights_are_stored_as_dense_ones():
    random = np.random.default_rng(0)
    W = np.where(random.random((7, 50)) < 0.2, random.standard_normal((7, 50)), 0).astype(np.float32)
    W[:, 16:32] = 0
    bias, labels = random.standard_normal(50).astype(np.float32), random.permutation(60)[:50]
    dense, sparse = stored(W, bias, labels), BlockWeights.from_csc(csc_array(W), bias, labels)
    for name, array in dense.arrays().items():
        np.testing.assert_array_equal(sparse.arrays()[name], array)
        assert sparse.arrays()[name].dtype == array.dtype


def test_weights_of_parts_are_scored_as_one(monkeypatch):
    monkeypatch.setattr(weights_module, "CHUNK_GROUPS", 2)  # so that each part has several chunks
    random = np.random.default_rng(0)
    W = random.standard_normal((12, 75)).astype(np.float32) * (random.random((12, 75)) < 0.4)
    bias, labels = random.standard_normal(75).astype(np.float32), random.permutation(75)
    X = csr_array(random.standard_normal((20, 12)).astype(np.float32))
    cuts = [slice(0, 0), slice(0, 41), slice(41, 75)]
    parts = [BlockWeights.from_csc(csc_array(W[:, cut]), bias[cut], labels[cut]) for cut in cuts]
    joined, whole = BlockWeights.concatenated(parts), BlockWeights.from_csc(csc_array(W), bias, labels)
    joined.verify()
    np.testing.assert_array_equal(joined.to_csc(75).toarray(), whole.to_csc(75).toarray())
    found, expected = joined.topk(X, 9), whole.topk(X, 9)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)


def test_pruning_while_training_equals_pruning_afterwards():
    X, Y = problem_data()
    labels = by_descending_count(Y)
    whole, small = train(X, Y, labels).weights, train(X, Y, labels, prune=0.2).weights
    cut = whole.pruned(0.2)
    assert 0 < cut.n_values < whole.n_values
    for name, array in small.arrays().items():
        np.testing.assert_array_equal(array, cut.arrays()[name])
    assert (np.abs(cut.values[: cut.n_values]) > 0.2).all()


def test_weights_may_all_be_zero():
    weights = stored(np.zeros((3, 2), np.float32), np.array([-1, -0.5], np.float32))
    assert weights.topk(csr_array(np.ones((1, 3), np.float32)), 2).ids.tolist() == [[1, 0]]
    weights.verify()


@given(st.data())
@settings(max_examples=300)
def test_damaged_arrays_are_rejected_or_harmless(data):
    """Whatever a stored array holds, the kernels are not let near an index that leaves its array."""
    X, Y = problem_data(n=30, d=10, n_labels=20)
    good = train(X, Y, by_descending_count(Y), eps=0.1).weights
    arrays = {name: array.copy() for name, array in good.arrays().items()}
    name = data.draw(st.sampled_from(sorted(arrays)))
    if data.draw(st.booleans()):
        arrays[name] = arrays[name][: data.draw(st.integers(0, len(arrays[name])))]
    else:
        raw = arrays[name].view(np.uint8)
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        weights = BlockWeights.from_arrays(arrays, 10, 20, full=data.draw(st.booleans()))
        top = weights.topk(X, 5)
    except ModelFileError:
        return
    assert top.ids.max() < 20
