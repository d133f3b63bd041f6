"""Data sets as folders of files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scipy.sparse import csr_array

from xclassic.datasets._files import open_text
from xclassic.datasets.xmc import read_xmc


@dataclass(frozen=True)
class Dataset:
    """A data set in memory.

    Attributes
    ----------
    name : str
        Name of the data set.
    X : csr_array of float32, shape (n_points, n_features)
        Training points.
    Y : csr_array of float32, shape (n_points, n_labels)
        Their labels, as ones.
    X_test, Y_test : csr_array of float32 or None
        Points held out, with the same columns.
    label_names, feature_names : list of str or None
        Names of the columns of ``Y`` and of ``X``.
    """

    name: str
    X: csr_array
    Y: csr_array
    X_test: csr_array | None = None
    Y_test: csr_array | None = None
    label_names: list[str] | None = None
    feature_names: list[str] | None = None


def load_bibtex() -> Dataset:
    """Load bibtex, the data set that comes with the package."""
    folder = Path(__file__).parent / "bibtex"
    X, Y = read_xmc(folder / "train.txt.xz")
    X_test, Y_test = read_xmc(folder / "test.txt.xz")
    return Dataset(
        "bibtex", X, Y, X_test, Y_test, *(_read_names(folder / f"{what}_names.txt") for what in ("label", "feature"))
    )


def _read_names(path: Path) -> list[str]:
    with open_text(path) as stream:
        return [line.rstrip("\r\n") for line in stream]
