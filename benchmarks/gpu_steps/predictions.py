"""Whether a GPU predicts as a CPU does: T5 and encoder, in float32 and bf16, from models saved on one for the other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from gpu_steps.common import Result, Setting, bert_sizes, mixed_texts, products, quick_t5, result, save_bert
from xclassic import T5Classifier, TopK, load
from xclassic.features import BertEncoder


def run(setting: Setting) -> Iterator[Result]:
    """Yield comparisons for each target of a T5, then for an encoder."""
    with tempfile.TemporaryDirectory() as name:
        for target in ("name", "code", "fields"):
            yield from t5_predictions(setting, Path(name), target)
        yield from encoder_rows(setting, Path(name))


def t5_predictions(setting: Setting, folder: Path, target: str) -> Iterator[Result]:
    """Train on the device, and query the model there and on a CPU."""
    rows = products()[: setting.pick(None, 100)]
    texts, types = [row["title"] for row in rows], [row["type"] for row in rows]
    options = quick_t5(folder, target=target, device=setting.device, dtype="float32", epochs=setting.pick(30, 8))
    if target == "code":
        names = sorted(set(types))
        options["embeddings"] = TfidfVectorizer(analyzer="char", ngram_range=(1, 3)).fit_transform(names).toarray()
    if target == "fields":
        options["fields"] = ["category", "type"]
    clf = T5Classifier(**options).fit(texts, rows if target == "fields" else np.array(types))
    clf.save(folder / target)
    there = clf.predict_topk(texts, 3)
    on_cpu = load(folder / target).set_params(device="cpu")
    on_cpu.save(folder / f"{target} again")
    back = load(folder / f"{target} again").set_params(device=setting.device)
    reference = on_cpu.predict_topk(texts, 3)
    for name, top in (("as trained", there), ("saved on the CPU", back.predict_topk(texts, 3))):
        gap = largest_gap(top, reference)
        yield result(f"T5, {target}, float32, {name}: largest difference of log p", f"{gap:.1e}", "1e-4", gap <= 1e-4)
    half = load(folder / target).set_params(device=setting.device, dtype="bfloat16").predict_topk(texts, 3)
    gap = float(np.abs(np.exp(half.scores[:, 0]) - np.exp(reference.scores[:, 0])).max())
    same = 100 * np.mean(half.ids[:, 0] == reference.ids[:, 0])
    yield result(f"T5, {target}, bf16: largest difference of p", f"{gap:.1e}", "2e-2", gap <= 2e-2)
    yield result(f"T5, {target}, bf16: same first label", f"{same:.1f} %", "99 %", same >= 99)


def largest_gap(top: TopK, reference: TopK) -> float:
    """Return the largest difference of scores, rank by rank: labels of equal score may stand in any order."""
    return float(np.abs(top.scores - reference.scores).max())


def encoder_rows(setting: Setting, folder: Path) -> Iterator[Result]:
    """Encode the same texts on the device and on a CPU."""
    texts = mixed_texts(setting.pick(200, 20))
    name, sizes = next(iter(bert_sizes(setting).items()))
    model = save_bert(folder / "bert", texts, **sizes)
    on_cpu = BertEncoder(model, device="cpu", dtype="float32").fit_transform(texts)
    for dtype, bar in (("float32", 1e-4), ("bfloat16", 2e-2)):
        encoder = BertEncoder(model, device=setting.device, dtype=dtype).fit(texts)
        gap = float(np.abs(encoder.transform(texts) - on_cpu).max())
        yield result(f"{name} rows, {dtype}: largest difference", f"{gap:.1e}", f"{bar:g}", gap <= bar)
