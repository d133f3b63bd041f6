"""A batch that cannot fit, and an interrupt: what is said, what is held afterwards, and whether work goes on."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_steps.common import Result, Setting, bert_sizes, mixed_texts, quick_t5, read_json, result, save_bert, t5_config
from xclassic import T5Classifier
from xclassic.features import BertEncoder
from xclassic.networks import training

LIMIT = 12 * 2**30  # bytes of the card that this process may use, so that it is soon full
LEFT = 8 * 2**20  # bytes that may stay allocated
KNOBS = ("batch_size", "accumulate", "gradient_checkpointing", "max_length", "dtype", "lora_rank")


def run(setting: Setting) -> Iterator[Result]:
    """Yield what happens to a training, to an encoder, and at an interrupt."""
    if torch.device(setting.device).type == "cuda":
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, LIMIT / total))
    with tempfile.TemporaryDirectory() as folder:
        yield from too_large_a_batch(setting, Path(folder))
        yield from too_many_tokens(setting, Path(folder))
        yield from interrupt(setting, Path(folder))


def too_large_a_batch(setting: Setting, folder: Path) -> Iterator[Result]:
    """Train with a batch that cannot fit, then with one that can."""
    texts = mixed_texts(setting.pick(1024, 8))
    labels = np.array(["odd", "even"] * (len(texts) // 2))
    options = quick_t5(folder, device=setting.device, epochs=1, max_length=128, validation=0)
    options["model"] = t5_config(setting, 32128)
    clf = T5Classifier(**options, batch_size=len(texts))
    with full_memory(setting):
        error = error_of(lambda: clf.fit(texts, labels), MemoryError)
    unnamed = [knob for knob in KNOBS if knob not in str(error)]
    yield result("a batch too large: the error names", ", ".join(sorted({*KNOBS} - {*unnamed})), "all", not unnamed)
    yield held("memory held while the error is kept")
    clf.set_params(batch_size=8).fit(texts[:16], labels[:16])
    yield result("a smaller batch afterwards", f"loss {clf.curve_[-1]['loss']:.2f}", "trains", True)


def too_many_tokens(setting: Setting, folder: Path) -> Iterator[Result]:
    """Encode with batches that cannot fit, then with ones that can."""
    texts = mixed_texts(setting.pick(20_000, 8))
    sizes = list(bert_sizes(setting).values())[-1]
    model = save_bert(folder / "bert", texts[:200], **sizes)
    encoder = BertEncoder(model, max_length=256, device=setting.device, dtype="float32", batch_tokens=2**31 - 1).fit(
        texts
    )
    before = allocated()
    with full_memory(setting):
        error = error_of(lambda: encoder.transform(texts), MemoryError)
    yield result(
        "an encoder's batch too large: the error names", str(error)[:90], "batch_tokens", "batch_tokens" in str(error)
    )
    yield held("memory held while the error is kept, beyond the weights", before)
    rows = encoder.set_params(batch_tokens=4096).transform(texts[:8])
    yield result("smaller batches afterwards", f"{len(rows)} rows", "encodes", bool(np.isfinite(rows).all()))


def interrupt(setting: Setting, folder: Path) -> Iterator[Result]:
    """Press Ctrl-C in the fifth step of an epoch."""
    texts = mixed_texts(64)
    labels = np.array(["odd", "even"] * 32)
    options = quick_t5(folder, device=setting.device, epochs=2, batch_size=8, validation=0)
    clf = T5Classifier(**options, checkpoint=folder / "state")
    with patched(
        training._Run, "add_gradients", lambda calls: signal.raise_signal(signal.SIGINT) if calls == 5 else None
    ):
        error = error_of(lambda: clf.fit(texts, labels), KeyboardInterrupt)
    step = read_json(folder / "state" / "model.json")["progress"]["step"]
    yield result("Ctrl-C in the fifth step: the checkpoint is of step", step, "4", error is not None and step == 4)
    yield held("memory held while the interrupt is kept")
    yield result("the training goes on", f"{len(clf.fit(texts, labels).curve_)} epochs", "2", len(clf.curve_) == 2)


def error_of(run: Callable[[], Any], kind: type[BaseException]) -> BaseException | None:
    """Return the error of a call, kept with its traceback as a notebook keeps it."""
    try:
        run()
    except kind as error:
        return error
    return None


def held(what: str, before: int = 0) -> Result:
    left = allocated() - before
    return result(what, f"{left / 2**20:.1f} MiB", f"at most {LEFT >> 20} MiB", left <= LEFT)


def allocated() -> int:
    if not torch.cuda.is_available():
        return 0
    torch._C._cuda_clearCublasWorkspaces()  # They take 32 MiB for each thread that has computed products.
    return torch.cuda.memory_allocated()


def full_memory(setting: Setting) -> Any:
    """In the miniature let the first forward pass of a network find no memory; a GPU runs out of it by itself."""

    def fail(calls: int) -> None:
        if setting.small and calls == 1:
            raise torch.OutOfMemoryError("no memory, as the miniature pretends")

    return patched(torch.nn.Embedding, "forward", fail)


class patched:
    """Call a function with the number of the call before each call of a method."""

    def __init__(self, owner: type, name: str, before: Callable[[int], None]) -> None:
        self.owner, self.name, self.before = owner, name, before
        self.original, self.calls = getattr(owner, name), 0

    def __enter__(self) -> None:
        def method(*args: Any, **options: Any) -> Any:
            self.calls += 1
            self.before(self.calls)
            return self.original(*args, **options)

        setattr(self.owner, self.name, method)

    def __exit__(self, *_: object) -> None:
        setattr(self.owner, self.name, self.original)
