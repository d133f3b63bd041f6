"""Data sets as folders, the bundled one, and matrices in npz files."""

import dataclasses
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix, save_npz

from xclassic import datasets, encode_labels
from xclassic.datasets import DataFileError, load, load_bibtex, read_npz, write_xmc

X = csr_array(np.array([[0, 1.5, 0], [2, 0, 0]], np.float32))
Y = csr_array(np.array([[1, 0], [1, 1]], np.float32))


@pytest.fixture
def folder(tmp_path):
    """Return a function that fills a folder with files of the given contents and returns it."""

    def fill(**files):
        path = tmp_path / "toy"
        path.mkdir(exist_ok=True)
        for name, content in files.items():
            (path / name.replace("__", ".")).write_text(content)
        return path

    return fill


def same(A, B):
    return A.shape == B.shape and A.dtype == B.dtype and (A != B).nnz == 0


TRAIN = "2 3 2\n0 1:1.5\n0,1 0:2\n"
TEST = "1 3 2\n1 2:7\n"


# The bundled data set


def test_bibtex():
    data = load_bibtex()
    assert data.name == "bibtex"
    assert data.X.shape == (4880, 1836)
    assert data.X_test.shape == (2515, 1836)
    assert data.Y.shape == (4880, 159)
    assert data.Y_test.shape == (2515, 159)
    assert data.Y.nnz + data.Y_test.nnz == 17762
    assert set(data.X.data) == {1.0}
    assert len(set(data.label_names)) == 159
    assert len(set(data.feature_names)) == 1836
    assert [data.label_names[i] for i in data.Y[[0]].indices] == [data.label_names[i] for i in (3, 23, 61, 63, 76)]
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.X = None
    assert "TAG_" not in repr(data)


def test_bibtex_files_are_those_of_the_readme():
    bundled = Path(datasets.__file__).parent / "bibtex"
    listed = re.findall(r"([0-9a-f]{64})  (\S+)", (bundled / "README.md").read_text())
    assert len(listed) == 4
    for digest, name in listed:
        assert hashlib.sha256((bundled / name).read_bytes()).hexdigest() == digest


# Folders


@pytest.mark.parametrize(
    "train", ["train.txt", "Train.TXT", "toy_train.txt", "trn.svm", "train_bow.txt", "a-train.libsvm"]
)
@pytest.mark.parametrize("test", ["test.txt", "tst.txt", "toy-test.txt", "dev_bow.txt", "valid.txt"])
def test_text_names(folder, train, test):
    data = load(folder(**{train: TRAIN, test: TEST}))
    assert data.name == "toy"
    assert same(data.X, X)
    assert same(data.Y, Y)
    assert data.X_test.toarray().tolist() == [[0, 0, 7]]
    assert data.Y_test.toarray().tolist() == [[0, 1]]
    assert data.label_names is data.feature_names is None


def test_folder_of_compressed_files_with_names(folder):
    path = folder(label_names__txt="first\nsecond one\n", vocab__txt="a\nb\r\nc")
    write_xmc(path / "train.txt.xz", X, Y)
    write_xmc(path / "test.txt.gz", X[:1], Y[:1])
    data = load(str(path))
    assert same(data.X, X)
    assert same(data.Y_test, Y[:1])
    assert data.label_names == ["first", "second one"]
    assert data.feature_names == ["a", "b", "c"]


def test_labels_tsv_names_in_its_last_column(folder):
    assert load(folder(train__txt=TRAIN, labels__tsv="17\tsport\n3\tart, modern\n")).label_names == [
        "sport",
        "art, modern",
    ]


def test_labels_of_one_name_are_told(folder):
    path = folder(train__txt=TRAIN, label_names__txt="a\n a\n")
    with pytest.warns(UserWarning, match=r"label_names.txt: the labels 0 and 1 are both called 'a' \(1 labels"):
        assert load(path).label_names == ["a", "a"]


def test_test_file_goes_before_dev(folder):
    data = load(folder(train__txt=TRAIN, test__txt=TEST, dev__txt=TRAIN))
    assert data.X_test.shape[0] == 1


def test_folder_of_train_alone(folder):
    data = load(folder(train__txt=TRAIN))
    assert data.X_test is data.Y_test is None


def test_headerless_files_share_their_widths(folder):
    path = folder(train__txt="0 1:1\n", test__txt="4 1:1\n 3:1\n")
    with pytest.raises(DataFileError, match="pass zero_based=True or zero_based=False"):
        load(path)
    data = load(path, zero_based=False)
    assert data.X.shape == (1, 3)
    assert data.X_test.shape == (2, 3)
    assert data.Y.shape == (1, 5)
    assert data.Y_test.shape == (2, 5)
    assert data.X_test.toarray().tolist() == [[1, 0, 0], [0, 0, 1]]


