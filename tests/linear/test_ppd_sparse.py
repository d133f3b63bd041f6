"""PPDSparse against proximal gradient, its two solvers against each other, and its sparsity."""

import numpy as np
import pytest
from scipy.sparse import csc_array, csr_array

from tests.helpers.naive import linear as naive
from xclassic import DiSMEC, PPDSparse, datasets, load, metrics
from xclassic._kernels.active_set import solve_active_sets
from xclassic.linear import ppd_sparse
from xclassic.parallel import RUNNING
from xclassic.rows import kernel_rows, unit_rows


def rare_problem(n=800, d=120, L=5, seed=0):
    """Short rows of words, frequent and rare, and labels of one to five rows each."""
    random = np.random.default_rng(seed)
    frequencies = 1 / (3 + np.arange(d))
    words = random.choice(d, (n, 8), p=frequencies / frequencies.sum())
    X = csr_array((np.ones(8 * n, np.float32), (np.repeat(np.arange(n), 8), words.ravel())), shape=(n, d))
    X.sum_duplicates()
    Y = np.zeros((n, L), np.float32)
    for label in range(L):
        Y[random.choice(n, 1 + label % 5, replace=False), label] = 1
    return X, csr_array(Y)


def solved_by(name, monkeypatch):
    """Make one of the two solvers take every label."""
    monkeypatch.setattr(ppd_sparse, "SHARE", {"active set": 2.0**40, "blocks": -1.0}[name])


def active_sets(X, Y, *, eps=0.01, max_rounds=20, stop=RUNNING):
    """What the kernel returns for every label."""
    truth, squares = csc_array(Y), X.multiply(X).sum(axis=1).astype(np.float32)
    return solve_active_sets(
        kernel_rows(X), kernel_rows(csc_array(X).T), squares=squares, label_ptr=truth.indptr.astype(np.int64),
        label_rows=truth.indices, l1=0.1, cost=1, bias=1, eps=eps, prune=0, max_rounds=max_rounds, seed=0, stop=stop,
    )  # fmt: skip


def models(clf):
    """The weights of every label and, last, its bias."""
    W = clf.weights_.to_csc(clf.classes_.size).toarray()
    bias = np.zeros(clf.classes_.size)
    used = clf.weights_.labels >= 0
    bias[clf.weights_.labels[used]] = clf.weights_.bias[used]
    return np.vstack([W, bias / clf.bias])


def excesses(clf, X, Y, relevance=1):
    """What the objective of each label is above the least, as a share."""
    rows, truth, found = naive.with_bias(unit_rows(X), clf.bias), Y.toarray() > 0, models(clf)
    costs = clf.C * np.where(truth, relevance, 1)
    for label in range(Y.shape[1]):
        problem = rows, truth[:, label], clf.l1, costs[:, label]
        best = naive.train_sparse(*problem)
        objective, least = (naive.sparse_objective(w, *problem) for w in (found[:, label], best))
        yield objective / least - 1


@pytest.mark.long
@pytest.mark.parametrize("solver", ["active set", "blocks"])
@pytest.mark.parametrize(("l1", "cost"), [(0.1, 1.0), (0.3, 0.5), (0.02, 3.0)])
def test_objective_is_that_of_proximal_gradient(solver, l1, cost, monkeypatch):
    solved_by(solver, monkeypatch)
    X, Y = rare_problem()
    clf = PPDSparse(l1, C=cost, eps=1e-4, max_passes=300).fit(X, Y)
    assert clf.gaps_.max() <= 1e-4
    assert max(excesses(clf, X, Y)) <= 1e-4


def test_both_solvers_find_the_same_weights(monkeypatch):
    X, Y = rare_problem()
    solved_by("blocks", monkeypatch)
    blocks = PPDSparse(eps=1e-5, max_passes=1000).fit(X, Y)
    solved_by("active set", monkeypatch)
    active = PPDSparse(eps=1e-5, max_passes=1000).fit(X, Y)
    np.testing.assert_allclose(models(active), models(blocks), atol=5e-3)


def test_relevances_are_costs_of_the_positives():
    X, Y = rare_problem()
    relevance = Y * csr_array(np.random.default_rng(0).uniform(0.05, 1, Y.shape).astype(np.float32))
    relevance /= relevance.max()
    clf = PPDSparse(eps=1e-4, max_passes=300)._fit_checked(X, Y, relevance=relevance)
    assert max(excesses(clf, X, Y, relevance.toarray())) <= 1e-4
    assert max(excesses(clf, X, Y)) > 1e-2


