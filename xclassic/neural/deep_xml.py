"""DeepXML: an encoder by way of label clusters, then one-vs-rest on shortlists (Dahiya et al., WSDM 2021)."""

from __future__ import annotations

from functools import partial
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.utils.extmath import randomized_svd

from xclassic.blocks.problem import BlockProblem
from xclassic.blocks.shortlists import margins_of, train_on_shortlists
from xclassic.label_tree.partition import kmeans_tree
from xclassic.linalg.label_vectors import label_vectors
from xclassic.neighbors.graph import check_search
from xclassic.networks.torch_support import choose_device, import_torch, memory_errors
from xclassic.neural.base import NetworkClassifier
from xclassic.neural.shortlist import ROWS, Listed, Shortlister, entries_at
from xclassic.parallel import RUNNING, StopByte, blas_threads, run_tasks
from xclassic.rows import unit_rows
from xclassic.storage.arrays import FINITE, stored_array, stored_count, with_prefix, without_prefix
from xclassic.storage.folder import Arrays, Verify
from xclassic.storage.models import Metadata
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number, check_share

Rows = NDArray[np.float32]

LISTED = 30  # Labels on a shortlist by default, for each doubling of the number of labels.
ROWS_PER_CLUSTER = 10  # Training rows for each cluster of the surrogate task by default;
MOST_CLUSTERS = 8192  # but no more clusters than these, since its cost goes by their number.
MOST_WEIGHED = 2000  # At most this many held-out rows choose the weights of the scores.
EPS, MAX_PASSES = 0.01, 20  # Where the training of a classifier ends, as that of `DiSMEC`.
PLAIN = (-3.0, 3.0, 3.0, 3.0)  # The weights without held-out rows: a constant, and those of margin, cosine and votes.


