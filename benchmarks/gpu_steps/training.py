"""Training of a T5 of base size beside transformers' Trainer: same model, batch, data, optimizer and precision."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import chain, count, product
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from transformers import T5Config, T5ForConditionalGeneration, Trainer, TrainerCallback, TrainingArguments

from gpu_steps.common import Result, Setting, peak_memory, peak_rate, profiled, ratio, result, synchronize, t5_config
from xclassic.networks.batches import BatchSampler
from xclassic.networks.half_products import half_products
from xclassic.networks.training import Plan, _Run
from xclassic.neural.choices import Choices
from xclassic.neural.path_loss import PathLoss
from xclassic.neural.texts import Texts
from xclassic.neural.trie import TokenTrie
from xclassic.neural.vocabulary import tokens_in_use

VOCABULARY, END, N_TEXT, N_TARGET = 32128, 1, 128, 16
LEARNING_RATE, WEIGHT_DECAY = 1e-4, 0.01

Steps = Callable[[int], float]  # takes so many steps, returns their seconds
Program = Callable[..., AbstractContextManager[Steps]]


def run(setting: Setting) -> Iterator[Result]:
    """Yield rates, shares of the peak and memory for each batch size."""
    for batch in setting.pick((32, 128), (2,)):
        yield from compared(setting, batch, {"xclassic": ours, "Trainer": theirs}, bar=1.5)


def compared(setting: Setting, batch: int, programs: dict[str, Program], bar: float = 0) -> Iterator[Result]:
    """Measure two programs in turn, two rounds; the first is to be `bar` times as fast as the second."""
    peak = peak_rate(setting.device)
    config = t5_config(setting, VOCABULARY)
    data = problem(max(8, setting.pick(4096, 16)))
    n_tokens = batch * (N_TEXT + N_TARGET)
    n_steps = setting.pick(max(8, round(1000 * setting.scale / batch)), 2)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in programs}
    for _ in range(2):
        for name, program in programs.items():
            one = {}
            with peak_memory(setting.device, one), program(setting, config, *data, batch) as steps:
                one["seconds of three steps at first"] = steps(3)
                one["tokens/s"] = n_steps * n_tokens / steps(n_steps)
                del steps  # it holds the model
            found[name].append(one)
    model = setting.pick("T5 base", "tiny T5")
    for name, rounds in found.items():
        rate = max(one["tokens/s"] for one in rounds)
        share = 100 * rate / n_tokens * step_flops(config, batch) / peak
        figures = f"{rate:.0f} tokens/s, {share:.1f} % of the peak, {rounds[0]['GiB']} GiB"
        yield result(f"{model}, batch {batch}, {name}", figures, rounds=rounds)
    rates = {name: [one["tokens/s"] for one in rounds] for name, rounds in found.items()}
    first, second = programs
    yield setting.bar(f"training, batch {batch}: {first} : {second}", ratio(rates, first, second), bar)
    with programs[first](setting, config, *data, batch) as steps:
        steps(3)
        yield profiled(f"{model}, batch {batch}, {first}", partial(steps, 2), setting.device)


def problem(n_rows: int) -> tuple[np.ndarray, list[list[int]], np.ndarray]:
    """Return texts of 128 tokens, 2,048 names of 16 tokens with a choice of two at each of 11 places, and labels."""
    rng = np.random.default_rng(0)
    texts = np.c_[rng.integers(2, 32000, (n_rows, N_TEXT - 1)), np.full(n_rows, END)]
    n_choices = 11
    common = rng.integers(2, 32000, N_TARGET - n_choices - 1).tolist()
    pairs = rng.integers(2, 16000, n_choices) * 2
    names = [
        [*common, *(int(token) + bit for token, bit in zip(pairs, bits, strict=True)), END]
        for bits in product((0, 1), repeat=n_choices)
    ]
    return texts, names, rng.integers(len(names), size=n_rows)


def step_flops(config: T5Config, batch: int, n_text: int = N_TEXT, n_target: int = N_TARGET) -> float:
    """Return the operations of a training step that the layers of a T5 need: what utilization of a card is counted by.

    Two for each weight and token, and for each pair of tokens in attention; backward as much as twice forward. The
    output layer is left out, since the programs that are compared compute different parts of it.
    """
    d, inner, ff = config.d_model, config.num_heads * config.d_kv, config.d_ff
    projections, feed_forward = 4 * d * inner, (3 if config.is_gated_act else 2) * d * ff
    encoder = n_text * (projections + feed_forward) + 2 * inner * n_text**2
    own = n_target * (projections + feed_forward) + 2 * inner * n_target**2
    across = (n_target + n_text) * projections / 2 + 2 * inner * n_target * n_text
    forward = 2 * (config.num_layers * encoder + config.num_decoder_layers * (own + across))
    return 3.0 * batch * forward


@contextmanager
def ours(
    setting: Setting,
    config: T5Config,
    texts: np.ndarray,
    names: list[list[int]],
    labels: np.ndarray,
    batch: int,
) -> Iterator[Steps]:
    """Prepare the training of `T5Classifier`."""
    model = random_t5(config, setting.device)
    trie, read = TokenTrie(names), Texts(texts.tolist(), 0)
    Y = csr_array((np.ones(len(labels), np.float32), (np.arange(len(labels)), labels)), (len(labels), len(names)))
    sampler = BatchSampler(
        Y, read.lengths, rows=np.arange(len(labels)), batch_size=batch, positives="one", tail_share=None, tail_max=0,
        seed=0,
    )  # fmt: skip
    plan = Plan(
        epochs=10**6, learning_rate=LEARNING_RATE, warmup=0.0, weight_decay=WEIGHT_DECAY, accumulate=1, patience=1,
        bfloat16=True, seed=0, checkpoint=None, verbose=False,
    )  # fmt: skip
    with (
        tokens_in_use(model, read.flat, trie.used_tokens, new=trie.vocabulary[:0]),
        half_products(model, plan.bfloat16) as full,
    ):
        state = _Run(model, PathLoss(model, Choices([trie]), read), sampler, plan, "", full)
        model.train()
        batches = chain.from_iterable(sampler.epoch(i) for i in count())

        def steps(n: int) -> float:
            synchronize(setting.device)
            started = time.perf_counter()
            for _ in range(n):
                state.one_step(next(batches))
            synchronize(setting.device)
            return time.perf_counter() - started

        yield steps


@contextmanager
def theirs(
    setting: Setting, config: T5Config, texts: np.ndarray, names: list[list[int]], labels: np.ndarray, batch: int
) -> Iterator[Steps]:
    """Prepare the same training by Trainer."""
    model = random_t5(config, setting.device)
    tokens = torch.from_numpy(texts)
    targets = torch.tensor(names)[torch.from_numpy(labels)]
    rows = [{"input_ids": text, "labels": target} for text, target in zip(tokens, targets, strict=True)]

    def collate(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    def steps(n: int) -> float:
        clock = Clock(setting.device)
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder, per_device_train_batch_size=batch, max_steps=n + 1, bf16=True, optim="adamw_torch_fused",
                learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY, max_grad_norm=1.0, lr_scheduler_type="linear",
                logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True,
                use_cpu=torch.device(setting.device).type == "cpu",
            )  # fmt: skip
            Trainer(model, arguments, data_collator=collate, train_dataset=rows, callbacks=[clock]).train()
        return clock.seconds

    yield steps


class Clock(TrainerCallback):
    """Takes the time from the end of the first step, which prepares much, to that of the last."""

    def __init__(self, device: str) -> None:
        self.device, self.started, self.seconds = device, 0.0, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step in (1, state.max_steps):
            synchronize(self.device)
            now = time.perf_counter()
            self.started, self.seconds = (now, 0.0) if state.global_step == 1 else (self.started, now - self.started)


def random_t5(config: T5Config, device: str) -> Any:
    """Return a T5 of random weights, drawn where they are to be."""
    torch.manual_seed(0)
    with torch.device(device):
        return T5ForConditionalGeneration(config)
