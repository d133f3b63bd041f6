"""Matrices in folders: written in pieces, appended to, opened as maps, and whole whatever happens to a writer."""

import gzip
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array, vstack

from xclassic.datasets import DataFileError, open_matrix, read_xmc, write_matrix, write_xmc
from xclassic.datasets import _matrix_folder as folders
from xclassic.validation import pieces
from xclassic.validation.pieces import is_mapped


def random_rows(n=60, d=20, seed=0):
    X = csr_array(random_array((n, d), density=0.2, rng=np.random.default_rng(seed), dtype=np.float32))
    X.sort_indices()
    return X


def same(one, other):
    return one.shape == other.shape and (one != other).nnz == 0 and one.nnz == other.nnz


def cut(X, step=7):
    return (X[start : start + step] for start in range(0, X.shape[0], step))


def test_pieces_become_one_matrix_over_read_only_maps(tmp_path):
    X = random_rows()
    assert write_matrix(tmp_path / "X", cut(X)) is None
    found = open_matrix(tmp_path / "X", verify="full")
    assert same(found, X)
    assert is_mapped(found)
    assert found.dtype == np.float32
    assert found.indices.dtype == found.indptr.dtype == np.int32
    assert not found.data.flags.writeable
    assert not found.indices.flags.writeable


def test_files_are_arrays_that_numpy_reads(tmp_path):
    X = random_rows()
    write_matrix(tmp_path, cut(X))
    for name in ("data", "indices", "indptr"):
        (file,) = tmp_path.glob(f"{name}.*.npy")
        np.testing.assert_array_equal(np.load(file), getattr(X, name))


@pytest.mark.parametrize(
    ("pieces", "shape"),
    [([], (0, 4)), ([np.zeros((0, 4))], (0, 4)), ([np.zeros((3, 4))], (3, 4)), ([csr_array((2, 0))], (2, 0))],
)
def test_nothing_is_a_matrix_too(pieces, shape, tmp_path):
    write_matrix(tmp_path, pieces, n_columns=shape[1])
    found = open_matrix(tmp_path, verify="full")
    assert found.shape == shape
    assert found.nnz == 0


def test_pieces_take_any_form_and_are_put_into_order(tmp_path):
    turned = csr_array((np.array([1.0, 2.0, 3.0]), [2, 0, 0], [0, 3]), shape=(1, 3))
    write_matrix(tmp_path, [np.eye(3, dtype=np.float64), turned.tocoo(), turned.tocsc(), turned])
    np.testing.assert_array_equal(open_matrix(tmp_path, verify="full").toarray(), [*np.eye(3), *[[5, 0, 1]] * 3])


def test_rows_are_appended(tmp_path):
    X = random_rows()
    for start in (0, 20, 40):
        write_matrix(tmp_path, cut(X[start : start + 20]), append=True)
    assert same(open_matrix(tmp_path, verify="full"), X)


def test_a_matrix_opened_before_keeps_its_rows(tmp_path):
    X, other = random_rows(), random_rows(seed=1)
    write_matrix(tmp_path, [X])
    before = open_matrix(tmp_path)
    write_matrix(tmp_path, [other], append=True)
    assert same(before, X)
    longer = open_matrix(tmp_path)
    write_matrix(tmp_path, [other])
    assert same(before, X)
    assert same(longer, csr_array(vstack([X, other])))
    assert same(open_matrix(tmp_path), other)
    assert len(list(tmp_path.glob("data.*"))) == 1


def test_more_entries_than_int32_counts_have_wide_pointers(tmp_path, monkeypatch):
    X = random_rows()
    write_matrix(tmp_path, [X])
    monkeypatch.setattr(pieces, "INT32_MAX", 100)
    found = open_matrix(tmp_path, verify="full")
    assert found.indptr.dtype == np.int64
    assert found.indices.dtype == np.int32
    np.testing.assert_array_equal(found.indptr, X.indptr)


class Break(Exception):
    """What a source raises in the middle."""


def broken(X):
    yield X
    raise Break


