"""The text format: reading, writing, and every way a file can be wrong."""

import bz2
import contextlib
import gzip
import locale
import lzma
import os
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import coo_array, csr_array, csr_matrix, random_array

from tests.helpers.naive import datasets as naive
from xclassic.datasets import DataFileError, load_bibtex, read_split, read_xmc, write_xmc

FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def file(tmp_path):
    """Return a function that writes bytes or text to a file and returns its path."""

    def write(content, name="data.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def equal(A, B):
    return (
        A.shape == B.shape
        and A.has_canonical_format
        and np.array_equal(A.indptr, B.indptr)
        and np.array_equal(A.indices, B.indices)
        and A.data.tobytes() == B.data.tobytes()
    )


def points(X, Y):
    """Return rows as dicts and label sets, as the twin gives them."""
    rows = [
        dict(zip(X.indices[a:b].tolist(), X.data[a:b], strict=True))
        for a, b in zip(X.indptr[:-1], X.indptr[1:], strict=True)
    ]
    labels = [set(Y.indices[a:b].tolist()) for a, b in zip(Y.indptr[:-1], Y.indptr[1:], strict=True)]
    return rows, labels, X.shape[1], Y.shape[1]


# Reading


def test_read_xmc_reads_the_format(file):
    X, Y = read_xmc(file("3 4 3\n0,2 1:0.5 3:2\n 0:1e-1\n1\n"))
    assert X.toarray().tolist() == [[0, 0.5, 0, 2], [np.float32(0.1), 0, 0, 0], [0, 0, 0, 0]]
    assert Y.toarray().tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert isinstance(X, csr_array)
    assert X.dtype == Y.dtype == np.float32
    assert X.indices.dtype == X.indptr.dtype == np.int32
    X.check_format()
    Y.check_format()


def test_bibtex_equals_the_plain_reader(tmp_path):
    data = load_bibtex()
    assert data.X.shape == (4880, 1836)
    assert data.Y_test.shape == (2515, 159)
    assert len(data.label_names) == 159
    write_xmc(tmp_path / "train.txt", data.X, data.Y)
    X, Y = naive.read_xmc(tmp_path / "train.txt")
    assert equal(data.X, X)
    assert equal(data.Y, Y)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, bz2.compress])
@pytest.mark.parametrize("name", ["data.txt", "data.gz", "data.xz"])
def test_compression_is_recognized_by_content(file, compress, name):
    X, Y = read_xmc(file(compress(b"1 2 1\n0 1:3\n"), name))
    assert X.toarray().tolist() == [[0, 3]]
    assert Y.toarray().tolist() == [[1]]


@pytest.mark.parametrize("block", [1, 2, 7, 64])
def test_block_borders_change_nothing(file, monkeypatch, block):
    path = file(b"\xef\xbb\xbf# made by hand\r\n3 4 3\r\n0,2 1:0.5 3:2\r\n 0:1\r\n# more\r\n1,1 2:3")
    with pytest.warns(UserWarning, match=r"1 labels are repeated within their row \(first in line 6\)"):
        whole = read_xmc(path)
    monkeypatch.setattr("xclassic.datasets.xmc.BLOCK_BYTES", block)
    with pytest.warns(UserWarning, match="line 6"):
        parts = read_xmc(path)
    assert all(map(equal, whole, parts))


def test_a_line_may_be_longer_than_many_blocks(file, monkeypatch):
    monkeypatch.setattr("xclassic.datasets.xmc.BLOCK_BYTES", 16)
    cells = " ".join(f"{i}:{i + 1}" for i in range(20_000))
    X, Y = read_xmc(file(f"2 20000 2\n1 {cells}\n0 7:1"))
    np.testing.assert_array_equal(X[[0]].toarray()[0], np.arange(20_000) + 1)
    assert Y.toarray().tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    "text",
    [
        "2 3 2\r\n0 1:2\r\n1 2:3\r\n",
        "2 3 2\n0 1:2\n1 2:3",
        "\ufeff2 3 2\n0 1:2\n1 2:3\n",
        "# comment\n2 3 2\n0 1:2\n#\n1 2:3\n# end\n",
        "2\t3 2 \n0\t1:2\n1  2:3 \n\n\n",
        " 2 3 2\n0 1:+2.0\n1 2:.3E+1\n",
    ],
)
def test_layout_does_not_matter(file, text):
    X, Y = read_xmc(file(text))
    assert X.toarray().tolist() == [[0, 2, 0], [0, 0, 3]]
    assert Y.toarray().tolist() == [[1, 0], [0, 1]]


