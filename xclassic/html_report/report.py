"""The function that writes a report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xclassic import metrics
from xclassic.datasets._files import write_atomically
from xclassic.html_report import sections
from xclassic.html_report.analysis import Case, read_case
from xclassic.html_report.figures import check_matplotlib
from xclassic.html_report.page import document, safe
from xclassic.topk import TopK
from xclassic.validation.labels import align_labels, class_array
from xclassic.validation.parameters import check_counts, check_k, check_number

MIN_ROWS = 3  # Fewest training rows that propensities can be estimated from.


def write_report(
    path: str | PathLike[str],
    Y_true: Any,
    top: TopK,
    *,
    label_names: Sequence[Any] | NDArray[Any] | None = None,
    classes: Any = None,
    train_counts: ArrayLike | None = None,
    n_train: int | None = None,
    preset: str | None = None,
    codes: ArrayLike | None = None,
    probabilities: bool = False,
    texts: Sequence[str | Mapping[str, Any]] | None = None,
    row_names: Sequence[Any] | NDArray[Any] | None = None,
    ks: Iterable[int] = (1, 3, 5),
    samples: int = 20,
    seed: int = 0,
    title: str = "Model report",
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write one HTML page about a ranking of labeled rows.

    The page holds the metrics, precision and recall by label frequency, calibration, the most confused labels and
    sample predictions. It is self-contained: it needs no network and no script. The same input gives the same bytes.

    Parameters
    ----------
    path : str or path
        The file. An existing one is replaced once the page is complete, and not at all on any failure.
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
        True where an entry is above zero. Columns beyond `label_names` are labels that the model does not know.
    top : TopK
        The ranking, at least as deep as the largest of `ks`.
    label_names : sequence of length n_known
        What the labels are called, at most one for each column of `Y_true`; by default `classes`.
    classes : fitted estimator, or array-like of its ``classes_``, optional
        With it `Y_true` may also be a list of label collections or a class vector, as ``fit`` takes them. Labels that
        are not among the classes count as missed.
    train_counts : array-like of int, shape (n_known,), optional
        Training rows of each label; adds the metrics of head, torso and tail and the section on label frequency.
        Labels beyond the end have 0.
    n_train : int, optional
        Number of training rows; with `train_counts` it adds the propensity-scored metrics if it is at least 3.
    preset : {"default", "wikipedia", "amazon"}, optional
        Constants of the propensities; see `xclassic.metrics.propensity`.
    codes : array-like of int, shape (n_known, depth), optional
        The code of each label, as ``LabelTree.codes()`` gives them; adds the prefix credit.
    probabilities : bool, default=False
        Whether scores are probabilities. If so, they are compared with the share of right predictions; else only that
        share is shown, by ascending score.
    texts : sequence of str or mapping, length n_rows, optional
        The text or the fields of each row, shown with the samples.
    row_names : sequence of length n_rows, optional
        Names of the rows; by default numbers from 0.
    ks : iterable of int, default=(1, 3, 5)
        Depths of the metrics. All other sections use the first ``max(ks)`` predictions.
    samples : int, default=20
        Number of sample predictions; 0 leaves the section out.
    seed : int, default=0
        Seed for drawing the samples.
    title : str, default="Model report"
        Heading of the page.
    facts : mapping of str to object, optional
        What else the page shows below the title: the model, its parameters, the data, a date.

    Raises
    ------
    ValueError
        If lengths do not match, probabilities lie outside [0, 1], or as for `xclassic.metrics.evaluate` and
        `xclassic.metrics.propensity`.
    TypeError
        As for `xclassic.metrics.evaluate`.
    ModuleNotFoundError
        If matplotlib is missing, which draws the figures.
    OSError
        If the file cannot be written.

    Notes
    -----
    Names, texts and facts are always shown as text, never as HTML, and are cut if they are long.

    Cost: some sorts of the true labels and the predictions; O(n_rows k + nnz + n_labels) memory.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from xclassic import DiSMEC, datasets
    >>> from xclassic.html_report import write_report
    >>> data = datasets.load_bibtex()
    >>> top = DiSMEC(max_passes=5).fit(data.X, data.Y).predict_topk(data.X_test)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "report.html")
    ...     write_report(
    ...         path,
    ...         data.Y_test,
    ...         top,
    ...         label_names=data.label_names,
    ...         train_counts=data.Y.sum(axis=0),
    ...         n_train=data.Y.shape[0],
    ...     )
    ...     path.read_text("utf-8")[:15]
    '<!DOCTYPE html>'
    """
    check_matplotlib()
    if classes is not None:
        classes = class_array(classes)
        Y_true = align_labels(Y_true, classes, "Y_true")
        label_names = classes if label_names is None else label_names
    if label_names is None:
        raise TypeError("write_report needs label_names, or classes, to name the labels.")
    check_number("samples", samples, minimum=0, integer=True)
    check_number("seed", seed, minimum=0, integer=True)
    depths = sorted({check_k(k) for k in ks})
    if not depths:
        raise ValueError("ks is empty; name at least one depth, as in ks=(1, 3, 5).")
    case = read_case(Y_true, top, depths[-1])
    _check_lengths(case, label_names, texts, row_names)
    if probabilities:
        _check_probabilities(case.top)
    n_known, n_labels = len(label_names), case.truth.n_labels
    counts = None if train_counts is None else _padded("train_counts", check_counts(train_counts), n_labels, 0)
    propensities = None
    if counts is not None and n_train is not None and n_train >= MIN_ROWS:
        propensities = metrics.propensity(counts, n_train, preset=preset)
    results = metrics.evaluate(Y_true, case.top, ks=depths, propensities=propensities, train_counts=counts)
    constants = "" if propensities is None else preset or "default"
    names = sections.Names(label_names)
    parts = {"metrics": ("Metrics", sections.metrics_section(case, results, depths, counts, constants))}
    if counts is not None:
        parts["frequency"] = ("Label frequency", sections.frequency_section(case, counts))
    parts["calibration"] = ("Calibration", sections.calibration_section(case, probabilities))
    parts["confused"] = ("Confused labels", sections.confusion_section(case, names))
    if codes is not None:
        digits = _padded("codes", _as_table(codes), n_labels, -1)
        parts["prefix"] = ("Prefix credit", sections.prefix_section(Y_true, case, digits, depths))
    if samples:
        html = sections.sample_section(case, names, samples, seed, texts, row_names)
        parts["samples"] = ("Sample predictions", html)
    page = document(safe(title, sections.LONGEST_TEXT), sections.describe(case, n_known, facts or {}), parts)
    with write_atomically(Path(os.path.expanduser(path)).resolve()) as stream:
        stream.write(page.encode())