def test_the_data_alone_decide_which_solver_takes_a_label():
    X, Y = rare_problem(n=20_000, d=5000, L=40)
    Y = csr_array(np.hstack([Y.toarray(), np.arange(X.shape[0])[:, None] % 2]), dtype=np.float32)
    rare = PPDSparse()._rare(unit_rows(X), Y, np.arange(41))
    assert 40 not in rare
    assert len(rare) >= 4
    one, two = PPDSparse(n_jobs=1).fit(X, Y), PPDSparse(n_jobs=2).fit(X, Y)
    for name, array in one.weights_.arrays().items():
        np.testing.assert_array_equal(array, two.weights_.arrays()[name])


def test_labels_that_an_active_set_gives_up_are_trained_in_blocks(monkeypatch):
    X, Y = rare_problem()
    solved_by("blocks", monkeypatch)
    blocks = PPDSparse(max_passes=1).fit(X, Y)
    solved_by("active set", monkeypatch)
    given_up = PPDSparse(max_passes=1).fit(X, Y)  # The first search leaves out columns, so no gap is known after it.
    np.testing.assert_array_equal(models(given_up), models(blocks))
    np.testing.assert_array_equal(given_up.gaps_, blocks.gaps_)
    np.testing.assert_array_equal(given_up.predict_topk(X, 5).ids, blocks.predict_topk(X, 5).ids)


def test_prune_drops_weights_of_both_solvers(monkeypatch):
    X, Y = rare_problem()
    for solver in ("blocks", "active set"):
        solved_by(solver, monkeypatch)
        W, pruned = (PPDSparse(prune=prune).fit(X, Y).weights_.to_csc(5).toarray() for prune in (0.0, 0.1))
        np.testing.assert_array_equal(pruned, np.where(np.abs(W) > 0.1, W, 0))


@pytest.mark.parametrize("l1", [0.02, 0.5])
def test_the_entries_that_an_active_set_reads_decide(l1):
    X, Y = rare_problem(n=20_000, d=1000, L=10)
    rows, truth = unit_rows(X).toarray(), Y.toarray() > 0
    in_columns, in_rows = np.count_nonzero(rows, axis=0), np.count_nonzero(rows, axis=1)
    costs = np.array(
        [2 * in_columns[abs(rows[t].sum(axis=0)) > l1 / 2].sum() + 1000 * in_rows[t].sum() for t in truth.T]
    )
    rare = PPDSparse(l1)._rare(unit_rows(X), Y, np.arange(10))
    np.testing.assert_array_equal(rare, np.flatnonzero(costs <= X.nnz / 6))
    assert 0 < len(rare) < 10


def test_active_set_holds_the_support_vectors():
    """Every row that has a part in the optimum of a slow solver, by more than the solvers' precision, is active."""
    X, Y = rare_problem()
    X = unit_rows(X)
    *_, active_sizes, active_rows, _ = active_sets(X, Y, eps=1e-5, max_rounds=100)
    active_ptr = np.concatenate([[0], np.cumsum(active_sizes)])
    rows = naive.with_bias(X, 1)
    for label in range(5):
        positive = Y.toarray()[:, label] > 0
        margins = np.where(positive, 1, -1) * (rows @ naive.train_sparse(rows, positive, 0.1, 1.0))
        active = active_rows[active_ptr[label] : active_ptr[label + 1]]
        assert set(np.flatnonzero(margins < 1 - 1e-2)) <= set(active)
        assert len(active) < 400


def test_order_of_labels_is_irrelevant(monkeypatch):
    solved_by("active set", monkeypatch)
    X, Y = rare_problem(L=20)
    order = np.random.default_rng(0).permutation(20)
    found = models(PPDSparse(eps=1e-5, max_passes=300).fit(X, Y))
    other = models(PPDSparse(eps=1e-5, max_passes=300).fit(X, Y[:, order]))
    np.testing.assert_allclose(other, found[:, order], atol=5e-3)


