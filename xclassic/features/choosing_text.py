"""The settings of texts as features, chosen by quick models of both kinds on training rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array
from tqdm.auto import tqdm

from xclassic.features.text_parameters import PRESETS, Preset
from xclassic.label_tree.bonsai import Bonsai
from xclassic.linear.least_squares import OneVsRestLeastSquares
from xclassic.topk import TopK

# The budget. Counting terms and fitting models take time in proportion to these, whatever the size of the data.
MOST_ROWS, MOST_LETTERS = 20_000, 3_000_000
MOST_LABELS = 500  # Of the ridge, whose time grows with rows times labels.
MOST_FOLDS = 4  # Each holds out a fourth of the rows.
FEWEST_ROWS = 200  # Below that, differences between settings are chance.
TIE = 0.001  # A loss of this mean precision is none.
DEPTHS = (1, 3, 5)

Texts = dict[str, NDArray[np.object_]]
Featurize = Callable[[dict[str, Preset], Texts, Texts], tuple[csr_array, csr_array]]

CANDIDATES = (
    PRESETS["abstract"],
    Preset((1, 1), (4, 4), 2, False, 0.7),
    Preset((1, 2), (4, 4), 2, False, 0.5),
    Preset((1, 2), (), 2, True),
    Preset((1, 2), (), 1, True),
    Preset((1, 2), (4, 4), 2, True),
    PRESETS["title"],
)


class Fold(NamedTuple):
    """Rows to learn from and rows to judge by.

    Attributes
    ----------
    train, held_out : ndarray of int64
    Y, truth : csr_array
        Their labels: those that have a training row.
    few : ndarray of int64
        The labels that the ridge learns.
    """

    train: NDArray[np.int64]
    held_out: NDArray[np.int64]
    Y: csr_array
    truth: csr_array
    few: NDArray[np.int64]


class Trial(NamedTuple):
    """What settings were worth.

    Attributes
    ----------
    settings : Preset
    n_features : int
    precisions : dict of str to ndarray of float64, shape (n_judged_rows, 3)
        Of each model, the precision at 1, 3 and 5 of each row that was held out.
    """

    settings: Preset
    n_features: int
    precisions: dict[str, NDArray[np.float64]]


def choose_settings(
    texts: Texts,
    Y: csr_array,
    candidates: dict[str, list[Preset]],
    start: dict[str, Preset],
    featurize: Featurize,
    *,
    models: Sequence[str],
    random_state: Any,
    n_jobs: int | None,
    verbose: int,
) -> tuple[dict[str, Preset], dict[str, Any]]:
    """Choose the settings of text fields, one field after another, and report what was tried.

    Parameters
    ----------
    texts : dict of str to ndarray of object, shape (n_rows,)
    Y : csr_array of shape (n_rows, n_labels)
    candidates : dict of str to list of Preset
        For each field whose settings are to be chosen.
    start : dict of str to Preset
        The settings of all fields until they are chosen.
    featurize : function
        Returns the features of training texts and of held-out ones for given settings of the fields.
    models : sequence of {"tree", "linear"}
        Those that decide.
    random_state : int, RandomState or None
    n_jobs : int or None
    verbose : int

    Returns
    -------
    settings : dict of str to Preset
    report : dict of str to dict
        For each of the chosen fields.
    """
    from sklearn.utils import check_random_state

    rng = check_random_state(random_state)
    letters = np.sum([[len(text) for text in column] for column in texts.values()], axis=0)
    rows, labels = sample(Y, letters, rng)
    if rows.size < FEWEST_ROWS:
        why = f"{rows.size} rows with labels are too few to choose by, so the lengths of the texts decide"
        return dict(start), {field: told(start[field], why) for field in candidates}
    texts = {field: column[rows] for field, column in texts.items()}
    folds = split(csr_array(Y[rows][:, labels]), int(letters[rows].sum()), rng)
    settings, report = dict(start), {}
    for field, to_try in candidates.items():
        trials: list[Trial] = []
        for candidate in tqdm(to_try, desc=f"settings of {field}", disable=verbose <= 0):
            trials += _try(settings | {field: candidate}, field, texts, folds, featurize, models, n_jobs)
        settings[field], why = best_of(trials, models, start[field])
        report[field] = told(settings[field], why, trials, folds)
    return settings, report


def sample(
    Y: csr_array, letters: NDArray[np.int64], rng: np.random.RandomState
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows within the budget and the labels that count: of labels drawn at random all rows, as far as they go.

    A sample of the rows would leave a frequent label a rare one, and make every term rarer beside it.
    """
    labeled = np.flatnonzero(np.diff(Y.indptr))
    all_labels = np.arange(Y.shape[1])
    if labeled.size <= MOST_ROWS and letters[labeled].sum() <= MOST_LETTERS:
        return labeled, all_labels
    by_label, taken, drawn = csc_array(Y), np.zeros(Y.shape[0], np.bool_), []
    n_rows = n_letters = 0
    for label in rng.permutation(Y.shape[1]):
        rows = by_label.indices[by_label.indptr[label] : by_label.indptr[label + 1]]
        new = rows[~taken[rows]]
        if n_rows + new.size <= MOST_ROWS and n_letters + letters[new].sum() <= MOST_LETTERS:
            taken[new] = True
            n_rows, n_letters = n_rows + new.size, n_letters + int(letters[new].sum())
            drawn.append(label)
    if 2 * n_rows >= MOST_ROWS or 2 * n_letters >= MOST_LETTERS:
        return np.flatnonzero(taken), np.sort(np.array(drawn, np.int64))
    shuffled = rng.permutation(labeled)  # Labels of very many rows: each has enough of them in any sample.
    within = (np.arange(labeled.size) < MOST_ROWS) & (np.cumsum(letters[shuffled]) <= MOST_LETTERS)
    return np.sort(shuffled[within]), all_labels