def test_split_files(folder):
    path = folder(
        Toy_data__txt="4 1 4\n0 0:1\n1 0:2\n2 0:3\n3 0:4\n",
        toy_trSplit__txt="4 1\n2 3\n",
        toy_tstSplit__txt="1 2\n3 4\n",
    )
    data = load(path)
    assert data.X.toarray().ravel().tolist() == [4, 2]
    assert data.X_test.toarray().ravel().tolist() == [1, 3]
    assert load(path, split_column=1).Y.indices.tolist() == [0, 2]
    (path / "toy_tstSplit.txt").unlink()
    with pytest.raises(DataFileError, match="it holds no file for its test rows"):
        load(path)


@pytest.mark.parametrize("name", ["{}.npz", "{}_train.npz", "{}.trn.npz"])
@pytest.mark.parametrize("test", ["{}_test.npz", "{}.tst.npz", "dev-{}.npz"])
def test_folder_of_matrices(tmp_path, name, test):
    for matrix, letter in ((X, "X"), (Y, "Y")):
        save_npz(tmp_path / name.format(letter), matrix)
        save_npz(tmp_path / test.format(letter), csr_matrix(matrix[:1]))
    data = load(tmp_path)
    assert same(data.X, X)
    assert same(data.Y, Y)
    assert same(data.X_test, X[:1])
    assert same(data.Y_test, Y[:1])


def test_labels_without_features_make_no_test_set(tmp_path):
    save_npz(tmp_path / "X.npz", X)
    for name in ("Y.npz", "Y_test.npz"):
        save_npz(tmp_path / name, Y)
    with pytest.raises(DataFileError, match="it holds no file for its test X"):
        load(tmp_path)


def test_dense_features(tmp_path):
    np.save(tmp_path / "X.npy", X.toarray().astype(np.float64))
    save_npz(tmp_path / "Y.npz", Y)
    data = load(tmp_path)
    assert isinstance(data.X, np.ndarray)
    assert data.X.dtype == np.float32
    assert data.X.tolist() == X.toarray().tolist()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "it holds no points. Found: nothing.\nAccepted is one of"),
        ({"readme.md": "", "points.txt": TRAIN}, "it holds no points. Found: points.txt, readme.md."),
        ({"test.txt": TEST}, "it holds no points. Found: test.txt."),
        ({"train.txt": TRAIN, "train_bow.txt": TRAIN}, "both train.txt and train_bow.txt could be its train"),
        ({"train.txt": TRAIN, "data.txt": TRAIN}, "it holds points in more than one form"),
        ({"train.txt": TRAIN, "test.txt": "1 4 2\n1 2:7\n"}, "train has 3 features and test has 4; they must share"),
        ({"train.txt": TRAIN, "test.txt": "1 3 1\n0 2:7\n"}, "train has 2 labels and test has 1; they must share"),
        ({"train.txt": TRAIN, "label_names.txt": "a\n"}, "label_names.txt: it names 1 labels, but the points have 2"),
        ({"train.txt": TRAIN, "feature_names.txt": "a\nb\nc\n\n"}, "it names 4 features, but the points have 3"),
        ({"train.txt": TRAIN, "test.txt": "1 3 2\n1 3:7\n"}, "test.txt, line 2: the feature of '3:7' is out of range"),
        ({"X.npz": "", "train.svm": TRAIN}, "it holds points in more than one form"),
        ({"X.npz": ""}, "it holds no file for its train Y"),
        ({"data.txt": TRAIN, "trSplit.txt": "1\n"}, "it holds no file for its test rows"),
    ],
)
def test_folder_of_bad_files_is_rejected(folder, files, message):
    with pytest.raises(DataFileError, match=re.escape(message)):
        load(folder(**files))


def test_folder_that_is_missing_names_what_was_looked_for(tmp_path):
    for path in (tmp_path / "absent", "eurlex-4k", __file__):
        with pytest.raises(FileNotFoundError, match=r"there is no folder .* comes with the package is 'bibtex'"):
            load(path)


def test_names_must_be_utf8(folder):
    path = folder(train__txt=TRAIN)
    (path / "label_names.txt").write_bytes(b"fine\nna\xefve\n")
    with pytest.raises(DataFileError, match=r"label_names.txt, line 2: byte 0xef is not UTF-8"):
        load(path)


