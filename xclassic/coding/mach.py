"""MACH: labels hashed into few buckets several times over (Huang et al. 2018; Medini et al., NeurIPS 2019)."""

from __future__ import annotations

import warnings
from math import isqrt

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic._kernels.arguments import LANES
from xclassic.base import Arrays, Metadata, Verify
from xclassic.blocks.explaining import ExplainableClassifier, FullReading, Row
from xclassic.blocks.training import LOSSES
from xclassic.coding.base import LinearCode
from xclassic.coding.bucket_estimators import AGGREGATES, BucketEstimator
from xclassic.coding.label_hashes import LabelHashes, smallest_prime
from xclassic.explanation import Names, Step
from xclassic.parallel import StopByte, spawn_seeds
from xclassic.storage.arrays import stored_array, stored_count
from xclassic.storage.folder import ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number

MAX_TABLES = 256


class MACH(LinearCode, ExplainableClassifier):
    r"""Labels hashed into few buckets several times over, with a linear model for each bucket.

    Each of R tables has a hash h of the labels into B buckets. A row belongs to a bucket if one of its labels does, and
    for each bucket, as if it were a label,

    .. math:: \min_w \; \tfrac12 \|w\|^2 + C \sum_i \max(0, 1 - t_i\, w \cdot x_i)^2

    or, for ``loss="logistic"``, with :math:`\log(1 + e^{-t_i w \cdot x_i})` as the loss. A label has the score

    .. math:: s_l(x) = \frac1R \sum_{r=1}^R \log p_r\bigl(h_r(l) \mid x\bigr)

    with :math:`p = 1 / (1 + e^{-a\, w \cdot x})`. The models grow with the number of buckets, R B, not of labels.

    Parameters
    ----------
    n_tables : int, default=8
        Tables R, 1 to 256. Model, training and prediction grow with them. Two labels that share a bucket in one table
        usually differ in another: of L labels, about :math:`L^2 B^{-R} / 2` pairs remain that share all buckets.
    n_buckets : int or None, default=None
        Buckets B of each table, at least 2; None for the next integer above four times the root of the number of
        labels. More are more accurate and a larger model. With as many as labels each label has a bucket of its own,
        and one table is then one-vs-rest.
    aggregate : {"geometric", "mean", "unbiased", "min"}, default="geometric"
        What a label gets from its buckets: the mean of log p, which ranks as the geometric mean of p does; the mean
        of p, as in the papers; the unbiased estimate :math:`(\bar p - q S) / (1 - q)`, which ranks as the mean does,
        where q, about 1 / B, is the probability that two labels collide, and S the sum of p over the buckets of a
        table, an estimate of the number of labels of the row; or the smallest p. On held-out rows the geometric mean
        is up to two points of P@5 better than the mean.
    loss : {"squared_hinge", "logistic"}, default="squared_hinge"
        With the logistic loss a = 1. With the squared hinge a = 3, as fits held-out rows. Try a `C` of 10 with the
        logistic loss.
    {prune} On data of many rare labels 0.3 keeps a third of the weights that 0.1 keeps and is as accurate.
    random_state : int or None, default=0
        Seed of the hashes and of the order of the rows; None takes a new one each time.
    {shared}

    Attributes
    ----------
    hashes_ : LabelHashes
        ``hashes_.places(labels)`` gives the bucket of each label in each table, numbered over all tables.
    weights_ : BlockWeights
        The models of the buckets.
    n_undecidable_pairs_ : int
        Pairs of labels with a training row that share their bucket in every table, so that their scores are equal.
        ``fit`` warns of them.

    See Also
    --------
    DiSMEC : A model for each label: more accurate, and after pruning often as small.

    Notes
    -----
    The papers train networks on the buckets; this is the method with linear models. The scores are not calibrated: a
    bucket is at least as probable as each of its labels. Labels without a training row are never predicted. Rows
    without labels are in no bucket, and so negatives of all; rows without features see only the bias.

    Cost: training is that of R B labels in `DiSMEC`. A prediction costs the models of all buckets, and then R for
    every label in the buckets that are visited: the best ones, until no other label can be among the k best. For few
    predictions these are one to ten percent of the labels; the result is that of scoring all of them. Memory: a copy
    of `X`, R times that of `y`, the model, and ``64 (n_rows + n_features)`` bytes per worker; of every label one bit
    is kept, and its name.

    References
    ----------
    .. [1] Q. Huang, Y. Wang, T. Medini and A. Shrivastava, "Extreme classification in log memory", 2018
       (arXiv:1810.04254); section 3: the hashes, the estimator and its bias.
    .. [2] T. Medini, Q. Huang, Y. Wang, V. Mohan and A. Shrivastava, "Extreme classification in log memory using
       count-min sketch: A case study of Amazon search with 50M products", NeurIPS 2019; section 3: many labels per row.
    .. [3] J. L. Carter and M. N. Wegman, "Universal classes of hash functions", J. Comput. Syst. Sci. 18, 1979.

    Examples
    --------
    >>> from xclassic import MACH, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = MACH(n_tables=4).fit(bibtex.X, bibtex.Y)
    >>> clf.hashes_.n_buckets
    51
    """

    _rows_per_task = 128  # The values of all buckets are dense for these rows.

    hashes_: LabelHashes
    n_undecidable_pairs_: int
    _seen: NDArray[np.uint8]  # A bit for each label with a training row.

    def __init__(
        self,
        n_tables: int = 8,
        n_buckets: int | None = None,
        *,
        aggregate: str = "geometric",
        loss: str = "squared_hinge",
        C: float = 1.0,
        prune: float = 0.1,
        eps: float = 0.01,
        max_passes: int = 20,
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.n_tables = n_tables
        self.n_buckets = n_buckets
        self.aggregate = aggregate
        self.loss = loss
        self.C = C
        self.prune = prune
        self.eps = eps
        self.max_passes = max_passes
        self.bias = bias
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("n_tables", self.n_tables, minimum=1, maximum=MAX_TABLES, integer=True)
        if self.n_buckets is not None:
            check_number("n_buckets", self.n_buckets, minimum=2, integer=True)
        check_choice("aggregate", self.aggregate, AGGREGATES)
        check_choice("loss", self.loss, LOSSES)

    def _fit(self, X: Features, Y: csr_array) -> None:
        order, seed = spawn_seeds(self.random_state, 2).tolist()
        n_labels = Y.shape[1]
        n_buckets = self.n_buckets or _usual_buckets(n_labels)
        self.hashes_ = LabelHashes.draw(self.n_tables, n_labels, n_buckets, np.random.default_rng(seed))
        seen = np.unique(Y.indices).astype(np.int64)
        self._seen = np.packbits(np.isin(np.arange(n_labels), seen))
        self.n_undecidable_pairs_ = self.hashes_.undecidable_pairs(seen)
        if self.n_undecidable_pairs_:
            warnings.warn(
                f"{self.n_undecidable_pairs_} pairs of labels share their bucket in every table, so that nothing tells "
                f"them apart. Raise n_tables above {self.n_tables} or n_buckets above {self.hashes_.n_buckets}.",
                stacklevel=4,  # The level of the caller of fit.
            )
        self.weights_ = self._trained(self._prepare(X), self.hashes_.targets(Y), self.loss, order)

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        from xclassic.coding.bucket_search import best_labels

        hashes, used = self.hashes_, self.weights_.labels[self.weights_.labels >= 0]
        margins = self._margins(X, hashes.n_places, stop)
        values = np.full_like(margins, -np.inf)  # Buckets without rows have no model.
        values[:, used] = self._estimator.values(margins[:, used])
        scale, offsets = self._estimator.scale(values)
        allowed = np.unpackbits(self._seen, count=hashes.n_labels).astype(np.bool_)
        if labels is not None:
            allowed &= np.isin(np.arange(hashes.n_labels), labels)
        top = TopK.empty(X.shape[0], k)
        best_labels(
            values,
            hashes.n_buckets,
            hashes.prime,
            hashes.factors,
            hashes.inverses(),
            hashes.shifts,
            allowed,
            self.aggregate == "min",
            scale,
            offsets,
            *top,
            stop,
        )
        return top

    def _log_odds(self) -> float | None:
        return 1.0 if self.aggregate == "geometric" else None  # Only these scores are logarithms.

    @property
    def _estimator(self) -> BucketEstimator:
        hashes = self.hashes_
        return BucketEstimator(self.aggregate, self.loss, len(hashes.factors), hashes.collision_probability)

    def _explained(self, row: Row, label: int, label_names: Names | None) -> tuple[float, int, list[Step]]:
        reading, hashes = FullReading(self.weights_, row), self.hashes_
        margins = np.full(hashes.n_places, -np.inf)
        margins[reading.labels] = reading.margins
        places = hashes.places(np.array([label]))[0]
        if not np.unpackbits(self._seen)[label] or (margins[places] == -np.inf).any():
            return 0.0, 0, []
        parts = self._estimator.parts(margins, places)
        tables = np.split(margins, len(places))
        steps = []
        for t, (place, part, rivals) in enumerate(zip(places.tolist(), parts, tables, strict=True)):
            name = f"table {t + 1}, bucket {place - t * hashes.n_buckets + 1}"
            steps.append(reading.step(place, name, part, rivals[rivals > -np.inf]))
        return sum(parts), 0, steps

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        B = min(self.n_buckets or _usual_buckets(L), L)
        targets = self.n_tables * (40 * nnz_y + 24 * L)
        features = min(d, nnz_y / B * nnz_x / n)  # Those of the rows of a bucket.
        model = 2 * 6 * self.n_tables * B * features / 3  # The model exists twice while trained blocks are merged.
        scratch = effective_n_jobs(self.n_jobs) * 4 * LANES * (n + d)
        return int(12 * nnz_x + 24 * n + max(targets, 12 * self.n_tables * nnz_y + scratch + model))

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        hashes = {"factors": self.hashes_.factors, "shifts": self.hashes_.shifts}
        metadata = {"n_buckets": self.hashes_.n_buckets, "n_undecidable_pairs": self.n_undecidable_pairs_}
        return hashes | {"trained": self._seen} | super()._get_arrays()[0], metadata

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        n_labels, p = self.classes_.size, smallest_prime(self.classes_.size)
        n_buckets, pairs = stored_count(metadata, "n_buckets"), metadata["n_undecidable_pairs"]
        if n_buckets > n_labels:
            raise ModelFileError(f"The model has {n_buckets} buckets in a table, but {n_labels} labels.")
        if type(pairs) is not int or pairs < 0:
            raise ModelFileError(f"n_undecidable_pairs is {pairs!r} in the model file; a count belongs there.")
        factors = stored_array(arrays, "factors", np.int64, (self.n_tables,), (1, p - 1))
        shifts = stored_array(arrays, "shifts", np.int64, (self.n_tables,), (0, p - 1))
        self.hashes_ = LabelHashes(factors, shifts, n_labels, n_buckets)
        self.n_undecidable_pairs_ = pairs
        self._seen = stored_array(arrays, "trained", np.uint8, (-(-n_labels // 8),))
        self._set_weights(arrays, self.hashes_.n_places, verify)


def _usual_buckets(n_labels: int) -> int:
    return max(2, 1 + isqrt(16 * n_labels - 1))
