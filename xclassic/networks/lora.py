"""Training of low-rank corrections instead of the weights, with the package peft."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xclassic.networks.torch_support import seeded


@contextmanager
def low_rank(model: Any, rank: int | None, seed: int) -> Iterator[None]:
    """Add corrections of queries and values to a T5, which alone are trained, and merge them into it at the end.

    Parameters
    ----------
    model : T5ForConditionalGeneration
        Changed in place.
    rank : int or None
        None leaves the model as it is.
    seed : int
        Seed of the initial corrections.

    Raises
    ------
    ImportError
        If peft is not installed.
    """
    if rank is None:
        yield
        return
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError("lora_rank needs the package peft, which is not installed: pip install peft.") from error
    with seeded(seed, model.device):
        wrapped = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["q", "v"]))
    try:
        yield
    finally:
        wrapped.merge_and_unload()
        for parameter in model.parameters():
            parameter.requires_grad = True
