"""Features of texts by each preset and as they are chosen: precision, width and seconds for a tree and a ridge.

    python benchmarks/presets.py --data-dir DATA --data bigbasket flipkart --held-out
    python benchmarks/presets.py --data-dir DATA --data yso_titles_en --rows 40000

With `--held-out` a fifth of the training rows are held out, for decisions; without it the test part is judged. `--rows`
takes that many training rows at random. "auto" chooses for both models at once, "auto, its own" for each alone.
"""

import argparse
import json
import lzma
import time
from pathlib import Path

import numpy as np

import xclassic
from xclassic import Bonsai, OneVsRestLeastSquares, metrics
from xclassic.features import TextFeatures

METHODS = {"tree": Bonsai, "linear": OneVsRestLeastSquares}
PRESETS = ("title", "abstract", "auto", "auto, its own")
JUDGED = 5_000  # Rows, at most.


def records(folder, part):
    with lzma.open(folder / f"{part}.jsonl.xz", "rt", encoding="utf8") as lines:
        return [json.loads(line) for line in lines]


def titles_of_yso(folder, part):
    with lzma.open(folder / f"{part}.tsv.xz", "rt", encoding="utf8") as lines:
        rows = [line.rstrip("\n").split("\t", 1) for line in lines]
    return [text for _, text in rows], [labels.split(",") for labels, _ in rows]


def of_records(text, labels, second="test"):
    def read(folder, part):
        rows = [row for row in records(folder, second if part == "test" else part) if labels(row)]
        return [text(row) for row in rows], [labels(row) for row in rows]

    return read


def few_words(folder, part):
    texts, labels = titles_of_yso(folder, part)
    kept = [i for i, text in enumerate(texts) if len(text.split()) <= 3]
    return [texts[i] for i in kept], [labels[i] for i in kept]


DATA = {
    "bigbasket": ("bigbasket", of_records(lambda row: row["title"], lambda row: [row["type"]])),
    "flipkart": ("flipkart", of_records(lambda row: row["title"], lambda row: [" > ".join(row["path"])])),
    "tibkat_en": (
        "tibkat_en",
        of_records(lambda row: f"{row['title']}. {row['abstract']}", lambda row: row["subjects"], "dev"),
    ),
    "tibkat_en abstracts, domains": (
        "tibkat_en",
        of_records(lambda row: row["abstract"] or "", lambda row: row["domains"], "dev"),
    ),
    "yso_titles_en": ("yso_titles_en", titles_of_yso),
    "yso_titles_en, at most 3 words": ("yso_titles_en", few_words),
}


def parts_of(name, options):
    """Return texts and labels to learn from, and those to judge by."""
    folder, read = DATA[name]
    rng = np.random.default_rng(options.seed)
    texts, labels = read(options.data_dir / folder, "train")
    order = rng.permutation(len(texts))
    held_out, train = np.split(order, [len(texts) // 5]) if options.held_out else (order[:0], order)
    train = np.sort(train[: options.rows])
    taken = [([column[i] for i in train]) for column in (texts, labels)]
    if not options.held_out:
        return *taken, *(column[:JUDGED] for column in read(options.data_dir / folder, "test"))
    return *taken, *([column[i] for i in held_out[:JUDGED]] for column in (texts, labels))


def precisions(truth, classes, top):
    """Return P@1, P@3 and P@5 in percent; labels without a training row count as missed."""
    known = {str(label): i for i, label in enumerate(classes)}
    rows = [[known.setdefault(str(label), len(known)) for label in row] for row in truth]
    Y, names = xclassic.encode_labels(rows)
    Y = type(Y)((Y.data, names[Y.indices], Y.indptr), shape=(len(rows), len(known)))
    return [100 * metrics.precision_at_k(Y, top, k) for k in (1, 3, 5)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--preset", nargs="+", choices=PRESETS, default=list(PRESETS))
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--rows", type=int)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.data:
        X, y, X_test, truth = parts_of(name, options)
        print(f"\n{name}: {len(X)} training rows, {len(X_test)} judged\n")
        print("| method | preset | P@1/3/5 | features | processor seconds of features | of the fit |")
        print("| --- | --- | --- | --- | --- | --- |", flush=True)
        made = {}
        for kind, preset in ((kind, preset) for kind in options.method for preset in options.preset):
            own = preset == "auto, its own"
            key = (preset, kind if own else "both")
            if key not in made:
                started = time.process_time()
                features = TextFeatures(preset=preset.split(",")[0], choose_for=key[1], n_jobs=2)
                rows = features.fit_transform(X, y)
                made[key] = features, rows, features.transform(X_test), time.process_time() - started
            features, rows, test_rows, seconds = made[key]
            started = time.process_time()
            clf = METHODS[kind](n_jobs=2).fit(rows, y)
            fitted = time.process_time() - started
            found = precisions(truth, clf.classes_, clf.predict_topk(test_rows, 5))
            cells = [
                f"{METHODS[kind].__name__}",
                preset,
                "/".join(f"{value:.1f}" for value in found),
                f"{rows.shape[1]:,}",
            ]
            print("| " + " | ".join([*cells, f"{seconds:.1f}", f"{fitted:.1f}"]) + " |", flush=True)
            if preset.startswith("auto"):
                print(f"<!-- {features.report_['text']['chosen']}: {features.report_['text']['why']} -->", flush=True)


if __name__ == "__main__":
    main()
