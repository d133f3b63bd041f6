"""Classifiers that are networks: epochs a second beside the CPU, and what they predict on bibtex."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gpu_steps.common import Result, Setting, profiled, result, synchronize
from xclassic import XMLCNN, DeepXML, NeuralXC, TreeEmbedding, datasets, metrics

# The estimator, and the least P@1 on bibtex in percent.
METHODS: dict[str, tuple[Callable[..., Any], float]] = {
    "NeuralXC": (NeuralXC, 60.0),
    "XMLCNN": (XMLCNN, 40.0),
    "DeepXML": (DeepXML, 55.0),
    "TreeEmbedding, logistic": (lambda **options: TreeEmbedding(loss="logistic", **options), 55.0),
}
MEASURED = 4  # epochs that the time of one is taken from


def run(setting: Setting) -> Iterator[Result]:
    """Yield the precision of each method, and its epochs a second on the GPU and on the CPU."""
    data = datasets.load_bibtex()
    n = setting.pick(data.X.shape[0], 60)  # which are all test rows too
    X, Y, X_test, Y_test = (matrix[:n] for matrix in (data.X, data.Y, data.X_test, data.Y_test))
    words = np.array(data.feature_names)
    texts = [np.array([" ".join(words[row.indices]) for row in rows], object) for rows in (X, X_test)]
    for name, (make, bar) in METHODS.items():
        features, features_test = texts if name == "XMLCNN" else (X, X_test)
        yield from measured(setting, name, make, bar, (features, Y, features_test, Y_test))


def measured(setting: Setting, name: str, make: Callable[..., Any], bar: float, data: Any) -> Iterator[Result]:
    """Fit with the defaults, then for some epochs on both devices."""
    X, Y, X_test, Y_test = data

    def seconds(device: str, epochs: int) -> float:
        started = time.perf_counter()
        make(device=device, epochs=epochs, validation=0).fit(X, Y)
        synchronize(device)
        return time.perf_counter() - started

    options = {"epochs": 2} if setting.small else {}
    clf = make(device=setting.device, **options).fit(X, Y)
    p1 = 100 * metrics.precision_at_k(Y_test, clf.predict_topk(X_test, 1), 1)
    yield result(f"{name}: P@1 on bibtex", f"{p1:.1f}", f"at least {bar}", None if setting.small else p1 >= bar)
    n_epochs = setting.pick(MEASURED, 1)
    for device in dict.fromkeys((setting.device, "cpu")):
        each = max(1e-3, (seconds(device, 1 + n_epochs) - seconds(device, 1)) / n_epochs)
        where = "CPU" if device == "cpu" else "GPU"
        yield result(f"{name}: {where}", f"{1 / each:.2f} epochs/s")
    yield profiled(name, lambda: seconds(setting.device, 2), setting.device)
