"""What users pass, and what the rest of the package gets."""

import tracemalloc
from collections import deque
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from tests.helpers.centroid import Centroid
from xclassic import encode_labels
from xclassic.validation.features import check_features
from xclassic.validation.labels import check_restriction, check_target, find_labels, truth_matrix
from xclassic.validation.parameters import check_choice, check_k, check_n_jobs, check_number

DENSE = np.array([[0, 1.5, 0], [2, 0, 0], [0, 0, 0], [-1, 0, 3]])


def features(X, reset=True):
    return check_features(BaseEstimator(), X, reset=reset)


# Features


@pytest.mark.parametrize("container", [csr_array, csr_matrix, csc_array, coo_array])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.longdouble, np.int64, np.int8, bool])
def test_sparse_features_become_canonical_float32(container, dtype):
    X = features(container(DENSE.astype(dtype)))
    assert isinstance(X, csr_array)
    assert X.dtype == np.float32
    assert X.indices.dtype == X.indptr.dtype == np.int32
    assert X.has_canonical_format
    np.testing.assert_array_equal(X.toarray(), DENSE.astype(dtype).astype(np.float32))


@pytest.mark.parametrize("given_as", [DENSE.tolist(), DENSE.astype(object), np.asfortranarray(DENSE), DENSE[::1, ::-1]])
def test_dense_features_stay_dense(given_as):
    X = features(given_as)
    assert type(X) is np.ndarray
    assert X.dtype == np.float32
    assert X.flags.c_contiguous
    np.testing.assert_array_equal(X, np.asarray(given_as, dtype=np.float32))


def test_features_in_the_right_form_are_not_copied():
    dense = DENSE.astype(np.float32)
    assert np.shares_memory(features(dense), dense)
    sparse = csr_array(dense)
    checked = features(sparse)
    for name in ("data", "indices", "indptr"):
        assert np.shares_memory(getattr(checked, name), getattr(sparse, name))


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_features_out_of_order_are_sorted_and_duplicates_summed(index_dtype):
    data = np.array([1, 2, 4, 8], np.float32)
    indices = np.array([2, 0, 2, 1], index_dtype)
    indptr = np.array([0, 3, 4], index_dtype)
    for array in (data, indices, indptr):
        array.setflags(write=False)
    X = features(csr_array((data, indices, indptr), shape=(2, 3)))
    np.testing.assert_array_equal(X.indices, [0, 2, 1])
    np.testing.assert_array_equal(X.data, [2, 5, 8])
    assert X.indices.dtype == np.int32
    np.testing.assert_array_equal(indices, [2, 0, 2, 1])  # the caller's arrays are as they were


ENTRIES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(-9, 9)), max_size=30)


@given(ENTRIES, st.sampled_from([np.int32, np.int64]))
def test_features_in_any_csr_become_the_matrix_that_it_means(entries, index_dtype):
    entries.sort(key=lambda entry: entry[0])  # by row only: columns stay unsorted and repeated
    rows, columns, values = np.array(entries, index_dtype).reshape(-1, 3).T
    indptr = np.searchsorted(rows, np.arange(6)).astype(index_dtype)
    expected = np.zeros((5, 4))
    np.add.at(expected, (rows, columns), values)
    X = features(csr_array((values.astype(np.float64), columns.copy(), indptr), shape=(5, 4)))
    assert X.has_canonical_format
    np.testing.assert_array_equal(X.toarray(), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint64])
@pytest.mark.parametrize("container", [csr_array, coo_array])
def test_sums_of_integers_do_not_wrap(dtype, container):
    value = np.iinfo(dtype).max
    twice = csr_array((np.full(2, value, dtype), [1, 1], [0, 2]), shape=(1, 2))
    if container is coo_array:
        twice = coo_array((twice.data, ([0, 0], [1, 1])), shape=(1, 2))
    np.testing.assert_array_equal(features(twice).toarray(), [[0, np.float32(2 * float(value))]])
    with pytest.raises(ValueError, match=r"Y\[0, 1\] is"):
        check_target(twice, 1)


