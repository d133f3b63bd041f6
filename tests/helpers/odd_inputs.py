"""Random input for the tests in `tests/fuzz`: matrices, labels, parameters and files, sound ones and broken ones."""

import warnings
from collections import deque

import numpy as np
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix, dok_array, lil_array

from tests.helpers.fuzz import SEED, TRIES

REFUSALS = (ValueError, TypeError)


def fuzz(tries):
    """Return the decorator of a test that draws so many inputs in the short run."""
    limits = settings(
        max_examples=TRIES or tries, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    return lambda test: seed(SEED)(limits(test))


def outcome(function, *args, **options):
    """Return what a call returns, or the refusal that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(*args, **options)
        except REFUSALS as refusal:
            return refusal


def is_refusal(found):
    return isinstance(found, REFUSALS)


def broken_csr(matrix, data=None, indices=None, indptr=None):
    """Return a CSR array with other arrays, which scipy does not get to check."""
    broken = csr_array(matrix.shape, dtype=np.float32)
    for name, array in (("data", data), ("indices", indices), ("indptr", indptr)):
        setattr(broken, name, getattr(matrix, name).copy() if array is None else array)
    return broken


def _replaced(array, at, value):
    changed = array.copy()
    if changed.size:
        changed[at % changed.size] = value
    return changed


# Names of the changes that leave a matrix what it is.
SAME = {
    "csr": lambda m, at: m,
    "csr_matrix": lambda m, at: csr_matrix(m),
    "csc": lambda m, at: csc_array(m),
    "coo": lambda m, at: coo_array(m),
    "lil": lambda m, at: lil_array(m),
    "dok": lambda m, at: dok_array(m),
    "dense": lambda m, at: m.toarray(),
    "fortran": lambda m, at: np.asfortranarray(m.toarray()),
    "strided": lambda m, at: np.repeat(m.toarray(), 2, axis=1)[:, ::2],
    "lists": lambda m, at: m.toarray().tolist(),
    "float64": lambda m, at: m.astype(np.float64),
    "int64": lambda m, at: broken_csr(m, indices=m.indices.astype(np.int64), indptr=m.indptr.astype(np.int64)),
    "reversed": lambda m, at: coo_array((m.tocoo().data[::-1], tuple(c[::-1] for c in m.tocoo().coords)), m.shape),
    "explicit zero": lambda m, at: (
        coo_array((np.r_[m.data, 0], tuple(np.r_[c, 0] for c in m.tocoo().coords)), m.shape)
    ),
}  # fmt: skip
OTHER = {
    "wide": lambda m, at: csr_array((m.data, m.indices, m.indptr), (m.shape[0], m.shape[1] + 1 + at % 9)),
    "narrow": lambda m, at: m[:, : at % m.shape[1]],
    "transposed": lambda m, at: m.T,
    "no rows": lambda m, at: m[:0],
    "one row": lambda m, at: m[:1],
    "empty": lambda m, at: csr_array(m.shape, dtype=np.float32),
    "vector": lambda m, at: m.toarray()[0],
    "cube": lambda m, at: m.toarray()[None],
    "scalar": lambda m, at: np.float32(1),
    "object": lambda m, at: m.toarray().astype(object),
    "complex": lambda m, at: m.astype(np.complex64),
    "text": lambda m, at: m.toarray().astype(str),
    "dates": lambda m, at: m.toarray().astype("M8[s]"),
    "bool": lambda m, at: m.astype(bool),
    "int8": lambda m, at: m.astype(np.int8),
    "half": lambda m, at: m.toarray().astype(np.float16),
    "longdouble": lambda m, at: m.toarray().astype(np.longdouble),
    "big-endian": lambda m, at: m.toarray().astype(">f4"),
    "masked": lambda m, at: np.ma.masked_less(m.toarray(), 0.5),
    "nan": lambda m, at: broken_csr(m, data=_replaced(m.data, at, np.nan)),
    "inf": lambda m, at: broken_csr(m, data=_replaced(m.data, at, -np.inf)),
    "huge": lambda m, at: broken_csr(m, data=_replaced(m.data, at, 3e38)),
    "tiny": lambda m, at: broken_csr(m, data=m.data * np.float32(1e-44)),
    "negative": lambda m, at: broken_csr(m, data=-m.data),
    "column beyond": lambda m, at: broken_csr(m, indices=_replaced(m.indices, at, m.shape[1])),
    "column far beyond": lambda m, at: broken_csr(m, indices=_replaced(m.indices, at, 2**31 - 1)),
    "negative column": lambda m, at: broken_csr(m, indices=_replaced(m.indices, at, -1 - at)),
    "wrong pointer": lambda m, at: broken_csr(m, indptr=_replaced(m.indptr, at, 10**6)),
    "negative pointer": lambda m, at: broken_csr(m, indptr=_replaced(m.indptr, at, -5)),
    "falling pointers": lambda m, at: broken_csr(m, indptr=m.indptr[::-1].copy()),
    "few pointers": lambda m, at: broken_csr(m, indptr=m.indptr[:-2].copy()),
    "few columns": lambda m, at: broken_csr(m, indices=m.indices[: at % max(1, m.nnz)].copy()),
    "few values": lambda m, at: broken_csr(m, data=m.data[: at % max(1, m.nnz)].copy()),
    "float columns": lambda m, at: broken_csr(m, indices=m.indices.astype(np.float32)),
    "twice": lambda m, at: broken_csr(m, indices=np.full_like(m.indices, at % m.shape[1])),
    "strings": lambda m, at: [f"text {i}" for i in range(m.shape[0])],
    "string": lambda m, at: "text",
    "none": lambda m, at: None,
    "dict": lambda m, at: {"a": [1.0] * m.shape[0]},
    "ragged": lambda m, at: [[1.0] * (i % 3) for i in range(m.shape[0])],
}  # fmt: skip


def matrices(valid, changes=None):
    """Draw a name and a changed form of a CSR matrix, by default any."""
    changes = {**SAME, **OTHER} if changes is None else changes
    return st.builds(
        lambda name, at: (name, changes[name](valid.copy(), at)),
        st.sampled_from(sorted(changes)),
        st.integers(0, 10**6),
    )


labels = st.one_of(
    st.sampled_from(["tea", "coffee", "", " ", "a\tb", "\ud83d", "é", "0", "-1", "nan", "None", "tea\0"]),
    st.integers(-3, 12),
    st.sampled_from(
        [2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, True, 1.0, 1.5, np.nan, None, b"tea", np.str_("tea")]
    ),
)
containers = st.sampled_from(
    [list, tuple, set, frozenset, deque, lambda row: np.array(list(row)), lambda row: dict.fromkeys(row)]
)


def label_lists(n_rows):
    """Draw lists of labels, alike or mixed, in one container or in several."""
    row = st.builds(lambda make, row: make(row), containers, st.lists(labels, max_size=4))
    alike = st.builds(
        lambda make, rows: [make(row) for row in rows], containers,
        st.lists(st.lists(st.sampled_from(["tea", "coffee", "milk"]), max_size=3), min_size=n_rows, max_size=n_rows),
    )  # fmt: skip
    return st.one_of(
        alike,
        st.lists(row, min_size=n_rows, max_size=n_rows),
        st.lists(labels, min_size=n_rows, max_size=n_rows),
        st.lists(row, max_size=2 * n_rows),
    )


values = st.one_of(
    st.sampled_from([
        None, True, False, 0, 1, 2, 3, -1, 10**400, -(10**400), 2**31, 2**63, 2**64, 0.0, -0.0, 0.5, 1.0, 1.5, 1e-300,
        1e39, 1e300, np.nan, np.inf, -np.inf, 1j, "", "1", "auto", "cosine", "none", b"x", (), (1,), (1, 2), [], [1, 2],
        {}, {1: 2}, object(), len, int, np.int8(3), np.int64(2), np.uint64(2**64 - 1), np.float32(0.1), np.float16(0.5),
        np.bool_(True), np.array(3), np.array([1, 2]), np.array([]), np.random.RandomState(0), np.random.default_rng(0),
    ]),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=3),
)  # fmt: skip


def damaged(content):
    """Draw a damaged form of the bytes of a file: changed, cut, repeated or with something put in."""

    def change(kind, at, length, put):
        start = at % (len(content) + 1)
        end = min(len(content), start + length)
        return {
            "changed": content[:start] + put + content[start + len(put) :],
            "cut": content[:start],
            "removed": content[:start] + content[end:],
            "repeated": content[:end] + content[start:],
            "put in": content[:start] + put + content[start:],
        }[kind]

    put = st.one_of(
        st.binary(min_size=1, max_size=4),
        st.sampled_from([
            b"\n", b"\r", b"\0", b",", b":", b" ", b'"', b"-1", b"nan", b"1e999", b"9" * 30, b"\xff", b"\xef\xbb\xbf",
            b"{", b"[", b"]", b"null", b"\\u0000", b"\\ud83d", b"\t", b"0x1", b"inf", b"#",
        ]),
    )  # fmt: skip
    kinds = st.sampled_from(["changed", "cut", "removed", "repeated", "put in"])
    return st.builds(change, kinds, st.integers(0, 10**6), st.integers(1, 40), put)
