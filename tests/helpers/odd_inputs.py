"""Random input for the tests in `tests/fuzz`: matrices, labels, parameters and files, sound ones and broken ones."""

import warnings
from collections import deque

import numpy as np
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st

from tests.helpers.fuzz import SEED, TRIES
from tests.helpers.odd_matrices import BROKEN, FORMS, ODD

REFUSALS = (ValueError, TypeError)


def fuzz(tries):
    """Return the decorator of a test that draws so many inputs in the short run."""
    limits = settings(max_examples=TRIES or tries, database=None, suppress_health_check=list(HealthCheck))
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


def matrices(valid, changes=FORMS | BROKEN | ODD):
    """Draw a name and a changed form of a CSR matrix."""
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