@pytest.mark.parametrize("append", [False, True])
def test_a_source_that_fails_leaves_what_was_there(append, tmp_path):
    X = random_rows()
    with pytest.raises(Break):
        write_matrix(tmp_path, broken(X), append=append)
    with pytest.raises(FileNotFoundError, match="there is no matrix in"):
        open_matrix(tmp_path)
    write_matrix(tmp_path, [X])
    with pytest.raises(Break):
        write_matrix(tmp_path, broken(random_rows(seed=1)), append=append)
    assert same(open_matrix(tmp_path, verify="full"), X)
    write_matrix(tmp_path, [X], append=True)
    assert same(open_matrix(tmp_path, verify="full"), csr_array(vstack([X, X])))
    assert len(list(tmp_path.glob("*.npy"))) == 3


KILLED = """
import os, sys
import numpy as np
from xclassic.datasets import write_matrix
from xclassic.datasets import _matrix_folder as folders

def die(*_):
    os._exit(9)

if sys.argv[2] == "rename":
    folders.os.replace = die  # After the files have got their new headers.
def rows():
    yield np.full((50, 20), 7.0)
    if sys.argv[2] == "rows":
        die()
write_matrix(sys.argv[1], rows(), append=sys.argv[3] == "append")
"""


@pytest.mark.parametrize("mode", ["append", "replace"])
@pytest.mark.parametrize("moment", ["rows", "rename"])
def test_a_killed_writer_leaves_what_was_there(moment, mode, tmp_path):
    X = random_rows()
    write_matrix(tmp_path, [X])
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path, moment, mode], timeout=120).returncode == 9
    assert same(open_matrix(tmp_path, verify="full"), X)
    write_matrix(tmp_path, [X], append=True)
    assert same(open_matrix(tmp_path, verify="full"), csr_array(vstack([X, X])))
    assert len(list(tmp_path.glob("*.npy"))) == 3
    for file in tmp_path.glob("*.npy"):
        np.load(file)


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    X = random_rows()
    write_matrix(tmp_path, [X])

    def full(stream):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders, "flush", full)
    with pytest.raises(
        OSError, match=r"could not write the matrix .No space left on device\); what was there is unchanged"
    ):
        write_matrix(tmp_path, [X], append=True)
    assert same(open_matrix(tmp_path, verify="full"), X)


def test_folders_of_other_things_are_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(FileExistsError, match=r"holds 'thesis\.tex', which is no part of a matrix"):
        write_matrix(tmp_path, [np.eye(2)])
    with pytest.raises(FileExistsError, match="is a file; a matrix is written to a folder"):
        write_matrix(tmp_path / "thesis.tex", [np.eye(2)])


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ([np.eye(2), np.eye(3)], {}, "Piece 1 has 3 columns; 2 would fit the rows before it"),
        ([np.eye(2), [[np.nan, 1]]], {}, r"Piece 1: Input X contains NaN \(first: X\[0, 0\]\)"),
        ([np.eye(2)], {"n_columns": 3}, "Piece 0 has 2 columns; 3 would"),
        ([np.eye(2)], {"n_columns": -1}, "n_columns is -1; it must be from 0 to"),
        ([np.ones(3)], {}, "Piece 0: X has shape"),
        ("rows.bin", {"format": "csv"}, "there is no format 'csv' of matrices; accepted are xmc, jsonl, parquet"),
    ],
)
def test_bad_pieces_and_options_are_refused(source, options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.bin").touch()
    with pytest.raises(ValueError, match=words):
        write_matrix("X", source, **options)
    with pytest.raises(FileNotFoundError):
        open_matrix("X")


def test_appended_rows_have_the_columns_of_the_matrix(tmp_path):
    write_matrix(tmp_path, [np.eye(2)])
    with pytest.raises(ValueError, match="Piece 0 has 3 columns; 2 would fit"):
        write_matrix(tmp_path, [np.eye(3)], append=True)
    with pytest.raises(ValueError, match="n_columns is 3, but the matrix in the folder has 2 columns"):
        write_matrix(tmp_path, [np.eye(3)], append=True, n_columns=3)


def test_source_that_cannot_be_read_writes_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No such file.*rows\.txt") as raised:
        write_matrix(tmp_path / "X", tmp_path / "rows.txt")
    assert "write" not in str(raised.value)
    with pytest.raises(TypeError, match="source is a NoneType; pass the path of a file, or rows"):
        write_matrix(tmp_path / "X", None)
    assert not (tmp_path / "X").exists()


# Damage


def header_of(folder):
    return json.loads((folder / "matrix.json").read_text())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is no header of a matrix"),
        ("[]", "is no header of a matrix"),
        ('{"format": 1}', "is no header of a matrix"),
        ('{"format": 9}', "format 9; this version reads up to 1"),
        ("nonsense", "is no header of a matrix"),
    ],
)
def test_damaged_headers_are_refused(content, words, tmp_path):
    write_matrix(tmp_path, [np.eye(2)])
    (tmp_path / "matrix.json").write_text(content)
    with pytest.raises(DataFileError, match=words):
        open_matrix(tmp_path)
    with pytest.raises(DataFileError, match=words):
        write_matrix(tmp_path, [np.eye(2)], append=True)
    write_matrix(tmp_path, [np.eye(3)])
    assert open_matrix(tmp_path).shape == (3, 3)


