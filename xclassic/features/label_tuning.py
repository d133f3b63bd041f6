"""Encoders that learn from the labels of texts, from coarse groups of labels to single labels."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.features.tuning import Tuning
from xclassic.label_tree.partition import kmeans_tree
from xclassic.label_tree.tree import LabelTree
from xclassic.linalg.label_vectors import label_vectors
from xclassic.validation.labels import Target
from xclassic.validation.parameters import check_number, check_type

if TYPE_CHECKING:
    from xclassic.features.label_levels import LevelLoss
    from xclassic.features.tuned_network import TunedNetwork


class LabelTuning(Tuning):
    r"""Train an encoder on the labels of texts, coarse to fine over a label tree.

    Every node of the tree has a vector :math:`w`, and the score of a node for a text is :math:`w \cdot x / \tau`, where
    :math:`x` is the row of the text at unit length. On each level training minimizes the mean of :math:`-\log p` over
    the nodes that hold labels of the text, where p is the softmax over the candidates of the level: the children of
    the true nodes above, and of the `beam` best nodes above. So labels are told from those that are hard to tell from
    them, and groups of labels teach the encoder what no rare label could. The vectors begin at the mean rows of their
    texts and are thrown away at the end: what stays is the encoder.

    Pass it as `tuning` to `BertEncoder`.

    Parameters
    ----------
    batch_size : int, default=32
        Texts per step.
    accumulate : int, default=1
        Number of pieces of a batch that are computed one after another to save memory; the texts of a piece share their
        candidates.
    tree : LabelTree, optional
        A tree over all labels, such as a catalog; by default balanced k-means over the mean rows of labels, in groups
        of at most `max_leaf`.
    branching : int, default=16
        Children of a node of that tree above its lowest level, at least 2.
    max_leaf : int, default=100
        Most labels of a group; with no more labels than that in all there is one level. At least 1.
    beam : int, default=20
        Nodes of a level whose children are candidates of the next, for each text. All texts of a batch share their
        candidates. At least 1.
    temperature : float, default=0.1
        What scores are divided by, :math:`\tau`, above 0. Lower ones make candidates near the best one count more.
    {shared}

    See Also
    --------
    ContrastiveTuning : Learns from the names of labels.

    Notes
    -----
    Texts without labels are not used. Labels without texts have no part in it.

    Cost: some three times that of encoding the texts, in each epoch, and one encoding before the first. Candidates cost
    little beside that below a million labels. Memory: 16 bytes per weight that learns, 16 bytes per node and dimension,
    and the activations of a batch, which `accumulate` and `layers` reduce.

    On a CPU the same seed gives the same encoder, also when training was interrupted and continued. Weights and their
    updates are float32; on a GPU products are computed in the `dtype` of the encoder.

    References
    ----------
    .. [1] J. Zhang, W.-C. Chang, H.-F. Yu and I. Dhillon, "Fast multi-resolution transformer fine-tuning for extreme
       multi-label text classification", NeurIPS 2021, section 3 (coarse to fine over a label tree, teacher forcing and
       matcher-aware negatives).
    .. [2] S. Kharbanda, A. Banerjee, E. Schultheis and R. Babbar, "CascadeXML: Rethinking transformers for end-to-end
       multi-resolution training in extreme multi-label classification", NeurIPS 2022 (all levels at once).

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from xclassic import DiSMEC
    >>> from xclassic.features import BertEncoder, LabelTuning
    >>> pipe = make_pipeline(BertEncoder(tuning=LabelTuning(epochs=2)), DiSMEC())
    >>> texts = ["A cat sat on a mat.", "Shares fell sharply on Monday.", "Kittens sleep most of the day."]
    >>> pipe.fit(texts, [["animals"], ["markets"], ["animals"]])  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        epochs: int = 5,
        batch_size: int = 32,
        accumulate: int = 1,
        learning_rate: float = 1e-4,
        warmup: float = 0.1,
        weight_decay: float = 0.01,
        tree: LabelTree | None = None,
        branching: int = 16,
        max_leaf: int = 100,
        beam: int = 20,
        temperature: float = 0.1,
        token_dropout: float = 0.0,
        layers: int | None = None,
        lora_rank: int | None = None,
        max_length: int | None = None,
        validation: float = 0.0,
        patience: int = 3,
        checkpoint: str | os.PathLike[str] | None = None,
        random_state: int = 0,
    ) -> None:
        self.epochs = epochs
        self.batch_size = batch_size
        self.accumulate = accumulate
        self.learning_rate = learning_rate
        self.warmup = warmup
        self.weight_decay = weight_decay
        self.tree = tree
        self.branching = branching
        self.max_leaf = max_leaf
        self.beam = beam
        self.temperature = temperature
        self.token_dropout = token_dropout
        self.layers = layers
        self.lora_rank = lora_rank
        self.max_length = max_length
        self.validation = validation
        self.patience = patience
        self.checkpoint = checkpoint
        self.random_state = random_state

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_type("tree", self.tree, (LabelTree,), "a LabelTree or None")
        for name, minimum in (("branching", 2), ("max_leaf", 1), ("beam", 1)):
            check_number(name, getattr(self, name), minimum=minimum, integer=True)

    def _loss(self, model: TunedNetwork, target: Target, rows: NDArray[np.int64]) -> tuple[LevelLoss, None]:
        from xclassic.features.label_levels import LevelLoss

        Y = target.Y
        frozen = model.frozen_rows(model.texts(rows))
        tree = self._tree(frozen, Y[rows])
        reached = tree.node_targets(Y[rows])
        return LevelLoss(
            model, Y, tree, label_vectors(frozen, reached), beam=self.beam, temperature=self.temperature
        ), None

    def _tree(self, rows: Any, Y: csr_array) -> LabelTree:
        """Return the tree over the labels, which groups them by the mean of their rows."""
        n_labels = Y.shape[1]
        if self.tree is not None:
            if self.tree.n_labels != n_labels:
                raise ValueError(f"tree is over {self.tree.n_labels} labels but y has {n_labels}.")
            return self.tree
        return kmeans_tree(
            label_vectors(rows, Y), branching=self.branching, max_leaf=self.max_leaf, random_state=self.random_state
        )