def test_ids_are_sorted_and_stored_zeros_kept(file):
    X, Y = read_xmc(file("1 9 9\n8,0,4 7:1 2:0 5:-0\n"))
    assert X.indices.tolist() == [2, 5, 7]
    assert X.data.tolist() == [0, 0, 1]
    assert np.signbit(X.data).tolist() == [False, True, False]
    assert Y.indices.tolist() == [0, 4, 8]


def test_label_given_twice_counts_once_with_a_warning(file):
    path = file("3 1 3\n0\n2,1,2,2\n1,1\n")
    with pytest.warns(UserWarning, match=r"data.txt: 3 labels are repeated .* line 3"):
        _, Y = read_xmc(path)
    assert Y.toarray().tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 0]]


def test_points_without_labels_or_features(file):
    X, Y = read_xmc(file("5 2 2\n \n0:1\n\n 1:1\n1\n"))
    assert X.toarray().tolist() == [[0, 0], [1, 0], [0, 0], [0, 1], [0, 0]]
    assert Y.toarray().tolist() == [[0, 0], [0, 0], [0, 0], [0, 0], [0, 1]]


def test_file_without_points(file):
    X, Y = read_xmc(file("0 5 3\n"))
    assert X.shape == (0, 5)
    assert Y.shape == (0, 3)


def test_headerless_needs_the_first_id(file):
    path = file("0,2 1:5 3:2\n, 2:1\n".replace(", ", " "))
    with pytest.raises(DataFileError, match=r"line 1: there is no header .* pass zero_based=True or zero_based=False"):
        read_xmc(path)
    X, Y = read_xmc(path, zero_based=True)
    assert X.shape == (2, 4)
    assert Y.shape == (2, 3)
    shifted, _ = read_xmc(path, zero_based=False)
    assert shifted.shape == (2, 3)
    assert shifted.toarray().tolist() == X.toarray()[:, 1:].tolist()


def test_lshtc_style_blank_after_comma(file):
    X, Y = read_xmc(file("545, 32 8:1 18:2\n"), zero_based=True)
    assert Y.indices.tolist() == [32, 545]
    assert X.indices.tolist() == [8, 18]


def test_widths_may_be_given(file):
    X, Y = read_xmc(file("0 1:2\n"), zero_based=True, n_features=7, n_labels=5)
    assert (X.shape, Y.shape) == ((1, 7), (1, 5))
    with_header = file("1 2 1\n0 1:2\n")
    X, Y = read_xmc(with_header, n_features=7, n_labels=5)
    assert (X.shape, Y.shape) == ((1, 7), (1, 5))
    with pytest.raises(DataFileError, match="announces 2 features, more than n_features=1"):
        read_xmc(with_header, n_features=1)
    with pytest.raises(ValueError, match="n_labels must be between 0"):
        read_xmc(with_header, n_labels=-1)


