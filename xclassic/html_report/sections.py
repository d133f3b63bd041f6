"""What stands in each section of a report, as HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xclassic import metrics
from xclassic.html_report.analysis import (
    Case,
    ScoreBins,
    baseline_precisions,
    by_frequency,
    by_score,
    confusions,
    sample_rows,
)
from xclassic.html_report.figures import frequency_figure, quantile_figure, reliability_figure
from xclassic.html_report.page import DASH, definitions, figure, isolated, number, percent, safe, table

LONGEST_NAME, LONGEST_TEXT = 80, 400
TRUE_SHOWN = 20  # At most this many true labels of a sample row are shown.
CONFUSIONS = 20  # At most this many pairs of labels are shown.
DEEPEST = 10  # At most this many rows in the table of prefix credit.

TERMS = {
    "P": "Precision: the share of the first k predictions that are true.",
    "R": "Recall: the share of a row&rsquo;s true labels among its first k predictions.",
    "nDCG": "Normalized discounted cumulative gain: a true label counts more the earlier it is predicted.",
    "hit": "The share of rows with a true label among the first k predictions.",
    "coverage": "The share of all true labels that are found in one row at least.",
    "PSP": "Propensity-scored precision: rare labels count more.",
    "PSnDCG": "Propensity-scored nDCG.",
}
GROUPS = ("head", "torso", "tail")


class Names(NamedTuple):
    """The names of labels.

    Attributes
    ----------
    names : sequence
        Names of the labels that the model knows. It is never copied, because it may be very long.
    """

    names: Sequence[Any] | NDArray[Any]

    def html(self, label: int) -> str:
        """Return the name of a label id."""
        if label >= len(self.names):
            return f"<i>label {number(label)}, unknown to the model</i>"
        name = safe(self.names[label], LONGEST_NAME)
        return f"<bdi>{name}</bdi>" if name else f"<i>label {number(label)}, without a name</i>"


def describe(case: Case, n_known: int, facts: Mapping[str, Any]) -> str:
    """Return the given metadata together with the metadata of the labeled rows."""
    n_labels, n_true, n_bare = case.truth.n_labels, case.truth.keys.size, int((case.sizes == 0).sum())
    given = {safe(name, LONGEST_NAME): isolated(value, LONGEST_TEXT) for name, value in facts.items()}
    bare = f", {number(n_bare)} of them without labels" if n_bare else ""
    unknown = f", and {number(n_labels - n_known)} unknown to the model" if n_labels > n_known else ""
    seen = np.unique(case.truth.labels).size
    found = {
        "Labeled rows": f"{number(case.truth.n_rows)}{bare}",
        "Labels": f"{number(n_known)}{unknown}; {number(seen)} are true in some row",
        "Labels of a row": f"{n_true / case.truth.n_rows:.2f} on average",
    }
    return definitions(given | found, "facts")


def metrics_section(
    case: Case, results: Mapping[str, float], ks: Sequence[int], train_counts: NDArray[Any] | None, constants: str
) -> str:
    """Return the metrics of all labels and of each frequency group; `constants` names the propensity constants."""
    bodies: dict[str, list[list[str]]] = {}
    plain = list(dict.fromkeys(key.rpartition("@")[0] for key in results if " " not in key))
    headings = {"": "All labels"} | _groups(case, train_counts)
    for group, heading in headings.items():
        keys = {name: f"{group} {name}".strip() for name in plain}
        if f"{group} P@{ks[0]}".strip() in results:
            bodies[heading] = [[name, *(percent(results[f"{keys[name]}@{k}"]) for k in ks)] for name in plain]
    caption = "Metrics at depth k, in percent"
    parts = [] if train_counts is None else [_baseline_table(case, results, ks, train_counts)]
    parts.append(
        table(caption, ["Metric", *(f"@{k}" for k in ks)], bodies if len(bodies) > 1 else {"": bodies["All labels"]})
    )
    left_out = [group for group, heading in headings.items() if heading not in bodies]
    if left_out:
        parts.append(f"<p class=note>No label of the {' and '.join(left_out)} is true in any row.</p>\n")
    parts.append(definitions({name: TERMS[name] for name in plain if name in TERMS}, "terms"))
    if constants:
        parts.append(f"<p class=note>The propensities are estimated with the constants “{constants}”.</p>\n")
    return "".join(parts)


def _baseline_table(case: Case, results: Mapping[str, float], ks: Sequence[int], train_counts: NDArray[Any]) -> str:
    """Return the precision of the model below that of rankings that do not look at the rows."""
    chance, popular = zip(*(baseline_precisions(case, train_counts, k) for k in ks), strict=True)
    rows = {"Random order": chance, "Most frequent labels": popular, "Model": [results[f"P@{k}"] for k in ks]}
    body = [[name, *map(percent, values)] for name, values in rows.items()]
    return table("P beside baselines, in percent", ["Ranking", *(f"@{k}" for k in ks)], {"": body})


def _groups(case: Case, train_counts: NDArray[Any] | None) -> dict[str, str]:
    """Return a heading for each group of labels by frequency."""
    if train_counts is None:
        return {}
    bounds = signature(metrics.label_groups).parameters
    least, most = bounds["head_min"].default, bounds["tail_max"].default
    ranges = (f"{least} training rows or more", f"{most + 1} to {least - 1}", f"{most} or fewer")
    frequency = np.bincount(case.truth.labels, minlength=case.truth.n_labels)
    groups = metrics.label_groups(train_counts)
    n_labels, n_true = number(train_counts.size), number(case.truth.keys.size)
    return {
        name: f"{name.capitalize()}: {bound} ({number(groups[name].size)} of {n_labels} labels, "
        f"{number(int(frequency[groups[name]].sum()))} of {n_true} true ones)"
        for name, bound in zip(GROUPS, ranges, strict=True)
    }


def frequency_section(case: Case, train_counts: NDArray[np.float64]) -> str:
    """Return precision and recall by the number of training rows."""
    bins = by_frequency(case, train_counts)
    ends = zip(bins.fewest, bins.most, strict=True)
    names = [number(low) if low == high else f"{number(low)}{DASH}{number(high)}" for low, high in ends]
    shares = [map(percent, column) for column in (bins.precision, bins.recall)]
    counts = [map(number, column) for column in (bins.right, bins.predicted, bins.true, bins.labels)]
    rows = [list(cells) for cells in zip(names, *shares, *counts, strict=True)]
    what = f"Precision and recall at {case.top.k} by label frequency"
    columns = ["Training rows", "Precision", "Recall", "Right", "Predicted", "True", "Labels"]
    return (
        "<p>Labels are grouped by how many training rows they have. Precision is the share of right ones among the "
        f"times these labels were predicted (down to rank {case.top.k}), recall among the times they are true.</p>\n"
        + figure(what, frequency_figure(bins, f"{what}; the table below holds the numbers."))
        + table("Label frequency: shares in percent, and counts", columns, {"": rows})
    )


def calibration_section(case: Case, probabilities: bool) -> str:
    """Return how often predictions are right by their score."""
    bins = by_score(case)
    if bins.size.size == 0:
        return "<p>There is no prediction with a finite score.</p>\n"
    text = _score_text(bins, case.top.k) if probabilities else _quantile_text(case.top.k)
    what = "Share of right predictions by score"
    draw = reliability_figure if probabilities else quantile_figure
    score = score_format(case.top.scores)
    rows = [
        [f"{score(low)} to {score(high)}", number(size), score(mean), percent(share)]
        for low, high, size, mean, share in zip(
            bins.lowest, bins.highest, bins.size, bins.mean, bins.share, strict=True
        )
    ]
    left_out = int(case.top.counts.sum() - bins.size.sum())
    note = (
        f"<p class=note>Predictions without a finite score are left out: {number(left_out)}.</p>\n" if left_out else ""
    )
    return (
        text
        + figure(what, draw(bins, f"{what}; the table below holds the numbers."))
        + table("Predictions by score", ["Scores", "Predictions", "Mean score", "Right, %"], {"": rows})
        + note
    )


def _score_text(bins: ScoreBins, k: int) -> str:
    return (
        f"<p>The scores are probabilities. The predictions of all rows down to rank {k} are cut into bins of equal "
        "size by their score; where the model is calibrated, the share of right predictions in a bin is its mean "
        "score. The expected calibration error, the mean distance of the two, is "
        f"<b>{percent(bins.calibration_error)}</b> percentage points.</p>\n"
    )


def _quantile_text(k: int) -> str:
    return (
        "<p>The scores of this model are not probabilities, so there is nothing to compare them with but each other. "
        f"The predictions of all rows down to rank {k} are cut into bins of equal size by their score: the more the "
        "share of right predictions rises, the better a threshold on the score tells right from wrong.</p>\n"
    )


def score_format(scores: NDArray[np.floating]) -> Callable[[float], str]:
    """Return how to write scores so that they are aligned, with about three digits of the largest."""
    finite = np.abs(scores[np.isfinite(scores)])
    largest = float(finite.max()) if finite.size else 0.0
    digits = 3 - int(np.ceil(np.log10(largest))) if largest > 0 else 3
    form = f".{max(digits, 0)}f" if -4 <= digits <= 7 else ".2e"
    return lambda score: format(score, form).replace("inf", "∞").replace("-", "\N{MINUS SIGN}")


def confusion_section(case: Case, names: Names) -> str:
    """Return which labels are ranked first where others are missed."""
    found = confusions(case, CONFUSIONS)
    if found.rows.size == 0:
        return "<p>No row has both a wrong first prediction and a true label that was not predicted.</p>\n"
    frequency = np.bincount(case.truth.labels, minlength=case.truth.n_labels)
    rows = [
        [names.html(missed), names.html(predicted), number(count), percent(count / frequency[missed])]
        for missed, predicted, count in zip(*found, strict=True)
    ]
    columns = ["True label, missed", "Predicted first", "Rows", "% of its rows"]
    return (
        f"<p>Rows whose first prediction is wrong while a true label is not predicted down to rank {case.top.k}: which "
        "is missed, and which is in its place. The last column is the share of all rows with the missed label.</p>\n"
        + table("Most confused labels", columns, {"": rows}, texts=2)
    )


def sample_section(
    case: Case,
    names: Names,
    count: int,
    seed: int,
    texts: Sequence[str | Mapping[str, Any]] | None,
    row_names: Sequence[Any] | NDArray[Any] | None,
) -> str:
    """Return some rows with their true labels and their predictions."""
    chosen = sample_rows(case, count, seed)
    if chosen.size == 0:
        return "<p>There is no row with labels to show.</p>\n"
    score = score_format(case.top.scores)
    cards = []
    for row in chosen.tolist():
        name = number(row) if row_names is None else isolated(row_names[row], LONGEST_NAME)
        verdict = (
            "first prediction right"
            if case.hits[row, 0]
            else "first prediction wrong"
            if case.top.counts[row]
            else "no prediction"
        )
        text = "" if texts is None else f"<p dir=auto>{safe(_as_text(texts[row]), LONGEST_TEXT)}</p>\n"
        cards.append(
            f"<article>\n<h3>Row {name}: {verdict}</h3>\n{text}"
            f"<p class=note>True labels</p>\n{_true_labels(case, names, row)}"
            f"<p class=note>Predictions and their scores</p>\n{_predictions(case, names, row, score)}</article>\n"
        )
    intro = (
        "<p>Rows drawn at random, with right and wrong first predictions in equal parts as far as there are enough; so "
        "they do not show how often the model is right.</p>\n"
    )
    return f"{intro}<div class=cards>\n{''.join(cards)}</div>\n"


def _as_text(row: str | Mapping[str, Any]) -> str:
    return "; ".join(f"{field}: {value}" for field, value in row.items()) if isinstance(row, Mapping) else row


def _true_labels(case: Case, names: Names, row: int) -> str:
    n_labels = case.truth.n_labels
    start, end = np.searchsorted(case.truth.keys, [row * n_labels, (row + 1) * n_labels])
    labels = case.truth.keys[start : min(end, start + TRUE_SHOWN)] % n_labels
    predicted = np.isin(labels, case.top.ids[row][case.hits[row]])
    items = [
        _item(hit, names.html(label), "found" if hit else "missed", "" if hit else "missed")
        for label, hit in zip(labels.tolist(), predicted.tolist(), strict=True)
    ]
    if end - start > TRUE_SHOWN:
        items.append(f"<li><span></span><span>and {number(end - start - TRUE_SHOWN)} more</span></li>\n")
    return f"<ul>\n{''.join(items)}</ul>\n"


def _predictions(case: Case, names: Names, row: int, score: Callable[[float], str]) -> str:
    count = case.top.counts[row]
    predictions = zip(case.top.ids[row, :count], case.top.scores[row, :count], case.hits[row, :count], strict=True)
    items = [
        _item(hit, names.html(label), "right" if hit else "wrong", score(value)) for label, value, hit in predictions
    ]
    return f"<ol>\n{''.join(items)}</ol>\n" if items else f"<p>{DASH}</p>\n"


def _item(good: bool, name: str, verdict: str, aside: str) -> str:
    """Return one label with a mark whose form and hidden word say the same as its color."""
    mark = (
        f"<span class={'right' if good else 'wrong'}>{'✓' if good else '✗'}<span class=unseen>{verdict}:</span></span>"
    )
    return f"<li>{mark}<span>{name}</span><span class=score>{aside}</span></li>\n"


def prefix_section(Y_true: Any, case: Case, codes: NDArray[Any], ks: Sequence[int]) -> str:
    """Return the prefix credit for the first digits of the codes, from one digit to all."""
    depth = codes.shape[1]
    depths = np.unique(np.linspace(1, depth, min(depth, DEEPEST)).astype(int)).tolist()
    rows = [
        [number(d), *(percent(metrics.prefix_credit(Y_true, case.top, codes[:, :d], k=k)) for k in ks)] for d in depths
    ]
    return (
        "<p>Each label has a code, the path to it in a tree. A prediction earns the share of the code of a true label "
        "that it begins with. Each line counts the first digits of the codes only: the first tells how often "
        "predictions are in the right main branch, the last is the credit by whole codes.</p>\n"
        + table("Prefix credit by depth, in percent", ["Digits", *(f"@{k}" for k in ks)], {"": rows})
    )