def test_features_with_a_stale_flag_are_sorted():
    X = csr_array(DENSE)
    assert X.has_canonical_format
    X.indices[:] = [2, 0, 2, 0]  # row 3 is now out of order
    assert features(X).indices.tolist() == [2, 0, 0, 2]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("value", "message"), [(np.nan, "contains NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_that_are_not_finite_are_located(sparse, value, message, dtype):
    X = DENSE.astype(dtype)
    X[3, 2] = value
    with pytest.raises(ValueError, match=rf"{message}.*X\[3, 2\]"):
        features(csr_array(X) if sparse else X)


@pytest.mark.parametrize("sparse", [False, True])
def test_features_beyond_float32_are_located(sparse):
    X = DENSE.copy()
    X[1, 0] = -1e39
    with pytest.raises(ValueError, match=r"X\[1, 0\] is -1e\+39, beyond the range of float32"):
        features(csr_array(X) if sparse else X)


def test_features_that_overflow_only_in_sum_are_found():
    X = csr_array((np.full(2, 3e38, np.float32), [1, 1], [0, 0, 2]), shape=(2, 3))
    with pytest.raises(ValueError, match=r"X\[1, 1\]"):
        features(X)


@pytest.mark.parametrize(
    ("indices", "indptr"),
    [([0, 3, 0, 2], [0, 1, 2, 2, 4]), ([0, -1, 0, 2], [0, 1, 2, 2, 4]), ([1, 0, 0, 2], [0, 3, 2, 2, 4])],
)
def test_features_with_broken_index_arrays_are_rejected(indices, indptr):
    X = csr_array(DENSE)
    X.indices = np.array(indices, np.int32)
    X.indptr = np.array(indptr, np.int32)
    with pytest.raises(ValueError, match="index arrays of X are broken"):
        features(X)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("container", [np.array, csr_array])
def test_features_of_fit_need_rows_and_columns(shape, container):
    with pytest.raises(ValueError, match=r"0 (sample|feature)\(s\)"):
        features(container(np.empty(shape)))


@pytest.mark.parametrize("X", [[1.0, 2.0], np.float32(3), np.zeros((2, 2, 2))])
def test_features_have_two_dimensions(X):
    with pytest.raises(ValueError, match=r"2D array|dim 3"):
        features(X)


TEXTS = ["green tea", "desk lamp"]


@pytest.mark.parametrize(
    ("X", "fields"),
    [
        ("green tea", ""),
        (TEXTS, ""),
        ((None, "desk lamp"), ""),
        (np.array(TEXTS), ""),
        (np.array(TEXTS, object), ""),
        (np.array(TEXTS, object)[:, None], ""),
        (deque(TEXTS), ""),
        ([["green tea", 3], ["desk lamp", 40]], ""),
        ([{"title": "green tea"}], "'title'"),
        ({"title": TEXTS, "blurb": TEXTS}, r"\['title', 'blurb'\]"),
    ],
    ids=str,
)
def test_features_reject_text_and_name_its_transformers(X, fields):
    message = rf"make_pipeline\(xclassic.features.TextFeatures\({fields}\), Centroid\(\)\), or BertEncoder in its place"
    with pytest.raises(ValueError, match=message):
        Centroid().fit(X, ["a", "b"])
    with pytest.raises(ValueError, match=message):
        Centroid().fit(np.eye(2), ["a", "b"]).predict(X)


def test_memory_of_texts_is_not_estimated():
    with pytest.raises(ValueError, match="X holds text, not features: 'green tea'"):
        Centroid().estimate_memory(TEXTS, ["a", "b"])


def test_features_reject_text_in_columns_of_tables():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"n": [1, 2], "title": TEXTS, "blurb": TEXTS})
    for X, fields in ((table["title"], ""), (table[["title"]], "'title'"), (table, r"\['title', 'blurb'\]")):
        with pytest.raises(ValueError, match=rf"TextFeatures\({fields}\), Centroid"):
            Centroid().fit(X, ["a", "b"])


def test_features_reject_dates():
    with pytest.raises(TypeError, match=r"X is of dtype datetime64.*differences in days"):
        features(DENSE.astype("M8[s]"))


def test_no_rows_need_no_width():
    model = Centroid().fit(np.eye(2), ["a", "b"])
    for X in ([], ()):
        assert model.predict_topk(X, 1).n_rows == model.predict(X).size == 0
    with pytest.raises(ValueError, match="2D array"):
        Centroid().fit([], ["a"])