@pytest.mark.parametrize("bias", [0.5, 1.0, 2.0])
def test_active_set_takes_features_of_both_signs_and_any_bias(bias, monkeypatch):
    solved_by("active set", monkeypatch)
    X, Y = rare_problem(L=3)
    X.data *= np.where(np.arange(X.nnz) % 3, 1, -1)
    assert max(excesses(PPDSparse(eps=1e-4, max_passes=300, bias=bias).fit(X, Y), X, Y)) <= 1e-4


@pytest.mark.parametrize("seed", range(10))
def test_active_set_takes_odd_rows_and_labels(seed, monkeypatch):
    """Rows without features, equal rows, labels of all rows or none, one row, one feature."""
    solved_by("active set", monkeypatch)
    random = np.random.default_rng(seed)
    n, d = (1, 4) if seed == 0 else random.integers(1, 12, 2)
    X = random.normal(size=(n, d)) * (random.random((n, d)) < 0.4)
    X[n // 2 :] = X[: n - n // 2]
    Y = random.random((n, 4)) < [0.2, 0.5, 1, 0]
    clf = PPDSparse(eps=1e-5, max_passes=500).fit(X := csr_array(X.astype(np.float32)), Y := csr_array(Y, dtype=int))
    used = np.flatnonzero(Y.sum(axis=0))
    assert set(clf.gap_labels_) == set(used)
    assert max(np.array(list(excesses(clf, X, Y)))[used]) <= 1e-4


def test_models_of_both_solvers_are_stored_and_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(PPDSparse, "_rare", lambda self, X, Y, labels: labels[:20])
    X, Y = rare_problem(L=39)
    Y = csr_array(np.hstack([Y.toarray(), np.arange(X.shape[0])[:, None] % 2]), dtype=np.float32)
    clf = PPDSparse().fit(X, Y)
    solved = clf.gap_labels_[-19:]
    assert 39 not in solved  # The bound on the bias costs too much where half of the rows are positive.
    np.testing.assert_array_equal(np.sort(clf.gap_labels_), np.arange(40))
    clf.save(tmp_path / "model")
    scores = load(tmp_path / "model", verify="full").predict_topk(X[:1], 40).to_csr(40).toarray()[0]
    assert np.count_nonzero(scores) == 40
    for label in range(40):
        assert clf.explain(X[:1], label).score == pytest.approx(scores[label], abs=1e-6)


def test_a_large_penalty_ranks_labels_by_their_frequency():
    data = datasets.load_bibtex()
    clf = PPDSparse(1e6, eps=1e-5).fit(data.X, data.Y)
    assert clf.weights_.n_values == 0
    ids = clf.predict_topk(data.X_test[:3], 20).ids
    counts = data.Y.sum(axis=0)
    np.testing.assert_array_equal(counts[ids], np.broadcast_to(np.sort(counts)[::-1][:20], (3, 20)))


def test_ppd_sparse_is_as_accurate_as_dismec():
    data = datasets.load_bibtex()
    truth = data.Y_test
    dense, sparse = DiSMEC(prune=0).fit(data.X, data.Y), PPDSparse().fit(data.X, data.Y)
    expected = metrics.evaluate(truth, dense.predict_topk(data.X_test, 5))
    found = metrics.evaluate(truth, sparse.predict_topk(data.X_test, 5))
    for k in (1, 3, 5):
        assert found[f"P@{k}"] > expected[f"P@{k}"] - 0.003
    assert sparse.weights_.n_values < 0.8 * dense.weights_.n_values


def test_the_penalty_decides_how_sparse_the_weights_are():
    X, Y = rare_problem()
    sizes = [PPDSparse(l1).fit(X, Y).weights_.n_values for l1 in (0.0, 0.1, 0.5)]
    assert sizes[0] > 1.5 * sizes[1] > 3 * sizes[2] > 0


def test_stop_ends_the_active_sets():
    X, Y = rare_problem(n=100, d=30, L=4)
    sizes, *_ = active_sets(X, Y, stop=np.ones(1, np.uint8))
    assert not sizes.any()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"l1": -1}, "l1 is -1"),
        ({"C": 0}, "C is 0; it must be above 0"),
        ({"eps": 0}, "eps is 0"),
        ({"max_passes": 0}, "max_passes is 0"),
        ({"bias": -1}, "bias is -1"),
    ],
)
def test_ppd_sparse_rejects_bad_parameters(parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        PPDSparse(**parameters).fit(np.eye(3), np.eye(3))