def split(Y: csr_array, n_letters: int, rng: np.random.RandomState) -> list[Fold]:
    """Return rows to learn from and rows to judge by, several times where there are few of them.

    They are drawn at random and not by label, since rare labels would be held out less often than others.
    """
    n_rows = Y.shape[0]
    n_folds = max(1, min(MOST_FOLDS, MOST_ROWS // n_rows, MOST_LETTERS // max(n_letters, 1)))
    folds = []
    for part in np.array_split(rng.permutation(n_rows), MOST_FOLDS)[:n_folds]:
        held_out = np.sort(part)
        train = np.setdiff1d(np.arange(n_rows), held_out)
        known = np.flatnonzero(np.bincount(Y[train].indices, minlength=Y.shape[1]))
        few = np.sort(rng.permutation(known.size)[:MOST_LABELS])
        folds.append(Fold(train, held_out, csr_array(Y[train][:, known]), csr_array(Y[held_out][:, known]), few))
    return folds


def _try(
    settings: dict[str, Preset],
    field: str,
    texts: Texts,
    folds: list[Fold],
    featurize: Featurize,
    models: Sequence[str],
    n_jobs: int | None,
) -> list[Trial]:
    """Return what settings are worth, nothing where the field has no term that is frequent enough."""
    width = 0
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in models}
    for fold in folds:
        parts = [{name: column[part] for name, column in texts.items()} for part in (fold.train, fold.held_out)]
        try:
            X, X_new = featurize(settings, *parts)
        except ValueError:
            return []
        width = max(width, X.shape[1])
        for name in models:
            found[name].append(_precisions(name, fold, X, X_new, n_jobs))
    return [Trial(settings[field], width, {name: np.vstack(rows) for name, rows in found.items()})]


def _precisions(name: str, fold: Fold, X: csr_array, X_new: csr_array, n_jobs: int | None) -> NDArray[np.float64]:
    """Return precision at 1, 3 and 5 of each held-out row by a model of the training rows."""
    if name == "tree":
        tree = Bonsai(n_trees=1, n_jobs=n_jobs).fit(X, fold.Y)
        return _hits(fold.truth, tree.predict_topk(X_new, DEPTHS[-1]))
    truth = csr_array(fold.truth[:, fold.few])
    judged = np.flatnonzero(np.diff(truth.indptr))
    if not judged.size:
        return np.empty((0, len(DEPTHS)))
    # Choosing the power would take as long as the fit, and moves all settings alike.
    ridge = OneVsRestLeastSquares(propensity_power=0.0, n_jobs=n_jobs).fit(X, csr_array(fold.Y[:, fold.few]))
    return _hits(csr_array(truth[judged]), ridge.predict_topk(csr_array(X_new[judged]), DEPTHS[-1]))


def _hits(truth: csr_array, top: TopK) -> NDArray[np.float64]:
    right = np.zeros((truth.shape[0], DEPTHS[-1]))
    rows, places = np.nonzero(top.ids >= 0)
    right[rows, places] = truth[rows, top.ids[rows, places]] > 0
    precisions: NDArray[np.float64] = right.cumsum(axis=1)[:, np.array(DEPTHS) - 1] / DEPTHS
    return precisions


def best_of(trials: list[Trial], models: Sequence[str], start: Preset) -> tuple[Preset, str]:
    """Return the narrowest settings whose worst loss, over the models, is the least or hardly more, and why."""
    judges = [name for name in models if all(trial.precisions[name].size for trial in trials)]
    if not trials or not judges:
        return start, "no settings could be tried, so the lengths of the texts decide"
    means = np.array([[trial.precisions[name].mean() for name in judges] for trial in trials])
    worst = (means.max(axis=0) - means).max(axis=1)
    good = np.flatnonzero(worst <= worst.min() + TIE)
    chosen = min(good.tolist(), key=lambda number: trials[number].n_features)
    why = (
        f"of {len(trials)} settings, these lose at most {100 * worst[chosen]:.2f} points of the mean of P@1, P@3 and "
        f"P@5 against the best for each model ({', '.join(judges)}); the least is {100 * worst.min():.2f}, and of the "
        f"{good.size} that lose hardly more they have the fewest features"
    )
    return trials[chosen].settings, why


def told(settings: Preset, why: str, trials: Sequence[Trial] = (), folds: Sequence[Fold] = ()) -> dict[str, Any]:
    """Return a choice and what was tried, as plain data."""
    tried = [
        {
            "settings": _plain(trial.settings),
            "n_features": trial.n_features,
            **{
                name: np.round(100 * rows.mean(axis=0), 2).tolist()
                for name, rows in trial.precisions.items()
                if rows.size
            },
        }
        for trial in trials
    ]
    sizes = {
        "n_train": folds[0].train.size if folds else 0,
        "n_held_out": sum(fold.held_out.size for fold in folds),
        "n_labels": folds[0].Y.shape[1] if folds else 0,
    }
    return {"chosen": _plain(settings), "why": why, **sizes, "tried": tried}


def _plain(settings: Preset) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings._asdict().items()}