@pytest.mark.parametrize("convert", [csc_array, coo_array])
@pytest.mark.parametrize("row", [4, 2**31 - 1, -1])
def test_features_are_checked_before_they_are_converted(convert, row):
    X = convert(DENSE)
    (X.indices if X.format == "csc" else X.coords[0])[0] = row
    with pytest.raises(ValueError, match="index arrays of X are broken"):
        features(X)


@pytest.mark.parametrize("pointers", [[0, 2, 2, 2, -5], [0, 2, 1, 0, 0]])
def test_pointers_that_decrease_to_nothing_are_refused(pointers):
    """SciPy looks at pointers only if the last one is positive."""
    X = csr_array(DENSE)
    X.indptr = np.array(pointers, np.int32)
    with pytest.raises(ValueError, match=r"index arrays of X are broken: .*pointers decrease"):
        features(X)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64])
@pytest.mark.parametrize("convert", [csr_array, csc_array, coo_array])
def test_integers_stored_twice_do_not_wrap_around(dtype, convert):
    largest = min(np.iinfo(dtype).max, 2**20)
    X = coo_array((np.full(2, largest, dtype), ([0, 0], [1, 1])), shape=(2, 3))
    if convert is not coo_array:
        by_row = convert is csr_array
        indices, indptr = ([1, 1], [0, 2, 2]) if by_row else ([0, 0], [0, 0, 2, 2])
        X = convert((X.data, indices, indptr), shape=(2, 3))
    assert features(X).toarray().tolist() == [[0, 2 * largest, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match=f"is {2 * largest}"):
        check_target(X, 2)


def test_features_may_be_memory_mapped(tmp_path):
    np.save(tmp_path / "X.npy", DENSE.astype(np.float32))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    np.testing.assert_array_equal(features(mapped), mapped)


def test_features_to_predict_have_the_width_of_training():
    model = Centroid().fit(DENSE, [[0], [1], [], [1]])
    with pytest.raises(ValueError, match="X has 2 features, but Centroid is expecting 3 features"):
        model.predict_topk(DENSE[:, :2])


def test_predicting_needs_a_fit():
    with pytest.raises(NotFittedError):
        Centroid().predict_topk(DENSE)


# Labels

TRUTH = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("container", [np.array, csr_array, csr_matrix, csc_array, coo_array, np.ndarray.tolist])
def test_label_matrices(dtype, container):
    given_as = container(TRUTH.astype(dtype))
    target = check_target(given_as, 4)
    assert isinstance(target.Y, csr_array)
    assert target.Y.dtype == np.float32
    assert target.Y.has_canonical_format
    np.testing.assert_array_equal(target.Y.toarray(), TRUTH)
    assert target.Y.nnz == TRUTH.sum()
    np.testing.assert_array_equal(target.classes, [0, 1, 2])
    assert target.kind == ("dense" if isinstance(given_as, (np.ndarray, list)) else "sparse")
    assert (
        target.dtype
        == np.asarray(TRUTH.astype(dtype).tolist() if isinstance(given_as, list) else TRUTH.astype(dtype)).dtype
    )


def test_label_matrices_drop_stored_zeros_and_stay_as_they_were():
    Y = csr_array((np.array([1.0, 0.0, 1.0], np.float32), [0, 1, 2], [0, 2, 3]), shape=(2, 3))
    assert check_target(Y, 2).Y.nnz == 2
    assert Y.nnz == 3


def test_label_matrices_in_the_right_form_are_not_copied():
    Y = csr_array(TRUTH.astype(np.float32))
    assert np.shares_memory(check_target(Y, 4).Y.indices, Y.indices)


@pytest.mark.parametrize("container", [np.array, csr_array])
@pytest.mark.parametrize("value", [-1, 2, 0.5, np.nan, np.inf])
def test_label_matrices_hold_0_and_1_and_others_are_located(container, value):
    Y = TRUTH.astype(np.float64)
    Y[3, 1] = value
    with pytest.raises(ValueError, match=rf"Y\[3, 1\] is {value}.*only 0 and 1"):
        check_target(container(Y), 4)


def test_label_matrices_reject_a_label_stored_twice():
    Y = csr_array((np.ones(2), [1, 1], [0, 0, 2]), shape=(2, 3))
    with pytest.raises(ValueError, match=r"Y\[1, 1\] is 2.*stored twice are summed"):
        check_target(Y, 2)


@pytest.mark.parametrize(
    "lists",
    [
        [["b", "a"], ["c"], [], ["a"]],
        (("b", "a"), ("c",), (), ("a",)),
        [{"b", "a"}, {"c"}, set(), frozenset("a")],
        [np.array(["b", "a", "b"]), np.array(["c"]), np.array([]), np.array(["a"])],
        np.array([["b", "a"], ["c"], [], ["a"]], dtype=object),
    ],
)
def test_label_collections(lists):
    target = check_target(lists, 4)
    assert target.classes.tolist() == ["a", "b", "c"]
    assert target.kind == "sparse"
    np.testing.assert_array_equal(target.Y.toarray(), [[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]])
    assert target.Y.has_canonical_format


class Column:
    """As pandas and polars have them."""

    def __init__(self, values):
        self.values = values

    def to_list(self):
        return self.values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


def test_label_collections_in_columns_of_data_frames():
    target = check_target(Column([["b", "a"], [], ["a"]]), 3)
    np.testing.assert_array_equal(target.Y.toarray(), [[1, 1], [0, 0], [1, 0]])
    assert check_target(Column(["b", "a", "b"]), 3).kind == "vector"
    assert check_target(Column([2.0, 1.0, 2.0]), 3).classes.dtype == np.float64


class Sequenced(Sequence):
    """As datasets has columns: a sequence without any other method."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, key):
        return self.values[key]


class Arrow:
    """As pyarrow has arrays; their elements are no Python objects."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, key):
        return object()

    def to_pylist(self):
        return self.values

    def __array__(self, dtype=None, copy=None):
        return np.array([np.array(value) for value in self.values], dtype=dtype)


CONTAINERS = [Column, Sequenced, Arrow, deque, tuple]


@pytest.mark.parametrize("rows", CONTAINERS)
@pytest.mark.parametrize("row", [*CONTAINERS, lambda labels: dict.fromkeys(labels).keys()])
@pytest.mark.parametrize("lists", [[["b", "a"], [], ["a"]], [["b", "a"], ["a", "c"], ["c", "b"]], [[3, 1], [7], [1]]])
def test_label_containers_mean_what_lists_mean(rows, row, lists):
    expected = check_target(lists, 3)
    for found in (check_target(rows([row(labels) for labels in lists]), 3), check_target(rows(lists), 3)):
        assert found.kind == "sparse"
        np.testing.assert_array_equal(found.classes, expected.classes)
        np.testing.assert_array_equal(found.Y.toarray(), expected.Y.toarray())


@pytest.mark.parametrize("rows", CONTAINERS)
def test_class_vectors_in_any_container(rows):
    for y in (["b", "a", "b"], [3, 1, 3], [2.0, 1.0, 2.0]):
        found, expected = check_target(rows(y), 3), check_target(y, 3)
        assert found.kind == "vector"
        np.testing.assert_array_equal(found.classes, expected.classes)
        np.testing.assert_array_equal(found.Y.toarray(), expected.Y.toarray())


def test_one_long_class_does_not_widen_the_rows():
    y = ["x" * 30_000, *(f"class {i % 50}" for i in range(20_000))]
    X = csr_array((len(y), 3), dtype=np.float32)
    tracemalloc.start()
    try:
        target = check_target(y, X.shape[0])
        assert tracemalloc.get_traced_memory()[1] < 10 * target.classes.nbytes
    finally:
        tracemalloc.stop()


def test_label_lists_that_numpy_made_an_array_of():
    for lists in ([["a", "b"], ["a", "c"], ["b", "c"]], [["a", "b"], ["a"], ["b", "c"]]):
        found = check_target(np.array(lists, object), 3)
        np.testing.assert_array_equal(found.Y.toarray(), encode_labels(lists)[0].toarray())
    assert check_target(np.array([[0, 1], [1, 0]], object), 2).kind == "dense"


@pytest.mark.parametrize("library", ["pandas", "pyarrow", "datasets"])
def test_label_columns_of_libraries(library):
    module, lists = pytest.importorskip(library), [["tea", "drink"], ["lamp"], ["tea"]]
    columns = {
        "pandas": lambda: [module.Series(lists), [module.Series(row) for row in lists]],
        "pyarrow": lambda: [module.array(lists), module.chunked_array([lists])],
        "datasets": lambda: [module.Dataset.from_dict({"tags": lists})["tags"]],
    }
    expected = check_target(lists, 3)
    for Y in columns[library]():
        target = check_target(Y, 3)
        np.testing.assert_array_equal(target.classes, expected.classes)
        np.testing.assert_array_equal(target.Y.toarray(), expected.Y.toarray())


def test_label_collections_of_integers_are_names_and_not_columns():
    target = check_target([[30, 10], [20]], 2)
    assert target.classes.tolist() == [10, 20, 30]
    assert target.classes.dtype == np.int64
    np.testing.assert_array_equal(target.Y.toarray(), [[1, 0, 1], [0, 1, 0]])


def test_label_lists_of_zeros_and_ones_are_a_matrix_only_if_unambiguous():
    assert check_target([[0, 1, 1], [1, 0, 0]], 2).kind == "dense"
    assert check_target([[0, 1], [1, 1]], 2).kind == "dense"
    assert check_target([[0.0, 1.0], [1.0, 0.0]], 2).kind == "dense"
    assert check_target([[True, False], [False, True]], 2).kind == "dense"
    assert check_target([[0, 1, 2], [1, 0, 3]], 2).classes.size == 4
    assert check_target([[0, 1], [1]], 2).kind == "sparse"
    assert check_target([{0, 1}, {1, 0}], 2).kind == "sparse"


@pytest.mark.parametrize("container", [list, *CONTAINERS])
@pytest.mark.parametrize("rows", [[[0], [1], [1]], [[0, 1], [1, 0], [0, 1]]])
def test_nested_lists_that_could_be_either_are_rejected(container, rows):
    with pytest.raises(ValueError, match=r"may be a row of a 0-1 matrix .* Pass np.array\(Y\) for a matrix, or sets"):
        check_target(container(rows), 3)
    assert check_target(np.array(rows), 3).kind == "dense"


@given(
    st.lists(st.lists(st.text(st.characters(exclude_characters="\0"), max_size=3), max_size=5), min_size=1, max_size=8)
)
def test_encode_labels_equals_the_lists(lists):
    Y, classes = encode_labels(lists)
    lists = [{label.strip() for label in row} - {""} for row in lists]
    assert classes.tolist() == sorted(set().union(*lists))
    assert Y.has_canonical_format
    assert (Y.data == 1).all()
    assert [set(classes[Y[[i]].indices].tolist()) if Y.shape[1] else set() for i in range(len(lists))] == lists


def test_names_are_the_same_whatever_blanks_are_around_them():
    lists = [[" tea", "tea", ""], ["lamp\u3000", "  "], [""], ["tea"]]
    Y, classes = encode_labels(lists)
    assert classes.tolist() == ["lamp", "tea"]
    assert Y.toarray().tolist() == [[0, 1], [1, 0], [0, 0], [0, 1]]
    target = check_target([" tea", "lamp", "tea\n"], 3)
    assert target.classes.tolist() == ["lamp", "tea"]
    assert target.Y.indices.tolist() == [1, 0, 1]
    assert encode_labels([[" tea"]], np.array(["lamp", "tea "]))[0].toarray().tolist() == [[0, 1]]
    assert check_restriction([" tea"], None, classes).tolist() == [1]
    assert encode_labels([[1], [""]])[0].toarray().tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("lists", "error", "message"),
    [
        ([["a"], "b"], TypeError, r"Y\[1\] is 'b', not a collection"),
        ([["a"], {"b": 1}], TypeError, r"Y\[1\] is {'b': 1}, not a collection"),
        ([["a"], iter("b")], TypeError, r"Y\[1\] is .*, not a collection"),
        ([["a"], [1]], TypeError, "int, str"),
        ([["a"], [None]], TypeError, r"Y\[1\] holds None.*A row without labels is \[\]"),
        ([[], ["a"], [], ["b", np.nan]], TypeError, r"Y\[3\] holds nan"),
        ([[1], [np.nan]], TypeError, r"Y\[1\] holds nan"),
        ([["a"], None], TypeError, r"Y\[1\] is None, not a collection of labels; write \[\] for a row without"),
        (Column([["a"], float("nan")]), TypeError, r"Y\[1\] is nan.*write \[\]"),
        ([[True, "a"], [False]], TypeError, "bool, str"),
        (["a", 1], TypeError, "int, str"),
        ([[1.5]], TypeError, "float"),
        ([["a", ["b"]]], TypeError, r"Y\[0\].*unhashable"),
        ([[2**70]], ValueError, "64 bits"),
        ([["a\0"]], ValueError, "null character"),
    ],
)
def test_label_collections_that_are_rejected(lists, error, message):
    with pytest.raises(error, match=message):
        check_target(lists, 2)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (["b", "a", "b"], ["a", "b"]),
        ([3, 1, 3], [1, 3]),
        (np.array(["b", "a", "b"], dtype=object), ["a", "b"]),
        (np.array([3, 1, 3], dtype=object), [1, 3]),
        ([2.0, 1.0, 2.0], [1.0, 2.0]),
        ([True, False, True], [False, True]),
        (("b", "a", "b"), ["a", "b"]),
    ],
)
def test_class_vectors(y, classes):
    target = check_target(y, 3)
    assert target.kind == "vector"
    assert target.classes.tolist() == classes
    np.testing.assert_array_equal(target.Y.toarray(), [[0, 1], [1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.5, 1.25, 3.1], "continuous"),
        ([1.0, np.nan, 2.0], r"NaN.*y\[1\]"),
        (np.array(["a", None, "b"], dtype=object), r"y\[1\] is None, where a class is missing.*\[\] is a row without"),
        (["a", "b", np.nan], r"y\[2\] is nan, where a class is missing"),
        (["a", "", "b"], r"y\[1\] is empty, where a class is missing"),
        (np.array(["a", "b", " "]), r"y\[2\] is empty"),
        (np.array(["a", 1.5, "b"], dtype=object), r"Unknown label type: y\[1\] is 1.5"),
        (np.array([1j, 2, 3]), "Unknown label type.*complex"),
        (csr_array(np.eye(3, dtype=complex)), "Unknown label type: Y is a sparse matrix of dtype complex128"),
        (np.zeros((3, 2, 2)), "3 dimensions"),
        (np.array([["a", "b"]] * 3), "Unknown label type"),
        (None, "y to be passed"),
        ([], "rows"),
        (7, "int of 0 dimensions"),
        (iter([["a"]]), "list_iterator of 0 dimensions"),
        (coo_array(np.ones(3)), r"sparse array of shape \(3,\)|Y has 1"),  # SciPy before 1.13 reads one row
    ],
)
def test_targets_that_are_rejected(y, message):
    with pytest.raises(ValueError, match=message):
        check_target(y, 3)


