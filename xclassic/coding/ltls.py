"""LTLS: labels as paths of a trellis, whose edges are linear models (Jasinska, Evron and others, 2016 and 2018)."""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic._kernels.arguments import LANES
from xclassic.base import Arrays, Metadata, Verify
from xclassic.blocks.explaining import ExplainableClassifier, FullReading, Row
from xclassic.blocks.training import LOSSES
from xclassic.coding.assignment import MAX_ENTRIES, order_by_similarity
from xclassic.coding.base import LinearCode
from xclassic.coding.trellis import Trellis
from xclassic.explanation import Names, Step
from xclassic.parallel import StopByte, spawn_seeds
from xclassic.storage.arrays import stored_array
from xclassic.storage.folder import ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number

ASSIGNMENTS = ("similar", "random")


class LTLS(LinearCode, ExplainableClassifier):
    r"""Labels as source-to-sink paths of a trellis: a model of logarithmic size, and top labels by list Viterbi.

    A trellis of width b has as many paths as there are labels, and :math:`O(b^2 \log_b L)` edges. With :math:`t_{ie}=1`
    if edge e is on the path of a label of row i and :math:`-1` otherwise, each edge gets the linear model

    .. math:: \min_{w_e} \; \tfrac12 \|w_e\|^2 + C \sum_i \log(1 + e^{-t_{ie}\, w_e \cdot x_i})

    and the score of a label is minus the loss of its path, :math:`-\sum_e \log(1 + e^{-w_e \cdot x})` over its edges:
    the log-probability of all of them, if edges were independent. The model hardly grows with the number of labels, and
    accuracy is the price: where a model of every label fits in memory, `DiSMEC` and the label trees are more accurate.

    Parameters
    ----------
    width : int, default=16
        States of a layer, at least 2. The paper of LTLS has 2, where many labels share an edge and underfit; accuracy
        grows with it, as does the model, by its square. From the number of labels on, each label has an edge of its own
        and the method is one-vs-rest.
    assignment : {"similar", "random"}, default="similar"
        Which label gets which path. "similar" clusters labels, so that those with similar rows share edges, which
        helps most if the trellis is narrow; "random" is that of [2]_.
    loss : {"logistic", "squared_hinge"}, default="logistic"
        "squared_hinge" has :math:`\max(0, 1 - t_{ie}\, w_e \cdot x_i)^2` in place of the logistic loss, in training and
        in scores. Try a smaller `C` with it.
    random_state : int or None, default=0
        Seed of the assignment and of the order of the rows; None takes a new one each time.
    {shared}

    Attributes
    ----------
    trellis_ : Trellis
    labels_ : ndarray of int32, shape (n_paths,)
        Label id of each path.
    weights_ : BlockWeights
        The models of the edges.

    See Also
    --------
    DiSMEC : A model for each label.

    Notes
    -----
    Labels without a training row have no path, and are never predicted. Rows without labels are negatives of every
    edge. Edges are trained independently and decoded by their loss, as in [2]_. There a row has one label, so that all
    other edges count as negatives, which makes :math:`w_e \cdot x` the term of an edge. Here a row has several labels,
    whose paths set other edges too, and only the edges of the path count, which is more accurate. LTLS as first
    published [1]_ trains all edges together, online, by the margin between the worst path of a row's labels and the
    best one of the others; on rows of several labels that was less accurate, see ``docs/decisions/coding.md``.

    Cost of training: a few passes over the rows for every 16 edges. Cost of a prediction: the margins of all edges and
    ``O(b^2 + b k log b)`` for each of the ``log_b L`` layers; few allowed labels are summed one by one. Memory: a copy
    of `X`, up to 200 entries for each label if similar ones are to be found, or all features if `X` is dense, and
    ``64 (n_rows + n_features)`` bytes per worker. The model has 4 bytes for each label, besides its weights.

    References
    ----------
    .. [1] K. Jasinska and N. Karampatziakis, "Log-time and log-space extreme classification", 2016 (section 3, the
       trellis).
    .. [2] I. Evron, E. Moroshko and K. Crammer, "Efficient loss-based decoding on graphs for extreme classification",
       NeurIPS 2018 (wider trellises, edges as independent problems).
    .. [3] I. Evron, O. Onn, T. Weiss Orzech, H. Azeroual and D. Soudry, "The role of codeword-to-class assignments in
       error-correcting codes: An empirical study", AISTATS 2023 (similar labels get similar codes).

    Examples
    --------
    >>> from xclassic import LTLS, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = LTLS(width=4).fit(bibtex.X, bibtex.Y)
    >>> clf.trellis_.n_paths, clf.trellis_.n_edges
    (159, 51)
    """

    trellis_: Trellis
    labels_: NDArray[np.int32]

    def __init__(
        self,
        width: int = 16,
        *,
        assignment: str = "similar",
        C: float = 3.0,
        loss: str = "logistic",
        prune: float = 0.1,
        eps: float = 0.01,
        max_passes: int = 20,
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.width = width
        self.assignment = assignment
        self.C = C
        self.loss = loss
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
        check_number("width", self.width, minimum=2, integer=True)
        check_choice("assignment", self.assignment, ASSIGNMENTS)
        check_choice("loss", self.loss, LOSSES)

    def _fit(self, X: Features, Y: csr_array) -> None:
        X = self._prepare(X)
        seen = np.flatnonzero(np.bincount(Y.indices, minlength=Y.shape[1]))
        assignment_seed, row_seed = spawn_seeds(self.random_state, 2)
        if self.assignment == "similar" and len(seen) > self.width:  # In a single layer no edge is shared.
            order = order_by_similarity(X, csr_array(Y[:, seen]), assignment_seed, self.n_jobs, self.verbose)
        else:
            order = np.random.default_rng(assignment_seed).permutation(len(seen))
        self.labels_ = seen[order].astype(np.int32)
        self.trellis_ = Trellis.of(len(seen), int(self.width))
        on_path = csr_array(Y[:, self.labels_] @ self.trellis_.incidence())
        on_path.data[:] = 1
        self.weights_ = self._trained(X, on_path, self.loss, int(row_seed))

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        from xclassic.coding.viterbi import best_labels

        top = TopK.empty(X.shape[0], k)
        if not self.trellis_.n_paths:
            return top
        margins = self._margins(X, self.trellis_.n_edges, stop)
        edge_scores = self._edge_scores(margins).astype(np.float32)
        allowed = self.labels_ if labels is None else np.where(np.isin(self.labels_, labels), self.labels_, -1)
        best_labels(edge_scores, self.trellis_, allowed.astype(np.int32), k, *top, stop)
        top.scores[~np.isfinite(margins).all(axis=1), 0] = np.nan  # Paths of such margins have no order.
        return top

    def _log_odds(self) -> float | None:
        return 1.0  # Sums of logarithms of what edges are worth.

    def _edge_scores(self, margins: NDArray[Any]) -> NDArray[Any]:
        """Return minus the loss of each edge as part of a path."""
        if self.loss == "logistic":
            return -np.logaddexp(0, -margins)  # type: ignore[no-any-return]
        return -(np.maximum(0, 1 - margins) ** 2)  # type: ignore[no-any-return]

    def _explained(self, row: Row, label: int, label_names: Names | None) -> tuple[float, int, list[Step]]:
        paths = np.flatnonzero(self.labels_ == label)
        if not paths.size:
            return 0.0, 0, []
        reading = FullReading(self.weights_, row)
        edges = self.trellis_.edges(int(paths[0]))
        gains = self._edge_scores(reading.margins[np.argsort(reading.labels)])[edges].tolist()  # Each edge has a model.
        steps = [reading.step(e, self.trellis_.name(e), gain) for e, gain in zip(edges, gains, strict=True)]
        return sum(gains), 0, steps

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        return {"labels": self.labels_, **super()._get_arrays()[0]}, {}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        n_labels = self.classes_.size
        labels = stored_array(arrays, "labels", np.int32, (None,), (0, n_labels - 1))
        if len(labels) > n_labels or (np.bincount(labels, minlength=n_labels) > 1).any():
            raise ModelFileError("A label of the model has two paths.")
        self.labels_, self.trellis_ = labels, Trellis.of(len(labels), int(self.width))
        n_edges = self.trellis_.n_edges
        self._set_weights(arrays, n_edges, verify)
        if not np.array_equal(np.sort(self.weights_.labels[self.weights_.labels >= 0]), np.arange(n_edges)):
            raise ModelFileError(f"The {n_edges} edges of the trellis do not have a model each.")

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        trellis = Trellis.of(L, int(self.width))
        copies = 12 * nnz_x + 24 * n + 16 * (nnz_y + L) * (len(trellis.sizes) + 1)
        label_vectors = L * min(8 * MAX_ENTRIES, 8 * d) if self.assignment == "similar" else 0
        scratch = effective_n_jobs(self.n_jobs) * 4 * LANES * (n + d)
        return copies + label_vectors + scratch + 2 * 10 * 150 * trellis.n_edges
