"""Encoders that learn from pairs of a text and the text of its label."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xclassic.features.tuning import Tuning
from xclassic.validation.labels import Target
from xclassic.validation.parameters import check_number
from xclassic.validation.records import check_encodable, check_texts

if TYPE_CHECKING:
    from xclassic.features.pair_loss import PairLoss
    from xclassic.features.tuned_network import TunedNetwork


class ContrastiveTuning(Tuning):
    r"""Train an encoder so that texts are near the texts of their labels.

    A pair is a text and one of its labels, drawn again in each epoch. Training minimizes the mean over pairs of
    :math:`-\log p`, where p is the softmax of :math:`x \cdot z / \tau` over the labels of all pairs of the batch and
    their hard negatives, with the rows x of the text and z of a label's text, both of unit length and by the same
    encoder. Hard negatives of a text are the nearest labels that it does not have, found anew by the encoder at the
    start of each epoch. The other labels of a text are not among its negatives.

    Pass it as `tuning` to `BertEncoder`. It is worth most where labels have names that say what they are and many of
    them have few texts; `LabelTuning` needs no names.

    Parameters
    ----------
    label_texts : sequence of str, or dict of label to str, optional
        Text of each label, in the order of ``classes_``, which is the sorted order of labels, or that of the columns of
        a label matrix. By default the labels themselves, if they are strings.
    negatives : int, default=2
        Hard negatives of each text, at least 0; without them the only negatives are the labels of other pairs.
    batch_size : int, default=64
        Pairs per step. More of them make more negatives.
    accumulate : int, default=1
        Number of pieces of a batch that are computed one after another to save memory. The negatives of a pair are
        those of its piece.
    temperature : float, default=0.05
        What products are divided by, :math:`\tau`, above 0. Lower ones make labels near the best one count more.
    {shared}

    See Also
    --------
    LabelTuning : Learns from labels without names.

    Notes
    -----
    Texts without labels are not used. Labels without texts of their own are negatives, and so learn a little.

    Cost of an epoch: one encoding of all texts and label texts, for hard negatives, and three times that of the texts
    and ``1 + negatives`` label texts for each. Hard negatives are found by products of all texts with all labels, which
    suits up to some hundred thousand labels. Memory: 16 bytes per weight that learns, 4 bytes per text and hard
    negative, and the activations of a batch, which `accumulate` and `layers` reduce.

    On a CPU the same seed gives the same encoder, also when training was interrupted and continued.

    References
    ----------
    .. [1] K. Dahiya, N. Gupta, D. Saini et al., "NGAME: Negative mining-aware mini-batching for extreme
       classification", WSDM 2023, sections 3 and 4 (hard negatives from the current encoder).
    .. [2] N. Reimers and I. Gurevych, "Sentence-BERT: Sentence embeddings using Siamese BERT-networks", EMNLP 2019.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from xclassic import DiSMEC
    >>> from xclassic.features import BertEncoder, ContrastiveTuning
    >>> pipe = make_pipeline(BertEncoder(tuning=ContrastiveTuning(epochs=2)), DiSMEC())
    >>> texts = ["A cat sat on a mat.", "Shares fell sharply on Monday.", "Kittens sleep most of the day."]
    >>> pipe.fit(texts, [["animals"], ["markets"], ["animals"]])  # doctest: +SKIP
    """

    def __init__(
        self,
        label_texts: Sequence[str] | Mapping[Any, str] | None = None,
        *,
        negatives: int = 2,
        epochs: int = 5,
        batch_size: int = 64,
        accumulate: int = 1,
        learning_rate: float = 1e-4,
        warmup: float = 0.1,
        weight_decay: float = 0.01,
        temperature: float = 0.05,
        token_dropout: float = 0.0,
        layers: int | None = None,
        lora_rank: int | None = None,
        max_length: int | None = None,
        validation: float = 0.0,
        patience: int = 3,
        checkpoint: str | os.PathLike[str] | None = None,
        random_state: int = 0,
    ) -> None:
        self.label_texts = label_texts
        self.negatives = negatives
        self.epochs = epochs
        self.batch_size = batch_size
        self.accumulate = accumulate
        self.learning_rate = learning_rate
        self.warmup = warmup
        self.weight_decay = weight_decay
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
        check_number("negatives", self.negatives, minimum=0, integer=True)

    def _loss(self, model: TunedNetwork, target: Target, rows: NDArray[np.int64]) -> tuple[PairLoss, PairLoss]:
        from xclassic.features.pair_loss import PairLoss

        tokens = model.network.tokenize(self._texts(target.classes))[0]
        loss = PairLoss(model, tokens, target.Y, rows, negatives=self.negatives, temperature=self.temperature)
        return loss, loss

    def _texts(self, classes: NDArray[Any]) -> NDArray[np.object_]:
        """Return the text of each class."""
        texts = self.label_texts
        if texts is None:
            if classes.dtype.kind not in "OUS":
                raise ValueError("Labels are numbers, which say nothing; pass the text of each one by label_texts.")
            texts = [str(name) for name in classes]
        elif isinstance(texts, Mapping):
            missing = [label for label in classes.tolist() if label not in texts]
            if missing:
                raise ValueError(f"label_texts has no text of {len(missing)} labels of y, such as {missing[0]!r}.")
            texts = [texts[label] for label in classes.tolist()]
        if isinstance(texts, str) or len(texts) != classes.size:
            raise ValueError(
                f"label_texts has {len(texts)} entries but y has {classes.size} labels; pass one text for each, in the "
                "order of classes_, or a dict."
            )
        found = check_texts(texts, "label_texts")
        check_encodable(found)
        return found
