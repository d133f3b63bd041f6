"""Data sets as folders of files."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from xclassic.datasets._files import COMPRESSED_SUFFIXES, DataFileError, read_lines
from xclassic.datasets._matrix_pieces import checked, load_stored, matrix_pieces
from xclassic.datasets._points import check_features, check_labels
from xclassic.datasets.xmc import point_pieces, read_filter, read_header, read_points, read_split

_Path = str | os.PathLike[str]
_Part = tuple[Any, Any]
_Files = dict[str, Path]
_Pieces = Iterator[tuple[Any, Any]]
_BUNDLED = Path(__file__).parent
_NAME_FILES = {
    "label_names.txt": "label names",
    "labels.tsv": "label names",
    "feature_names.txt": "feature names",
    "vocab.txt": "feature names",
}
_PARTS = {"train": "train", "trn": "train", "test": "test", "tst": "test", "dev": "dev", "valid": "dev", "val": "dev"}
_ACCEPTED = f"""Accepted is one of
  train.txt, test.txt (or trn, tst; dev, valid or val where there is no test; .svm, .libsvm): points as text
  data.txt, trSplit.txt, tstSplit.txt: one file for all points, and row numbers
  X_train.npz, Y_train.npz, X_test.npz, Y_test.npz: matrices (train where no part is named; X also .npy)