def test_class_vectors_reject_mixed_classes():
    with pytest.raises(TypeError, match="int, str"):
        check_target(np.array(["a", 1, "b"], dtype=object), 3)


@pytest.mark.parametrize("Y", [np.empty((2, 0)), csr_array((2, 0)), [[], []]])
def test_targets_need_a_label(Y):
    with pytest.raises(ValueError, match="no label"):
        check_target(Y, 2)


@pytest.mark.parametrize("Y", [TRUTH, csr_array(TRUTH), [["a"]] * 4, [1, 2, 3, 4]])
def test_targets_have_the_rows_of_the_features(Y):
    with pytest.raises(ValueError, match="X has 5 rows but Y has 4"):
        check_target(Y, 5)


def test_truth_is_aligned_by_class_and_unknown_labels_are_left_out():
    classes = np.array(["a", "b", "c"])
    np.testing.assert_array_equal(
        truth_matrix([["c", "z"], ["b"], []], classes).toarray(), [[0, 0, 1], [0, 1, 0], [0, 0, 0]]
    )
    np.testing.assert_array_equal(truth_matrix(["c", "z"], classes).toarray(), [[0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(truth_matrix(csr_array(TRUTH), classes).toarray(), TRUTH)
    with pytest.raises(ValueError, match=r"2 columns.* 3 labels"):
        truth_matrix(TRUTH[:, :2], classes)


# Restrictions


def test_restrictions_speak_the_users_labels():
    classes = np.array([10, 20, 30, 40])
    assert check_restriction(None, None, classes) is None
    np.testing.assert_array_equal(check_restriction([30, 10, 30], None, classes), [0, 2])
    np.testing.assert_array_equal(check_restriction(None, {20}, classes), [0, 2, 3])
    np.testing.assert_array_equal(check_restriction([10, 20], [20], classes), [0])
    assert check_restriction([], None, classes).size == 0
    named = {10: "a", 30: "b"}
    for labels in (named.keys(), Column([10, 30]), Sequenced([10, 30]), Arrow([10, 30]), deque([10, 30])):
        np.testing.assert_array_equal(check_restriction(labels, None, classes), [0, 2])
    np.testing.assert_array_equal(check_restriction({"x": 10}.values(), None, classes), [0])
    allowed = check_restriction(np.array(["b"], dtype=object), None, np.array(["a", "b"]))
    assert allowed.tolist() == [1]
    assert allowed.dtype == np.int32


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([10, 11, 12], r"2 labels.*first: \[11, 12\]"),
        (["10"], "does not know"),
        ("10", "string '10'"),
        ([[10]], "2 dimensions"),
    ],
)
def test_restrictions_that_are_rejected(labels, message):
    classes = np.array([10, 20])
    with pytest.raises(ValueError, match=rf"^labels .*{message}"):
        check_restriction(labels, None, classes)
    with pytest.raises(ValueError, match=rf"^exclude .*{message}"):
        check_restriction(None, labels, classes)


def test_labels_are_found_by_value():
    assert find_labels(np.array(["b", "x", ""]), np.array(["a", "b"])).tolist() == [1, -1, -1]
    assert find_labels(np.array([1.5, 2.0, 99.0]), np.array([1, 2])).tolist() == [-1, 1, -1]
    assert find_labels(np.array([1]), np.array([])).tolist() == [-1]


# Parameters


def test_numbers():
    check_number("C", 1, minimum=0, inclusive=False)
    check_number("C", np.float32(0.5), maximum=0.5)
    check_number("k", np.int64(3), integer=True)


@pytest.mark.parametrize("value", ["1", None, True, np.True_, [1], 1j])
def test_numbers_reject_other_values(value):
    with pytest.raises(TypeError, match=r"^C is .*must be a number"):
        check_number("C", value)


@pytest.mark.parametrize(
    ("value", "message"), [(0, "above 0 and at most 2"), (2.5, "at most 2"), (np.nan, "above"), (np.inf, "above")]
)
def test_numbers_out_of_range(value, message):
    with pytest.raises(ValueError, match=rf"^C is .*must be.*{message}"):
        check_number("C", value, minimum=0, maximum=2, inclusive=False)


@pytest.mark.parametrize("value", [10**400, -(10**400), 10**5000, 2**63], ids=int.bit_length)
def test_numbers_of_any_length_are_compared(value):
    shown = f"an integer of {value.bit_length()} bits" if abs(value) > 2**63 else value
    with pytest.raises(ValueError, match=rf"^n is {shown}; it must be at least 1 and at most 2147483647"):
        check_number("n", value, minimum=1, integer=True)
    if abs(value) > 2**63:
        with pytest.raises(ValueError, match=rf"^C is {shown}; it must be finite"):
            check_number("C", value)
    if value > 0:
        assert check_k(value) == value  # All labels are at most that many.


def test_counts_that_memory_grows_with_have_bounds():
    check_number("n_trees", 10**6, integer=True)
    with pytest.raises(ValueError, match=r"n_trees is 1000001; it must be .*at most 1000000"):
        check_number("n_trees", 10**6 + 1, integer=True)


def test_choices():
    check_choice("loss", "logistic", ["logistic", "hinge"])
    check_choice("power", None, ["auto", None])
    with pytest.raises(ValueError, match=r"^loss is 'log'; it must be one of 'logistic', 'hinge'"):
        check_choice("loss", "log", ["logistic", "hinge"])
    with pytest.raises(ValueError, match="must be one of 1"):
        check_choice("n", True, [1])
    with pytest.raises(ValueError, match="must be one of"):
        check_choice("loss", np.zeros(3), ["logistic"])


@pytest.mark.parametrize(
    ("k", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), ("5", TypeError), (True, TypeError)]
)
def test_k_that_is_rejected(k, error):
    with pytest.raises(error, match=r"^k is"):
        check_k(k)


@pytest.mark.parametrize(("n_jobs", "error"), [(0, ValueError), (1.5, TypeError), ("all", TypeError)])
def test_n_jobs_that_is_rejected(n_jobs, error):
    check_n_jobs(None)
    check_n_jobs(-1)
    with pytest.raises(error, match=r"^n_jobs is"):
        check_n_jobs(n_jobs)


def test_class_vectors_of_distinct_classes_raise_no_warning(recwarn):
    target = check_target(np.array([f"class {i}" for i in range(30)]), 30)
    assert target.classes.size == 30
    assert not recwarn.list
