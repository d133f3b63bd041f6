"""Compressed sensing for labels (Hsu, Kakade, Langford and Zhang, NIPS 2009)."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.base import Arrays, Metadata, Verify, XMCClassifier
from xclassic.compression.base import CenteredLabels, LinearCompression
from xclassic.compression.recovery import cosamp, orthogonal_matching_pursuit
from xclassic.linalg.ridge import RidgeSolver
from xclassic.parallel import StopByte
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number
from xclassic.weighted_ranking import ScoreWeights

RECOVERIES = {"omp": orthogonal_matching_pursuit, "cosamp": cosamp}


class CompressedSensing(LinearCompression):
    r"""Random sums of labels, predicted by ridge regression, from which the few positives are recovered.

    Every label has a random code a of about unit length. The target of a row in the regression W is the sum of the
    codes of its labels. A new row has the target z = xW, and its labels are those few whose codes add up to z. In
    theory the codes may be as short as the number of positives times the logarithm of the number of labels. In practice
    the regression blurs the sum, and directions chosen from the data, as `PLST` and `CPLST` do, keep more of it.

    Parameters
    ----------
    n_components : int, default=200
        Length of the codes; at most the number of labels and of rows.
    code : {"gaussian", "sign", "hadamard"}, default="gaussian"
        Codes of normal numbers, of random signs, or columns of a Hadamard matrix with rows drawn at random. The codes
        of different labels are orthogonal if all rows of the Hadamard matrix are drawn.
    decoder : {"omp", "cosamp", "correlation"}, default="omp"
        Scores are weights found by orthogonal matching pursuit or by CoSaMP, or products of codes and target, which are
        quickest, and three to five points of P@3 lower on held-out rows of bibtex and delicious.
    n_positives : int, default=10
        At most this many labels per row with "omp" and "cosamp"; CoSaMP needs codes three times as long.
    alpha : float, default=1.0
        Ridge penalty of the regression, at least 0; the constant feature is penalized too.
    bias : float, default=1.0
        Value of a constant feature; 0 for none.
    normalize : bool, default=True
        Scale rows to unit length first.
    n_jobs : int, optional
        Workers of predictions, as joblib counts them.
    random_state : int or None, default=0
        Seed of the codes; None takes a new one each time.
    verbose : int, default=0
        Above 0, show progress.

    Attributes
    ----------
    map_ : ndarray of float32, shape (n_features + 1, n_components)
        From features to targets; the last row is that of the constant feature.
    decoder_ : BlockWeights
        The codes of the labels.
    codes_ : ndarray of float32, shape (n_labels, n_components)
        The codes as an array; zeros for labels without a training row.

    See Also
    --------
    PLST : Directions from which label vectors are recovered best.

    Notes
    -----
    Scores are estimates of the label vector, not probabilities. With "omp" and "cosamp" rows have at most
    `n_positives` predictions. Labels without a training row are never predicted.

    Cost: ``m^3 / 3`` with m the smaller of rows and features (beyond 15,000 conjugate gradients), and
    ``nnz(X) n_components``. A prediction costs ``n_labels n_components``, with "omp" ``n_positives`` times that, with
    "cosamp" up to 20 times. Memory: ``4 m^2`` bytes, and ``4 n_components`` for each row and feature and twice for
    each label.

    References
    ----------
    .. [1] D. Hsu, S. M. Kakade, J. Langford and T. Zhang, "Multi-label prediction via compressed sensing", NIPS 2009.

    Examples
    --------
    >>> from xclassic import CompressedSensing, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = CompressedSensing(n_components=80).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    _centered = False

    codes_: NDArray[np.float32]

    _joint_labels = True  # Whether a label is recovered depends on the codes of all.

    def __init__(
        self,
        n_components: int = 200,
        *,
        code: str = "gaussian",
        decoder: str = "omp",
        n_positives: int = 10,
        alpha: float = 1.0,
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            n_components,
            alpha=alpha,
            bias=bias,
            normalize=normalize,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.code = code
        self.decoder = decoder
        self.n_positives = n_positives

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("code", self.code, ("gaussian", "sign", "hadamard"))
        check_choice("decoder", self.decoder, ("correlation", *RECOVERIES))
        check_number("n_positives", self.n_positives, minimum=1, integer=True)

    def _fit(self, X: Features, Y: csr_array) -> None:
        super()._fit(X, Y)
        self._spread_codes()

    def _directions(
        self, labels: CenteredLabels, solver: RidgeSolver, k: int, random: np.random.Generator
    ) -> NDArray[np.float32]:
        return random_codes(self.code, labels.Y.shape[1], k, random)

    def _spread_codes(self) -> None:
        self.codes_ = np.ascontiguousarray(self.decoder_.to_csc(self.classes_.size).toarray().T)

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        if self.decoder == "correlation":
            return self._weighted_topk(X, k, labels, None, stop)
        found, weights = RECOVERIES[self.decoder](
            self._codes(X),
            self.codes_,
            partial(self.decoder_.ranked, stop=stop),
            min(self.n_positives, self.classes_.size),
        )
        allowed = weights > 0
        if labels is not None:
            allowed &= np.isin(found, labels)
        rows = np.repeat(np.arange(len(found)), allowed.sum(axis=1))
        return TopK.from_csr(csr_array((weights[allowed], (rows, found[allowed])), (len(found), self.classes_.size)), k)

    def _weighted_topk(
        self, X: Features, k: int, labels: NDArray[np.int32] | None, weights: ScoreWeights | None, stop: StopByte
    ) -> TopK:
        method = LinearCompression if self.decoder == "correlation" else XMCClassifier
        return method._weighted_topk(self, X, k, labels, weights, stop)

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        super()._set_arrays(arrays, metadata, verify)
        self.decoder_.verify()
        self._spread_codes()


def random_codes(code: str, n: int, length: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Return codes of about unit length, shape (n, length)."""
    if code == "gaussian":
        codes = random.standard_normal((n, length), np.float32)
    elif code == "sign":
        codes = 2 * random.integers(0, 2, (n, length)).astype(np.float32) - 1
    else:
        codes = hadamard_columns(n, length, random)
    return codes / np.float32(np.sqrt(length))


def hadamard_columns(n: int, length: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Return random rows of the first n columns of Sylvester's Hadamard matrix, transposed, shape (n, length)."""
    order = 1 << (n - 1).bit_length()
    rows = random.choice(order, length, replace=False)
    signs = np.ones((n, length), np.float32)
    # An entry is -1 where the numbers of its row and column have an odd number of bits in common.
    for bit in range(order.bit_length() - 1):
        both = np.outer(np.arange(n) >> bit & 1, rows >> bit & 1)
        signs *= 1 - 2 * both.astype(np.float32)
    return signs
