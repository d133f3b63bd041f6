"""The parameters of a `T5Classifier`, checked before a fit and at load."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from xclassic.label_tree.tree import LabelTree
from xclassic.validation.parameters import check_choice, check_number, check_share, check_type
from xclassic.validation.records import template_fields

if TYPE_CHECKING:
    from xclassic.neural.t5 import T5Classifier

CHOICES = {
    "target": ("name", "code", "fields"),
    "combinations": ("any", "seen"),
    "positives": ("one", "all"),
    "stop_on": ("P@1", "tail"),
    "dtype": ("auto", "float32", "bfloat16"),
}
LEAST = {
    "branching": 2, "max_length": 2, "epochs": 1, "batch_size": 1, "accumulate": 1, "patience": 1, "beam": 1,
    "tail_max": 0, "random_state": 0,
}  # fmt: skip


def check_t5_parameters(clf: T5Classifier) -> None:
    """Raise for parameters of the wrong type or out of range."""
    for name, choices in CHOICES.items():
        check_choice(name, getattr(clf, name), choices)
    for name, minimum in LEAST.items():
        check_number(name, getattr(clf, name), minimum=minimum, integer=True)
    check_number("learning_rate", clf.learning_rate, minimum=0, inclusive=False)
    check_number("weight_decay", clf.weight_decay, minimum=0)
    for name in ("warmup", "validation", "tail_share"):
        value = getattr(clf, name)
        if value is not None or name != "tail_share":
            check_share(name, value)
    if clf.lora_rank is not None:
        check_number("lora_rank", clf.lora_rank, minimum=1, integer=True)
    for name in ("tokenizer", "checkpoint"):
        check_type(name, getattr(clf, name), (str, PathLike), "a string or a path")
    check_type("prompt", clf.prompt, (str,), "a string or None")
    if clf.prompt is not None:
        template_fields(clf.prompt, "prompt")
    check_type("tree", clf.tree, (LabelTree,), "a LabelTree or None")