# Matrices


def test_npz_is_made_canonical(tmp_path):
    unsorted = csr_matrix((np.array([1.0, 2.0, 3.0]), [1, 0, 1], [0, 3]), shape=(1, 2))
    save_npz(tmp_path / "X.npz", unsorted.tocoo())
    save_npz(tmp_path / "Y.npz", csr_matrix(np.array([[True, False]])))
    A, B = read_npz(tmp_path / "X.npz", tmp_path / "Y.npz")
    assert A.has_canonical_format
    assert A.toarray().tolist() == [[2, 4]]
    assert A.dtype == B.dtype == np.float32
    assert B.toarray().tolist() == [[1, 0]]
    assert read_npz(tmp_path / "X.npz")[1] is None


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        ([[np.inf]], [[1]], "X.npz: .*infinity"),
        ([[1.0, np.nan]], [[1]], r"X.npz: .*NaN \(first: X\[0, 1\]\)"),
        ([[1.0]], [[2]], r"Y.npz: .*only 0 and 1 .*encode_labels\(\[\[id\] for id in ids\]\)\[0\]"),
        ([[1.0], [2.0]], [[1]], "Y.npz: X has 2 rows and Y has 1"),
    ],
)
def test_read_npz_rejects_bad_matrices(tmp_path, features, labels, message):
    save_npz(tmp_path / "X.npz", csr_array(np.array(features)))
    save_npz(tmp_path / "Y.npz", csr_array(np.array(labels)))
    with pytest.raises(DataFileError, match=message):
        read_npz(tmp_path / "X.npz", tmp_path / "Y.npz")


def test_read_npz_rejects_foreign_and_damaged_files(tmp_path):
    x, y = tmp_path / "X.npz", tmp_path / "Y.npz"
    save_npz(y, Y)
    save_npz(x, X, compressed=False)
    whole = x.read_bytes()
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "absent.npz", y)
    for content in (b"", b"no zip", whole[:100], whole[:-30]):
        x.write_bytes(content)
        with pytest.raises(DataFileError, match=r"expected a matrix as scipy.sparse.save_npz writes it"):
            read_npz(x, y)
    np.savez(x, a=np.ones(3))
    with pytest.raises(DataFileError, match=r"scipy.sparse.save_npz"):
        read_npz(x, y)
    broken = {"format": b"csr", "shape": (2, 3), "data": np.ones(2), "indptr": [0, 1, 2], "indices": [0, 3]}
    np.savez(x, **broken)
    with pytest.raises(DataFileError, match=r"indices"):
        read_npz(x, y)
    np.save(tmp_path / "X.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(DataFileError, match=r"X.npy: expected a matrix .*, or an array as numpy.save writes it"):
        read_npz(tmp_path / "X.npy", y)


def test_read_npz_reads_arrays(tmp_path):
    np.save(tmp_path / "X.npy", [[1.0], [2.0]])
    np.save(tmp_path / "ids.npy", [5, 3])
    with pytest.raises(DataFileError, match=r"ids.npy: Y has shape \(2,\); it must be a matrix .* encode_labels"):
        read_npz(tmp_path / "X.npy", tmp_path / "ids.npy")
    np.save(tmp_path / "Y.npy", encode_labels([[5], [3]])[0].toarray())  # as the message says
    assert read_npz(tmp_path / "X.npy", tmp_path / "Y.npy")[1].toarray().tolist() == [[0, 1], [1, 0]]
    np.save(tmp_path / "X.npy", [[0.0], [-np.inf]])
    with pytest.raises(DataFileError, match=r"X.npy: .*infinity \(first: X\[1, 0\]\)"):
        read_npz(tmp_path / "X.npy")


def test_read_npz_survives_flipped_bytes(tmp_path):
    x, y = tmp_path / "X.npz", tmp_path / "Y.npz"
    save_npz(y, Y)
    save_npz(x, X, compressed=False)
    whole = x.read_bytes()
    rng = np.random.default_rng(0)
    read = 0
    for i in range(300):
        damaged = bytearray(whole)
        region = (
            len(whole) if i % 2 else 120
        )  # the latter is the zip's directory, whose damage the loaders take hardest
        damaged[-1 - rng.integers(region)] ^= 1 << rng.integers(8)
        x.write_bytes(damaged)
        try:
            A, _ = read_npz(x, y)
        except DataFileError:
            continue
        A.check_format(full_check=True)
        read += 1
    assert 0 < read < 300  # a flip in the zip's names or dates may go unseen
