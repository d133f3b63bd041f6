"""An encoder that learns from labels: rows a second beside the CPU, and what its rows are worth on bundled products."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gpu_steps.common import Result, Setting, bert_sizes, products, profiled, result, save_bert, synchronize
from xclassic import DiSMEC
from xclassic.features import BertEncoder, ContrastiveTuning, LabelTuning

EPOCHS = 40
CPU_TEXTS = 128
OPTIONS = {"batch_size": 32, "learning_rate": 3e-4, "random_state": 0}


def run(setting: Setting) -> Iterator[Result]:
    """Yield rates and precisions, training on every second product."""
    rows = products()
    texts, types = [row["title"] for row in rows], np.array([row["type"] for row in rows])
    names = {name: name for name in types.tolist()}
    with tempfile.TemporaryDirectory() as folder:
        model = save_bert(Path(folder) / "bert", texts, **next(iter(bert_sizes(setting).values())))
        frozen = precision(BertEncoder(model, device=setting.device).fit(texts[::2]), texts, types)
        for kind, options in ((LabelTuning, {}), (ContrastiveTuning, {"label_texts": names})):
            yield from tuned(setting, model, kind, options, texts, types, frozen)


def tuned(
    setting: Setting, model: str, kind: Any, options: dict[str, Any], texts: list[str], types: np.ndarray, frozen: float
) -> Iterator[Result]:
    """Yield what a tuning is worth, and its rows a second; the CPU reads fewer texts."""

    def encoder(device: str, epochs: int) -> BertEncoder:
        return BertEncoder(model, device=device, tuning=kind(**OPTIONS, **options, epochs=epochs))

    def seconds(device: str, epochs: int, n: int) -> float:
        started = time.perf_counter()
        encoder(device, epochs).fit(texts[::2][:n], types[::2][:n])
        synchronize(device)
        return time.perf_counter() - started

    name, n, n_epochs = kind.__name__, len(texts[::2]), setting.pick(EPOCHS, 5)
    seconds(setting.device, 1, n)  # to warm up
    once = seconds(setting.device, 1, n)
    started = time.perf_counter()
    learned = encoder(setting.device, n_epochs).fit(texts[::2], types[::2])
    synchronize(setting.device)
    each = max(1e-3, (time.perf_counter() - started - once) / (n_epochs - 1))
    found = precision(learned, texts, types)
    check = f"{name}, {n_epochs} epochs from random weights: P@1 of DiSMEC on frozen and on learned rows"
    yield result(
        check, f"{frozen:.1f} to {found:.1f}", "10 points more", None if setting.small else found - frozen >= 10
    )
    yield result(f"{name}: {setting.device}", f"{n / each:.0f} rows/s")
    few = min(n, setting.pick(CPU_TEXTS, 16))
    each = max(1e-3, (seconds("cpu", 3, few) - seconds("cpu", 1, few)) / 2)
    yield result(f"{name}: CPU", f"{few / each:.0f} rows/s")
    yield profiled(name, lambda: seconds(setting.device, 1, n), setting.device)


def precision(encoder: BertEncoder, texts: list[str], types: np.ndarray) -> float:
    """Return P@1 in percent on the products that the encoder has not learned from."""
    clf = DiSMEC().fit(encoder.transform(texts[::2]), types[::2])
    return 100 * float(np.mean(clf.predict(encoder.transform(texts[1::2])) == types[1::2]))
