"""What several steps need: results, models of random weights, texts, clocks."""

from __future__ import annotations

import gc
import json
import lzma
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast, T5Config

from xclassic import datasets

ROOT = Path(__file__).resolve().parents[2]
TOKENIZER = ROOT / "tests" / "t5_tokenizer"
# Dense bf16 products, operations a second, from the makers' data sheets (SXM modules).
PEAKS = {"H100": 989e12, "H200": 989e12, "GH200": 989e12, "B200": 2250e12, "A100": 312e12}

Result = dict[str, Any]
Run = Callable[[], float]


class Setting(NamedTuple):
    """How to run a step.

    Attributes
    ----------
    device : str
        Such as "cuda".
    small : bool
        Whether this is the miniature, of tiny sizes and without bars for speed.
    scale : float
        Sizes and times as a share of those of the whole budget.
    seconds : float
        After which the step is ended from outside.
    """

    device: str
    small: bool
    scale: float
    seconds: float

    def pick(self, large: Any, small: Any) -> Any:
        """Return the size for the GPU, or that of the miniature."""
        return small if self.small else large

    def bar(self, check: str, ratio: float, bar: float, unit: str = "x", **details: Any) -> Result:
        """Return a result whose bar is not for the miniature; a bar of 0 does not count."""
        text, met = (f"at least {bar}{unit}", ratio >= bar) if bar else ("", None)
        return result(check, f"{ratio:.2f}{unit}", text, None if self.small else met, **details)


def result(check: str, found: Any, bar: str = "", met: bool | None = None, **details: Any) -> Result:
    """Return one row of the table; `details` go into the JSON alone."""
    return {"check": check, "found": str(found), "bar": bar, "met": None if met is None else bool(met), **details}


# Models and texts


def t5_config(setting: Setting, vocab_size: int) -> T5Config:
    """Return a T5 of base size, or a tiny one."""
    large = {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
    small = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    return T5Config(**setting.pick(large, small), vocab_size=vocab_size, decoder_start_token_id=0)


def quick_t5(folder: Path, **options: Any) -> dict[str, Any]:
    """Return parameters of a `T5Classifier` that learns the bundled products from random weights in seconds."""
    model = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
    return {
        "model": model, "tokenizer": t5_tokenizer(folder), "prompt": "{text}", "max_length": 48, "epochs": 30,
        "patience": 30, "learning_rate": 0.003, "random_state": 0, **options,
    }  # fmt: skip


def t5_tokenizer(folder: Path) -> str:
    """Write the tokenizer of T5 to a folder; return its path."""
    target = folder / "t5_tokenizer"
    target.mkdir(exist_ok=True)
    (target / "tokenizer.json").write_bytes(lzma.decompress((TOKENIZER / "tokenizer.json.xz").read_bytes()))
    shutil.copy(TOKENIZER / "tokenizer_config.json", target)
    return str(target)


def load_t5_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of T5."""
    return AutoTokenizer.from_pretrained(t5_tokenizer(folder))


def save_bert(folder: Path, texts: list[str], **sizes: int) -> str:
    """Write a BERT of random weights, with word pieces of some texts, to a folder; return its path."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=3000, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), special, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **names).save_pretrained(folder)
    torch.manual_seed(0)
    # Weights wider than at the start of a training, or all texts would have nearly the same row.
    config = BertConfig(vocab_size=30522, initializer_range=0.05, **sizes)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return str(folder)


def bert_sizes(setting: Setting) -> dict[str, dict[str, int]]:
    """Return sizes of encoders by name."""

    def sizes(layers: int, width: int, heads: int) -> dict[str, int]:
        inner = {"num_attention_heads": heads, "intermediate_size": 4 * width}
        return {"num_hidden_layers": layers, "hidden_size": width, **inner}

    small = {"tiny": sizes(2, 32, 4)}
    return setting.pick({"MiniLM": sizes(6, 384, 12), "BERT base": sizes(12, 768, 12)}, small)


def products() -> list[dict[str, Any]]:
    """Return the bundled products."""
    return datasets.read_records(datasets.products_file())


def mixed_texts(n: int, seed: int = 0, most_words: int = 200) -> list[str]:
    """Return texts of 10 words and more, in no order of length, of the words of bundled data."""
    rng = np.random.default_rng(seed)
    words = sorted(
        {word for row in products() for word in row["title"].split()} | set(datasets.load_bibtex().feature_names)
    )
    chance = 1 / np.arange(1, len(words) + 1)  # as words of a language
    shuffled = rng.permutation(words)
    sizes = rng.integers(10, most_words + 1, n)
    return [" ".join(rng.choice(shuffled, size, p=chance / chance.sum())) for size in sizes]


# Clocks


def synchronize(device: str) -> None:
    """Wait until a device has done all its work."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def alternate(runs: dict[str, Run], device: str, seconds: float) -> dict[str, list[float]]:
    """Run functions in turn for about so many seconds in all, two rounds at least; return units a second by rounds.

    A function returns how many units it has done. It is called once before, to warm up.
    """
    for run in runs.values():
        run()
    rates: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(rates.values()))) < 2:
        for name, run in runs.items():
            synchronize(device)
            started = time.perf_counter()
            done = run()
            synchronize(device)
            rates[name].append(done / (time.perf_counter() - started))
    return rates


def ratio(rates: dict[str, list[float]], ours: str, theirs: str) -> float:
    """Return the median over rounds of how many times as fast one is."""
    return median(a / b for a, b in zip(rates[ours], rates[theirs], strict=True))


@contextmanager
def peak_memory(device: str, into: dict[str, Any]) -> Iterator[None]:
    """Put the most GiB that the block held on a GPU into a dict, as "GiB"."""
    is_gpu = torch.device(device).type == "cuda"
    gc.collect()
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    yield
    into["GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 2) if is_gpu else 0.0


def product_rate(device: str, size: int) -> float:
    """Return the operations a second of a bf16 product of square matrices of random numbers."""
    a, b = (torch.randn(size, size, device=device).to(torch.bfloat16) for _ in range(2))
    rates = alternate({"product": lambda: ((a @ b).shape[0], 2.0 * size**3)[1]}, device, 0.2)
    return median(rates["product"])


def peak_rate(device: str) -> float:
    """Return the operations a second that a card is sold with; of an unknown one, what a large product reaches."""
    if torch.device(device).type == "cuda":
        name = torch.cuda.get_device_name()
        for card, rate in PEAKS.items():
            if card in name.split() or f" {card}" in name:
                return rate
        return product_rate(device, 8192)
    return product_rate(device, 256)


def profiled(what: str, run: Run, device: str, n_kinds: int = 12) -> Result:
    """Return where the time of a call goes: the share that the device is busy, and the kernels that take most.

    To be asked for when all else is reported: a profiler that fails then costs nothing but itself.
    """
    from torch.profiler import ProfilerActivity, profile

    is_gpu = torch.device(device).type == "cuda"
    synchronize(device)
    started = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_gpu else [])]) as found:
        run()
        synchronize(device)
    seconds = time.perf_counter() - started
    events = found.key_averages()
    key = "self_device_time_total" if is_gpu else "self_cpu_time_total"
    times = {event.key: getattr(event, key) / 1e6 for event in events}
    counts = {event.key: event.count for event in events}
    most = sorted(times, key=lambda name: -times[name])[:n_kinds]
    busy = sum(times.values()) / seconds
    kinds = [[name[:90], round(times[name], 5), counts[name]] for name in most]
    return result(f"{what}: share of the time that the device works", f"{busy:.2f}", seconds=seconds, most=kinds)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())