def test_a_changed_header_is_refused(tmp_path):
    write_matrix(tmp_path, [np.eye(2)])
    (tmp_path / "matrix.json").write_text(json.dumps({**header_of(tmp_path), "n_columns": 9}))
    with pytest.raises(DataFileError, match="its checksum or an entry is wrong"):
        open_matrix(tmp_path)


@pytest.mark.parametrize("name", ["data", "indices", "indptr"])
def test_short_missing_and_foreign_files_are_refused(name, tmp_path):
    write_matrix(tmp_path, [random_rows()])
    (file,) = tmp_path.glob(f"{name}.*")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(DataFileError, match="too few for"):
        open_matrix(tmp_path)
    file.write_bytes(b"\x93NUMPY\x02" + whole[7:])
    with pytest.raises(DataFileError, match="another version of the npy format"):
        open_matrix(tmp_path)
    np.save(file, np.zeros(1000))
    with pytest.raises(DataFileError, match="it holds float64 of shape"):
        open_matrix(tmp_path)
    file.unlink()
    with pytest.raises(DataFileError, match="is missing"):
        open_matrix(tmp_path)


@pytest.mark.parametrize("name", ["data", "indices", "indptr"])
def test_changed_entries_are_found_by_the_full_check(name, tmp_path):
    write_matrix(tmp_path, [random_rows()])
    (file,) = tmp_path.glob(f"{name}.*")
    content = bytearray(file.read_bytes())
    content[140] ^= 1
    file.write_bytes(content)
    open_matrix(tmp_path)
    with pytest.raises(DataFileError, match="its checksum is another"):
        open_matrix(tmp_path, verify="full")


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("indices", 99, "out of place"),
        ("indices", -1, "out of place"),
        ("data", np.inf, "not finite"),
        ("indptr", 40, "decrease"),
    ],
)
def test_entries_that_were_written_wrong_are_found_by_the_full_check(part, value, words, tmp_path):
    X = random_rows()
    getattr(X, part)[3] = value
    with folders.writing(tmp_path, append=False) as writer:
        for name in ("data", "indices"):
            writer._put(name, getattr(X, name))
        writer._put("indptr", X.indptr[1:])
        writer.n_rows, writer.n_columns, writer.n_entries = X.shape[0], X.shape[1], X.nnz
    with pytest.raises(DataFileError, match=words):
        open_matrix(tmp_path, verify="full")


def test_verify_is_lazy_or_full(tmp_path):
    with pytest.raises(ValueError, match="verify is 'some'; it must be 'lazy' or 'full'"):
        open_matrix(tmp_path, verify="some")


# Files


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("header", [False, True])
def test_a_text_file_gives_what_read_xmc_reads(header, compressed, tmp_path, monkeypatch):
    monkeypatch.setattr("xclassic.datasets.xmc.BLOCK_BYTES", 200)
    monkeypatch.setattr("xclassic.datasets.xmc.PIECE", 30)
    X = random_rows()
    Y = csr_array(random_rows(d=5, seed=2) > 0, dtype=np.float32)
    write_xmc(tmp_path / "x.txt", X, Y)
    content = (tmp_path / "x.txt").read_bytes()
    content = content if header else content.split(b"\n", 1)[1]
    file = tmp_path / ("x.txt.gz" if compressed else "x.txt")
    file.write_bytes(gzip.compress(content) if compressed else content)
    options = {} if header else {"zero_based": True}
    expected = read_xmc(file, **options)
    found_Y = write_matrix(tmp_path / "X", file, **options)
    assert same(open_matrix(tmp_path / "X", verify="full"), expected[0])
    assert same(found_Y, expected[1])
    write_matrix(tmp_path / "X", file, append=True, **options)
    assert same(open_matrix(tmp_path / "X"), csr_array(vstack([expected[0], expected[0]])))


