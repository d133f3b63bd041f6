"""Constrained decoding of a T5 of base size over large tries, beside ``generate`` with a function of allowed tokens."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from decoding import ours, theirs
from transformers import T5ForConditionalGeneration

from gpu_steps.common import (
    Result,
    Setting,
    alternate,
    load_t5_tokenizer,
    mixed_texts,
    profiled,
    ratio,
    result,
    t5_config,
)  # fmt: skip
from xclassic import LabelTree
from xclassic.networks.half_products import half_products
from xclassic.neural.network import add_tokens
from xclassic.neural.targets import name_sequences
from xclassic.neural.trie import TokenTrie

BEAM, BATCH = 10, 32


def run(setting: Setting) -> Iterator[Result]:
    """Yield rates in bf16 and equal predictions in float32, for names and for codes."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = load_t5_tokenizer(Path(folder))
    texts = mixed_texts(setting.pick(2 * BATCH, 4), most_words=40)
    rows = [tokens[:128] for tokens in tokenizer(texts)["input_ids"]]
    for kind in ("names", "codes"):
        torch.manual_seed(0)
        with torch.device(setting.device):
            model = T5ForConditionalGeneration(t5_config(setting, len(tokenizer))).eval()
        trie = name_trie(setting.pick(20_000, 200), tokenizer) if kind == "names" else code_trie(setting, model)
        yield from compared(setting, kind, model, trie, rows)


def compared(setting: Setting, kind: str, model: Any, trie: TokenTrie, rows: list[list[int]]) -> Iterator[Result]:
    """Search the same rows by both programs."""
    programs = {
        "xclassic": ours(model, trie, rows, batch=BATCH, beam=BEAM),
        "generate": theirs(model, trie, rows[:BATCH], batch=BATCH, beam=BEAM),
    }
    found, expected = programs["xclassic"](), programs["generate"]()
    same = 100 * np.mean([a == b for a, b in zip(found[: len(expected)], expected, strict=True)])
    runs = {name: in_bfloat16(program, setting.device) for name, program in programs.items()}
    runs["xclassic"] = with_half_products(runs["xclassic"], model)
    rates = alternate(runs, setting.device, setting.pick(6 * setting.scale, 0))
    what = f"{trie.n_labels} {kind}, {BEAM} beams"
    yield result(f"{what}: same best label in float32", f"{same:.0f} %", "at least 99 %", same >= 99)
    for name, found_rates in rates.items():
        yield result(f"{what}: {name}", f"{max(found_rates):.1f} rows/s", rounds=found_rates)
    yield setting.bar(f"{what}: times generate", ratio(rates, "xclassic", "generate"), 5)
    yield profiled(what, runs["xclassic"], setting.device)


def in_bfloat16(program: Callable[[], list[int]], device: str) -> Callable[[], float]:
    def run() -> float:
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            return float(len(program()))

    return run


def with_half_products(run: Callable[[], float], model: Any) -> Callable[[], float]:
    def prepared() -> float:
        with half_products(model):
            return run()

    return prepared


def name_trie(n: int, tokenizer: Any) -> TokenTrie:
    """Return the trie of names of one to four words, frequent words more often, as in catalogs."""
    rng = np.random.default_rng(1)
    words = mixed_texts(300, seed=1)
    pool = np.array([word for text in words for word in text.split()])  # a list would become one at each draw
    names: dict[str, None] = {}
    while len(names) < n:
        names[" ".join(rng.choice(pool, rng.integers(1, 5)))] = None
    return TokenTrie(name_sequences(list(names), tokenizer))


def code_trie(setting: Setting, model: Any) -> TokenTrie:
    """Return the trie of six-ary codes."""
    n, depth = setting.pick((100_000, 7), (200, 3))
    digits = np.arange(n)[:, None] // 6 ** np.arange(depth)[::-1] % 6
    tree = LabelTree.from_codes(digits)
    return TokenTrie.of_codes(tree, add_tokens(model, tree.n_nodes - 1, seed=0))