# Malformed files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("# only this\n", "the file is empty"),
        ("2 3\n0 1:2\n", "line 1: expected 'n_points n_features n_labels', each at most 2147483647, found '2 3'"),
        ("1 2 3 4\n", "line 1: expected 'n_points n_features n_labels'"),
        ("1 2147483648 3\n", "line 1: expected 'n_points n_features n_labels'"),
        ("1 " + "9" * 5000 + " 3\n", "line 1: expected 'n_points n_features n_labels'"),
        ("1 -2 3\n", "line 1: there is no header"),
        ("2 3 2\n0 1:2\n", r"ends after 1 points \(line 2\), but its header announces 2"),
        ("1 3 2\n0 1:2\n1 2:3\n", "line 3: found '1' after the 1 points that the header announces"),
        ("1 3 2\n0 1:2\n \n", "line 3: found '' after the 1 points"),
        ("1 3 2\n0 3:2\n", "line 2: the feature of '3:2' is out of range: accepted are 0 to 2"),
        ("1 3 2\n0,2 1:2\n", "line 2: label '2' is out of range: accepted are 0 to 1"),
        ("1 3 2\n0 99999999999999999999:2\n", "line 2: the feature of '9{20}:2' is out of range"),
        ("1 3 2\n0 1:2 1:2\n", "line 2: the row names a feature more than once"),
        ("1 3 2\n0 2:2 1:2 2:1\n", "line 2: the row names a feature more than once"),
        ("1 3 2\n-1 1:2\n", "line 2: expected a label id .* found '-1'"),
        ("1 3 2\n0 -1:2\n", "line 2: expected feature:value, found '-1:2'"),
        ("1 3 2\n0, 1:2\n", "line 2: expected a label id .* found '1:2'"),
        ("1 3 2\n0,,1 1:2\n", "line 2: expected a label id .* found ',1'"),
        ("1 3 2\n,1 1:2\n", "line 2: expected a label id .* found ',1'"),
        ("1 3 2\n1, \n", "line 2: expected a label id .* found ''"),
        ("1 3 2\n1.0 1:2\n", "line 2: expected a label id .* found '1.0'"),
        ("1 3 2\n0,1:2\n", "line 2: expected a label id .* found '1:2'"),
        ("1 3 2\nsport 1:2\n", "line 2: expected a label id .* found 'sport'"),
        ("1 3 2\n0 1\n", "line 2: expected feature:value, found '1'"),
        ("1 3 2\n0 a:1\n", "line 2: expected feature:value, found 'a:1'"),
        ("1 3 2\n0 1:\n", "line 2: the value of '1:' is not a decimal number"),
        ("1 3 2\n0 1: 2\n", "line 2: the value of '1:' is not a decimal number"),
        ("1 3 2\n0 1:2:3\n", "line 2: the value of '1:2:3' is not a decimal number"),
        ("1 3 2\n0 1:nan\n", "line 2: the value of '1:nan' is not a decimal number that is finite in float32"),
        ("1 3 2\n0 1:-inf\n", "line 2: the value of '1:-inf' is not"),
        ("1 3 2\n0 1:1e39\n", "line 2: the value of '1:1e39' is not"),
        ("1 3 2\n0 1:-1e999\n", "line 2: the value of '1:-1e999' is not"),
        ("1 3 2\n0 1:0x10\n", "line 2: the value of '1:0x10' is not"),
        ("1 3 2\n0 1:1_0\n", "line 2: the value of '1:1_0' is not"),
        ("1 3 2\n0 1:1,5\n", "line 2: the value of '1:1,5' is not"),
        ("1 3 2\n0 1:--1\n", "line 2: the value of '1:--1' is not"),
        ("1 3 2\n0 1:.\n", "line 2: the value of '1:.' is not"),
        ("1 3 2\n0 1:1e\n", "line 2: the value of '1:1e' is not"),
        ("1 3 2\n0 1:2 # remark\n", "line 2: expected feature:value, found '#'"),
        ("1 3 2\n0 qid:1 1:2\n", "line 2: expected feature:value, found 'qid:1'"),
        ("1 3 2\n0 1:2\r1 2:1\n", "line 2: the value of '1:2' is not"),
        ("1 3 2\n0\x00 1:2\n", r"line 2: expected a label id .* found '0\\x00'"),
        ("1 3 2\n0 ä:2\n", "line 2: expected feature:value, found 'ä:2'"),
        ("# a\n1 3 2\n# b\n0 5:2\n", "line 4: the feature of '5:2'"),
    ],
)
def test_read_xmc_rejects_malformed_files(file, text, message):
    path = file(text)
    with pytest.raises(DataFileError, match=f"^{path}.*{message}") as caught:
        read_xmc(path)
    assert caught.value.path == path
    assert isinstance(caught.value, ValueError)
    if "line " in message and "(line" not in message:
        assert caught.value.line == int(message.split("line ")[1].split(":")[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1:2\n\n1 1:1\n", "line 2: the line is empty.*one space"),
        ("0 1:2\n1 0:1\n", "line 2: the feature of '0:1' is out of range: accepted are 1 to 2147483647"),
        ("0 1:2\n1 4294967296:1\n", "line 2: the feature of '4294967296:1' is out of range"),
        ("2147483647 1:2\n", "line 1: label '2147483647' is out of range"),
    ],
)
def test_headerless_files_that_are_malformed_are_rejected(file, text, message):
    with pytest.raises(DataFileError, match=message):
        read_xmc(file(text), zero_based=False)


