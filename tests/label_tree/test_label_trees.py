"""The tree estimators: accuracy, given trees, what they store, and what they promise of memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.preprocessing import normalize

import xclassic
from tests.helpers.interrupts import HANG
from xclassic import PLT, Bonsai, LabelTree, Parabel, XReg, XRLinear, datasets
from xclassic.label_tree.partition import random_tree
from xclassic.metrics import precision_at_k

METHODS = [Parabel, Bonsai, PLT, XRLinear, XReg]


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


def small(seed=0, n=80, d=20, n_labels=30, density=0.1):
    random = np.random.default_rng(seed)
    X = csr_array((random.random((n, d)) * (random.random((n, d)) < 0.4)).astype(np.float32))
    Y = (random.random((n, n_labels)) < density).astype(np.float32)
    Y[:n_labels] = np.maximum(Y[:n_labels], np.eye(n_labels, dtype=np.float32)[:n])
    return X, csr_array(Y)


def named(cls):
    return cls.__name__


# Accuracy


@pytest.mark.parametrize(
    ("clf", "low", "high"),
    [
        (Parabel(), 63.0, 66.0),
        (Bonsai(), 63.0, 66.5),
        (XRLinear(), 62.0, 66.0),
        (PLT(), 60.5, 65.5),
        (Parabel(1, max_leaf=10), 58.5, 65.0),
        (PLT(partition="random"), 57.0, 65.0),
    ],
    ids=["Parabel", "Bonsai", "XRLinear", "PLT", "deep-Parabel", "random-PLT"],
)
def test_precision_on_bibtex(bibtex, clf, low, high):
    top = clf.fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, k=5)
    assert low <= 100 * precision_at_k(bibtex.Y_test, top, k=1) <= high


def test_trees_and_beams_lose_nothing_by_more(bibtex):
    one, three = (Parabel(n_trees, max_leaf=10).fit(bibtex.X, bibtex.Y) for n_trees in (1, 3))

    def precision(clf, beam):
        top = clf.set_params(beam=beam).predict_topk(bibtex.X_test, k=5)
        return precision_at_k(bibtex.Y_test, top, k=5)

    assert precision(three, 10) > precision(one, 10) + 0.003
    assert precision(one, 1) < precision(one, 10) - 0.01
    assert abs(precision(one, 10) - precision(one, None)) < 0.005


# Given trees


@pytest.mark.parametrize("cls", METHODS, ids=named)
def test_given_trees_are_used_in_their_order(cls):
    X, Y = small()
    trees = [random_tree(30, branching=3, max_leaf=4, random_state=seed) for seed in range(3)]
    assert cls(tree=trees).fit(X, Y).trees_ == trees
    assert cls(n_trees=2, tree=trees[0]).fit(X, Y).trees_ == trees[:1]
    options = {"eps": 1e-5, "max_passes": 2000, "prune": 0, "weight_dtype": "float32", "beam": None}
    twice, once = (cls(tree=given, **options).fit(X, Y) for given in ([trees[0], trees[0]], trees[0]))
    scores = [clf.predict_topk(X, k=30) for clf in (twice, once)]
    for row in range(X.shape[0]):
        first, second = (dict(zip(t.ids[row], t.scores[row], strict=True)) for t in scores)
        assert first.keys() == second.keys()
        np.testing.assert_allclose([first[label] for label in second], list(second.values()), rtol=2e-2, atol=1e-6)


def test_given_trees_must_fit_the_labels():
    X, Y = small()
    with pytest.raises(ValueError, match="The tree is over 29 labels, but Y has 30"):
        Parabel(tree=LabelTree.flat(np.arange(29))).fit(X, Y)
    with pytest.raises(ValueError, match=r"2 labels with training rows are not in the tree, the first is label 0 \(id"):
        Parabel(tree=LabelTree.flat(np.arange(2, 30))).fit(X, Y)
    with pytest.raises(ValueError, match="1 labels"):  # also in the second of two
        Parabel(tree=[LabelTree.flat(np.arange(30)), LabelTree.flat(np.arange(1, 30), n_labels=30)]).fit(X, Y)
    with pytest.raises(ValueError, match="tree is an empty list"):
        Parabel(tree=[]).fit(X, Y)
    with pytest.raises(TypeError, match="tree is a str"):
        Parabel(tree=["tree"]).fit(X, Y)


@pytest.mark.parametrize("cls", METHODS, ids=named)
def test_labels_of_a_given_tree_may_lack_rows(cls):
    X, Y = small()
    Y = csr_array(Y.toarray() * (np.arange(30) % 2))
    clf = cls(tree=random_tree(30, branching=2, max_leaf=3), n_trees=1).fit(X, Y)
    top = clf.predict_topk(X, k=30)
    assert np.isfinite(top.scores[top.ids >= 0]).all()
    grown = cls(n_trees=1).fit(X, Y)  # its own tree holds labels with rows alone
    assert grown.trees_[0].labels.tolist() == list(range(1, 30, 2))
    assert (grown.predict_topk(X, k=30).ids[:, 0] % 2 == 1).all()


# Storage


@pytest.mark.parametrize("cls", METHODS, ids=named)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_saved_models_predict_the_same(cls, dtype, tmp_path):
    X, Y = small()
    clf = cls(2, max_leaf=4, weight_dtype=dtype).fit(X, Y)
    clf.save(tmp_path / "model")
    for verify in ("lazy", "full"):
        loaded = xclassic.load(tmp_path / "model", verify=verify)
        assert loaded.trees_ == clf.trees_
        assert loaded.models_[0].weights.values.dtype == dtype
        for beam in (3, None):
            found, expected = (c.set_params(beam=beam).predict_topk(X, k=7) for c in (loaded, clf))
            for array, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("cls", METHODS, ids=named)
def test_weights_of_fewer_bytes_change_little(cls):
    X, Y = small(n=200)
    options = {"max_leaf": 4, "prune": 0, "eps": 1e-3}
    tops = [cls(1, weight_dtype=d, **options).fit(X, Y).predict_topk(X, k=30) for d in ("float32", "float16", "int8")]
    full = [dict(zip(ids, scores, strict=True)) for ids, scores in zip(tops[0].ids, tops[0].scores, strict=True)]
    for top, near in zip(tops[1:], (5e-3, 6e-2), strict=True):
        gaps = [
            abs(full[row][label] - score)
            for row in range(len(full))
            for label, score in zip(top.ids[row], top.scores[row], strict=True)
            if label >= 0 and label in full[row]
        ]
        assert 0 < max(gaps) < near


@pytest.mark.parametrize("cls", METHODS, ids=named)
def test_pruned_models_are_those_trained_with_the_threshold(cls):
    X, Y = small(n=200)
    options = {"n_trees": 2, "max_leaf": 4, "weight_dtype": "float32"}
    before, after = cls(prune=0.3, **options).fit(X, Y), cls(prune=0.0, **options).fit(X, Y).prune_weights(0.3)
    for model, other in zip(before.models_, after.models_, strict=True):
        for name, array in model.weights.arrays().items():
            np.testing.assert_array_equal(array, other.weights.arrays()[name])


# Rows, workers, seeds


@pytest.mark.parametrize("cls", METHODS, ids=named)
def test_rows_dense_or_normalized_before_make_the_same_model(cls):
    X, Y = small(n=200)
    options = {"n_trees": 1, "max_leaf": 4, "eps": 1e-5, "max_passes": 2000, "prune": 0, "weight_dtype": "float32"}
    options |= {"beam": None, "tree": random_tree(30, branching=3, max_leaf=4)}
    plain, dense = cls(**options).fit(X, Y), cls(**options).fit(X.toarray(), Y)
    before = cls(normalize=False, **options).fit(normalize(X), Y)
    expected = plain.decision_function(X).toarray()
    np.testing.assert_allclose(dense.decision_function(X.toarray()).toarray(), expected, atol=3e-3)
    np.testing.assert_allclose(before.decision_function(normalize(X)).toarray(), expected, atol=3e-3)
    assert not np.allclose(
        cls(normalize=False, **options).fit(X, Y).decision_function(X).toarray(), expected, atol=1e-2
    )


@pytest.mark.parametrize("cls", METHODS, ids=named)
def test_workers_change_no_byte_and_seeds_do(cls):
    X, Y = small(n=300, n_labels=60)
    fits = [cls(2, max_leaf=4, n_jobs=n_jobs).fit(X, Y) for n_jobs in (1, 2, 4)]
    for other in fits[1:]:
        assert other.trees_ == fits[0].trees_
        for model, same in zip(fits[0].models_, other.models_, strict=True):
            for name, array in model.weights.arrays().items():
                assert array.tobytes() == same.weights.arrays()[name].tobytes()
    assert fits[0].trees_[0] != fits[0].trees_[1]
    assert cls(1, max_leaf=4, random_state=1).fit(X, Y).trees_[0] != fits[0].trees_[0]


@pytest.mark.parametrize("cls", METHODS, ids=named)
@pytest.mark.parametrize("Y", [np.zeros((20, 3)), np.ones((20, 3)), np.eye(20)[:, :1], np.ones((20, 1))])
def test_labels_of_no_row_of_one_row_and_of_all_rows(cls, Y):
    X, _ = small(n=20)
    top = cls().fit(X, csr_array(Y.astype(np.float32))).predict_topk(X, k=3)
    used = np.flatnonzero(Y.any(axis=0))
    for row in range(20):
        assert sorted(top.ids[row, : top.counts[row]]) == used.tolist()
    if Y.all():
        assert (top.scores[top.ids >= 0] > 0.5).all()


@pytest.mark.parametrize("options", [{"beam": 0}, {"C": 0}, {"max_leaf": 0}, {"n_trees": 0}, {"prune": -1}, {"eps": 0}])
def test_parameters_out_of_range_are_rejected(options):
    X, Y = small()
    name = next(iter(options))
    for cls in METHODS:
        with pytest.raises(ValueError, match=name):
            cls(**options).fit(X, Y)


# Memory

MEASURE = r"""
import re, sys
import numpy as np
import xclassic
from scipy.sparse import csr_array, random_array

def peak():
    # ru_maxrss starts at the size of the process that started this one; VmHWM starts anew.
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])

random = np.random.default_rng(0)
X = csr_array(random_array((30_000, 20_000), density=50 / 20_000, rng=random, dtype=np.float32))
Y = csr_array(random_array((30_000, 10_000), density=3 / 10_000, rng=random, dtype=np.float32))
Y.data[:] = 1
clf = getattr(xclassic, sys.argv[1])(1, n_jobs=2, max_passes=2)
clf.fit(X[:50], Y[:50])
before = peak()
clf.fit(X, Y)
print((peak() - before) / clf.estimate_memory(X, Y))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("cls", [Parabel, XRLinear], ids=named)
def test_memory_is_near_the_estimate(cls):
    command = [sys.executable, "-c", MEASURE, cls.__name__]
    root = Path(xclassic.__file__).parents[1]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=HANG)
    assert found.returncode == 0, found.stderr[-2000:]
    assert 0.2 < float(found.stdout) < 2.5
