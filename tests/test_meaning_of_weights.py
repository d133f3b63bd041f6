"""What weights of rows, labels and pairs mean: as many rows, a cost of its own, a vote."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone

import xclassic
from tests.helpers.contract import assert_same_arrays, noisy, quick
from xclassic import (
    KNN,
    DiSMEC,
    FastXML,
    NearestCentroid,
    OneVsRestLeastSquares,
    Parabel,
    PfastreXML,
    PPDSparse,
    Slice,
    datasets,
    label_tree,
)
from xclassic.instance_tree.growing import TreeWeights
from xclassic.instance_tree.ndcg import split_by_ranking

X, Y = noisy()
N, L = Y.shape
RANDOM = np.random.default_rng(1)
WEIGHTS = RANDOM.uniform(0.2, 3, N)
COUNTS = RANDOM.integers(0, 4, N)  # whole weights, some of them 0
KEPT = np.flatnonzero(COUNTS)
REPEATED = np.repeat(np.arange(N), COUNTS)
LABEL_WEIGHT = RANDOM.uniform(0.3, 3, L)
TREE = label_tree.random_tree(L, branching=4, max_leaf=4, random_state=0)
SOLVED = {"eps": 1e-6, "max_passes": 2000, "prune": 0}  # so closely that what is left of an error does not show
IN_TREE = {"tree": TREE, "beam": 1000, **SOLVED}
EXACT = {
    "DiSMEC": DiSMEC(**SOLVED),
    "DiSMEC, logistic": DiSMEC(loss="logistic", negative_cost=0.5, **SOLVED),
    "DiSMEC, propensity": DiSMEC(propensity="default", **SOLVED),
    "PPDSparse": PPDSparse(0.01, **SOLVED),
    "Slice": Slice(shortlist=L, prior=0, **SOLVED),
    "NearestCentroid": NearestCentroid(max_entries=10**6),
}
for name in ("exact", "cg"):
    EXACT[f"OneVsRestLeastSquares, {name}"] = OneVsRestLeastSquares(
        propensity_power=0.5, solver=name, tol=1e-6, max_sweeps=500, prune=0
    )
for name in ("Parabel", "Bonsai", "PLT", "XRLinear", "XReg", "HierarchicalXC", "PrefixTree"):
    EXACT[name] = getattr(xclassic, name)(**IN_TREE)
EXACT["Parabel, least squares"] = Parabel(loss="least_squares", **IN_TREE)
EXACT["Parabel, cost of negatives"] = Parabel(negative_cost=0.2, **IN_TREE)
EXACT["XRLinear, matcher"] = clone(EXACT["XRLinear"]).set_params(matcher_negatives=True)
EXACT["PrefixTree, softmax"] = clone(EXACT["PrefixTree"]).set_params(loss="softmax")
EXACT["KNN"] = KNN(1000)
# One-vs-rest methods that train a label on all rows.
ONE_VS_REST = {"DiSMEC": DiSMEC(), "PPDSparse": PPDSparse(), "Slice": Slice(shortlist=L, prior=0, alpha=1)}


def scores(model, X=X):
    return np.asarray(model.predict_topk(X, L).to_csr(L).toarray())


def coefficients(model, n_labels=L):
    return model.weights_.to_csc(n_labels).toarray()


# Rows


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("name", EXACT)
def test_a_weight_counts_as_so_many_rows(name, dense):
    rows = X.toarray() if dense else X
    more = scores(clone(EXACT[name]).fit(rows[REPEATED], csr_array(Y[REPEATED])), rows)
    found = scores(clone(EXACT[name]).fit(rows, Y, sample_weight=COUNTS), rows)
    np.testing.assert_allclose(found, more, rtol=2e-3, atol=2e-3)
    assert np.abs(scores(clone(EXACT[name]).fit(rows, Y), rows) - more).max() > 0.05


@pytest.mark.parametrize("name", ["DiSMEC", "PPDSparse", "Slice", "NearestCentroid", "Parabel", "PLT", "XReg"])
def test_a_weight_counts_beside_relevances(name):
    relevance = csr_array((RANDOM.uniform(0.2, 1, Y.nnz).astype(np.float32), Y.indices, Y.indptr), shape=Y.shape)
    more = clone(EXACT[name]).fit(X[REPEATED], csr_array(Y[REPEATED]), relevance=csr_array(relevance[REPEATED]))
    found = scores(clone(EXACT[name]).fit(X, Y, relevance=relevance, sample_weight=COUNTS))
    np.testing.assert_allclose(found, scores(more), rtol=5e-3, atol=2e-3)
    assert np.abs(found - scores(clone(EXACT[name]).fit(X, Y, sample_weight=COUNTS))).max() > 0.02


@pytest.mark.parametrize("name", ["DiSMEC", "Parabel", "XReg"])
@pytest.mark.parametrize("weights", [WEIGHTS, COUNTS], ids=["above 0", "some 0"])
def test_rows_of_a_map_have_weights_too(name, weights, tmp_path):
    datasets.write_matrix(tmp_path / "X", X)
    mapped = datasets.open_matrix(tmp_path / "X")
    given = {"sample_weight": weights, "label_weight": LABEL_WEIGHT, "relevance": Y * 0.5}
    assert_same_arrays(quick(name).fit(mapped, Y, **given), quick(name).fit(X, Y, **given))


def test_labels_are_grouped_by_weighted_rows():
    tree = Parabel(max_leaf=4).fit(X, Y, sample_weight=np.geomspace(1e-3, 1e3, N)).trees_[0]
    plain = Parabel(max_leaf=4).fit(X, Y).trees_[0]
    assert not np.array_equal(tree.codes(), plain.codes())


@pytest.mark.parametrize("name", ONE_VS_REST)
def test_a_weight_of_all_rows_is_one_of_the_cost(name):
    weighed = clone(ONE_VS_REST[name]).set_params(C=0.5, **SOLVED).fit(X, Y, sample_weight=4)
    costly = clone(ONE_VS_REST[name]).set_params(C=2.0, **SOLVED).fit(X, Y)
    np.testing.assert_allclose(coefficients(weighed), coefficients(costly), atol=2e-3)


# Labels, pairs and negatives


@pytest.mark.parametrize("name", ONE_VS_REST)
def test_a_weight_of_a_label_is_a_cost_of_its_own(name):
    weights = np.where(np.arange(L) % 2, 4.0, 1.0)
    model = clone(ONE_VS_REST[name]).set_params(**SOLVED).fit(X, Y, label_weight=weights)
    by_name = clone(model).fit(X, Y, label_weight=dict.fromkeys(range(1, L, 2), 4))
    assert_same_arrays(model, by_name)
    plain, costly = (coefficients(clone(model).set_params(C=C).fit(X, Y)) for C in (model.C, 4 * model.C))
    np.testing.assert_allclose(coefficients(model), np.where(weights == 4, costly, plain), rtol=2e-3, atol=2e-3)
    assert np.abs(costly - plain).max() > 0.05


def test_weight_of_a_label_multiplies_its_scores_in_least_squares():
    method = OneVsRestLeastSquares(propensity_power=0.0, prune=0)
    plain, weighted = coefficients(method.fit(X, Y)), coefficients(method.fit(X, Y, label_weight=LABEL_WEIGHT))
    np.testing.assert_allclose(weighted, plain * LABEL_WEIGHT, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ONE_VS_REST)
def test_relevance_of_one_label_equals_weights_of_rows(name):
    """For a single label a weight of its positives is a relevance, and one of the other rows a cost of negatives."""
    own = csr_array(Y[:, [int(np.argmax(Y.sum(axis=0)))]])
    weights = np.where(own.toarray()[:, 0] > 0, 2.5, 0.5)
    method = clone(ONE_VS_REST[name]).set_params(**SOLVED)
    one = coefficients(clone(method).fit(X, own, sample_weight=weights), 1)
    other = clone(method).set_params(negative_cost=0.5).fit(X, own, relevance=csr_array(own * 2.5))
    np.testing.assert_allclose(one, coefficients(other, 1), atol=2e-3)
    assert not np.allclose(one, coefficients(clone(method).fit(X, own), 1), atol=2e-2)


@pytest.mark.parametrize("method", [DiSMEC(), PPDSparse(), Slice(), Parabel()], ids=repr)
def test_negatives_that_cost_less_give_higher_scores(method):
    less, plain = (clone(method).set_params(negative_cost=cost).fit(X, Y) for cost in (0.1, 1.0))
    assert_same_arrays(plain, clone(method).fit(X, Y))
    assert less.decision_function(X).mean() > plain.decision_function(X).mean() + 0.01


@pytest.mark.parametrize("loss", ["least_squares", "softmax"])
def test_costs_of_negatives_that_a_loss_does_not_have_are_refused(loss):
    method = (
        xclassic.PrefixTree(loss=loss, negative_cost=2.0)
        if loss == "softmax"
        else Parabel(loss=loss, negative_cost=2.0)
    )
    with pytest.raises(ValueError, match=rf"negative_cost is 2.0, but loss='{loss}'"):
        method.fit(X, Y)


# Forests and neighbors


def test_leaf_averages_its_rows_by_their_weights():
    method = FastXML(n_trees=1, max_leaf=N)
    shares = COUNTS @ Y.toarray() / COUNTS.sum()
    top = method.fit(X, Y, sample_weight=COUNTS).predict_topk(X[:1], L)
    np.testing.assert_allclose(top.to_csr(L).toarray()[0], shares, rtol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_weight_of_a_row_equals_as_many_rows_of_the_same_side(seed):
    """In the ranking of a node, rows that are there more than once begin on one side and have one gain together."""
    start = np.random.default_rng(seed).integers(0, 2, N, dtype=np.uint8)
    sides = []
    for rows, weights in ((KEPT, COUNTS[KEPT].astype(np.float32)), (REPEATED, None)):
        splitter = FastXML()._splitter(X[rows], csr_array(Y[rows]), 0, TreeWeights(weights))
        side = start[rows].copy()
        split_by_ranking(
            splitter.label_ptr.view(np.uint64),
            splitter.labels.view(np.uint32),
            splitter.normalizers,
            splitter.label_weights,
            np.array([0, len(rows)], np.uint64),
            np.arange(len(rows), dtype=np.uint32),
            side,
            splitter.discounts,
            1,  # Later rounds may end apart, by ties that rounding breaks.
            0.0,
            np.zeros(1, np.uint8),
        )
        sides.append(side)
    assert np.array_equal(np.repeat(sides[0], COUNTS[KEPT]), sides[1])
    assert not np.array_equal(sides[0], start[KEPT])


def test_weight_of_a_label_multiplies_its_gain():
    splitter = FastXML()._splitter(X, Y, 0, TreeWeights(label_weight=LABEL_WEIGHT.astype(np.float32)))
    np.testing.assert_array_equal(splitter.label_weights, LABEL_WEIGHT.astype(np.float32))
    rare = PfastreXML(n_trees=1, normalized_gain=True).fit(X, Y)
    splitter = rare._splitter(X, Y, 0, TreeWeights(label_weight=LABEL_WEIGHT.astype(np.float32)))
    np.testing.assert_allclose(splitter.label_weights, rare.label_weights_ * LABEL_WEIGHT, rtol=1e-6)


def test_propensities_of_a_forest_count_weights():
    weighed = PfastreXML(n_trees=1).fit(X, Y, sample_weight=COUNTS).label_weights_
    repeated = PfastreXML(n_trees=1).fit(X[REPEATED], csr_array(Y[REPEATED])).label_weights_
    np.testing.assert_allclose(weighed, repeated, rtol=1e-6)


def test_weight_of_a_row_multiplies_its_vote():
    weighted = KNN(n_neighbors=N).fit(X, Y, sample_weight=COUNTS)
    repeated = KNN(n_neighbors=len(REPEATED)).fit(X[REPEATED], csr_array(Y[REPEATED]))
    np.testing.assert_allclose(
        weighted.decision_function(X).toarray(), repeated.decision_function(X).toarray(), rtol=1e-5
    )
    np.testing.assert_allclose(weighted.label_shares_, repeated.label_shares_, rtol=1e-6)
    none = csr_array((1, X.shape[1]), dtype=np.float32)  # It has no neighbors.
    np.testing.assert_array_equal(weighted.predict_topk(none, 3).ids, repeated.predict_topk(none, 3).ids)