with other words joined on by '.', '_' or '-', and besides {", ".join(_NAME_FILES)}.
Text files may end in {", ".join(COMPRESSED_SUFFIXES)}."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory.

    Parameters
    ----------
    name : str
        Name of the data set.
    X : csr_array of float32, shape (n_points, n_features)
        Training points; a float32 array if they were stored dense.
    Y : csr_array of float32, shape (n_points, n_labels)
        Their labels, as ones.
    X_test, Y_test : as X and Y, or None
        Points held out, with the same columns.
    label_names, feature_names : list of str or None
        Names of the columns of ``Y`` and of ``X``.
    exclude, exclude_test : as Y and Y_test, or None
        Pairs of a point and a label that do not count, for ``exclude=`` of predictions and metrics.
    """

    name: str
    X: Any
    Y: csr_array
    X_test: Any = None
    Y_test: csr_array | None = None
    label_names: list[str] | None = field(default=None, repr=False)
    feature_names: list[str] | None = field(default=None, repr=False)
    exclude: csr_array | None = field(default=None, repr=False)
    exclude_test: csr_array | None = field(default=None, repr=False)


def load_bibtex() -> Dataset:
    """Load bibtex, the data set that comes with the package: bookmarks and publications with their tags.

    It has 4,880 training and 2,515 test points (the official split), 1,836 binary word features, 159 tags and 2.4 tags
    per point. Source, citation and license are in the file ``README.md`` of its folder ``datasets/bibtex``.

    Returns
    -------
    Dataset

    References
    ----------
    I. Katakis, G. Tsoumakas, I. Vlahavas. Multilabel Text Classification for Automated Tag Suggestion. ECML/PKDD 2008
    Discovery Challenge.

    Examples
    --------
    >>> from xclassic.datasets import load_bibtex
    >>> data = load_bibtex()
    >>> data.X.shape, data.Y.shape, data.label_names[:2]
    ((4880, 1836), (4880, 159), ['TAG_2005', 'TAG_2006'])
    """
    return load("bibtex")


def load(path_or_name: _Path, *, zero_based: bool | None = None, split_column: int = 0) -> Dataset:
    """Load a data set from a folder of files, or by name the one that comes with the package (``"bibtex"``).

    Parameters
    ----------
    path_or_name : path or str
        A folder, or ``"bibtex"`` (write ``"./bibtex"`` for a folder of that name). Files are recognized by the words of
        their names, which are separated by ``.``, ``_`` and ``-``, in upper or lower case:

        * ``train.txt``, ``test.txt``, also ``train_bow.txt.xz``, ``eurlex_test.txt``, ``trn.svm``: see `read_xmc`.
          Without a test file, one with ``dev``, ``valid`` or ``val`` takes its place.
        * ``bibtex_data.txt`` with ``bibtex_trSplit.txt`` and ``bibtex_tstSplit.txt``: the older form of the Extreme
          Classification Repository.
        * ``X.npz``, ``Y.npz``, ``X_test.npz``, ``Y_test.npz``, also ``X.trn.npz``: see `read_npz`.
        * ``label_names.txt`` (line i names label i) or ``labels.tsv`` (its last column does); ``feature_names.txt`` or
          ``vocab.txt``.
        * ``filter_labels_train.txt``, ``filter_labels_test.txt``: see `read_filter`.
    zero_based : bool, optional
        Whether feature ids start at 0. It must be given for text files without a header. The sizes of two such files
        follow from their largest ids, so the files are widened to the same size.
    split_column : int, default=0
        Column of the split files to use.

    Returns
    -------
    Dataset
        The data set, named after the folder.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    DataFileError
        If the folder does not hold a data set, or several (the message lists what was found and what is accepted), if a
        file is malformed, or if train, test and names disagree on the numbers of features and labels.

    Warns
    -----
    UserWarning
        If two labels have one name.

    Notes
    -----
    The data sets of the Extreme Classification Repository are downloaded from its page. Once unpacked, their
    bag-of-words folders load unchanged. They hold points without labels, labels without training points and a few
    labels repeated within a row: no row is left out and no id is changed.

    Examples
    --------
    >>> from xclassic import datasets
    >>> datasets.load("bibtex").name
    'bibtex'
    """
    folder, files, form = _layout(path_or_name)
    match form:
        case "data":
            parts = _read_split_data(folder, files, zero_based, split_column)
        case "train":
            test = _test_part(files, "")
            parts = _read_train_test(files["train"], None if test is None else files[test], zero_based)
        case _:
            parts = _read_matrices(folder, files)
    (X, Y), (X_test, Y_test) = parts
    if X_test is not None:
        _check_widths(folder, (X.shape[1], Y.shape[1]), (X_test.shape[1], Y_test.shape[1]))
    label_names = _read_names(files.get("label names"), "labels", Y.shape[1])
    _warn_of_namesakes(files.get("label names"), label_names or [])
    feature_names = _read_names(files.get("feature names"), "features", X.shape[1])
    excluded = [
        None if part is None or role not in files else read_filter(files[role], *part.shape)
        for role, part in (("train filter", Y), ("test filter", Y_test))
    ]
    return Dataset(folder.resolve().name, X, Y, X_test, Y_test, label_names, feature_names, *excluded)


def read_npz(X_path: _Path, Y_path: _Path | None = None) -> tuple[Any, csr_array | None]:
    """Read points from binary files.

    Parameters
    ----------
    X_path : path
        Features: ``.npz`` as written by `scipy.sparse.save_npz`, or ``.npy`` as written by `numpy.save`.
    Y_path : path, optional
        0-1 label matrix, in either form.

    Returns
    -------
    X : csr_array of float32, or ndarray of float32 from ``.npy``; shape (n_points, n_features)
    Y : csr_array of float32, shape (n_points, n_labels), or None
        Labels, None without ``Y_path``. Both matrices are canonical.

    Raises
    ------
    DataFileError
        If a file is not of that kind, ``X`` is not finite in float32, ``Y`` holds values other than 0 and 1, or their
        numbers of rows differ. Nothing is unpickled.
    """
    X = checked(X_path, check_features, load_stored(X_path))
    return X, None if Y_path is None else checked(Y_path, check_labels, load_stored(Y_path), X.shape[0])


def folder_pieces(
    path_or_name: _Path, *, zero_based: bool | None = None
) -> tuple[_Pieces, _Pieces | None, list[str] | None]:
    """Return what `load` reads as pieces of rows, of which a few are in memory.

    Parameters
    ----------
    path_or_name, zero_based
        As for `load`, which raises the same errors. Numbers of columns are compared when both parts were read, the
        training part first.

    Returns
    -------
    train, test : iterator of (X, Y)
        Pieces of the parts; None for a test part that is not there.
    label_names : list of str or None
    """
    folder, files, form = _layout(path_or_name)
    names = _names_in(files.get("label names"))
    _warn_of_namesakes(files.get("label names"), names or [])
    texts: list[Path] = []
    if form == "data":
        texts = [files["data"]]
        sides = [_need(folder, files, rows) for rows in ("train rows", "test rows")]
        parts = [_rows_of_split(files["data"], side, zero_based) for side in sides]
    elif form == "train":
        texts = [files[part] for part in ("train", _test_part(files, "")) if part is not None]
        parts = [point_pieces(path, zero_based=zero_based) for path in texts]
    else:
        roles = [part for part in ("train", _test_part(files, " X", " Y")) if part is not None]
        parts = [matrix_pieces(*(_need(folder, files, f"{part} {matrix}") for matrix in "XY")) for part in roles]
    grow = bool(texts) and all(read_header(path) is None for path in texts)  # As wide as the largest id.
    train, *rest = _of_one_width(parts, folder, files.get("label names"), names, grow)
    return train, next(iter(rest), None), names


def _rows_of_split(data: Path, side: Path, zero_based: bool | None) -> _Pieces:
    """Yield the points of a file that are on one side of a split."""
    rows, start = np.sort(read_split(side)), 0
    for X, Y in point_pieces(data, zero_based=zero_based):
        first, last = np.searchsorted(rows, [start, start + X.shape[0]])
        own = rows[first:last] - start
        yield X[own], Y[own]
        start += X.shape[0]
    if rows[-1] >= start:
        read_split(side, n_points=start)  # It raises.


def _of_one_width(
    parts: list[_Pieces], folder: Path, named: Path | None, names: list[str] | None, grow: bool
) -> list[_Pieces]:
    """Return pieces that are compared with each other and with names when the last of them was read."""
    widths = [(0, 0)] * len(parts)

    def read(part: int) -> _Pieces:
        for X, Y in parts[part]:
            widths[part] = (max(widths[part][0], X.shape[1]), max(widths[part][1], Y.shape[1]))
            yield X, Y
        if part == len(parts) - 1:
            if not grow:
                _check_widths(folder, widths[0], widths[-1])
            _check_names(named, names, "labels", max(n_labels for _, n_labels in widths))

    return [read(part) for part in range(len(parts))]


def _read_split_data(folder: Path, files: _Files, zero_based: bool | None, split_column: int) -> tuple[_Part, _Part]:
    X, Y, _ = read_points(files["data"], zero_based=zero_based)
    train, test = (
        read_split(_need(folder, files, rows), split_column, n_points=X.shape[0])
        for rows in ("train rows", "test rows")
    )
    return (X[train], Y[train]), (X[test], Y[test])


def _read_train_test(train: Path, test: Path | None, zero_based: bool | None) -> tuple[_Part, _Part]:
    X, Y, header = read_points(train, zero_based=zero_based)
    if test is None:
        return (X, Y), (None, None)
    X_test, Y_test, test_header = read_points(test, zero_based=zero_based)
    if header is None and test_header is None:  # Each file is only as wide as its largest id.
        for ours, theirs in ((X, X_test), (Y, Y_test)):
            width = max(ours.shape[1], theirs.shape[1])
            ours.resize(ours.shape[0], width)
            theirs.resize(theirs.shape[0], width)
    return (X, Y), (X_test, Y_test)


def _read_matrices(folder: Path, files: _Files) -> tuple[_Part, _Part]:
    def read(part: str) -> _Part:
        return read_npz(_need(folder, files, f"{part} X"), _need(folder, files, f"{part} Y"))

    test = _test_part(files, " X", " Y")
    return read("train"), read(test) if test else (None, None)


def _check_widths(folder: Path, train: tuple[int, int], test: tuple[int, int]) -> None:
    for what, ours, theirs in zip(("features", "labels"), train, test, strict=True):
        if ours != theirs:
            raise DataFileError(folder, f"train has {ours} {what} and test has {theirs}; they must share one numbering")


def _read_names(path: Path | None, what: str, count: int) -> list[str] | None:
    names = _names_in(path)
    _check_names(path, names, what, count)
    return names


def _names_in(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    names = [line.rstrip("\r\n") for line in read_lines(path)]
    if ".tsv" in path.name:
        names = [name.split("\t")[-1] for name in names]
    return [name.strip() for name in names]


def _check_names(path: Path | None, names: list[str] | None, what: str, count: int) -> None:
    if path is not None and names is not None and len(names) != count:
        raise DataFileError(path, f"it names {len(names)} {what}, but the points have {count}; give one name per line")


def _warn_of_namesakes(path: Path | None, names: list[str]) -> None:
    first: dict[str, int] = {}
    again = [i for i, name in enumerate(names) if first.setdefault(name, i) != i]
    if again:
        i = again[0]
        warnings.warn(
            f"{path}: the labels {first[names[i]]} and {i} are both called {names[i]!r} ({len(again)} labels in all "
            "have a name that came before); only their ids tell them apart",
            stacklevel=3,
        )


def _layout(path_or_name: _Path) -> tuple[Path, _Files, str]:
    """Return a folder, its files by their roles, and which of them holds training points."""
    folder = _BUNDLED / "bibtex" if path_or_name == "bibtex" else Path(os.path.expanduser(path_or_name))
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {folder}. The data set that comes with the package is 'bibtex'; read_xmc reads a file"
        )
    files = _find_files(folder)
    forms = [form for form in ("data", "train", "train X") if form in files]
    if len(forms) != 1:
        raise _layout_error(folder, f"it holds {'no points' if not forms else 'points in more than one form'}")
    return folder, files, forms[0]


def _find_files(folder: Path) -> _Files:
    """Return the files of a folder by their roles, which follow from their names."""
    files: _Files = {}
    for path in sorted(folder.iterdir()):
        role = _role(path.name.lower())
        if role is not None and role in files:
            raise _layout_error(folder, f"both {files[role].name} and {path.name} could be its {role}")
        if role is not None:
            files[role] = path
    return files


def _role(name: str) -> str | None:
    for suffix in COMPRESSED_SUFFIXES:
        name = name.removesuffix(suffix)
    if name in _NAME_FILES:
        return _NAME_FILES[name]
    *words, suffix = re.split(r"[._-]", name)
    part = next((_PARTS[word] for word in words if word in _PARTS), None)
    if suffix in ("npz", "npy"):
        matrix = next((word.upper() for word in words if word in ("x", "y")), None)
        return matrix and f"{part or 'train'} {matrix}"
    if suffix == "txt" and words[:2] == ["filter", "labels"]:
        return part and f"{part} filter"
    if suffix in ("txt", "svm", "libsvm"):
        other = {"data": "data", "trsplit": "train rows", "tstsplit": "test rows"}
        return part or next((other[word] for word in words if word in other), None)
    return None


def _test_part(files: _Files, *kinds: str) -> str | None:
    """Return which part is for tests: that for development takes the place of one that is not there."""
    return next((part for part in ("test", "dev") if any(f"{part}{kind}" in files for kind in kinds)), None)


def _need(folder: Path, files: _Files, role: str) -> Path:
    if role not in files:
        raise _layout_error(folder, f"it holds no file for its {role}")
    return files[role]


def _layout_error(folder: Path, problem: str) -> DataFileError:
    found = sorted(path.name for path in folder.iterdir())
    listed = ", ".join(found[:20]) + (f" and {len(found) - 20} more" if len(found) > 20 else "")
    return DataFileError(folder, f"{problem}. Found: {listed or 'nothing'}.\n{_ACCEPTED}")