def test_read_xmc_rejects_foreign_and_damaged_files(file, tmp_path):
    with pytest.raises(DataFileError, match="there is no header"):
        read_xmc(file("1 2 1\n0 1:1\n".encode("utf-16")))
    for compress in (gzip.compress, lzma.compress, bz2.compress):
        whole = compress(b"1 2 1\n0 1:1\n" * 50)
        for damaged in (whole[: len(whole) // 2], whole[:20] + b"\xff\x00\xff\x00" + whole[24:]):
            with pytest.raises(DataFileError, match="compressed data is damaged"):
                read_xmc(file(damaged))
    with pytest.raises(FileNotFoundError):
        read_xmc(tmp_path / "absent.txt")


def test_error_far_down_is_clipped(file):
    good = "0,1 " + " ".join(f"{i}:0.5" for i in range(100)) + "\n"
    path = file("20001 100 2\n" + good * 20000 + "0 " + "x" * 10**6 + "\n")
    with pytest.raises(DataFileError, match=r"line 20002: expected feature:value, found 'x{40}'\.\.\.$"):
        read_xmc(path)


def test_error_names_the_line_in_any_block(file, monkeypatch):
    monkeypatch.setattr("xclassic.datasets.xmc.BLOCK_BYTES", 16)
    with pytest.raises(DataFileError, match="line 41: expected feature:value, found 'oops'"):
        read_xmc(file("50 100 2\n" + "0,1 5:1 7:2.25\n" * 39 + "1 oops\n" + "0 1:1\n" * 10))


# Numbers


@FUZZ
@given(arrays(np.float32, 30, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_floats_survive(tmp_path, values):
    X = csr_array((values, np.arange(30), [0, 30]), shape=(1, 30))
    write_xmc(tmp_path / "x.txt", X, csr_array((1, 0)))
    back, _ = read_xmc(tmp_path / "x.txt")
    assert equal(back, X)


@FUZZ
@given(
    st.from_regex(
        r"[+-]?(\d{1,25}\.?\d{0,30}|\.\d{1,50})([eE][+-]?\d{1,2})?", fullmatch=True, alphabet="0123456789+-.eE"
    )
)
@example("16777217")
@example("16777216.99999999999999999999")
@example("0.1")
@example("1.00000005960464477539")
@example("1.000000059604644775390625")
@example("1.000000178813934326171875")
@example("7.006492321624085e-46")
@example("7.006492321624086e-46")
@example("1e-99")
@example("340282346638528859811704183484516925440")
@example("340282356779733661637539395458142568447")
@example("340282356779733661637539395458142568448")
@example("0." + "0" * 400 + "1")
def test_values_round_to_the_nearest(tmp_path, text):
    expected = naive.nearest_float32(text.encode())
    (tmp_path / "x.txt").write_text(f"1 1 0\n 0:{text}\n")
    if np.isfinite(expected):
        X, _ = read_xmc(tmp_path / "x.txt")
        assert X.data.tobytes() == expected.tobytes()
    else:
        with pytest.raises(DataFileError, match="not a decimal number that is finite"):
            read_xmc(tmp_path / "x.txt")


@pytest.fixture
def decimal_comma():
    """Run under a locale that breaks C's own conversions."""
    before = locale.setlocale(locale.LC_NUMERIC)
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "pt_BR.UTF-8", "German", "French"):
        with contextlib.suppress(locale.Error):
            yield locale.setlocale(locale.LC_NUMERIC, name)
            locale.setlocale(locale.LC_NUMERIC, before)
            return
    pytest.skip("no locale with a decimal comma is installed")


def test_locale_does_not_matter(file, tmp_path, decimal_comma):
    X, Y = read_xmc(file("1 2 1\n0 0:1.5 1:123456789.125e-3\n"))
    write_xmc(tmp_path / "back.txt", X, Y)
    assert X.data.tolist() == [1.5, np.float32(123456.789125)]
    assert (tmp_path / "back.txt").read_text() == "1 2 1\n0 0:1.5 1:123456.79\n"


# Writing


@st.composite
def datasets(draw):
    n, d, n_labels = draw(st.integers(0, 6)), draw(st.integers(0, 5)), draw(st.integers(0, 4))
    value = st.floats(width=32, allow_nan=False, allow_infinity=False)
    X = draw(arrays(np.float32, (n, d), elements=value | st.just(0.0)))
    mask = draw(arrays(bool, (n, d)))
    Y = draw(arrays(bool, (n, n_labels)))
    rows, columns = np.nonzero(mask)
    stored = coo_array((X[rows, columns], (rows, columns)), shape=(n, d))  # with explicit zeros
    return csr_array(stored), csr_array(Y.astype(np.float32))


@FUZZ
@given(datasets(), st.sampled_from(["x.txt", "x.txt.gz", "x.txt.xz", "x.txt.bz2"]))
def test_round_trip(tmp_path, data, name):
    write_xmc(tmp_path / name, *data)
    assert all(map(equal, read_xmc(tmp_path / name), data))


def test_round_trip_over_several_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("xclassic.datasets.xmc.BLOCK_ROWS", 7)
    X = csr_array(random_array((100, 50), density=0.1, rng=0, dtype=np.float32, format="csr"))
    Y = csr_array(random_array((100, 20), density=0.1, rng=1, format="csr") > 0, dtype=np.float32)
    write_xmc(tmp_path / "x.txt", X, Y)
    assert all(map(equal, read_xmc(tmp_path / "x.txt"), (X, Y)))


def test_write_takes_any_container_and_leaves_it_alone(tmp_path):
    X = np.array([[0, 0.5], [1, 0]])
    Y = np.array([[1, 0, 1], [0, 0, 0]])
    unsorted = csr_matrix((np.array([1.0, 2.0, 3.0]), [1, 0, 1], [0, 3]), shape=(1, 2))
    unsorted.data.flags.writeable = False
    write_xmc(tmp_path / "x.txt", X, Y)
    assert (tmp_path / "x.txt").read_bytes() == b"2 2 3\n0,2 1:0.5\n 0:1\n"
    write_xmc(tmp_path / "x.txt", unsorted, csr_matrix(np.array([[1]])))
    assert (tmp_path / "x.txt").read_bytes() == b"1 2 1\n0 0:2 1:4\n"
    assert unsorted.indices.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        ([[np.nan]], [[1]], "NaN"),
        ([[1e300]], [[1]], "beyond the range of float32"),
        ([[1.0]], [[0.5]], "only 0 and 1"),
        ([[1.0]], [[-1]], "only 0 and 1"),
        ([[1.0]], [[1], [0]], "X has 1 rows and Y has 2"),
        ([[1.0]], [1], "it must be a matrix"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_write_rejects_bad_data(tmp_path, X, Y, message):
    with pytest.raises(ValueError, match=message):
        write_xmc(tmp_path / "x.txt", np.array(X), np.array(Y))
    assert not list(tmp_path.iterdir())


def test_write_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "x.txt.gz"
    X, Y = csr_array(np.eye(3, dtype=np.float32)), csr_array(np.eye(3, dtype=np.float32))
    write_xmc(path, X, Y)
    old = path.read_bytes()
    write_xmc(path, X, Y)
    assert path.read_bytes() == old  # no time stamp inside

    def full(**arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xclassic.datasets.xmc.format_points", full)
    with pytest.raises(OSError, match="No space left"):
        write_xmc(path, X * 2, Y)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["x.txt.gz"]


# Against the twin, on anything

WORDS = [
    "12",
    "0:1",
    "1:0.5",
    "2:-3e2",
    "3:x",
    ", ",
    "\r\n",
    "-1",
    "1:nan",
    "1.5",
    "\n0 ",
    "\n1,0 ",
    "4:1e39",
    "9999999999",
]
PIECES = st.sampled_from([*"0127:, \t\n\r#+e\u00e9\0", *WORDS])
HEADERS = st.sampled_from(["", "0 3 3\n", "1 3 3\n", "2 5 3\n", "3 8 8\r\n", "2 3\n", "# c\n2 9 9\n", "\ufeff1 2 2\n"])


@settings(FUZZ, max_examples=1500)
@given(
    HEADERS,
    st.lists(PIECES, max_size=14).map("".join),
    st.sampled_from([None, True, False]),
    st.sampled_from([3, 1 << 20]),
)
def test_read_xmc_equals_the_twin(tmp_path, header, body, zero_based, block):
    text = (header + body).encode()
    (tmp_path / "x.txt").write_bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xclassic.datasets.xmc.BLOCK_BYTES", block)
        compare_with_twin(tmp_path / "x.txt", text, zero_based)


@settings(FUZZ, max_examples=300)
@given(st.binary(max_size=60).filter(lambda text: not text.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"))))
def test_read_xmc_survives_any_bytes(tmp_path, text):
    for content in (text, b"2 9 9\n" + text):
        (tmp_path / "x.txt").write_bytes(content)
        compare_with_twin(tmp_path / "x.txt", content, True)


def compare_with_twin(path, text, zero_based):
    try:
        expected = naive.parse_xmc(text, zero_based)
    except naive.Malformed as error:
        expected = error
    if isinstance(expected, naive.Malformed):
        with pytest.raises(DataFileError) as caught:
            read_xmc(path, zero_based=zero_based)
        assert caught.value.line == expected.args[0]
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            X, Y = read_xmc(path, zero_based=zero_based)
        assert points(X, Y) == expected
        X.check_format()
        Y.check_format()


# Split files


def test_split_files(file):
    data = file("4 1 4\n0 0:1\n1 0:2\n2 0:3\n3 0:4\n")
    split = file("4 1\n2 3\n1 4\n", "trSplit.txt")
    X, Y = read_xmc(data, split=split)
    assert X.toarray().ravel().tolist() == [4, 2, 1]
    assert Y.shape == (3, 4)
    assert read_xmc(data, split=split, split_column=1)[0].toarray().ravel().tolist() == [1, 3, 4]
    assert read_split(split).tolist() == [3, 1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2\n3\n", "line 2: expected 2 row numbers, found '3'"),
        ("1 2\n3 4 5\n", "line 2: expected 2 row numbers"),
        ("1\n1.5\n", "line 2: expected 1 row numbers, found '1.5'"),
        ("1\n\n", "line 2: expected 1 row numbers"),
        ("1\n0\n", "line 2: row 0 is out of range: accepted are 1 to 4"),
        ("1\n" + "9" * 5000 + "\n", "line 2: row 99999999999999999999 is out of range"),
        ("1\n5\n", "line 2: row 5 is out of range: accepted are 1 to 4"),
        ("2\n1\n2\n", "line 3: row 2 comes a second time in column 0"),
        ("\n", "line 1: expected some row numbers"),
        ("", "the file is empty"),
    ],
)
def test_split_files_that_are_bad_are_rejected(file, text, message):
    with pytest.raises(DataFileError, match=message):
        read_split(file(text), n_points=4)


def test_split_column_must_exist(file):
    with pytest.raises(ValueError, match="has 2 columns, 0 to 1; there is no column 2"):
        read_split(file("1 2\n"), 2)
