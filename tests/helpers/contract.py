"""What holds for every estimator: a test class to derive from."""

import os
import pickle
import re
import threading
import warnings
from functools import partial
from importlib.util import find_spec
from itertools import pairwise

import joblib
import numpy as np
import pytest
from scipy.sparse import csc_array, csr_array
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import label_ranking_average_precision_score
from sklearn.model_selection import GridSearchCV, cross_val_score

import xclassic
from tests.helpers.interrupts import count_tasks, press_ctrl_c, tasks_that_ignore_stop
from xclassic import TopK, encode_labels, predict_topk
from xclassic.base import ROWS_PER_TASK
from xclassic.storage import registry
from xclassic.weighted_ranking import ScoreWeights

# What takes features and can be fitted here.
ESTIMATORS = (*registry.ESTIMATORS, *(registry.NEURAL_ESTIMATORS if find_spec("torch") else ()))
# Checks of scikit-learn that fail by design, each with its reason.
EXPECTED_FAILURES = {
    "check_supervised_y_2d": "a two-dimensional y is a 0-1 label matrix here, not a column of class ids",
}
WEIGHED = dict.fromkeys(
    [f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse")],
    "solvers end at a tolerance, and groupings, hyperplanes and neighborhoods count rows; test_meaning_of_weights.py "
    "compares rows of weight 2 with repeated ones",
)
NEEDS_KNOWN_ROWS = {"check_fit_score_takes_y": "partial_fit takes the rows of earlier calls too"}
SINGLE_CALLS = {"_solve_task"}  # tasks of one call of LAPACK, which nothing can stop
FORMS = ["unsorted", "duplicates", "int64", "float64", "read-only", "csc", "memory-mapped"]
# Where weights are penalized and rows are not normalized, the scale of the features sets the strength of the penalty.
PENALIZED = {
    "BloomFilter", "Bonsai", "CPLST", "CompressedSensing", "DiSMEC", "HierarchicalXC", "LEML", "LTLS", "M3L", "MACH",
    "NeuralXC", "OneVsRestLeastSquares", "PDSparse", "PLST", "PLT", "PPDSparse", "Parabel", "PrefixTree", "ProXML",
    "REML", "Rembrandt", "Slice", "TreeEmbedding", "XRLinear", "XReg",
}  # fmt: skip
FORESTS = {"CRAFTML", "FastXML", "MLRF", "PfastreXML", "SwiftXML"}
EXPONENTS = [-100, -66, -33, -17, 17, 33, 66, 100]  # powers of two from 1e-30 to 1e30
N_LABELS = 20
FEATURES_PER_LABEL = 3


def quick(name):
    """Return a public estimator of few trees and learners, to fit a hundred rows many times."""
    estimator = getattr(xclassic, name)()
    if name == "CRAFTML":  # trees that cost little, of which few know too little
        return estimator
    sizes = {"n_trees": 10, "n_learners": 3, "width": 64}
    known = estimator.get_params()
    return estimator.set_params(**{key: size for key, size in sizes.items() if known.get(key, 0) > size})


def block_diagonal(n_rows=120, seed=0):
    """Rows of one label each, or of two neighbors, whose features occur with no other label."""
    rng = np.random.default_rng(seed)
    first = rng.permutation(np.arange(n_rows) % N_LABELS)
    Y = np.zeros((n_rows, N_LABELS), np.float32)
    Y[np.arange(n_rows), first] = 1
    both = rng.random(n_rows) < 0.3
    Y[both, (first[both] + 1) % N_LABELS] = 1
    X = np.repeat(Y, FEATURES_PER_LABEL, axis=1) * rng.uniform(0.5, 1.5, (n_rows, N_LABELS * FEATURES_PER_LABEL))
    return csr_array(X.astype(np.float32)), csr_array(Y)


def noisy(n_rows=150, n_features=60, n_labels=37, seed=0):
    """A sparse problem without much order in it, so that scores are all different."""
    rng = np.random.default_rng(seed)
    X = random_sparse((n_rows, n_features), 0.15, rng)
    Y = random_sparse((n_rows, n_labels), 0.08, rng)
    Y.data[:] = 1
    return X, Y


def random_sparse(shape, density, rng):
    """Return a matrix of at most this density, with values in (0, 1]."""
    n_entries = int(density * shape[0] * shape[1])
    rows, columns = (rng.integers(size, size=n_entries) for size in shape)
    matrix = csr_array((np.ones(n_entries, np.float32), (rows, columns)), shape=shape)
    matrix.data = 1 - rng.random(matrix.nnz, dtype=np.float32)
    return matrix


def assert_same_arrays(model, other):
    """Compare the fitted state byte by byte, but for how long it took."""
    arrays, metadata = model._get_arrays()
    other_arrays, other_metadata = other._get_arrays()
    assert metadata | {"seconds": 0} == other_metadata | {"seconds": 0}
    assert arrays.keys() == other_arrays.keys()
    for name, array in arrays.items():
        assert array.dtype == other_arrays[name].dtype, name
        assert array.shape == other_arrays[name].shape, name
        assert array.tobytes() == other_arrays[name].tobytes(), name


def assert_same_predictions(top, other):
    for array, other_array in zip(top, other, strict=True):
        np.testing.assert_array_equal(array, other_array)


def assert_close_predictions(top, row, expected):
    """Compare a row of a ranking with the ranking of that row alone."""
    np.testing.assert_array_equal(top.ids[row], expected.ids[0])
    np.testing.assert_allclose(top.scores[row], expected.scores[0], rtol=1e-5)


def assert_well_formed(top, n_rows, k, n_labels):
    """Check everything that `TopK` promises."""
    assert isinstance(top, TopK)
    assert top.ids.shape == top.scores.shape == (n_rows, k)
    assert top.counts.shape == (n_rows,)
    assert (top.ids.dtype, top.scores.dtype, top.counts.dtype) == (np.int32, np.float32, np.int32)
    assert ((top.counts >= 0) & (top.counts <= k)).all()
    filled = top.filled()
    assert (top.ids[~filled] == -1).all()
    assert (top.scores[~filled] == -np.inf).all()
    assert np.isfinite(top.scores[filled]).all()
    assert ((top.ids[filled] >= 0) & (top.ids[filled] < n_labels)).all()
    for ids, scores, count in zip(top.ids, top.scores, top.counts, strict=True):
        assert np.unique(ids[:count]).size == count
        assert np.array_equal(np.lexsort((ids[:count], -scores[:count])), np.arange(count))  # ties: smaller id first


def assert_writes_nothing(model, method, X):
    """Check that a call sets, replaces and deletes no attribute, so that threads may share the model."""
    before = dict(vars(model))
    getattr(model, method)(X)
    after = vars(model)
    assert after.keys() == before.keys()
    assert [name for name, value in before.items() if after[name] is not value] == []


def parameters(model):
    """Return the parameters, with estimators as their class: the parameters of these are among them too."""
    return {name: without_estimators(value) for name, value in model.get_params().items()}


def without_estimators(value):
    if isinstance(value, (list, tuple)):
        return [without_estimators(item) for item in value]
    return type(value) if isinstance(value, BaseEstimator) else value


class Contract:
    """Derive a class named ``Test...`` with `estimator`, an unfitted instance that is quick on a hundred rows."""

    estimator: xclassic.XMCClassifier

    def make(self, **params):
        return clone(self.estimator).set_params(**params)

    def data(self):
        """Return what the estimator is fitted on."""
        return noisy()

    def other_data(self):
        return noisy(seed=1, n_features=20, n_labels=5)

    def rankings(self, model, X, k):
        """Return the rankings that a prediction consists of."""
        return [model.predict_topk(X, k)]

    @property
    def fitted(self):
        """One model for all tests of a class, which leave it as it is."""
        cls = type(self)
        if "_fitted" not in vars(cls):
            cls._fitted = self.make().fit(*self.data())
        return cls._fitted

    # Learning

    @pytest.mark.parametrize("container", [csr_array, csr_array.toarray])
    def test_fit_solves_the_block_diagonal_problem(self, container):
        self.needs_features()
        X, Y = block_diagonal()
        X_test, Y_test = block_diagonal(seed=1)
        model = self.make().fit(container(X), Y)
        assert model.score(container(X), Y) == 1
        assert model.score(container(X_test), Y_test) == 1

    def needs_features(self):
        if self.make().__sklearn_tags__().classifier_tags.poor_score:
            pytest.skip("does not look at the features")

    def test_features_sparse_and_dense_rank_the_same(self):
        X, Y = block_diagonal()
        model = self.make().fit(X, Y)
        sparse, dense = model.predict_topk(X, 1), model.predict_topk(X.toarray(), 1)
        np.testing.assert_array_equal(sparse.ids, dense.ids)
        np.testing.assert_allclose(sparse.scores, dense.scores, rtol=1e-5)
        # Two fits agree as far as the solver is exact; rows with two labels may name the other one first.
        refitted = self.make().fit(X.toarray(), Y).predict_topk(X, 1)
        assert (refitted.ids == sparse.ids).mean() > 0.9
        np.testing.assert_allclose(refitted.scores, sparse.scores, rtol=0.2)

    def test_labels_permuted_permute_the_predictions(self):
        self.needs_features()
        X, Y = block_diagonal()
        single = np.diff(Y.indptr) == 1  # scores may saturate, so that the two labels of other rows tie
        X, Y = X[single], Y[single]
        order = np.random.default_rng(0).permutation(N_LABELS)
        top = self.make().fit(X, Y).predict_topk(X, 1)
        permuted = self.make().fit(X, csr_array(Y[:, order])).predict_topk(X, 1)
        np.testing.assert_array_equal(order[permuted.ids], top.ids)

    def test_labels_by_name_and_class_vectors_train_the_same_model(self):
        X, Y = noisy()
        names = np.array([f"label {i:02d}" for i in range(Y.shape[1])])
        lists = [names[Y[[i]].indices].tolist() for i in range(Y.shape[0])]
        seen = np.unique(Y.indices)
        matrix = self.make().fit(X, csr_array(Y[:, seen]))
        named = self.make().fit(X, lists)
        assert_same_arrays(matrix, named)
        np.testing.assert_array_equal(named.classes_, names[seen])
        assert named.predict_topk(X[:1], 1).named(named.classes_)[0][0][0] in names

        classes = np.arange(X.shape[0]) % 7
        vector = self.make().fit(X, classes * 10)
        one_hot = self.make().fit(X, csr_array(np.eye(7)[classes]))
        assert_same_arrays(vector, one_hot)
        np.testing.assert_array_equal(vector.predict(X), one_hot.predict_topk(X, 1).ids[:, 0] * 10)

    # Predictions

    @pytest.mark.parametrize("k", [1, 5, 37, 1000])
    def test_predict_topk_is_well_formed(self, k):
        X, n_labels = self.data()[0], self.fitted.classes_.size
        top = self.fitted.predict_topk(X, k)
        assert_well_formed(top, top.n_rows, min(k, n_labels), n_labels)

    def test_predict_topk_of_a_smaller_k_is_the_first_of_a_larger(self):
        X, _ = self.data()
        for few, more in zip(self.rankings(self.fitted, X, 3), self.rankings(self.fitted, X, 37), strict=True):
            assert_same_predictions(few, more.head(3))

    def test_predict_topk_of_a_batch_equals_that_of_its_rows(self):
        X, _ = noisy()
        rows = TopK.concat([self.fitted.predict_topk(X[i : i + 1], 5) for i in range(X.shape[0])])
        assert_same_predictions(self.fitted.predict_topk(X, 5), rows)

    def test_predict_topk_does_not_depend_on_chunks(self):
        X, _ = noisy(n_rows=2 * ROWS_PER_TASK + 7)
        top = self.fitted.predict_topk(X, 5)
        assert_same_predictions(clone_fitted(self.fitted, n_jobs=3).predict_topk(X, 5), top)
        assert_same_predictions(TopK.concat([self.fitted.predict_topk(part, 5) for part in (X[:500], X[500:])]), top)

    def test_predict_of_zero_rows(self):
        X, n_labels = self.data()[0], self.fitted.classes_.size
        assert_well_formed(self.fitted.predict_topk(X[:0], 5), 0, 5, n_labels)
        assert self.fitted.predict(X[:0]).shape == (0, n_labels)
        assert self.fitted.decision_function(X[:0]).shape == (0, n_labels)

    def test_all_scores_are_finite_and_rank_as_predictions(self):
        X, Y = noisy(n_rows=200)
        dense = Y.toarray()
        dense[:, [3, 30]] = 0
        dense[0, 0] = 1
        model = self.make().fit(X, dense)
        scores, top = model.decision_function(X), model.predict_topk(X, 37)
        assert np.isfinite(scores).all()
        label_ranking_average_precision_score(dense, scores)
        for row, ids, count in zip(scores, top.ids, top.counts, strict=True):
            assert np.argsort(-row, kind="stable")[:count].tolist() == ids[:count].tolist()
            assert (np.delete(row, ids[:count]) < row[ids[:count]].min(initial=0)).all()

    @pytest.mark.parametrize("form", ["matrix", "lists"])
    def test_each_row_may_have_labels_of_its_own(self, form):
        X, _ = self.data()
        clf = self.fitted
        n, classes = (X.shape[0] if hasattr(X, "shape") else len(X)), clf.classes_
        own = np.random.default_rng(0).random((n, classes.size)) < max(0.2, 2 / classes.size)
        own = own[np.arange(n) // 3 * 3]  # Some neighbors share theirs.
        own[4:6] = False
        lists = [classes[row].tolist() for row in own]
        given = csr_array(own) if form == "matrix" else lists
        common = classes[classes != classes[3]].tolist()
        candidates = clf.predict_topk(X, 5, labels=common, candidates=given)
        excluded = clf.predict_topk(X, 5, labels=common, exclude=given)
        scores = TopK.from_csr(clf.decision_function(X, pairs=given), classes.size)
        for row in (0, 1, 4, n - 1):
            one = X[row : row + 1]
            allowed = [label for label in lists[row] if label in common]
            assert_close_predictions(candidates, row, clf.predict_topk(one, 5, labels=allowed))
            assert_close_predictions(excluded, row, clf.predict_topk(one, 5, labels=common, exclude=lists[row]))
            assert_close_predictions(scores, row, clf.predict_topk(one, classes.size, labels=lists[row]))

    @pytest.mark.parametrize("wanted", [[3], [0, 5, 6, 36], list(range(37)), []])
    def test_restriction_keeps_allowed_labels_and_scores(self, wanted):
        X, _ = noisy()
        full = self.fitted.predict_topk(X, 37)
        excluded = np.setdiff1d(np.arange(37), wanted)
        top = self.fitted.predict_topk(X, 37, labels=wanted)
        assert_well_formed(top, X.shape[0], 37, 37)
        assert_same_predictions(self.fitted.predict_topk(X, 37, exclude=excluded), top)
        for ids, scores, count, full_ids, full_scores in zip(*top, full.ids, full.scores, strict=True):
            assert set(ids[:count]) <= set(wanted)
            allowed = np.isin(full_ids, wanted)  # a restricted search may find more, but it loses nothing
            found = dict(zip(ids[:count], scores[:count], strict=True))
            assert {label: found.get(label) for label in full_ids[allowed]} == dict(
                zip(full_ids[allowed], full_scores[allowed], strict=True)
            )

    def test_restriction_prefers_the_best_allowed(self):
        X, _ = noisy()
        all_allowed = self.fitted.predict_topk(X, 37, labels=[1, 2, 3, 4])
        assert_same_predictions(self.fitted.predict_topk(X, 2, labels=[1, 2, 3, 4]), all_allowed.head(2))

    def test_weights_of_labels_weigh_all_scores(self):
        X, clf = self.data()[0][:20], self.fitted
        n_labels = clf.classes_.size
        weights = np.linspace(0.2, 3, n_labels).astype(np.float32)
        expected = ScoreWeights.of(weights, clf._log_odds()).reranked(clf.predict_topk(X, n_labels), min(5, n_labels))
        top = clf.predict_topk(X, 5, label_weights=weights)
        assert_well_formed(top, top.n_rows, min(5, n_labels), n_labels)
        if "beam" in clf.get_params():  # A search led by weights may find more, but it loses nothing.
            assert (top.scores >= expected.scores).all()
        else:
            assert_same_predictions(top, expected)

    # The same model whatever the circumstances

    @pytest.mark.parametrize("n_jobs", [1, 2, 4])
    def test_model_does_not_depend_on_n_jobs(self, n_jobs):
        assert_same_arrays(self.make(n_jobs=n_jobs).fit(*noisy()), self.fitted)

    def test_model_does_not_depend_on_the_backend(self):
        with joblib.parallel_config("loky", n_jobs=2):
            elsewhere = self.make().fit(*noisy())
        assert_same_arrays(elsewhere, self.fitted)

    def test_predictions_do_not_depend_on_the_backend(self):
        X, _ = noisy(n_rows=ROWS_PER_TASK + 1)
        with joblib.parallel_config("loky", n_jobs=2):
            elsewhere = self.fitted.predict_topk(X, 5)
        assert_same_predictions(elsewhere, self.fitted.predict_topk(X, 5))

    def test_refitting_leaves_no_trace(self):
        model = self.make().fit(*self.other_data())
        assert_same_arrays(model.fit(*self.data()), self.fitted)

    def test_threads_fit_and_predict_at_once(self):
        X, Y = noisy()
        fitted = self.fitted
        expected = fitted.predict_topk(X, 5)
        outcomes = []

        def work():
            outcomes.extend((self.make(n_jobs=2).fit(X, Y), fitted.predict_topk(X, 5)) for _ in range(3))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 12
        for model, top in outcomes:
            assert_same_arrays(model, self.fitted)
            assert_same_predictions(top, expected)

    @pytest.mark.parametrize("form", FORMS)
    def test_model_does_not_depend_on_the_form_of_the_input(self, form, tmp_path):
        X, Y = noisy()
        before = [matrix.copy() for matrix in (X, Y)]
        given = [reformed(matrix, form, tmp_path / str(i)) for i, matrix in enumerate((X, Y))]
        if form == "duplicates":
            given[1] = Y  # a label stored twice is refused
        model = self.make().fit(*given)
        assert_same_arrays(model, self.fitted)
        assert_same_predictions(model.predict_topk(given[0], 5), self.fitted.predict_topk(X, 5))
        for matrix, copy in zip((X, Y), before, strict=True):
            assert (matrix != copy).nnz == 0

    @pytest.mark.parametrize("method", ["predict_topk", "predict", "decision_function", "predict_proba"])
    def test_prediction_writes_no_attribute(self, method):
        model = self.fitted
        if not hasattr(model, method):
            pytest.skip("its scores are not probabilities")
        assert_writes_nothing(model, method, self.data()[0])

    # Scale

    @pytest.mark.parametrize("exponent", EXPONENTS)
    def test_scale_of_normalized_features_does_not_matter(self, exponent):
        if "normalize" not in self.estimator.get_params():
            pytest.skip("does not normalize rows")
        X, Y = noisy()
        model = self.make(normalize=True)
        expected = self.fitted if self.estimator.normalize else clone(model).fit(X, Y)
        scaled = X * np.float32(2.0**exponent)
        assert_same_predictions(model.fit(scaled, Y).predict_topk(scaled, 5), expected.predict_topk(X, 5))

    @pytest.mark.parametrize("exponent", EXPONENTS)
    def test_scale_of_raw_features_is_right_or_refused(self, exponent):
        if "normalize" not in self.estimator.get_params():
            pytest.skip("does not normalize rows")
        X, Y = block_diagonal()
        scaled = X * np.float32(2.0**exponent)
        model, name = self.make(normalize=False), type(self.estimator).__name__
        if abs(exponent) > 60 and name not in FORESTS:
            with pytest.raises(ValueError, match=r"Row 0 of X has length .* Scale the features"):
                model.fit(scaled, Y)
            return
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(scaled, Y)
        warned = any("median length of the rows" in str(warning.message) for warning in caught)
        assert_well_formed(model.predict_topk(scaled, 5), X.shape[0], 5, N_LABELS)
        assert warned is not model._scale_free
        if name not in PENALIZED:
            assert model.score(scaled, Y) == 1

    # Copies

    def test_clone_has_the_same_parameters_and_is_unfitted(self):
        copy = clone(self.fitted)
        assert parameters(copy) == parameters(self.fitted)
        with pytest.raises(NotFittedError):
            copy.predict_topk(self.data()[0])

    def test_pickle(self):
        X, _ = self.data()
        copy = pickle.loads(pickle.dumps(self.fitted))
        assert_same_arrays(copy, self.fitted)
        for top, expected in zip(self.rankings(copy, X, 5), self.rankings(self.fitted, X, 5), strict=True):
            assert_same_predictions(top, expected)

    @pytest.mark.parametrize("mmap", [True, False])
    @pytest.mark.parametrize("verify", ["lazy", "full"])
    def test_save_and_load(self, mmap, verify, tmp_path):
        X, _ = noisy()
        self.fitted.save(tmp_path / "model")
        copy = xclassic.load(tmp_path / "model", mmap=mmap, verify=verify)
        assert type(copy) is type(self.fitted)
        assert parameters(copy) == parameters(self.fitted)
        assert copy.n_features_in_ == self.fitted.n_features_in_
        assert_same_arrays(copy, self.fitted)
        for k in (1, 37):
            assert_same_predictions(copy.predict_topk(X, k), self.fitted.predict_topk(X, k))
        np.testing.assert_array_equal(copy.predict(X).toarray(), self.fitted.predict(X).toarray())
        again = pickle.loads(pickle.dumps(copy))
        assert_same_predictions(again.predict_topk(X, 5), self.fitted.predict_topk(X, 5))
        copy.save(tmp_path / "model")  # over the arrays that it has mapped
        assert_same_predictions(copy.predict_topk(X, 5), self.fitted.predict_topk(X, 5))
        assert_same_arrays(xclassic.load(tmp_path / "model"), self.fitted)

    # Unusual data

    @pytest.mark.parametrize("dense", [False, True])
    @pytest.mark.parametrize(
        "case",
        ["one label", "label on every row", "labels without rows", "no labels on any row", "one row", "no features"],
    )
    def test_fit_takes_unusual_data(self, case, dense):
        X, Y = noisy()
        if case == "one label":
            Y = csr_array(Y[:, :1])
        elif case == "label on every row":
            Y = csr_array(np.hstack([np.ones((Y.shape[0], 1)), Y.toarray()]))
        elif case == "labels without rows":
            Y = csr_array((Y.data, Y.indices, Y.indptr), shape=(Y.shape[0], 200))
        elif case == "no labels on any row":
            Y = csr_array(Y.shape, dtype=np.float32)
        elif case == "one row":
            X, Y = X[:1], Y[:1]
        elif case == "no features":
            X = csr_array(X.shape, dtype=np.float32)
        X = X.toarray() if dense else X
        model = self.make().fit(X, Y)
        n_labels = Y.shape[1]
        assert_well_formed(model.predict_topk(X, 5), X.shape[0], min(5, n_labels), n_labels)
        assert 0 <= model.score(X, Y) <= 1

    def test_rows_without_features_and_labels(self):
        self.needs_features()
        X, Y = block_diagonal()
        X = csr_array(np.vstack([X.toarray(), np.zeros((30, X.shape[1]))]))
        Y = csr_array(np.vstack([Y.toarray(), np.zeros((30, Y.shape[1]))]))
        model = self.make().fit(X, Y)
        assert model.score(X[:120], Y[:120]) == 1
        assert_well_formed(model.predict_topk(X[120:], 5), 30, 5, N_LABELS)

    @pytest.mark.parametrize("dense", [False, True])
    @pytest.mark.parametrize(
        ("case", "message"),
        [
            ("NaN", "NaN"),
            ("infinite", "infinity"),
            ("too large", "float32"),
            ("negative labels", "only 0 and 1"),
            ("fractional labels", "only 0 and 1"),
            ("missing row", "150 rows but Y has 149"),
            ("no rows", "0 sample"),
            ("no columns", "0 feature"),
            ("no labels", "no label"),
        ],
    )
    def test_fit_rejects_bad_data(self, case, message, dense):
        X, Y = (matrix.toarray().astype(np.float64) for matrix in noisy())
        values = {"NaN": np.nan, "infinite": -np.inf, "too large": 1e300}
        if case in values:
            X[3, 2] = values[case]
        Y[2, 1] = {"negative labels": -1, "fractional labels": 0.5}.get(case, Y[2, 1])
        if case == "missing row":
            Y = Y[:-1]
        elif case == "no rows":
            X, Y = X[:0], Y[:0]
        elif case == "no columns":
            X = X[:, :0]
        elif case == "no labels":
            Y = Y[:, :0]
        with pytest.raises(ValueError, match=message):
            self.make().fit(X if dense else csr_array(X), Y if dense else csr_array(Y))

    @pytest.mark.filterwarnings("ignore::RuntimeWarning")  # Of overflow: numpy warns before the error comes.
    @pytest.mark.parametrize("case", ["one entry", "all entries", "bias", "C"])
    def test_numbers_that_overflow_are_refused_or_make_a_model(self, case, tmp_path):
        X, Y = noisy()
        params = self.estimator.get_params()
        wanted = {"normalize": False} if case.endswith(("entry", "entries")) else {case: 1e39}
        if not wanted.keys() <= params.keys():
            pytest.skip(f"has no parameter {case}")
        if case == "one entry":
            X.data[7] = 1e38
        elif case == "all entries":
            X.data *= np.float32(1e38)
        try:
            model = self.make(**wanted).fit(X, Y)
            top = model.predict_topk(X, 3)
        except ValueError as found:
            error = found
        else:
            error = None
        if error is not None:
            assert re.search(f"(because of {case}|up to .*e\\+.*|X.* not finite).* Scale the features", str(error))
        else:
            assert_well_formed(top, X.shape[0], 3, Y.shape[1])
            model.save(tmp_path / "m")
            assert_same_predictions(xclassic.load(tmp_path / "m", verify="full").predict_topk(X, 3), top)

    @pytest.mark.parametrize("method", ["predict_topk", "predict", "decision_function"])
    def test_predict_rejects_bad_queries(self, method):
        X, _ = noisy()
        with pytest.raises(ValueError, match="59 features"):
            getattr(self.fitted, method)(X[:, :59])
        bad = X.toarray()
        bad[7, 5] = np.nan
        with pytest.raises(ValueError, match=r"NaN.*X\[7, 5\]"):
            getattr(self.fitted, method)(bad)
        with pytest.raises(NotFittedError):
            getattr(self.make(), method)(X)

    def test_predict_topk_rejects_bad_k(self):
        X, _ = self.data()
        with pytest.raises(ValueError, match="k is 0"):
            self.fitted.predict_topk(X, 0)

    def test_predict_topk_rejects_bad_restrictions(self):
        X, _ = noisy()
        with pytest.raises(ValueError, match=r"does not know.*37"):
            self.fitted.predict_topk(X, labels=[1, 37])

    def test_unfitted_use_is_rejected(self, tmp_path):
        X, Y = self.data()
        with pytest.raises(NotFittedError):
            self.make().score(X, Y)
        with pytest.raises(NotFittedError):
            self.make().save(tmp_path / "model")
        assert not (tmp_path / "model").exists()

    def test_failed_fit_leaves_the_estimator_unfitted(self):
        X, Y = self.data()
        model = self.make().fit(X, Y)
        with pytest.raises(ValueError, match=r"\d rows but Y has \d"):
            model.fit(X, Y[:-1])
        with pytest.raises(NotFittedError):
            model.predict_topk(X)

    @pytest.mark.parametrize("n_jobs", [0, "two"])
    def test_fit_rejects_bad_parameters(self, n_jobs):
        with pytest.raises((TypeError, ValueError), match="n_jobs is"):
            self.make(n_jobs=n_jobs).fit(*self.data())

    # Services

    def test_estimate_memory(self):
        X, Y = noisy()
        estimate = self.make().estimate_memory(X, Y)
        assert type(estimate) is int
        assert estimate > 0
        larger = self.make().estimate_memory(*noisy(n_rows=1500, n_features=600, n_labels=370))
        assert larger > estimate
        dense, lists = X.toarray(), [Y[[i]].indices.tolist() for i in range(Y.shape[0])]
        assert self.make().estimate_memory(dense, lists) > 0
        with pytest.raises(ValueError, match="X has 1 dimensions"):
            self.make().estimate_memory([1.5], [["a"]])
        with pytest.raises(ValueError, match="X holds text, not features"):
            self.make().estimate_memory(["a text"], [["a"]])

    def test_prune_weights(self):
        if not hasattr(self.estimator, "prune_weights"):
            pytest.skip("has no weights")
        X, _ = noisy()
        top = self.fitted.predict_topk(X, 5)
        model = pickle.loads(pickle.dumps(self.fitted))
        assert model.prune_weights(0) is model
        assert_same_predictions(model.predict_topk(X, 5), top)
        model.prune_weights(1e30)
        assert_well_formed(model.predict_topk(X, 5), X.shape[0], 5, 37)
        assert not np.array_equal(model.predict_topk(X, 5).scores, top.scores)
        assert_same_predictions(self.fitted.predict_topk(X, 5), top)
        with pytest.raises(ValueError, match="threshold is -1"):
            model.prune_weights(-1)
        with pytest.raises(NotFittedError):
            self.make().prune_weights(0.1)

    def test_cross_validation(self):
        self.needs_features()
        X, Y = block_diagonal()
        encoded, _ = encode_labels([[f"{label}" for label in Y[[i]].indices] for i in range(Y.shape[0])])
        search = GridSearchCV(self.make(), {"n_jobs": [1, 2]}, cv=3).fit(X, encoded)
        assert search.cv_results_["mean_test_score"].min() > 0.95
        assert_same_predictions(predict_topk(search, X, 3), search.best_estimator_.predict_topk(X, 3))
        with config_context(skip_parameter_validation=True):  # scikit-learn would refuse a sparse y here
            assert cross_val_score(self.make(), X, Y, cv=3).mean() > 0.95
        assert cross_val_score(self.make(), X, Y.toarray(), cv=3).mean() > 0.95

    # Stopping

    @pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_ctrl_c_stops_a_fit(self, n_jobs):
        X, Y = noisy()
        model = self.make(n_jobs=n_jobs)
        fit = partial(model.fit, X, Y)
        n_tasks = count_tasks(fit)
        if n_tasks == 0:
            pytest.skip("runs no tasks")
        threads = set(threading.enumerate())
        for moment in {0, n_tasks // 2, n_tasks - 1}:
            assert press_ctrl_c(fit, moment) <= n_jobs
            assert set(threading.enumerate()) <= threads
            with pytest.raises(NotFittedError):
                model.predict_topk(X)
        assert_same_arrays(fit(), self.fitted)

    def test_stop_byte_ends_every_task(self):
        assert tasks_that_ignore_stop(partial(self.make().fit, *noisy())) <= SINGLE_CALLS


def clone_fitted(model, **params):
    return pickle.loads(pickle.dumps(model)).set_params(**params)


def reformed(matrix, form, path):
    """Return the same matrix in another form."""
    data, indices, indptr = matrix.data.copy(), matrix.indices.copy(), matrix.indptr.copy()
    if form == "unsorted":
        for start, stop in pairwise(indptr):
            data[start:stop], indices[start:stop] = data[start:stop][::-1].copy(), indices[start:stop][::-1].copy()
    elif form == "duplicates":
        data, indices, indptr = np.repeat(data / 2, 2), np.repeat(indices, 2), indptr * 2
    elif form == "int64":
        indices, indptr = indices.astype(np.int64), indptr.astype(np.int64)
    elif form == "float64":
        data = data.astype(np.float64)
    elif form == "csc":
        return csc_array(matrix)
    elif form == "read-only":
        for array in (data, indices, indptr):
            array.setflags(write=False)
    elif form == "memory-mapped":
        parts = []
        for name, array in (("data", data), ("indices", indices), ("indptr", indptr)):
            np.save(f"{path}-{name}.npy", array)
            parts.append(np.load(f"{path}-{name}.npy", mmap_mode="r"))
        data, indices, indptr = parts
    return csr_array((data, indices, indptr), shape=matrix.shape)
