"""Labels and rows that come to a fitted model, and labels that go."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csc_array, csr_array

import xclassic
from tests.helpers.contract import assert_same_predictions, block_diagonal, noisy, quick
from xclassic import KNN, DiSMEC, FastXML, OneVsRestLeastSquares, Parabel, PfastreXML, XRLinear, datasets
from xclassic._kernels.arguments import LANES
from xclassic.blocks.moving import move_lanes
from xclassic.blocks.weights import BlockWeights
from xclassic.instance_tree.changing import trees_due
from xclassic.label_tree.changing import nodes_grown
from xclassic.storage import registry

X, Y = noisy()
NAMES = np.array([f"label {number:02d}" for number in range(Y.shape[1])])
LISTS = [NAMES[Y.indices[a:b]].tolist() for a, b in zip(Y.indptr[:-1], Y.indptr[1:], strict=True)]
X_TEST = noisy(seed=1)[0]
INDEPENDENT = ["DiSMEC", "NearestCentroid", "OneVsRestLeastSquares", "PPDSparse", "ProXML"]
TREES = ["Bonsai", "HierarchicalXC", "PLT", "Parabel", "PrefixTree", "XRLinear", "XReg"]
FORESTS = ["CRAFTML", "FastXML", "MLRF", "PfastreXML"]
NEIGHBORS = ["AnnexML", "KNN", "SLEEC"]
LEARN_ROWS = [*INDEPENDENT, *TREES, *FORESTS, "KNN"]
LEARN_LABELS = [*LEARN_ROWS, "AnnexML", "SLEEC", "Popularity"]
RENUMBER = [*LEARN_LABELS, "CPLST", "LEML", "M3L", "PDSparse", "PLST", "REML", "Rembrandt", "Slice"]
FIXED = sorted(set(registry.ESTIMATORS) - set(RENUMBER))
PARAMS = {  # so that nothing is chosen on labels that are not all there
    "OneVsRestLeastSquares": {"propensity_power": 0.4},
    "SLEEC": {"n_components": 10},
    "AnnexML": {"n_components": 10},
    **{name: {"max_leaf": 5} for name in ("Bonsai", "HierarchicalXC", "PLT", "Parabel", "XRLinear", "XReg")},
}


def new(name, **params):
    estimator = quick(name).set_params(**PARAMS.get(name, {}) | params)
    if "n_components" in estimator.get_params() and name not in PARAMS:
        estimator.set_params(n_components=10)
    return estimator


def refusal(clf, method):
    """Return the words for which scikit-learn says that there is no such method."""
    with pytest.raises(AttributeError) as raised:
        getattr(clf, method)
    return str(raised.value.__cause__)


def by_name(clf, top=None):
    top = clf.predict_topk(X_TEST, clf.classes_.size) if top is None else top
    return [dict(row) for row in top.named(clf.classes_)]


@pytest.mark.parametrize("verify", ["not stored", "lazy"])
@pytest.mark.parametrize("name", RENUMBER)
def test_without_some_labels_others_keep_their_scores(name, verify, tmp_path):
    clf = new(name).fit(X, LISTS)
    gone = NAMES[[0, 3, 4, 5, 20, 36]]
    expected = clf.predict_topk(X_TEST, 5, exclude=gone).named(clf.classes_)
    if verify == "lazy":
        clf.save(tmp_path / "model")
        clf = xclassic.load(tmp_path / "model")
    size = sum(array.nbytes for array in clf._get_arrays()[0].values())
    assert clf.remove_labels(gone) is clf
    assert clf.classes_.tolist() == np.setdiff1d(NAMES, gone).tolist()
    assert clf.predict_topk(X_TEST, 5).named(clf.classes_) == expected
    assert sum(array.nbytes for array in clf._get_arrays()[0].values()) < size
    clf.save(tmp_path / "smaller")
    stored = xclassic.load(tmp_path / "smaller", verify="full")
    assert stored.predict_topk(X_TEST, 5).named(stored.classes_) == expected


@pytest.mark.parametrize("name", RENUMBER)
def test_scores_follow_the_names(name):
    clf = new(name).fit(X, LISTS)
    before = by_name(clf)
    renamed = {old: f"new {99 - number}" for number, old in enumerate(NAMES[:30])}
    clf.rename_labels(renamed)
    assert clf.classes_.tolist() == sorted([*renamed.values(), *NAMES[30:]])
    assert by_name(clf) == [{renamed.get(label, label): score for label, score in row.items()} for row in before]


def test_column_numbers_get_names():
    clf = DiSMEC().fit(X, Y)
    expected = clf.predict_topk(X_TEST, 5).named(NAMES[::-1])
    clf.rename_labels(NAMES[::-1])
    assert clf.predict_topk(X_TEST, 5).named(clf.classes_) == expected


@pytest.mark.parametrize("name", [*INDEPENDENT, "KNN", "Popularity"])
def test_labels_added_are_those_of_a_fit_on_all(name):
    late = set(NAMES[::3])
    early = [[label for label in row if label not in late] for row in LISTS]
    clf, whole = new(name).fit(X, early).add_labels(X, LISTS), new(name).fit(X, LISTS)
    assert clf.classes_.tolist() == whole.classes_.tolist()
    assert_same_predictions(clf.predict_topk(X_TEST, 9), whole.predict_topk(X_TEST, 9))


@pytest.mark.parametrize("name", LEARN_LABELS)
def test_labels_added_are_found_and_others_stay(name, tmp_path):
    rows, truth = block_diagonal()
    late = np.array([4, 11, 19])
    early = truth.toarray()
    early[:, late] = 0
    keep = np.setdiff1d(np.arange(20), late)
    clf = new(name).fit(rows, early[:, keep])
    clf.rename_labels([f"{label:02d}" for label in keep])
    clf.add_labels(rows, truth[:, late], names=["04", "11", "19"], Y=truth[:, keep])
    assert clf.classes_.tolist() == [f"{label:02d}" for label in range(20)]
    of_late = np.flatnonzero(truth[:, late].sum(axis=1))
    found = clf.predict_topk(rows[of_late], 2)
    hits = found.to_csr(20).multiply(truth[of_late] > 0).astype(bool)[:, late]
    share = hits.sum() / truth[of_late][:, late].sum()
    assert share > {"Popularity": -1, "AnnexML": 0.6, "SLEEC": 0.6}.get(name, 0.8)
    clf.save(tmp_path / "model")
    assert_same_predictions(
        xclassic.load(tmp_path / "model", verify="full").predict_topk(rows, 5), clf.predict_topk(rows, 5)
    )


def test_values_that_a_fit_chose_are_kept(tmp_path):
    clf = OneVsRestLeastSquares(alpha="auto").fit(X, Y[:, :30])
    chosen = clf.alpha_, clf.propensity_power_, clf.solver_
    clf.save(tmp_path / "model")
    clf = xclassic.load(tmp_path / "model")
    assert (clf.alpha_, clf.propensity_power_, clf.solver_) == chosen
    clf.add_labels(X, Y[:, 30:])
    whole = OneVsRestLeastSquares(alpha=chosen[0], propensity_power=chosen[1], solver=chosen[2]).fit(X, Y)
    assert_same_predictions(clf.predict_topk(X_TEST, 5), whole.predict_topk(X_TEST, 5))
    assert (clf.alpha, clf.propensity_power, clf.solver) == ("auto", "auto", "auto")


@pytest.mark.parametrize("weight_dtype", ["float32", "float16", "int8"])
def test_nodes_beside_the_path_of_a_new_label_stay(weight_dtype):
    rows, truth = block_diagonal()
    clf = Parabel(n_trees=1, max_leaf=3, weight_dtype=weight_dtype).fit(rows, truth[:, :19])
    before = clf.models_[0]
    clf.add_labels(rows, truth[:, 19:], Y=truth[:, :19])
    after = clf.models_[0]
    path = after.tree.paths()[19]
    assert after.tree.labels.tolist() == list(range(20))
    weights = [model.weights.to_csc(model.tree.n_nodes) for model in (before, after)]
    untouched = [label for label in range(19) if after.tree.parent[after.tree.leaves[label]] not in path]
    assert len(untouched) > 10
    for label in untouched:
        one, other = (w[:, [m.tree.leaves[label]]].toarray() for w, m in zip(weights, (before, after), strict=True))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_labels_of_further_rows_are_learned_from_all_rows(name):
    known, further = slice(0, 140), slice(140, 150)
    clf = new(name).fit(X[known], Y[known])
    before = clf.weights_.to_csc(37).toarray()
    clf.partial_fit(X[further], Y[further], X_known=X[known], y_known=Y[known])
    touched = np.unique(Y[further].indices)
    assert 3 < touched.size < 30
    after, whole = clf.weights_.to_csc(37).toarray(), new(name).fit(X, Y).weights_.to_csc(37).toarray()
    np.testing.assert_array_equal(after[:, touched], whole[:, touched])
    others = np.setdiff1d(np.arange(37), touched)
    np.testing.assert_array_equal(after[:, others], before[:, others])


@pytest.mark.parametrize("as_dense", [False, True])
def test_neighbors_in_parts_are_those_of_all_rows(as_dense, tmp_path):
    rows = X.toarray() if as_dense else X
    clf = KNN().fit(rows[:60], LISTS[:60])
    for start, end in [(60, 70), (70, 75), (75, 76), (76, 150)]:
        clf.partial_fit(rows[start:end], LISTS[start:end])
    whole = KNN().fit(rows, LISTS)
    assert clf.classes_.tolist() == whole.classes_.tolist()
    expected = whole.predict_topk(X_TEST, 9)
    assert_same_predictions(clf.predict_topk(X_TEST, 9), expected)
    clf.save(tmp_path / "model")
    assert_same_predictions(xclassic.load(tmp_path / "model", verify="full").predict_topk(X_TEST, 9), expected)


def test_stored_parts_of_an_index_are_checked(tmp_path):
    clf = KNN().fit(X[:100], LISTS[:100]).partial_fit(X[100:130], LISTS[100:130])
    arrays, metadata = clf._get_arrays()
    assert arrays["part_rows"].tolist() == [100, 30]
    arrays["part_rows"] = np.array([100, 31])
    with pytest.raises(xclassic.ModelFileError, match="131 rows"):
        clf._set_arrays(arrays, metadata, "full")


@pytest.mark.parametrize("name", LEARN_ROWS)
def test_further_rows_help(name):
    rows, truth = block_diagonal(400)
    few = slice(0, 30)
    clf = new(name).fit(rows[few], truth[few])
    before = clf.score(rows[300:], truth[300:])
    for start in range(30, 300, 90):
        known = slice(0, start)
        part = slice(start, start + 90)
        clf.partial_fit(rows[part], truth[part], X_known=rows[known], y_known=truth[known])
    assert clf.score(rows[300:], truth[300:]) >= max(before, 0.85)


@pytest.mark.parametrize("name", LEARN_ROWS)
def test_the_first_call_is_a_fit(name):
    assert_same_predictions(
        new(name).partial_fit(X, LISTS).predict_topk(X_TEST, 5), new(name).fit(X, LISTS).predict_topk(X_TEST, 5)
    )


@pytest.mark.parametrize("name", LEARN_ROWS)
def test_workers_do_not_change_what_is_learned(name):
    models = []
    for n_jobs in (1, 2):
        clf = new(name, n_jobs=n_jobs).fit(X[:100], LISTS[:100])
        clf.partial_fit(X[100:], LISTS[100:], X_known=X[:100], y_known=LISTS[:100])
        models.append(clf)
    assert_same_predictions(models[0].predict_topk(X_TEST, 9), models[1].predict_topk(X_TEST, 9))


def test_half_of_the_rows_and_ten_batches_come_close_to_a_fit():
    bibtex = datasets.load_bibtex()
    for method, most_behind in ((DiSMEC, 0.004), (XRLinear, 0.02), (lambda: FastXML(n_trees=20), 0.02)):
        n = 4880
        clf, whole = method().fit(bibtex.X[: n // 2], bibtex.Y[: n // 2]), method().fit(bibtex.X, bibtex.Y)
        for start in range(n // 2, n, n // 20):
            part, known = slice(start, start + n // 20), slice(0, start)
            clf.partial_fit(bibtex.X[part], bibtex.Y[part], X_known=bibtex.X[known], y_known=bibtex.Y[known])
        scores = [model.score(bibtex.X_test, bibtex.Y_test) for model in (clf, whole)]
        assert scores[0] >= scores[1] - most_behind


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=20), st.integers(1, 60))
def test_each_tree_is_grown_anew_once_while_rows_double(ends, n_trees):
    cuts = np.unique(np.concatenate([[1], ends]))
    due = [trees_due(n_trees, a, b) for a, b in pairwise(cuts)]
    assert sum(map(len, due)) <= n_trees * np.log2(cuts[-1]) + 1
    assert sorted(trees_due(n_trees, 100, 200)) == list(range(n_trees))
    assert trees_due(n_trees, 100, 100).size == 0
    assert trees_due(n_trees, 7, 70_000).tolist() == list(range(n_trees))


def test_nodes_of_many_rows_wait_for_more():
    rows, truth = block_diagonal(400)
    tree = Parabel(n_trees=1, max_leaf=3).fit(rows, truth).models_[0].tree
    label = np.array([7], np.int32)
    assert nodes_grown(tree, truth, 399, label).tolist() == [tree.leaves[7]]
    everything = nodes_grown(tree, truth, 200, label)
    assert everything.tolist() == sorted(tree.paths()[7][1:][tree.paths()[7][1:] > 0].tolist())


def test_a_failure_leaves_the_model_as_it_was(monkeypatch):
    clf = Parabel(max_leaf=5).fit(X, LISTS)
    before, classes = by_name(clf), clf.classes_

    def failing(*args, **kwargs):
        raise MemoryError("no room")

    monkeypatch.setattr("xclassic.label_tree.base.with_retrained", failing)
    with pytest.raises(MemoryError):
        clf.add_labels(X, [[*row, "late"] for row in LISTS])
    with pytest.raises(MemoryError):
        clf.partial_fit(X, [[*row, "late"] for row in LISTS], X_known=X, y_known=LISTS)
    assert clf.classes_ is classes
    assert by_name(clf) == before


@pytest.mark.parametrize("name", LEARN_LABELS)
def test_labels_and_rows_without_each_other_change_nothing(name):
    clf = new(name).fit(X, Y)
    before = clf.predict_topk(X_TEST, 5)
    clf.add_labels(X, np.zeros((150, 2)), Y=Y)
    assert clf.classes_.size == 39
    assert_same_predictions(clf.predict_topk(X_TEST, 5), before)
    if name in (*INDEPENDENT, *TREES):
        clf.partial_fit(X[:5], csr_array((5, 39)), X_known=X[5:], y_known=csr_array((145, 39)))
        assert_same_predictions(clf.predict_topk(X_TEST, 5), before)


@pytest.mark.parametrize("name", LEARN_LABELS)
def test_a_model_may_begin_without_labels_and_end_with_one(name):
    clf = new(name).fit(X, csr_array((150, 2)))
    clf.add_labels(X, Y, Y=csr_array((150, 2)))
    assert clf.predict_topk(X_TEST, 5).counts.max() > 0
    clf.remove_labels(clf.classes_[:-1])
    assert clf.predict_topk(X_TEST, 5).ids.max() <= 0


def test_class_vectors_grow():
    rows, truth = block_diagonal()
    y = NAMES[np.argmax(truth.toarray(), axis=1)]
    first = np.flatnonzero(y < NAMES[9])
    clf = DiSMEC().fit(rows[first], y[first])
    clf.partial_fit(rows, y, X_known=rows[first], y_known=y[first])
    assert clf.classes_.tolist() == NAMES[:20].tolist()
    assert (clf.predict(rows) == y).mean() > 0.9
    clf.remove_labels([NAMES[0]]).rename_labels({NAMES[1]: "a much longer name than all others"})
    assert clf.predict(rows).dtype == clf.classes_.dtype


@pytest.mark.parametrize("name", FIXED)
def test_methods_that_learn_all_labels_together_say_so(name):
    clf = quick(name)
    for method in ("add_labels", "remove_labels", "rename_labels"):
        assert "fit it anew" in refusal(clf, method)


@pytest.mark.parametrize("name", sorted(set(RENUMBER) - set(LEARN_LABELS)))
def test_methods_that_cannot_learn_a_label_alone_say_so(name):
    assert f"{name} learns all its labels together" in refusal(quick(name), "add_labels")


@pytest.mark.parametrize("name", sorted(set(registry.ESTIMATORS) - set(LEARN_ROWS) - {"SwiftXML"}))
def test_methods_that_cannot_learn_from_further_rows_say_so(name):
    assert f"{name} cannot learn from further rows" in refusal(quick(name), "partial_fit")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda clf: clf.remove_labels(["nobody"]), ValueError, "'nobody'"),
        (lambda clf: clf.remove_labels("label 00"), ValueError, "pass a list"),
        (lambda clf: clf.remove_labels(NAMES), ValueError, "All 37 labels"),
        (lambda clf: clf.rename_labels({"nobody": "x"}), ValueError, "'nobody'"),
        (lambda clf: clf.rename_labels({"label 00": "label 01"}), ValueError, "'label 01' to 2 labels"),
        (lambda clf: clf.rename_labels({"label 00": " label 01 "}), ValueError, "'label 01' to 2 labels"),
        (lambda clf: clf.rename_labels({"label 00": " "}), ValueError, "empty label at position 0"),
        (lambda clf: clf.rename_labels({"label 00": 5}), TypeError, "strings throughout"),
        (lambda clf: clf.rename_labels(["a", "b"]), ValueError, "names has 2 labels, but the model 37"),
        (lambda clf: clf.rename_labels("label"), TypeError, "names is a str"),
        (lambda clf: clf.rename_labels(None), TypeError, "names is a NoneType"),
        (lambda clf: clf.add_labels(X, Y[:, :2]), ValueError, "say by names what the 2 columns are"),
        (lambda clf: clf.add_labels(X, Y[:, :2], names=["a"]), ValueError, "names has 1 labels, but Y_new has 2"),
        (lambda clf: clf.add_labels(X, Y[:, :2], names=["a", "label 03"]), ValueError, "first is 'label 03'"),
        (lambda clf: clf.add_labels(X, Y[:, :2], names=[1, 2]), ValueError, "such as 1"),
        (lambda clf: clf.add_labels(X, LISTS), ValueError, "no label that the model does not know"),
        (lambda clf: clf.add_labels(X, [["a"]] * 150, names=["a"]), ValueError, "for a matrix of new labels"),
        (lambda clf: clf.add_labels(X, [[5]] * 150), ValueError, "such as 5"),
        (lambda clf: clf.add_labels(X[:9], Y[:, :2], names=["a", "b"]), ValueError, "9 rows"),
        (lambda clf: clf.add_labels(X[:, :9], Y[:, :2], names=["a", "b"]), ValueError, "features"),
        (lambda clf: clf.add_labels(X, 2 * Y[:, :2], names=["a", "b"]), ValueError, "0 and 1"),
        (lambda clf: clf.partial_fit(X, LISTS), ValueError, "as X_known and y_known"),
        (lambda clf: clf.partial_fit(X, LISTS, X_known=X), ValueError, "together"),
        (lambda clf: clf.partial_fit(X, LISTS, X_known=X, y_known=LISTS[:9]), ValueError, "150 rows"),
        (lambda clf: clf.partial_fit(X, LISTS, X_known=X, y_known=[["x"]] * 150), ValueError, "'x'"),
        (lambda clf: clf.partial_fit(X, Y[:, :9], X_known=X, y_known=Y), ValueError, "9 columns"),
    ],
)
def test_what_is_refused_leaves_the_model_as_it_was(call, error, message):
    clf = DiSMEC().fit(X, LISTS)
    before = by_name(clf)
    with pytest.raises(error, match=message):
        call(clf)
    assert by_name(clf) == before


def test_label_trees_need_the_known_labels():
    clf = Parabel().fit(X, Y[:, :30])
    with pytest.raises(ValueError, match="pass them as Y"):
        clf.add_labels(X, Y[:, 30:])
    with pytest.raises(ValueError, match="matcher_negatives"):
        XRLinear(matcher_negatives=True).fit(X, Y[:, :30]).add_labels(X, Y[:, 30:], Y=Y[:, :30])


def test_neighbors_need_the_rows_of_the_fit():
    with pytest.raises(ValueError, match="150 rows vote"):
        KNN().fit(X, Y[:, :30]).add_labels(X[:9], Y[:9, 30:])


def test_known_rows_before_a_fit_are_refused():
    with pytest.raises(ValueError, match="the model is not fitted"):
        DiSMEC().partial_fit(X, Y, X_known=X, y_known=Y)


def test_a_new_label_of_a_forest_that_reranks_has_a_mean():
    rows, truth = block_diagonal(300)
    lists = [[f"{label:02d}" for label in np.flatnonzero(row)] for row in truth.toarray()]
    early = [i for i, row in enumerate(lists) if "07" not in row]
    late = [i for i, row in enumerate(lists) if "07" in row]
    clf = PfastreXML(n_trees=10, alpha=0.5).fit(rows[early], [lists[i] for i in early])
    clf.partial_fit(rows[late], [lists[i] for i in late])
    assert clf.label_weights_[7] == clf.label_weights_.max()
    assert 7 in clf.predict_topk(rows[late], 5).ids


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("chunk_groups", [1, 2, 256])
def test_lanes_move_with_their_weights(dtype, chunk_groups):
    rng = np.random.default_rng(0)
    W = csc_array(rng.normal(size=(50, 37)) * (rng.random((50, 37)) < 0.3), dtype=np.float32)
    bias = rng.normal(size=37).astype(np.float32)
    weights = BlockWeights.from_csc(W, bias, np.arange(37), chunk_groups).astype(dtype)
    expected = weights.to_csc(37).toarray()
    ends = LANES * weights.chunk_group_ptr
    lanes = np.concatenate([rng.permutation(np.arange(a, b)) for a, b in pairwise(ends)])  # within their chunks
    lanes[[3, 20]] = -1
    labels = np.full(len(weights.labels), -1, np.int32)
    labels[lanes[lanes >= 0]] = weights.labels[lanes >= 0]
    moved = move_lanes([(weights, lanes)], labels=labels, chunk_group_ptr=weights.chunk_group_ptr)
    moved.verify()
    kept = np.setdiff1d(np.arange(37), [3, 20])
    np.testing.assert_array_equal(moved.to_csc(37).toarray()[:, kept], expected[:, kept])
    assert not moved.to_csc(37).toarray()[:, [3, 20]].any()
    assert dict(zip(moved.labels.tolist(), moved.bias.tolist(), strict=True)) | {-1: 0} == {
        label: 0 if label == -1 else bias[label] for label in [-1, *kept]
    }


def test_lanes_of_two_parts_share_a_chunk():
    rng = np.random.default_rng(1)
    W = csc_array(rng.normal(size=(50, 20)) * (rng.random((50, 20)) < 0.3), dtype=np.float32)
    first, second = (
        BlockWeights.from_csc(csc_array(W[:, part]), np.arange(10, dtype=np.float32), np.arange(10))
        for part in (slice(0, 10), slice(10, 20))
    )
    lanes = rng.permutation(20)
    places = [np.concatenate([part, np.full(6, -1)]) for part in (lanes[:10], lanes[10:])]
    labels = np.full(32, -1, np.int32)
    labels[lanes] = np.arange(20)
    whole = move_lanes(list(zip((first, second), places, strict=True)), labels=labels, chunk_group_ptr=np.array([0, 2]))
    whole.verify()
    np.testing.assert_array_equal(whole.to_csc(20).toarray(), W.toarray())
    assert whole.bias[lanes].tolist() == 2 * list(range(10))


def test_models_of_labels_that_go_leave_no_weights():
    weights = DiSMEC().fit(X, Y).weights_
    ids = np.arange(37, dtype=np.int32)
    ids[10:] = -1
    fewer = weights.relabeled(ids)
    fewer.verify()
    np.testing.assert_array_equal(fewer.to_csc(10).toarray(), weights.to_csc(37)[:, :10].toarray())
    assert fewer.n_values == weights.to_csc(37)[:, :10].nnz