class DeepXML(NetworkClassifier):
    r"""Rows learned on clusters of labels, then one-vs-rest classifiers on positives and shortlists.

    Four steps, each of which the next takes as given:

    1. An encoder learns a *surrogate* task, to tell which clusters the labels of a row are from. Clusters are made by
       balanced k-means of the centroids of labels. Sparse rows are read as short texts, as Astec does,

       .. math:: e(x) = R(\operatorname{relu}(V^\top x)), \qquad R(h) = h + \operatorname{relu}(A h + b),

       with a vector for each word in V and a residual block R; dense rows, which another encoder has made, go straight
       to the residual block.
    2. A row's *shortlist* has the labels with the nearest centroids of encoded rows, and those of its nearest rows.
    3. A *transfer* layer, a second residual block, learns the labels themselves while the encoder is frozen: the mean
       binary cross-entropy over the positives of a row and its shortlist, which are its hard negatives.
    4. On the learned rows z, scaled to unit length, there are shortlists again, and each label has a classifier of the
       block engine,

       .. math:: \min_{w_l} \; \tfrac12 \|w_l\|^2 + C \sum_{i:\, y_{il} = 1 \text{ or } l \in S(z_i)}
                 \max(0, 1 - t_{il}\, w_l \cdot z_i)^2.

    The labels on the shortlist of a row are ranked by the probability
    :math:`\sigma(a_0 + a_1 w_l \cdot z + a_2 \mu_l \cdot z + a_3 v_l(z))`, with the centroid :math:`\mu_l` of a label
    and its share :math:`v_l` of the votes of the nearest rows. The weights are a logistic regression on held-out rows.

    Parameters
    ----------
    width : int, default=512
        Numbers that the encoder makes of a sparse row; at least 1. Dense rows keep theirs.
    n_clusters : int, optional
        Clusters of the surrogate task, at least 1, and at most the number of labels. By default a tenth of the training
        rows, at most 8,192; where there are fewer labels, each is one.
    shortlist : int, optional
        Labels with the nearest centroids that are on the shortlist of a row, at least 1; as many of the nearest rows
        are added. By default 30 for each doubling of the number of labels, 500 for a hundred thousand. With all of them
        the classifiers are those of one-vs-rest.
    n_neighbors : int, default=10
        Nearest rows that vote; at least 1.
    search : {"exact", "graph"}, default="exact"
        How the nearest rows are found. "graph" misses some and takes far less time among a million rows; it needs
        USearch (``pip install "xclassic[graph]"``).
    C : float, default=1.0
        Cost of an error of a classifier, above 0.
    dropout : float, default=0.5
        Share of the numbers that each step of training leaves out, in [0, 1).
    {shared}

    Attributes
    ----------
    surrogate_curve_, curve_ : list of dict
        Of the training of the encoder and of the transfer layer: for each epoch its number, mean loss and validation
        score.
    output_ : BlockWeights
        The classifiers.
    shortlist_recall_ : float or None
        Share of the labels of held-out rows that are on their shortlists, where those were made of the other rows; None
        without held-out rows.
    mix_ : ndarray of float32, shape (4,)
        The weights a.

    See Also
    --------
    Slice : The last step on rows as they are.
    BertEncoder : Makes dense rows of texts.

    Notes
    -----
    Labels without a training row are never predicted. Rows without labels train no network; they are negatives of the
    labels on their shortlist. No more labels are predicted for a row than are on its shortlist; where predictions are
    restricted to some labels, the shortlist holds these alone.

    Word vectors begin as the singular vectors of the rows, where the paper takes vectors of fastText that were learned
    elsewhere. Classifiers are trained once the transfer layer is, by dual coordinate descent, and not with it.

    Cost: of an epoch ``n_rows width (width + n_clusters)``, or with the labels of all shortlists of a batch in place of
    the clusters; a search among all rows for each row. Memory: 20 bytes for each weight of the networks and
    their layers of labels, 12 bytes for each number of a learned row, 60 for each pair of a row and a label on its
    shortlist. A model holds the learned rows.

    References
    ----------
    .. [1] K. Dahiya, D. Saini, A. Mittal, A. Shaw, K. Dave, A. Soni, H. Jain, S. Agarwal and M. Varma, "DeepXML: A deep
       extreme multi-label learning framework applied to short text documents", WSDM 2021.

    Examples
    --------
    >>> from xclassic import DeepXML, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = DeepXML(epochs=5).fit(bibtex.X, bibtex.Y)  # doctest: +SKIP
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape  # doctest: +SKIP
    (1, 3)
    """

    surrogate_curve_: list[dict[str, float]]
    shortlist_recall_: float | None
    mix_: Rows
    _lister: Shortlister
    _sparse: bool

    def __init__(
        self,
        width: int = 512,
        *,
        n_clusters: int | None = None,
        shortlist: int | None = None,
        n_neighbors: int = 10,
        search: str = "exact",
        C: float = 1.0,
        dropout: float = 0.5,
        epochs: int = 20,
        batch_size: int = 128,
        learning_rate: float = 5e-3,
        weight_decay: float = 0.01,
        validation: float = 0.1,
        patience: int = 5,
        checkpoint: str | PathLike[str] | None = None,
        device: str | None = None,
        n_jobs: int | None = None,
        random_state: int = 0,
        verbose: int = 0,
    ) -> None:
        self.width = width
        self.n_clusters = n_clusters
        self.shortlist = shortlist
        self.n_neighbors = n_neighbors
        self.search = search
        self.C = C
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation = validation
        self.patience = patience
        self.checkpoint = checkpoint
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("width", "n_clusters", "shortlist", "n_neighbors"):
            if getattr(self, name) is not None or name in ("width", "n_neighbors"):
                check_number(name, getattr(self, name), minimum=1, integer=True)
        check_search(self.search)
        check_number("C", self.C, minimum=0, inclusive=False)
        check_share("dropout", self.dropout)

    def _prepare(self, X: Features) -> Features:
        """Return rows of unit length, as the networks expect them."""
        return unit_rows(X)

    def _new_body(self) -> Any:
        from xclassic.neural.astec import TransferredEncoder

        width = self.width if self._sparse else self.n_features_in_
        return TransferredEncoder(self.n_features_in_, width, self._sparse, self.dropout)

    def _fit(self, X: Features, Y: csr_array) -> None:
        import_torch(type(self).__name__)
        from xclassic.networks.batches import split_rows
        from xclassic.networks.torch_support import seeded
        from xclassic.neural.label_network import hidden_rows

        rows, seen = self._prepare(X), np.unique(Y.indices)
        self._sparse, self._body, self._stored = not isinstance(X, np.ndarray), None, {}
        known, nobody = csr_array(Y[:, seen]), np.empty(0, np.int64)
        split = split_rows(Y, self.validation, self.random_state) if seen.size else (nobody, nobody)
        with memory_errors("lower batch_size, or use device='cpu'"):
            with seeded(self.random_state, choose_device("cpu")):
                body = self._new_body()
            body.encoder.start(self._word_vectors(rows))
            body.to(choose_device(self.device))
            self.surrogate_curve_ = self._train(body.encoder, rows, self._clustered(rows, known), split)
            encoded = hidden_rows(body.encoder.eval(), rows)
            listed = self._shortlists(unit_rows(encoded), Y)[1]
            self.curve_ = self._train(body.transfer, encoded, known, split, csr_array(listed[:, seen]))
            learned = unit_rows(hidden_rows(body.transfer.eval(), encoded))
        self._body = body.eval().requires_grad_(False)
        self.mix_, self.shortlist_recall_ = self._weighed(learned, Y, split)
        self._lister, listed = self._shortlists(learned, Y)
        self.output_ = self._classifiers(learned, Y, listed)

    # The surrogate task, and the transfer layer

    def _word_vectors(self, rows: Features) -> Rows:
        """Return the first singular vectors of sparse rows, shape (n_features, at most width)."""
        if isinstance(rows, np.ndarray) or rows.nnz == 0:
            return np.empty((rows.shape[1], 0), np.float32)
        with blas_threads(1):  # The model must not depend on how BLAS shares its work.
            rank = min(self.width, *rows.shape)
            vectors = randomized_svd(rows, rank, n_iter=2, random_state=self.random_state)[2]
        return np.ascontiguousarray(vectors.T, np.float32)

    def _clustered(self, rows: Features, Y: csr_array) -> csr_array:
        """Return which clusters of labels each row has a label of; a partition of the labels, each with a row."""
        by_rule = min(MOST_CLUSTERS, -(-Y.shape[0] // ROWS_PER_CLUSTER))
        wanted = min(self.n_clusters or by_rule, Y.shape[1])
        if wanted == Y.shape[1]:
            return Y
        vectors = label_vectors(rows, Y, n_jobs=self.n_jobs, verbose=self.verbose)
        tree = kmeans_tree(
            vectors,
            branching=2,
            max_leaf=-(-Y.shape[1] // wanted),
            random_state=self.random_state,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        _, cluster_of = np.unique(tree.parent[tree.leaves], return_inverse=True)
        members = csr_array((np.ones(Y.shape[1], np.float32), (np.arange(Y.shape[1]), cluster_of)))
        clustered = csr_array(Y @ members)
        clustered.data[:] = 1
        clustered.sort_indices()
        return clustered

    def _train(self, body: Any, rows: Features, Y: csr_array, split: Any, shortlists: csr_array | None = None) -> Any:
        """Train a body in place, for the clusters or on shortlists for the labels; return the curve."""
        from xclassic.networks.torch_support import seeded
        from xclassic.neural.astec import ShortlistNetwork
        from xclassic.neural.label_network import LabelNetwork, fit_network

        if Y.shape[1] == 0:
            return []
        with seeded(self.random_state, choose_device("cpu")):
            network = LabelNetwork(body, Y) if shortlists is None else ShortlistNetwork(body, Y, shortlists)
        stage = "surrogate" if shortlists is None else "transfer"
        return fit_network(self, network.to(choose_device(self.device)).eval(), rows, Y, split=split, stage=stage)

    # Shortlists and classifiers

    def _size(self, n_labels: int) -> int:
        return self.shortlist or max(1, round(LISTED * np.log2(max(2, n_labels))))

    def _shortlists(self, Z: Rows, Y: csr_array) -> tuple[Shortlister, csr_array]:
        """Return what makes shortlists of rows, and those of the rows that it is made of."""
        options: dict[str, Any] = {"n_jobs": self.n_jobs, "verbose": self.verbose}
        lister = Shortlister.build(Z, Y, self.search, **options)
        return lister, lister.matrix(Z, self._size(Y.shape[1]), self.n_neighbors, **options)

    def _classifiers(self, Z: Rows, Y: csr_array, shortlists: csr_array) -> Any:
        return train_on_shortlists(
            BlockProblem(Z, bias=1.0),
            Y,
            shortlists,
            C=self.C,
            eps=EPS,
            max_passes=MAX_PASSES,
            prune=0.0,
            random_state=self.random_state,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )

    def _weighed(self, Z: Rows, Y: csr_array, split: Any) -> tuple[Rows, float | None]:
        """Return the weights of the scores and the recall of shortlists, found on rows that the scores did not see."""
        trained, held = split
        if held.size == 0:
            return np.array(PLAIN, np.float32), None
        held = held[:: -(-held.size // MOST_WEIGHED)]
        lister, shortlists = self._shortlists(Z[trained], Y[trained])
        classifiers = self._classifiers(Z[trained], Y[trained], shortlists)
        listed = lister.search(Z[held], self._size(Y.shape[1]), self.n_neighbors)
        used = listed.ids >= 0
        views, positive = _views(classifiers, Z[held], listed)[used], entries_at(Y[held], listed.ids)[used] > 0
        recall = float(positive.sum() / Y[held].nnz)
        if not 0 < positive.sum() < positive.size:
            return np.array(PLAIN, np.float32), recall
        found = LogisticRegression().fit(views, positive)
        return np.concatenate([found.intercept_, found.coef_[0]]).astype(np.float32), recall

    # Prediction

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        Z = unit_rows(self._hidden(X))
        rank = partial(_ranked, self._lister, self.output_, self.mix_, self._size(self.classes_.size), self.n_neighbors)
        if len(Z) <= ROWS:
            return rank(k, labels, Z, stop)
        parts = [Z[start : start + ROWS] for start in range(0, len(Z), ROWS)]
        rank = partial(rank, k, labels)
        return TopK.concat(run_tasks(rank, parts, n_jobs=self.n_jobs, description="predicting", verbose=self.verbose))

    def _prune(self, threshold: float) -> None:
        self.output_ = self.output_.pruned(threshold)

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays, metadata = super()._get_arrays()
        metadata |= {
            "surrogate_curve": self.surrogate_curve_,
            "shortlist_recall": self.shortlist_recall_,
            "sparse": self._sparse,
            "n_rows": self._lister.Y.shape[0],
        }
        return arrays | with_prefix("shortlist.", self._lister.arrays()) | {"mix": self.mix_}, metadata

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        self._sparse = bool(metadata["sparse"])
        super()._set_arrays(arrays, metadata, verify)
        self.surrogate_curve_ = list(metadata["surrogate_curve"])
        self.shortlist_recall_ = metadata["shortlist_recall"]
        self.mix_ = stored_array(arrays, "mix", np.float32, (4,), FINITE)
        shape = stored_count(metadata, "n_rows"), self.classes_.size
        parts, width = without_prefix("shortlist.", arrays), self.output_.n_features
        self._lister = Shortlister.from_arrays(parts, width, shape, full=verify == "full")

    def _n_weights(self, d: int, L: int) -> int:
        return d * self.width + self.width * (2 * self.width + L)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        width = d if nnz_x == n * d else self.width
        pairs = n * min(2 * self._size(L), L) + nnz_y
        return super()._estimate_memory(n, d, L, nnz_x, nnz_y) + 60 * pairs + 12 * n * width


def _views(classifiers: Any, Z: Rows, listed: Listed, stop: StopByte = RUNNING) -> Rows:
    """Return what classifier, centroid and nearest rows say of each label listed, shape (n_rows, n, 3)."""
    margins = margins_of(classifiers, Z, listed.ids, stop=stop)
    return np.stack([margins, listed.cosines, listed.votes], axis=2)


def _ranked(
    lister: Shortlister,
    classifiers: Any,
    mix: Rows,
    size: int,
    n_neighbors: int,
    k: int,
    labels: NDArray[np.int32] | None,
    Z: Rows,
    stop: StopByte,
) -> TopK:
    listed = lister.search(Z, size, n_neighbors, labels, stop)
    # A product of matrices would round each row by what else is in the matrix.
    scores = expit(mix[0] + (_views(classifiers, Z, listed, stop) * mix[1:]).sum(axis=2))
    n_labels = lister.Y.shape[1]
    return TopK.from_csr(TopK(listed.ids, scores, listed.counts).to_csr(n_labels), k)
