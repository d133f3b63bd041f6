"""What all ways to tune an encoder share: their parameters, and training with checkpoints."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from xclassic.features.encoder_network import EncoderNetwork, Texts
from xclassic.networks.batches import Batch, BatchSampler, split_rows
from xclassic.networks.torch_support import memory_errors
from xclassic.shared_docs import complete
from xclassic.validation.labels import Target
from xclassic.validation.parameters import check_common, check_number, check_share, check_type

if TYPE_CHECKING:
    from torch import Tensor

    from xclassic.features.tuned_network import TunedNetwork
    from xclassic.networks.training import EpochState

Curve = list[dict[str, float]]

KNOBS = "lower batch_size of the tuning or raise its accumulate, lower max_length, or train fewer layers"
DESCRIPTIONS = {
    "epochs": """int, default={}
        Passes over the texts, at least 1.""",
    "learning_rate": """float, default={}
        Peak learning rate of AdamW, above 0. It rises during the share `warmup` of the steps, then falls linearly to
        0.""",
    "warmup": """float, default={}
        Share of the steps during which the learning rate rises, in [0, 1).""",
    "weight_decay": """float, default={}
        Weight decay of AdamW, at least 0.""",
    "token_dropout": """float, default={}
        Share of the tokens of each text that training leaves out, drawn anew each time, in [0, 1). It keeps an encoder
        from learning few or short texts by heart.""",
    "layers": """int, optional
        Train only so many upper layers. The ones below are then computed without gradients, in half of their time. By
        default all weights learn.""",
    "lora_rank": """int, optional
        Train only low-rank corrections of this rank to queries and values, and merge them at the end; this needs the
        package peft. By default weights learn themselves.""",
    "max_length": """int, optional
        Most tokens of a text in training; by default that of the encoder. Half of them take half the time.""",
    "validation": """float, default={}
        Share of the texts that are held out to choose the best epoch by the share of them whose best label is right, in
        [0, 1). By default all texts train for all epochs.""",
    "patience": """int, default={}
        Epochs without improvement after which training ends, if there is a validation.""",
    "checkpoint": """str or path, optional
        Folder for the state of training, after each epoch, every 1,000 steps and at Ctrl-C. A fit that finds one of
        the same data and parameters continues from it, to the same encoder.""",
    "random_state": """int, default={}
        Seed of batches, groups, dropout and validation rows.""",
}
NOT_IN_KEY = ("checkpoint", "tree", "label_texts")  # The key of a loss has what the latter say.


class TuningLoss(Protocol):
    """The loss of a tuning.

    Attributes
    ----------
    key : tuple of ndarray
        What it was made of besides texts and labels.
    """

    key: tuple[NDArray[Any], ...]

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the pairs of a batch."""

    def precision(self, rows: NDArray[np.int64]) -> float:
        """Return the share of held-out rows whose best label, among all, is right."""


class Tuning(BaseEstimator, ABC):
    """A way to train an encoder on the labels of texts; `LabelTuning` and `ContrastiveTuning` are its kinds."""

    epochs: int
    batch_size: int
    accumulate: int
    learning_rate: float
    warmup: float
    weight_decay: float
    temperature: float
    token_dropout: float
    layers: int | None
    lora_rank: int | None
    max_length: int | None
    validation: float
    patience: int
    checkpoint: str | os.PathLike[str] | None
    random_state: int

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        complete(cls, DESCRIPTIONS)

    def _check_parameters(self) -> None:
        check_common(self)
        for name in ("epochs", "batch_size", "accumulate", "patience"):
            check_number(name, getattr(self, name), minimum=1, integer=True)
        for name in ("layers", "lora_rank", "max_length"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), minimum=1, integer=True)
        for name in ("learning_rate", "temperature"):
            check_number(name, getattr(self, name), minimum=0, inclusive=False)
        check_number("weight_decay", self.weight_decay, minimum=0)
        for name in ("warmup", "validation", "token_dropout"):
            check_share(name, getattr(self, name))
        check_type("checkpoint", self.checkpoint, (str, os.PathLike), "a string or a path")
        check_number("random_state", self.random_state, minimum=0, integer=True)
        if self.layers is not None and self.lora_rank is not None:
            raise ValueError("layers and lora_rank are both given; corrections of low rank train all layers.")

    def _tune(
        self, network: EncoderNetwork, texts: Texts, target: Target, *, pooling: str, bfloat16: bool, verbose: bool
    ) -> Curve:
        """Train an encoder in place.

        Parameters
        ----------
        network : EncoderNetwork
            With weights in float32, on its device, and the limit of the encoder.
        texts : ndarray of str, shape (n_rows,)
        target : Target
            Their labels.
        pooling : {"mean", "cls"}
        bfloat16 : bool
            Whether to compute in bfloat16.
        verbose : bool

        Returns
        -------
        list of dict
            For each epoch its number, the mean loss, and the validation score if there is one.
        """
        from xclassic.features.tuned_network import TunedNetwork, trainable
        from xclassic.networks.training import Plan, key_of, train

        Y = target.Y
        if self.max_length is not None:
            network.limit(self.max_length)
        tokens = network.tokenize(texts)[0]
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        fingerprint = network.fingerprint  # That of the weights before training.
        trained, held = split_rows(Y, self.validation, self.random_state)
        plain = {name: value for name, value in self.get_params(deep=False).items() if name not in NOT_IN_KEY}
        plan = Plan.of(self, bfloat16=bfloat16, verbose=verbose)
        sampler = BatchSampler(
            Y,
            lengths,
            rows=trained,
            batch_size=self.batch_size,
            positives="one",
            tail_share=None,
            tail_max=0,
            seed=self.random_state,
        )
        with memory_errors(KNOBS), trainable(network.module, self.layers, self.lora_rank, self.random_state):
            model = TunedNetwork(network, tokens, pooling, bfloat16, self.token_dropout)
            loss, state = self._loss(model, target, trained)
            data = (np.concatenate(tokens), lengths, Y.indptr, Y.indices, *loss.key)
            key = key_of(*data, plain, pooling, fingerprint)
            validate = (lambda: loss.precision(held)) if held.size else None
            return train(model, loss, sampler, plan, validate, key, state)

    @abstractmethod
    def _loss(
        self, model: TunedNetwork, target: Target, rows: NDArray[np.int64]
    ) -> tuple[TuningLoss, EpochState | None]:
        """Return the loss of batches, and what epochs begin with."""
