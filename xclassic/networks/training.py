"""Training of a network on batches of rows, or of pairs of a row and a label: steps, early stopping, checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor
from torch.nn import Parameter
from tqdm.auto import tqdm

from xclassic.networks.batches import Sampler, pieces
from xclassic.networks.half_products import add_to_full, half_products, refresh
from xclassic.networks.torch_support import seed_generators, seeded
from xclassic.storage.arrays import with_prefix, without_prefix
from xclassic.storage.folder import HEADER, Arrays, load_model, save_model

CHECKPOINT_STEPS = 1000
OWN = ("epochs", "learning_rate", "warmup", "weight_decay", "accumulate", "patience", "checkpoint", "verbose")

Loss = Callable[[Any], Tensor]


@dataclass(frozen=True)
class Plan:
    """The settings of a training.

    Attributes
    ----------
    epochs : int
        Most epochs.
    learning_rate : float
        Peak learning rate of AdamW; it rises linearly over the share `warmup` of all steps and falls linearly to 0.
    warmup : float
    weight_decay : float
    accumulate : int
        Number of pieces that a batch is cut into, whose gradients are summed.
    patience : int
        Epochs without a better validation score after which training ends.
    bfloat16 : bool
        Whether to compute in bfloat16 where that is enough; weights and their updates stay in float32.
    seed : int
    checkpoint : path or None
        Folder to write the state to every `CHECKPOINT_STEPS` steps, after each epoch and at an interrupt, and to
        continue from.
    verbose : bool
    coupled : bool
        Whether weight decay is a term of the gradient, as in Adam, and not decoupled from it, as in AdamW.
    averaging : float
        Decay of the moving average of the weights, which is what is validated and kept; 0 keeps the last weights.
    judges_start : bool
        Whether the weights before training are validated too, as those of epoch 0, and kept if none are better.
    """

    epochs: int
    learning_rate: float
    warmup: float
    weight_decay: float
    accumulate: int
    patience: int
    bfloat16: bool
    seed: int
    checkpoint: Path | None
    verbose: bool
    coupled: bool = False
    averaging: float = 0.0
    judges_start: bool = False

    @classmethod
    def of(cls, settings: Any, **others: Any) -> Plan:
        """Return the plan with the parameters of an estimator that have these names, and with others before them."""
        own = {name: getattr(settings, name) for name in OWN if hasattr(settings, name)} | others
        own.setdefault("seed", settings.random_state)
        checkpoint = own["checkpoint"]
        return cls(
            **own | {"checkpoint": None if checkpoint is None else Path(checkpoint), "verbose": bool(own["verbose"])}
        )


class EpochState(Protocol):
    """What each epoch begins with, made by the weights of that moment, such as hard negatives.

    Attributes
    ----------
    arrays : dict of str to ndarray
        A checkpoint holds them, since the weights have moved on when training continues in the middle of an epoch.
    """

    arrays: Arrays

    def begin(self, epoch: int) -> None:
        """Make the arrays of an epoch."""


@dataclass
class Progress:
    """The progress of training, which a checkpoint holds in addition to tensors."""

    epoch: int = 0
    batch: int = 0  # Number of the next batch in the epoch.
    step: int = 0
    loss_sum: float = 0.0  # Sum over the batches of this epoch.
    best_epoch: int = -1
    curve: list[dict[str, float]] = field(default_factory=list)


def train(
    model: Any,
    loss: Loss,
    sampler: Sampler,
    plan: Plan,
    validate: Callable[[], float] | None,
    data_key: str,
    state: EpochState | None = None,
) -> list[dict[str, float]]:
    """Train a model, and leave it with its best weights.

    Parameters
    ----------
    model : torch.nn.Module
        A model with the attribute ``device``. It is trained in place; parameters that need no gradient stay.
    loss : callable
        It takes a batch of the sampler and returns the sum of the losses of its rows or pairs.
    sampler : Sampler
    plan : Plan
    validate : callable or None
        It returns the current score of the model, where higher is better, under autocast as in training. The weights of
        the best epoch are kept, and among equal scores the later ones, which have learned more. Without it the last
        weights are kept.
    data_key : str
        Key of the data; training continues only from a checkpoint with the same key.
    state : EpochState, optional
        What each epoch begins with.

    Returns
    -------
    list of dict
        For each epoch its number, the mean loss, and the validation score if there is one.

    Raises
    ------
    ValueError
        If the checkpoint is from other data or parameters, or the loss is not a number.
    """
    with seeded(plan.seed, model.device), half_products(model, plan.bfloat16) as full:
        run = _Run(model, loss, sampler, plan, data_key, full, state)
        run.resume()
        if plan.judges_start and validate is not None and not run.progress.curve:
            run.judge({"epoch": 0}, validate)
        for epoch in range(run.progress.epoch, plan.epochs):
            if run.progress.epoch - 1 - run.progress.best_epoch >= plan.patience and validate is not None:
                break
            run.one_epoch(epoch)
            run.close_epoch(validate)
        run.restore_best()
        return run.progress.curve


class _Run:
    """One training, from its start or from a checkpoint."""

    def __init__(
        self,
        model: Any,
        loss: Loss,
        sampler: Sampler,
        plan: Plan,
        data_key: str,
        full: dict[Parameter, Parameter],
        state: EpochState | None = None,
    ) -> None:
        self.model, self.loss, self.sampler, self.plan, self.data_key = model, loss, sampler, plan, data_key
        self.weights = {name: full.get(p, p) for name, p in model.named_parameters() if p.requires_grad}
        self.halves = {half: whole for half, whole in full.items() if whole.requires_grad}
        optimizer = torch.optim.Adam if plan.coupled else torch.optim.AdamW
        self.optimizer = optimizer(
            self.weights.values(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
        )
        n_steps = plan.epochs * sampler.n_batches
        n_rising = max(1, round(plan.warmup * n_steps))
        self.rate = lambda step: min((step + 1) / n_rising, (n_steps - step) / max(1, n_steps - n_rising))
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self.state = state
        self.average: dict[str, Tensor] = {}
        self.moving = False  # True while weights and progress are not of the same step.

    def one_epoch(self, epoch: int) -> None:
        """Take the remaining steps of an epoch; an interrupt leaves a checkpoint of the last whole step."""
        progress = self.progress
        if self.state is not None and progress.batch == 0:
            self.state.begin(epoch)
        self.model.train()
        batches = self.sampler.epoch(epoch)
        with tqdm(
            total=len(batches), initial=progress.batch, desc=f"epoch {epoch + 1} of {self.plan.epochs}", leave=False,
            disable=not self.plan.verbose,
        ) as bar:  # fmt: skip
            try:
                while progress.batch < len(batches):
                    self.one_step(batches[progress.batch])
                    bar.set_postfix(loss=f"{progress.loss_sum / progress.batch:.4f}", refresh=False)
                    bar.update()
                    if progress.step % CHECKPOINT_STEPS == 0 and progress.batch < len(batches):
                        self.save()
            except KeyboardInterrupt:
                if not self.moving:
                    self.save()
                raise

    def one_step(self, batch: Any) -> None:
        """Update the weights once."""
        loss = self.add_gradients(batch)
        self.moving = True
        torch.nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.add_to_average()
        refresh(self.halves)
        self.progress.loss_sum += loss
        self.progress.batch += 1
        self.progress.step += 1
        self.moving = False

    def add_to_average(self) -> None:
        """Move the average towards the weights; it begins with those of the first step."""
        if self.plan.averaging:
            for name, weight in self.weights.items():
                average = self.average.setdefault(name, weight.detach().clone())
                average.lerp_(weight.detach(), 1 - self.plan.averaging)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the model the average of its weights within the block."""
        own = {name: weight.detach().clone() for name, weight in self.weights.items()} if self.average else {}
        self.put(self.average)
        try:
            yield
        finally:
            self.put(own)

    def autocast(self) -> torch.autocast:
        """Return the context in which the model, some of whose weights may be in bfloat16, computes."""
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.plan.bfloat16)

    def put(self, weights: dict[str, Tensor]) -> None:
        """Give the model these weights."""
        with torch.no_grad():
            for name, tensor in weights.items():
                self.weights[name].copy_(tensor)
        refresh(self.halves)

    def add_gradients(self, batch: Any) -> float:
        """Add up the gradients of a batch, and return its mean loss."""
        # Seeding each step makes it unnecessary to save the random state.
        seed_generators((self.plan.seed + self.progress.step) % 2**63, self.model.device)
        n = len(batch.rows)
        self.optimizer.param_groups[0]["lr"] = self.plan.learning_rate * self.rate(self.progress.step)
        total = 0.0
        for part in pieces(batch, self.plan.accumulate):
            with self.autocast():
                loss = self.loss(part) / n
            loss.backward()
            add_to_full(self.halves)
            total += loss.item()
        if not np.isfinite(total):
            raise ValueError(f"The loss is {total} at step {self.progress.step}; lower learning_rate.")
        return total

    def close_epoch(self, validate: Callable[[], float] | None) -> None:
        """Record the results of the epoch, and keep its weights if they are the best."""
        progress = self.progress
        entry = {"epoch": progress.epoch + 1, "loss": progress.loss_sum / max(1, progress.batch)}
        self.judge(entry, validate)
        progress.epoch, progress.batch, progress.loss_sum = progress.epoch + 1, 0, 0.0
        self.save()

    def judge(self, entry: dict[str, float], validate: Callable[[], float] | None) -> None:
        """Add an entry with its score to the curve, and keep the weights if they are the best."""
        earlier = max((old["score"] for old in self.progress.curve if "score" in old), default=-np.inf)
        if validate is not None:
            with self.averaged(), self.autocast():
                entry["score"] = validate()
                if entry["score"] >= earlier:
                    self.progress.best_epoch = int(entry["epoch"]) - 1
                    self.best = {name: p.detach().clone() for name, p in self.weights.items()}
        self.progress.curve.append(entry)

    def restore_best(self) -> None:
        """Give the model the weights of its best epoch, or without validation the last ones."""
        self.put(self.best or self.average)
        self.model.eval()

    # Checkpoints

    def save(self) -> None:
        """Write the state; it replaces the previous one as a whole or not at all."""
        if self.plan.checkpoint is None:
            return
        moments = {
            f"{kind}.{name}": self.optimizer.state[p][kind]
            for name, p in self.weights.items()
            if p in self.optimizer.state
            for kind in ("exp_avg", "exp_avg_sq")
        }
        parts = {"weights": self.weights, "best": self.best, "moments": moments, "average": self.average}
        arrays: Arrays = {f"{part}.safetensors": _as_bytes(tensors) for part, tensors in parts.items()}
        if self.state is not None:
            arrays |= with_prefix("epoch.", self.state.arrays)
        save_model(self.plan.checkpoint, {"checkpoint": self.data_key, "progress": self.progress.__dict__}, arrays)

    def resume(self) -> None:
        """Continue from the checkpoint, if there is one."""
        folder = self.plan.checkpoint
        if folder is None or not (folder / HEADER).exists():
            return
        header, arrays = load_model(folder, verify="full")
        if header.get("checkpoint") != self.data_key:
            raise ValueError(
                f"The checkpoint in {folder} was made with other data or other parameters of training. Name another "
                "folder, or remove it to start anew."
            )
        self.progress = Progress(**header["progress"])
        names = ("weights", "best", "moments", "average")
        parts = {part: _from_bytes(arrays, part, self.model.device) for part in names}
        self.put(parts["weights"])
        self.best, self.average = parts["best"], parts["average"]
        for name, parameter in self.weights.items():
            if f"exp_avg.{name}" in parts["moments"]:
                self.optimizer.state[parameter] = {
                    "step": torch.tensor(float(self.progress.step), device=parameter.device),
                    "exp_avg": parts["moments"][f"exp_avg.{name}"],
                    "exp_avg_sq": parts["moments"][f"exp_avg_sq.{name}"],
                }
        if self.state is not None:
            self.state.arrays = without_prefix("epoch.", arrays)


def _as_bytes(tensors: dict[str, Tensor]) -> NDArray[np.uint8]:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return np.frombuffer(save_tensors(plain), np.uint8)


def _from_bytes(arrays: Arrays, part: str, device: Any) -> dict[str, Tensor]:
    tensors = load_tensors(arrays[f"{part}.safetensors"].tobytes())
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def key_of(*parts: Any) -> str:
    """Return a digest of arrays and plain values."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(str(part.shape).encode() + np.ascontiguousarray(part).tobytes())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()
