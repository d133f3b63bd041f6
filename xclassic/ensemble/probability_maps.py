"""Maps from what an estimator says of a label to the probability that it is true.

What it says are *facts*, an array of shape (n_pairs, 3): the score, the logarithm of the rank among all labels of the
row, which begins with 1, and the logarithm of one more than the training rows of the label. All maps rise with the
score and fall with the rank, so that they never turn the order of labels of one frequency round.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit

from xclassic.parallel import blas_threads
from xclassic.storage.folder import Arrays

METHODS = ("auto", "logistic", "isotonic")
BANDS = (1, 2, 4, 8)
BAND_HITS = 100  # Hits of a frequency band, at least: fewer say too little of how a score is to be read.
ZONES = np.log([5.5, 20.5])  # The best five labels of a row, those up to rank 20, and all others.
N_ZONES = ZONES.size + 1
LEAST_SLOPE = 0.01  # For a standardized score: where it says nothing, its order is kept all the same.
LEARNED_PAIRS = 300_000  # For the slopes of logistic maps, which are steady long before; steps take all there are.
KEPT = 0.01  # Share of the logistic map in an isotonic one, whose steps would make scores equal.
STEPS = ("edges", "starts", "scores", "values")


class LogisticMap(NamedTuple):
    r"""The logistic function of a score, whose slope depends on the frequency of the label.

    .. math:: p = \sigma\bigl(a + (b_0 (1 - t) + b_1 t) \, z + c \, t - d \log r\bigr)

    with z the standardized score, r the rank, and t the logarithm of one more than the training rows of the label,
    divided by its largest value in the fit and at most 1. Both slopes are above 0, and d is at least 0.

    Attributes
    ----------
    coefficients : ndarray of float64, shape (5,)
        a, b0, b1, c and d.
    scale : ndarray of float64, shape (3,)
        Mean and standard deviation of the score, and the largest logarithm.
    """

    coefficients: NDArray[np.float64]
    scale: NDArray[np.float64]

    def probabilities(self, facts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities of pairs of rows and labels."""
        return np.asarray(expit(_columns(self.scale, facts) @ self.coefficients))