def _check_lengths(case: Case, label_names: Any, texts: Any, row_names: Any) -> None:
    n_rows, n_labels = case.truth.n_rows, case.truth.n_labels
    if len(label_names) > n_labels:
        raise ValueError(f"label_names has {len(label_names)} entries but Y_true has {n_labels} columns.")
    for name, rows in (("texts", texts), ("row_names", row_names)):
        if rows is not None and len(rows) != n_rows:
            raise ValueError(f"{name} has {len(rows)} entries but Y_true has {n_rows} rows.")


def _check_probabilities(top: TopK) -> None:
    scores = top.scores[top.filled()]
    outside = ~((scores >= 0) & (scores <= 1 + 1e-6))
    if outside.any():
        raise ValueError(
            f"A score is {scores[outside][0]:g}; probabilities lie in [0, 1]. Leave out probabilities=True for other "
            "scores."
        )


def _as_table(codes: ArrayLike) -> NDArray[Any]:
    digits = np.asarray(codes)
    if digits.ndim != 2 or digits.shape[1] == 0:
        raise ValueError(f"codes has shape {digits.shape}; pass one row of digits for each label.")
    return digits


def _padded(name: str, values: NDArray[Any], n_labels: int, missing: int) -> NDArray[Any]:
    """Return an entry for each label; labels that the model does not know get `missing`."""
    if values.shape[0] > n_labels:
        raise ValueError(f"{name} has {values.shape[0]} entries but Y_true has {n_labels} columns.")
    padding = [(0, n_labels - values.shape[0]), *[(0, 0)] * (values.ndim - 1)]
    return np.pad(values, padding, constant_values=missing)