def test_a_text_file_that_breaks_the_rules_leaves_no_matrix(tmp_path, monkeypatch):
    monkeypatch.setattr("xclassic.datasets.xmc.BLOCK_BYTES", 10)
    monkeypatch.setattr("xclassic.datasets.xmc.PIECE", 1)
    file = tmp_path / "x.txt"
    file.write_text("3 4 2\n0 0:1 1:1\n1 2:1 3:1\n")
    with pytest.raises(DataFileError, match=r"ends after 2 points \(line 3\), but its header announces 3"):
        write_matrix(tmp_path / "X", file)
    file.write_text("1 4 2\n0 0:1 1:1\n1 2:1 3:1\n")
    with pytest.raises(DataFileError, match="after the 1 points that the header announces"):
        write_matrix(tmp_path / "X", file)
    file.write_text("2 4 2\n0,0 0:1 1:1\n1 2:1 3:1\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert write_matrix(tmp_path / "X", file).toarray().tolist() == [[1, 0], [0, 1]]
    assert "1 labels are repeated" in str(caught[0].message)


RECORDS = [
    {"indices": [3, 0], "values": [0.5, 2], "labels": ["a", 7]},
    {"indices": [], "values": [], "labels": []},
    {"indices": [1, 1], "labels": None},
]
ROWS = [[2, 0, 0, 0.5], [0, 0, 0, 0], [0, 2, 0, 0]]


def test_json_lines_give_rows_and_label_lists(tmp_path, monkeypatch):
    monkeypatch.setattr("xclassic.datasets.matrices.RECORDS", 2)
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, RECORDS)) + "\n\n")
    assert write_matrix(tmp_path / "X", file) == [["a", 7], [], []]
    np.testing.assert_array_equal(open_matrix(tmp_path / "X").toarray(), ROWS)
    write_matrix(tmp_path / "X", file, n_columns=6)
    assert open_matrix(tmp_path / "X").shape == (3, 6)
    file.write_text('{"indices": [2]}')
    assert write_matrix(tmp_path / "X", file) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[1]", "expected an object with a list 'indices'"),
        ("{", "expected a JSON object in each line"),
        ('{"indices": 3}', "expected an object with a list 'indices'"),
        ('{"indices": [1.5]}', "indices holds 1.5; accepted are integers from 0 to"),
        ('{"indices": [-1]}', "indices holds -1"),
        ('{"indices": [true]}', "indices holds True"),
        ('{"indices": [1], "values": [1, 2]}', "values must be a list of 1 numbers"),
        ('{"indices": [1], "values": ["x"]}', "values must be a list of 1 numbers"),
        ('{"indices": [1], "values": [NaN]}', "contains NaN"),
        ('{"indices": [1], "values": [1], "labels": [1.5]}', "labels must be a list of strings or integers"),
    ],
)
def test_malformed_json_lines_are_refused_with_their_line(line, words, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('\n{"indices": [1], "values": [1], "labels": []}\n'[line.find("NaN") > 0 :] + line)
    with pytest.raises(DataFileError, match=rf"rows.jsonl, line [123]: .*{words}"):
        write_matrix(tmp_path / "X", file)


def test_parquet_gives_rows_and_label_lists(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({
        "indices": [record["indices"] for record in RECORDS],
        "values": [[0.5, 2.0], [], None],
        "labels": [["a", "7"], [], None],
        "title": ["x", "y", "z"],
    })  # fmt: skip
    parquet.write_table(table, tmp_path / "rows.parquet")
    assert write_matrix(tmp_path / "X", tmp_path / "rows.parquet") == [["a", "7"], [], []]
    np.testing.assert_array_equal(open_matrix(tmp_path / "X").toarray(), ROWS)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    file = tmp_path / "rows.parquet"
    file.touch()
    with pytest.raises(ImportError, match="pip install pyarrow"):
        write_matrix(tmp_path / "X", file)


def test_entries_in_any_order_are_scattered_to_their_places(tmp_path):
    X = random_rows()
    order = np.random.default_rng(3).permutation(X.nnz)
    with folders.writing(tmp_path, append=False) as writer:
        parts = [(part, X.indices[part], X.data[part]) for part in np.array_split(order, 5)]
        writer.scatter(X.indptr.astype(np.int64), parts)
        writer.n_columns = X.shape[1]
    assert same(open_matrix(tmp_path, verify="full"), X)
