"""Training with layers compiled by PyTorch: what it gains over `T5Classifier`, and what it costs first."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

from gpu_steps.common import Result, Setting
from gpu_steps.training import compared, ours


def run(setting: Setting) -> Iterator[Result]:
    """Yield rates of both; the JSON has the seconds of the first steps, compilation included."""

    def compile_layers(model: Any) -> None:
        for block in chain(model.encoder.block, model.decoder.block):
            block.compile(backend=setting.pick("inductor", "eager"))

    programs = {"compiled layers": partial(ours, change=compile_layers), "layers as they are": ours}
    yield from compared(setting, setting.pick(32, 2), programs)