class IsotonicMap(NamedTuple):
    """Rising functions of the score, with lines between the means of their steps.

    There is one for each band of frequencies and zone of ranks; in a later zone none is above that of an earlier one.

    Attributes
    ----------
    edges : ndarray of float64, shape (n_bands - 1,)
        Ascending logarithms of one more than training rows. A label on an edge is in the band above it.
    starts : ndarray of int64, shape (3 n_bands + 1,)
        Where the steps of each zone of each band begin, and where those of the last end.
    scores, values : ndarray of float64, shape (n_steps,)
        Mean score and share of hits of each step, both ascending within a zone.
    logistic : LogisticMap
        One hundredth of the probability is its: it orders what is on one step, beyond the first and the last mean.
    """

    edges: NDArray[np.float64]
    starts: NDArray[np.int64]
    scores: NDArray[np.float64]
    values: NDArray[np.float64]
    logistic: LogisticMap

    def probabilities(self, facts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities of pairs of rows and labels."""
        bands, zones = _cells(self.edges, facts)
        steps = np.ones(facts.shape[0])
        for cell in range(self.starts.size - 1):
            own = (bands == cell // N_ZONES) & (zones >= cell % N_ZONES)
            among = slice(self.starts[cell], self.starts[cell + 1])
            line = np.interp(facts[own, 0], self.scores[among], self.values[among])
            steps[own] = np.minimum(steps[own], line)
        return KEPT * self.logistic.probabilities(facts) + (1 - KEPT) * steps


ProbabilityMap = LogisticMap | IsotonicMap


def unfitted_map() -> LogisticMap:
    """Return the logistic function of the score itself, for estimators without rows to learn from."""
    return LogisticMap(np.array([0.0, 1.0, 1.0, 0.0, 0.0]), np.array([0.0, 1.0, 1.0]))


def fit_maps(method: str, facts: NDArray[np.float64], hits: NDArray[np.bool_]) -> list[ProbabilityMap]:
    """Return what a method may choose from, the most cautious map first: one of a single band hardly changes an order.

    Parameters
    ----------
    method : {"auto", "logistic", "isotonic"}
    facts : ndarray of float64, shape (n_pairs, 3)
        At least one.
    hits : ndarray of bool, shape (n_pairs,)
    """
    few = slice(None, None, -(-hits.size // LEARNED_PAIRS))
    logistic = fit_logistic(facts[few], hits[few])
    if method == "logistic":
        return [logistic]
    first, *others = [fit_isotonic(facts, hits, n_bands, logistic) for n_bands in BANDS]
    return [first, *others] if method == "isotonic" else [first, logistic, *others]


def fit_logistic(facts: NDArray[np.float64], hits: NDArray[np.bool_]) -> LogisticMap:
    """Fit a logistic map by penalized likelihood; targets are a little inside 0 and 1, as Platt has them."""
    n_hits = int(hits.sum())
    targets = np.where(hits, (n_hits + 1) / (n_hits + 2), 1 / (hits.size - n_hits + 2))
    scale = np.array([facts[:, 0].mean(), facts[:, 0].std() or 1.0, facts[:, 2].max() or 1.0])
    columns = _columns(scale, facts)
    penalty = np.array([0.0, 1.0, 1.0, 1.0, 1.0])

    def loss(coefficients: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log_odds = columns @ coefficients
        value = (np.logaddexp(0, log_odds) - targets * log_odds).sum() + (penalty * coefficients**2).sum() / 2
        slope = columns.T @ (expit(log_odds) - targets) + penalty * coefficients
        return value / hits.size, slope / hits.size

    slopes = (LEAST_SLOPE, None)
    bounds = [(None, None), slopes, slopes, (None, None), (0, None)]
    start = unfitted_map().coefficients
    with blas_threads(1):
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-7})
    return LogisticMap(found.x, scale)


def fit_isotonic(
    facts: NDArray[np.float64], hits: NDArray[np.bool_], n_bands: int, logistic: LogisticMap
) -> IsotonicMap:
    """Fit an isotonic map.

    Parameters
    ----------
    facts : ndarray of float64, shape (n_pairs, 3)
        At least one.
    hits : ndarray of bool, shape (n_pairs,)
    n_bands : int
        Bands of about equally many hits. There are fewer where labels of one frequency have more, or hits are few.
    logistic : LogisticMap
        Fitted on the same pairs.
    """
    edges = _edges(facts[:, 2], hits, n_bands)
    bands, zones = _cells(edges, facts)
    steps = []
    for band in range(edges.size + 1):
        for zone in range(N_ZONES):
            own = (bands == band) & (zones == zone)
            own = own if own.any() else bands == band  # As where labels are fewer than ranks of the zone.
            steps.append(_steps(facts[own, 0], hits[own]))
    starts = np.cumsum([0, *(means.size for means, _ in steps)])
    scores, values = (np.concatenate([step[i] for step in steps]) for i in range(2))
    return IsotonicMap(edges, starts, scores, values, logistic)


def _columns(scale: NDArray[np.float64], facts: NDArray[np.float64]) -> NDArray[np.float64]:
    center, spread, largest = scale
    scores, log_ranks, log_counts = facts.T
    standard, share = (scores - center) / spread, np.minimum(log_counts / largest, 1)
    return np.stack([np.ones(share.size), standard * (1 - share), standard * share, share, -log_ranks], axis=1)


def _cells(edges: NDArray[np.float64], facts: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the band and the zone of each pair."""
    return np.searchsorted(edges, facts[:, 2], side="right"), np.searchsorted(ZONES, facts[:, 1])


def _edges(log_counts: NDArray[np.float64], hits: NDArray[np.bool_], n_bands: int) -> NDArray[np.float64]:
    """Return the frequencies at which the bands above the first begin."""
    of_hits = np.sort(log_counts[hits])
    n_bands = min(n_bands, of_hits.size // BAND_HITS)
    cuts = [i * of_hits.size // n_bands for i in range(1, n_bands)]
    edges = np.unique(of_hits[cuts])
    return edges[edges > of_hits[:1]]  # Where most hits are of the lowest frequency, nothing is below it.


def _steps(scores: NDArray[np.float64], hits: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean score and the share of hits of each step of an isotonic regression.

    One hit more at the lowest score, and one miss more at the highest, keep probabilities inside 0 and 1.
    """
    levels, at, counts = np.unique(scores, return_inverse=True, return_counts=True)
    n_hits = np.bincount(at, hits)
    n_hits[0] += 1
    counts[[0, -1]] += 1
    fitted = isotonic_regression(n_hits / counts, weights=counts)
    first = fitted.blocks[:-1]
    return np.add.reduceat(levels * counts, first) / np.add.reduceat(counts, first), fitted.x[first]


# Persistence


def map_arrays(fitted: ProbabilityMap) -> Arrays:
    """Return the arrays of a map by name."""
    if isinstance(fitted, LogisticMap):
        return fitted._asdict()
    return {**fitted.logistic._asdict(), **{name: getattr(fitted, name) for name in STEPS}}


def read_map(arrays: Arrays) -> ProbabilityMap:
    """Return the map of its arrays; raise a ValueError for what no fit makes."""
    logistic = LogisticMap(*_finite(arrays, {"coefficients": (5,), "scale": (3,)}))
    if (logistic.scale[1:] <= 0).any():
        raise ValueError(f"its scale is {logistic.scale.tolist()}; the last two are above 0.")
    if "edges" not in arrays:
        return logistic
    n_cells, n_steps = N_ZONES * (arrays["edges"].size + 1), arrays["scores"].size
    shapes = {"edges": (arrays["edges"].size,), "scores": (n_steps,), "values": (n_steps,)}
    edges, scores, values = _finite(arrays, shapes)
    starts = np.asarray(arrays["starts"])
    if starts.shape != (n_cells + 1,) or starts.dtype.kind not in "iu" or not _bound(starts, n_steps):
        raise ValueError(f"its zones start at {starts.tolist()}; {n_cells} of them share {n_steps} steps.")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("its values are no probabilities.")
    return IsotonicMap(edges, starts, scores, values, logistic)


def _bound(starts: NDArray[np.integer], n_steps: int) -> bool:
    """Tell whether each zone has steps, and all of them together are all steps."""
    return bool(starts[0] == 0 and starts[-1] == n_steps and (np.diff(starts.astype(np.int64)) > 0).all())


def _finite(arrays: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> list[NDArray[np.float64]]:
    found = [np.asarray(arrays[name]) for name in shapes]
    for array, (name, shape) in zip(found, shapes.items(), strict=True):
        if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
            raise ValueError(f"its {name} are {array.dtype} of shape {array.shape}, or not finite; expected {shape}.")
    return found
