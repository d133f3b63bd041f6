"""Encoding of texts of mixed lengths, beside sentence-transformers with the same weights and precision."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from gpu_steps.common import Result, Setting, alternate, bert_sizes, mixed_texts, profiled, ratio, result, save_bert
from xclassic.features import BertEncoder

MAX_LENGTH = 256


def run(setting: Setting) -> Iterator[Result]:
    """Yield rates and how near rows are, for each size of encoder."""
    texts = mixed_texts(setting.pick(max(1000, round(4000 * setting.scale)), 20))
    with tempfile.TemporaryDirectory() as folder:
        for name, sizes in bert_sizes(setting).items():
            model = save_bert(Path(folder) / name.replace(" ", "-"), texts[:1000], **sizes)
            yield from compared(setting, name, model, texts)


def compared(setting: Setting, name: str, model: str, texts: list[str]) -> Iterator[Result]:
    """Encode all texts by both programs; sentence-transformers with the best of three batch sizes."""
    ours = BertEncoder(model, max_length=MAX_LENGTH, device=setting.device, dtype="bfloat16").fit(texts)
    theirs = SentenceTransformer(model, device=setting.device, model_kwargs={"dtype": torch.bfloat16})
    theirs.max_seq_length = MAX_LENGTH
    rows: dict[str, Any] = {}

    def encode() -> float:
        rows["xclassic"] = ours.transform(texts)
        return len(texts)

    def encode_by(size: int, some: list[str] = texts) -> float:
        rows["peer"] = theirs.encode(some, batch_size=size, normalize_embeddings=True, show_progress_bar=False)
        return len(some)

    tried = {str(size): partial(encode_by, size, texts[:1000]) for size in setting.pick((32, 128, 512), (4, 8))}
    tries = alternate(tried, setting.device, 0)
    best = max(tries, key=lambda size: max(tries[size]))
    seconds = setting.pick(3 * setting.scale, 0)
    programs = {"xclassic": encode, "sentence-transformers": partial(encode_by, int(best))}
    rates = alternate(programs, setting.device, seconds)
    for program, found in rates.items():
        yield result(f"{name}, bf16: {program}", f"{max(found):.0f} rows/s", rounds=found, best_batch_of_the_other=best)
    yield setting.bar(f"{name}: times sentence-transformers", ratio(rates, "xclassic", "sentence-transformers"), 1.2)
    norms = np.linalg.norm(rows["peer"], axis=1)
    cosine = float(((rows["xclassic"] * rows["peer"]).sum(axis=1) / norms).min())
    other = float(np.median(rows["xclassic"] @ rows["xclassic"][0]))
    yield result(
        f"{name}: least cosine of the rows of both", f"{cosine:.4f}", "at least 0.999", cosine >= 0.999,
        median_cosine_of_different_texts=other,
    )  # fmt: skip
    yield profiled(name, encode, setting.device)
