"""Bloom filters of label sets, plain and robust (Cissé, Usunier, Artières and Gallinari, NIPS 2013)."""

from __future__ import annotations

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic._kernels.arguments import LANES
from xclassic.base import Arrays, Metadata, Verify
from xclassic.blocks.problem import by_descending_count
from xclassic.coding.base import LinearCode
from xclassic.coding.bloom_codes import Codes, bits_of_rows, default_bits, plain_codes, robust_codes
from xclassic.parallel import StopByte, spawn_seeds
from xclassic.storage.arrays import stored_array, stored_count
from xclassic.storage.folder import ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number


class BloomFilter(LinearCode):
    r"""Every label is a few of some hundred bits, and a linear model predicts each bit: fewer models than labels.

    A row has the bits of all its labels, :math:`z_b = \max_l c_{lb}\, y_l`. For each bit, with :math:`t_i = 1` on the
    rows that have it and :math:`-1` on all others, logistic regression

    .. math:: \min_w \; \tfrac12 \|w\|^2 + C \sum_i \log(1 + e^{-t_i w \cdot x_i})

    predicts its probability. A plain filter draws the bits of a label at random, so that a row with many labels seems
    to have further ones. A robust filter chooses them by the labels that co-occur: the bits come in blocks, and the
    labels that share a block hardly ever co-occur, so that their bits are not mixed up.

    Parameters
    ----------
    n_bits : int, optional
        Bits in all, each with a model. By default ten times the square root of the number of labels, and at most their
        number; in a plain filter at least twice `bits_per_label`. Bits that no label could have are left out. More bits
        cost time and memory, and gain accuracy. Robust filters with a bit for each label are one-vs-rest.
    robust : bool, default=True
        Make robust codes. A plain filter with the same bits is less accurate.
    bits_per_label : int, default=2
        Bits of each code, 1 to 32. More allow for more labels in as many bits, which then say less of each label.
    n_hubs : int, optional
        The most frequent labels, in robust codes, have a bit for themselves each. By default none, a quarter, a half or
        three quarters of `n_bits`, whichever lets the fewest entries of the training labels share a block with another
        one of their row.
    decoder : {"blocks", "groups"}, default="blocks"
        Whether a robust filter decodes each block for itself or, as the paper does, decides for one group of labels
        first, which loses accuracy where rows have labels of several groups (``spanning_share_``).
    random_state : int or None, default=0
        Seed of the codes and of the order of the rows; None takes a new one each time.
    {shared}

    Attributes
    ----------
    weights_ : BlockWeights
        The fitted models of the bits.
    bits_ : ndarray of int32, shape (n_labels, bits_per_label)
        Bits of each label. A hub has its own bit in all places, a label without a training row has -1.
    groups_, blocks_ : ndarray of int32, shape (n_labels,)
        Group of each label, and the block that its bits lie in; -1 for hubs and in plain filters.
    n_bits_, n_hubs_, n_groups_ : int
    spanning_share_ : float
        Share of the training rows whose labels are in more than one group, hubs aside. With ``decoder="groups"`` it
        bounds the recall.
    colliding_share_ : float
        Share of the entries of the training labels that share a block with another one of their row.

    See Also
    --------
    DiSMEC : A model for each label.
    CompressedSensing : Codes of real numbers, predicted by one regression.

    Notes
    -----
    Scores are probabilities. In a block the labels l share what is certain about their bits: with :math:`z_b` the
    log-odds of bit b,

    .. math:: p(l) = \sigma\Big(\min_{b \in l} z_b\Big) \; \frac{\exp \sum_{b \in l} z_b}
        {\sum_{l'} \exp \sum_{b \in l'} z_b}

    The first factor is the probability of the least certain bit, which bounds that of the label; the second is the
    share of l among all labels of the block if one of them is on and bits err independently. Hubs and plain codes have
    the first factor only. If all bits are right, plain codes of s labels also turn on any other one with a probability
    of about :math:`(1 - e^{-K s / B})^K`, with K bits of B for each label; a robust code turns on none, as long as no
    two labels of the row share a block, and one wrong bit then changes at most one label. The paper forms groups by
    Louvain's method, after it has removed hubs until labels of different groups never co-occur. Tags and subjects
    hardly allow that, so groups are made here to keep what they can, and ``docs/decisions/coding.md`` has the shares
    they leave. Group by group, "groups" sums over all sets of labels of the group, :math:`p(g) \propto
    \prod_{l \in g} (1 + \exp \sum_{b \in l} z_b)`, and p(l) is p(g) times the probability of l within.

    Labels without a training row are never predicted. Rows without labels have no bit, and are negatives of all.

    Cost: a few passes over the rows for every 16 bits; for the codes the squared number of labels of every row, four
    times. A prediction costs the models of its bits and ``n_labels bits_per_label``. Memory: a copy of `X`, the models,
    ``64 (n_rows + n_features)`` bytes per worker, and some 80 bytes for each pair of labels that co-occur.

    References
    ----------
    .. [1] M. Cissé, N. Usunier, T. Artières and P. Gallinari, "Robust Bloom filters for large multilabel classification
       tasks", NIPS 2013 (section 3 for plain, section 4 for robust filters).

    Examples
    --------
    >>> from xclassic import BloomFilter, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = BloomFilter(n_bits=60).fit(bibtex.X, bibtex.Y)
    >>> clf.bits_.shape, clf.n_bits_ <= 60
    ((159, 2), True)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    _probabilistic = True

    bits_: NDArray[np.int32]
    groups_: NDArray[np.int32]
    blocks_: NDArray[np.int32]

    def __init__(
        self,
        n_bits: int | None = None,
        *,
        robust: bool = True,
        bits_per_label: int = 2,
        n_hubs: int | None = None,
        decoder: str = "blocks",
        C: float = 3.0,
        prune: float = 0.1,
        eps: float = 0.01,
        max_passes: int = 20,
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.n_bits = n_bits
        self.robust = robust
        self.bits_per_label = bits_per_label
        self.n_hubs = n_hubs
        self.decoder = decoder
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
        check_number("bits_per_label", self.bits_per_label, minimum=1, maximum=32, integer=True)
        if self.n_bits is not None:
            check_number("n_bits", self.n_bits, minimum=1, integer=True)
        if self.n_hubs is not None:
            check_number("n_hubs", self.n_hubs, minimum=0, integer=True)
        check_choice("decoder", self.decoder, ("blocks", "groups"))

    def _fit(self, X: Features, Y: csr_array) -> None:
        code_seed, row_seed = (int(seed) for seed in spawn_seeds(self.random_state, 2))
        labels = by_descending_count(Y)
        n_bits = default_bits(len(labels)) if self.n_bits is None else self.n_bits
        if self.robust:
            codes = robust_codes(Y, labels, n_bits, self.bits_per_label, self.n_hubs, code_seed, self.n_jobs)
        else:
            if self.n_bits is None:  # As many bits as a code has would make a single code.
                n_bits = max(n_bits, 2 * self.bits_per_label)
            used = self.bits_per_label * max(2, len(labels))  # Further bits would belong to no label.
            codes = plain_codes(Y.shape[1], labels, min(n_bits, used), self.bits_per_label, code_seed)
        self._take(codes)
        self.weights_ = self._trained(self._prepare(X), bits_of_rows(Y, codes), "logistic", row_seed)

    def _take(self, codes: Codes) -> None:
        self.bits_, self.groups_, self.blocks_, self.n_bits_, self.spanning_share_, self.colliding_share_ = codes
        self.n_groups_ = int(self.groups_.max(initial=-1)) + 1
        self.n_hubs_ = int(((self.groups_ < 0) & (self.bits_[:, 0] >= 0)).sum()) if self.robust else 0

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        from xclassic.coding.bloom_decoding import decode

        allowed = self.bits_[:, 0] >= 0
        if labels is not None:
            allowed &= np.isin(np.arange(len(allowed)), labels)
        by_group = self.decoder == "groups"
        owners = self.groups_ if by_group else self.blocks_
        margins = self._margins(X, self.n_bits_, stop)
        n_owners = int(owners.max(initial=-1)) + 1
        return TopK(*decode(margins, self.bits_, owners, n_owners, by_group, allowed, k, stop))

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        n_bits = default_bits(L) if self.n_bits is None else self.n_bits
        scratch = effective_n_jobs(self.n_jobs) * 4 * LANES * (n + d)
        pairs = min(L**2 // 2, nnz_y**2 // max(n, 1)) if self.robust else 0
        models = 2 * 10 * n_bits * min(d, 500)  # The models exist twice while trained blocks are merged.
        return int(12 * nnz_x + 24 * n + 12 * self.bits_per_label * nnz_y + scratch + 80 * pairs + models)

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays = {"bits": self.bits_, "groups": self.groups_, "blocks": self.blocks_}
        shares = {"spanning_share": self.spanning_share_, "colliding_share": self.colliding_share_}
        return arrays | super()._get_arrays()[0], {"n_bits": self.n_bits_} | shares

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        n_labels, n_bits = self.classes_.size, stored_count(metadata, "n_bits")
        shares = [float(metadata[name]) for name in ("spanning_share", "colliding_share")]
        bits = stored_array(arrays, "bits", np.int32, (n_labels, self.bits_per_label), (-1, n_bits - 1))
        groups, blocks = (
            stored_array(arrays, name, np.int32, (n_labels,), (-1, n_labels - 1)) for name in ("groups", "blocks")
        )
        if ((bits >= 0) != (bits[:, :1] >= 0)).any() or ((groups < 0) != (blocks < 0)).any():
            raise ModelFileError("A label of the model has only some of its bits, or a group without a block.")
        if (bits[blocks >= 0] < 0).any():
            raise ModelFileError("A label of the model has a block but no bits.")
        self._take(Codes(bits, groups, blocks, n_bits, *shares))
        self._set_weights(arrays, n_bits, verify)
