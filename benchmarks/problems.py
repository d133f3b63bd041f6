"""The data sets of the benchmarks, and their preparation, which is the same for every method."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix, hstack, save_npz
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import normalize

from xclassic import TopK, datasets, metrics

FEATURES = ("as-is", "tf-idf")  # what is done to them before rows are scaled to unit length
COUNTS = ("citeulike_t", "tibkat_en")  # data sets of word counts, which are weighted unless one says otherwise
DEPTHS = (1, 3, 5)


class Problem(NamedTuple):
    """A prepared data set.

    Attributes
    ----------
    name : str
    X, Y, X_test : csr_matrix of float32
        Points without labels or features are not among the training points, and every label has a training point.
    truth : csr_array of float32, shape (n_test, at least n_labels)
        Labels of the test points: first the columns of `Y`, then the labels without a training point.
    propensities : ndarray, shape (truth.shape[1],)
    judged : ndarray of int
        The test points that metrics are taken over: all, or with a sample of labels those which have one of them.
    """

    name: str
    X: csr_matrix
    Y: csr_matrix
    X_test: csr_matrix
    truth: csr_array
    propensities: NDArray[np.float64]
    judged: NDArray[np.int64]

    def save(self, folder: Path) -> None:
        """Write what a method may see."""
        for name in ("X", "Y", "X_test"):
            save_npz(folder / f"{name}.npz", getattr(self, name), compressed=False)

    def scores(self, ids: NDArray[np.int32]) -> dict[str, float]:
        """Return the metrics, in percent, of the best labels of each test point (-1: no label)."""
        ids = ids[self.judged]
        counts = (ids >= 0).sum(axis=1).astype(np.int32)
        ranks = np.broadcast_to(-np.arange(ids.shape[1], dtype=np.float32), ids.shape)
        top = TopK(ids, np.where(ids >= 0, ranks, -np.inf), counts)
        values = metrics.evaluate(self.truth[self.judged], top, ks=DEPTHS, propensities=self.propensities)
        return {f"{name}@{k}": 100 * values[f"{name}@{k}"] for name in ("P", "nDCG", "PSP") for k in DEPTHS}


def prepare(
    name: str,
    data_dir: Path | None,
    n_labels: int | None = None,
    label_seed: int = 0,
    *,
    features: str | None = None,
    scaled: bool = True,
) -> Problem:
    """Read a data set and make a problem of it.

    Parameters
    ----------
    name : str
        "bibtex", which comes with the package, a folder in the format of the Extreme Classification Repository, or the
        name of one in `data_dir`.
    data_dir : Path or None
        See `name`.
    n_labels : int, optional
        Draw that many of the labels with a training point and leave out the others; all training points stay.
    label_seed : int
        Of the draw.
    features : str, optional
        One of `FEATURES`; by default "tf-idf" for the data sets in `COUNTS`, else "as-is".
    scaled : bool
        Scale rows to unit length.
    """
    data = datasets.load_bibtex() if name == "bibtex" else datasets.load(_folder(name, data_dir))
    kept = (np.diff(data.X.indptr) > 0) & (np.diff(data.Y.indptr) > 0)
    X, Y, X_test = data.X[kept], data.Y[kept], data.X_test
    name = Path(name).name
    if (features or FEATURES[name in COUNTS]) == "tf-idf":
        tfidf = TfidfTransformer(sublinear_tf=True).fit(X)
        X, X_test = tfidf.transform(X), tfidf.transform(X_test)
    counts = np.bincount(Y.indices, minlength=Y.shape[1])
    seen, unseen = np.flatnonzero(counts > 0), np.flatnonzero(counts == 0)
    sampled = n_labels is not None and n_labels < seen.size
    if sampled:
        seen, unseen = np.sort(np.random.default_rng(label_seed).choice(seen, n_labels, replace=False)), unseen[:0]
        name = f"{name}, {n_labels} labels"
    if scaled:
        X, X_test = normalize(X), normalize(X_test)
    truth = csr_array(hstack([data.Y_test[:, seen], data.Y_test[:, unseen]], format="csr"))
    return Problem(
        name,
        _plain(X),
        _plain(Y[:, seen]),
        _plain(X_test),
        truth,
        metrics.propensity(counts[np.concatenate([seen, unseen])], X.shape[0]),
        np.flatnonzero(np.diff(truth.indptr) > 0) if sampled else np.arange(truth.shape[0]),
    )


def _folder(name: str, data_dir: Path | None) -> Path:
    tried = [Path(name), *([] if data_dir is None else [data_dir / name])]
    for folder in tried:
        if folder.is_dir():
            return folder
    raise SystemExit(
        f"There is no folder {' and no folder '.join(map(str, tried))}. Pass the path of a data set, or its name and "
        "--data-dir, the folder that holds it; bibtex alone comes with the package."
    )


def _plain(matrix: Any) -> csr_matrix:
    """Return the form that every library takes."""
    matrix = csr_matrix(matrix, dtype=np.float32)
    matrix.sort_indices()
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    return matrix
