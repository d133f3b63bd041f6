"""Time how texts become features: scikit-learn's TfidfVectorizer and `TextFeatures`, with the same settings and result.

    python benchmarks/texts.py --data-dir data --data yso_titles_en tibkat_en

Both run in turn in this process, and PECOS's compiled vectorizer too where it is installed. Before times count,
vocabularies and values are compared, bit for bit. `processor` is the time of all threads together, which other programs
on the machine disturb less.
"""

from __future__ import annotations

import argparse
import json
import lzma
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from report import markdown
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction.text import TfidfVectorizer

from xclassic.features import TextFeatures
from xclassic.features.terms import WORDS
from xclassic.features.text_parameters import PRESETS

Texts = tuple[list[str], list[str]]  # for the fit, and to transform
STEPS = ("fit_transform", "transform", "one text")
ONE_TEXT = 200  # Calls for one text, of which the median counts.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=sorted(READERS), required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--rows", type=int, help="only so many texts of the fit, and as many to transform")
    parser.add_argument("--n-jobs", type=int, default=2, help="threads of TextFeatures and PECOS (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="of all programs in turn (default: 3)")
    options = parser.parse_args()
    head = ["data", "program", *(f"{step}, {unit}" for step in STEPS for unit in ("wall", "processor")), "ratios"]
    print(markdown([head]))
    for name in options.data:
        texts, queries = (part[: options.rows] for part in READERS[name](options.data_dir / name))
        for row in measured(texts, queries, PRESET_OF[name], options.n_jobs, options.rounds):
            print(f"| {name} | {' | '.join(row)} |", flush=True)


def measured(texts: list[str], queries: list[str], preset: str, n_jobs: int, rounds: int) -> list[list[str]]:
    """Return a row of the table for each program: median seconds, and scikit-learn's wall times over these."""
    programs: dict[str, Callable[[], Any]] = {
        "scikit-learn": lambda: Vectorizers(preset),
        "TextFeatures": lambda: TextFeatures(preset=preset, n_jobs=n_jobs),
    }
    check_same(programs["TextFeatures"](), programs["scikit-learn"](), texts, queries)
    if find_spec("pecos"):
        programs["PECOS"] = lambda: Pecos(preset, n_jobs)
    seconds: dict[str, list[list[float]]] = {program: [] for program in programs}
    for _ in range(rounds):
        for program, new in programs.items():
            seconds[program].append(timed(new(), texts, queries))
    medians = {program: np.median(of_program, axis=0) for program, of_program in seconds.items()}
    rows = []
    for program, of_program in medians.items():
        ratios = (medians["scikit-learn"] / of_program)[::2]
        rows.append([program, *(f"{value:.4g}" for value in of_program), ", ".join(f"{ratio:.1f}" for ratio in ratios)])
    return rows


def timed(features: Any, texts: list[str], queries: list[str]) -> list[float]:
    """Return wall and processor seconds of a fit, of a transformation of many texts, and of one."""
    found = []
    for step in (lambda: features.fit_transform(texts), lambda: features.transform(queries)):
        wall, processor = time.perf_counter(), time.process_time()
        step()
        found += [time.perf_counter() - wall, time.process_time() - processor]
    walls, processors = [], []
    for i in range(ONE_TEXT):
        text = [queries[i % len(queries)]]
        wall, processor = time.perf_counter(), time.process_time()
        features.transform(text)
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return [*found, median(walls), median(processors)]


def check_same(ours: TextFeatures, theirs: Vectorizers, texts: list[str], queries: list[str]) -> None:
    """Raise unless vocabularies and values are equal."""
    ours.fit(texts)
    theirs.fit_transform(texts)
    for terms, vectorizer in zip(ours.terms_["text"], theirs.vectorizers, strict=True):
        assert terms.names() == vectorizer.get_feature_names_out().tolist()
        np.testing.assert_array_equal(terms.idf, vectorizer.idf_)
    found, expected = ours.transform(queries), theirs.transform(queries)
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.data, expected.data)


class Vectorizers:
    """scikit-learn's vectorizers of a preset, side by side as those of TextFeatures."""

    def __init__(self, preset: str) -> None:
        choices = PRESETS[preset]
        common = {"min_df": choices.min_df, "sublinear_tf": choices.sublinear_tf, "dtype": np.float32}
        words = TfidfVectorizer(ngram_range=choices.ngram_range, token_pattern=WORDS["whole"], **common)
        self.vectorizers = [words]
        if choices.char_ngrams:
            self.vectorizers.append(TfidfVectorizer(analyzer="char_wb", ngram_range=choices.char_ngrams, **common))

    def fit_transform(self, texts: list[str]) -> csr_array:
        return self._joined([vectorizer.fit_transform(texts) for vectorizer in self.vectorizers])

    def transform(self, texts: list[str]) -> csr_array:
        return self._joined([vectorizer.transform(texts) for vectorizer in self.vectorizers])

    def _joined(self, blocks: list[Any]) -> csr_array:
        joined = csr_array(hstack([block * np.float32(1 / np.sqrt(len(blocks))) for block in blocks], format="csr"))
        joined.sort_indices()
        return joined


class Pecos:
    """PECOS's compiled vectorizer, whose words are those between blanks, so that its vocabulary is another."""

    def __init__(self, preset: str, n_jobs: int) -> None:
        choices = PRESETS[preset]
        kinds = [("word", choices.ngram_range), ("char_wb", choices.char_ngrams)]
        self.n_jobs = n_jobs
        self.blocks = [
            {
                "ngram_range": list(lengths),
                "analyzer": kind,
                "min_df_cnt": choices.min_df,
                "sublinear_tf": choices.sublinear_tf,
            }
            for kind, lengths in kinds
            if lengths
        ]

    def fit_transform(self, texts: list[str]) -> Any:
        from pecos.utils.featurization.text.vectorizers import Vectorizer

        config = {"type": "tfidf", "kwargs": {"base_vect_configs": self.blocks, "threads": self.n_jobs}}
        self.vectorizer = Vectorizer.train(texts, config)
        return self.transform(texts)

    def transform(self, texts: list[str]) -> Any:
        return self.vectorizer.predict(texts, threads=self.n_jobs)


def yso(folder: Path) -> Texts:
    """Titles of library records."""
    parts = []
    for part in ("train", "test"):
        with lzma.open(folder / f"{part}.tsv.xz", "rt", encoding="utf8") as lines:
            parts.append([line.rstrip("\n").split("\t")[1] for line in lines])
    return parts[0], parts[1]


def tibkat(folder: Path) -> Texts:
    """Titles and abstracts of library records."""
    parts = []
    for part in ("train", "dev"):
        with lzma.open(folder / f"{part}.jsonl.xz", "rt", encoding="utf8") as lines:
            parts.append([f"{one['title']} {one['abstract']}" for one in map(json.loads, lines)])
    return parts[0], parts[1]


READERS: dict[str, Callable[[Path], Texts]] = {"yso_titles_en": yso, "tibkat_en": tibkat}
PRESET_OF = {"yso_titles_en": "title", "tibkat_en": "abstract"}

if __name__ == "__main__":
    main()
