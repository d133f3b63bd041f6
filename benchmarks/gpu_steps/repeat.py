"""Whether a training gives the same bits again: by the same seed, and from a checkpoint."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_steps.common import Result, Setting, mixed_texts, quick_t5, result
from gpu_steps.memory import error_of, patched
from xclassic import T5Classifier
from xclassic.networks import training

os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # which PyTorch asks for where runs are to be equal


def run(setting: Setting) -> Iterator[Result]:
    """Yield comparisons without and with PyTorch's deterministic algorithms; only the latter are promised."""
    rng = np.random.default_rng(0)
    texts = mixed_texts(setting.pick(512, 48), most_words=30)
    names = [f"label {i}" for i in range(20)]
    labels = rng.permuted(np.resize(names, len(texts)))
    with tempfile.TemporaryDirectory() as name:
        for deterministic in (False, True):
            torch.use_deterministic_algorithms(deterministic)
            how = "deterministic algorithms" if deterministic else "as usual"
            for target in ("name", "code"):
                options = quick_t5(Path(name), device=setting.device, epochs=2, target=target)
                if target == "code":
                    options["embeddings"] = rng.standard_normal((20, 8))
                one, two = (T5Classifier(**options).fit(texts, labels) for _ in range(2))
                met = True if not deterministic else same_bits(one, two)
                found = "same bits" if same_bits(one, two) else f"differ by up to {difference(one, two):.1e}"
                bar = "same bits" if deterministic else ""
                yield result(f"two trainings, {target}, {how}", found, bar, met if deterministic else None)
        torch.use_deterministic_algorithms(True)
        yield cut(setting, Path(name), texts, labels)


def cut(setting: Setting, folder: Path, texts: list[str], labels: Any) -> Result:
    """Interrupt a training between two checkpoints, and let it go on."""
    options = quick_t5(folder, device=setting.device, epochs=2)
    whole = T5Classifier(**options).fit(texts, labels)
    clf = T5Classifier(**options, checkpoint=folder / "state")

    def stop(calls: int) -> None:
        if calls == 3:
            raise KeyboardInterrupt

    with patched(training._Run, "add_gradients", stop):
        error = error_of(lambda: clf.fit(texts, labels), KeyboardInterrupt)
    same = error is not None and same_bits(whole, clf.fit(texts, labels))
    return result("a training that was cut and goes on", "same bits" if same else "other bits", "same bits", same)


def weights(clf: T5Classifier) -> dict[str, Any]:
    """Return the weights as `save` would write them."""
    return {name: p.detach().cpu().numpy() for name, p in clf._ready().model.named_parameters()}


def same_bits(one: T5Classifier, two: T5Classifier) -> bool:
    other = weights(two)
    return all(np.array_equal(array, other[name]) for name, array in weights(one).items())


def difference(one: T5Classifier, two: T5Classifier) -> float:
    other = weights(two)
    return float(max(np.abs(array - other[name]).max() for name, array in weights(one).items()))
