"""Training of low-rank corrections instead of the weights, with the package peft."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xclassic.networks.torch_support import seeded

PROJECTIONS = (  # The layers that make queries and values, by the names that architectures give them.
    ("q", "v"), ("query", "value"), ("q_proj", "v_proj"), ("q_lin", "v_lin"), ("query_proj", "value_proj"), ("Wqkv",),
    ("in_proj",),
)  # fmt: skip


@contextmanager
def low_rank(model: Any, rank: int | None, seed: int) -> Iterator[None]:
    """Add corrections of queries and values, which alone are trained, and merge them into the model at the end.

    Parameters
    ----------
    model : PreTrainedModel of transformers
        Changed in place.
    rank : int or None
        None leaves the model as it is.
    seed : int
        Seed of the initial corrections.

    Raises
    ------
    ImportError
        If peft is not installed.
    ValueError
        If the layers of queries and values have no name that is known.
    """
    if rank is None:
        yield
        return
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError("lora_rank needs the package peft, which is not installed: pip install peft.") from error
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=_projections(model))
    with seeded(seed, model.device):
        wrapped = get_peft_model(model, config)
    try:
        yield
    finally:
        wrapped.merge_and_unload()
        for parameter in model.parameters():
            parameter.requires_grad = True


def _projections(model: Any) -> list[str]:
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    for known in PROJECTIONS:
        if names.issuperset(known):
            return list(known)
    raise ValueError(
        f"lora_rank finds no queries and values in a {type(model).__name__}; it looks for layers named "
        f"{', '.join(' and '.join(known) for known in PROJECTIONS)}. Leave lora_rank at None."
    )
