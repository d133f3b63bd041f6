"""Tagging of products and library records, from raw text: linear methods on TF-IDF, on BERT rows and on both, and T5.

    python benchmarks/ecommerce.py --data-dir DATA --data bigbasket --encoder FOLDER
    python benchmarks/ecommerce.py --data-dir DATA --data bigbasket --features tf-idf --fields
    python benchmarks/ecommerce.py --data-dir DATA --data bigbasket --cnn
    python benchmarks/ecommerce.py --data-dir DATA --features bert --method DiSMEC DeepXML --encoder FOLDER
    python benchmarks/ecommerce.py --data-dir DATA --features tf-idf vectors tf-idf+vectors --method DiSMEC Parabel KNN
    python benchmarks/ecommerce.py --data-dir DATA --encoder FOLDER --t5 --tokenizer FOLDER --seeds 0 1 2
    python benchmarks/ecommerce.py --data-dir DATA --t5 --fields --tokenizer FOLDER --rows 6000

All are judged the same way, by the best label of each test row: accuracy, the means over labels of precision, recall
and F1, and the accuracy on rows of tail labels (at most 25 training rows). Settings are the defaults, or were chosen on
training rows. With `--fields` the three levels of the catalog, which always fit together, and the brand are predicted
at once and judged one by one; of a T5 also the whole records whose brand and path occur in training, but not together.
Without `--t5-model` a T5 begins with random weights and learns from nothing but the
training rows.
"""

import argparse
import json
import lzma
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.pipeline import FeatureUnion

import xclassic
from xclassic import KNN, DeepXML, DiSMEC, FieldsClassifier, Parabel, PrefixTree, metrics
from xclassic.features import BertEncoder, TextFeatures, WordVectors
from xclassic.validation.records import fill_template

TAIL = 25


@dataclass
class Task:
    """A data set as records.

    Attributes
    ----------
    records, test_records : list of dict
    labels, test_labels : list of str, or of list of str
    text : str or tuple of str
        Text fields.
    preset : str or tuple of str
        Of `TextFeatures`.
    numeric : tuple of str
    prompt : str
        How an encoder or a T5 reads a record.
    """

    records: list
    labels: list
    test_records: list
    test_labels: list
    text: object
    preset: object
    numeric: tuple
    prompt: str


def read(folder, part):
    with lzma.open(folder / f"{part}.jsonl.xz", "rt", encoding="utf8") as lines:
        return [json.loads(line) for line in lines]


def bigbasket(folder):
    train, test = read(folder, "train"), read(folder, "test")
    labels = [[row["type"] for row in part] for part in (train, test)]
    return Task(train, labels[0], test, labels[1], "title", "title", ("price",), "{title}")


def flipkart(folder):
    train, test = read(folder, "train"), read(folder, "test")
    labels = [[" > ".join(row["path"]) for row in part] for part in (train, test)]
    return Task(train, labels[0], test, labels[1], "title", "title", (), "{title}")


def tibkat_en(folder):
    train, test = ([row for row in read(folder, part) if row["subjects"]] for part in ("train", "dev"))
    labels = [[row["subjects"] for row in part] for part in (train, test)]
    fields = ("title", "abstract")
    return Task(train, labels[0], test, labels[1], fields, ("title", "abstract"), (), "{title}. {abstract}")


def yso(folder):
    parts = []
    for part in ("train", "test"):
        with lzma.open(folder / f"{part}.tsv.xz", "rt", encoding="utf8") as lines:
            parts.append([line.rstrip("\n").split("\t", 1) for line in lines])
    records, labels = (
        [[{"title": text} for _, text in part] for part in parts],
        [[labels.split(",") for labels, _ in part] for part in parts],
    )
    return Task(records[0], labels[0], records[1], labels[1], "title", "title", (), "{title}")


TASKS = {"bigbasket": bigbasket, "flipkart": flipkart, "tibkat_en": tibkat_en, "yso_titles_en": yso}
LINEAR = {"Parabel": Parabel, "PrefixTree": PrefixTree, "DiSMEC": DiSMEC}
METHODS = LINEAR | {"DeepXML": DeepXML, "KNN": KNN}
KINDS = ["tf-idf", "bert", "both", "vectors", "tf-idf+vectors"]
SEEDED = ("Parabel", "PrefixTree", "DeepXML")


def judge(labels, test_labels, classes, top):
    """Return the metrics of a ranking in percent."""
    truth = align(test_labels, classes)
    counts = np.zeros(truth.shape[1], np.int64)
    trained = align(labels, classes).sum(axis=0)
    counts[: trained.size] = trained
    results = metrics.evaluate(truth, top, ks=(1, 3, 5))
    sets = metrics.evaluate_sets(truth, top.head(1))
    tail = np.flatnonzero(truth[:, np.flatnonzero(counts <= TAIL)].sum(axis=1))
    hits = top.head(1)
    on_tail = metrics.precision_at_k(truth[tail], type(top)(*(part[tail] for part in hits)), 1) if tail.size else np.nan
    return {
        **{f"P@{k}": 100 * results[f"P@{k}"] for k in (1, 3, 5)},
        "nDCG@5": 100 * results["nDCG@5"],
        **{f"macro {name}": 100 * sets[f"macro {name}"] for name in ("precision", "recall", "F1")},
        "tail accuracy": 100 * on_tail,
    }


def align(labels, classes):
    """Return labels as a matrix: the known ones first, then those that are only here."""
    lists = [[label] if isinstance(label, str) else label for label in labels]
    known = {str(label): i for i, label in enumerate(classes)}
    for row in lists:
        for label in row:
            known.setdefault(label, len(known))
    matrix, names = xclassic.encode_labels([[known[label] for label in row] for row in lists])
    columns = names[matrix.indices]
    return type(matrix)((matrix.data, columns, matrix.indptr), shape=(len(lists), len(known)))


def features(task, kind, options):
    words = TextFeatures(task.text, numeric=task.numeric, preset=task.preset)
    encoder = BertEncoder(options.encoder, template=task.prompt, max_length=128, cache=options.cache)
    vectors = WordVectors(task.text, vectors=options.vectors, n_dimensions=options.n_dimensions, n_jobs=2)
    if kind == "vectors":
        return vectors
    if kind == "tf-idf+vectors":
        weights = {"words": 1.0, "vectors": options.vectors_weight}
        return FeatureUnion([("words", words), ("vectors", vectors)], transformer_weights=weights)
    if kind == "both":
        weights = {"words": 1.0, "encoder": options.encoder_weight}
        return FeatureUnion([("words", words), ("encoder", encoder)], transformer_weights=weights)
    return words if kind == "tf-idf" else encoder


def linear_runs(task, options):
    y = np.array(task.labels) if isinstance(task.labels[0], str) else task.labels
    for kind in options.features:
        started = time.process_time()
        made = features(task, kind, options)
        X, X_test = made.fit_transform(task.records), made.transform(task.test_records)
        seconds = time.process_time() - started
        print(f"# {kind}: {X.shape[1]} features in {seconds:.1f} s of processors", flush=True)
        for name in options.method:
            started = time.process_time()
            seed = {"random_state": 0} if name in SEEDED else {}
            clf = METHODS[name](n_jobs=2, **seed).fit(X, y)
            fitted = time.process_time() - started
            yield (
                f"{name}, {kind}",
                fitted,
                judge(task.labels, task.test_labels, clf.classes_, clf.predict_topk(X_test)),
            )


def fields_runs(task, options):
    """Levels and brand of the products of bigbasket, by one model for paths and one for brands."""
    for kind in options.features:
        made = features(task, kind, options)
        X, X_test = made.fit_transform(task.records), made.transform(task.test_records)
        for name in options.method:
            started = time.perf_counter()
            clf = FieldsClassifier(METHODS[name](n_jobs=2)).fit(X, task.records)
            fitted = time.perf_counter() - started
            report = xclassic.fields_report(task.test_records, clf.predict(X_test), task.records)
            whole = report.pop("whole record")["accuracy"]
            shown = ("accuracy", "macro precision", "macro recall", "macro F1", "tail accuracy")
            for field, values in report.items():
                cells = {key: 100 * values.get(key, np.nan) for key in shown}
                yield f"{name}, {kind}: {field}", fitted, {**cells, "whole record": 100 * whole}


def t5_start(options):
    size = {"d_model": options.d_model, "d_kv": 32, "d_ff": 2 * options.d_model, "num_layers": options.layers}
    return options.t5_model or {**size, "num_heads": options.d_model // 32}


def t5_fields_runs(task, options):
    """Levels and brand by a T5 that writes the combinations of training, or known brands beside known paths."""
    from xclassic import T5Classifier

    path = ["category", "sub_category", "type"]
    parts = [
        [(row["brand"] or "na", tuple(row[level] for level in path)) for row in rows]
        for rows in (task.records, task.test_records)
    ]
    known, brands, paths = set(parts[0]), *map(set, zip(*parts[0], strict=True))
    new = np.array([pair not in known and pair[0] in brands and pair[1] in paths for pair in parts[1]])
    print(
        f"# {100 * new.mean():.1f} % of the test rows have a known brand and path that do not occur together",
        flush=True,
    )
    for seed in options.seeds:
        for combinations in ("seen", "any"):
            started = time.perf_counter()
            clf = T5Classifier(
                t5_start(options), tokenizer=options.tokenizer, target="fields", fields=["brand", *path], path=path,
                combinations=combinations, prompt=task.prompt, max_length=48, epochs=options.epochs,
                patience=options.epochs, learning_rate=options.learning_rate, tail_share=None, random_state=seed,
            ).fit(task.records, task.records)  # fmt: skip
            fitted = time.perf_counter() - started
            found = clf.predict_fields(task.test_records)
            report = xclassic.fields_report(task.test_records, found)
            of_new = [
                [row for row, is_new in zip(rows, new, strict=True) if is_new] for rows in (task.test_records, found)
            ]
            results = {field: 100 * values["accuracy"] for field, values in report.items()}
            unseen = xclassic.fields_report(*of_new)["whole record"]["accuracy"]
            yield f"T5, {combinations}, seed {seed}", fitted, {**results, "unseen combinations": 100 * unseen}


def t5_runs(task, options):
    from xclassic import T5Classifier

    y = np.array(task.labels) if isinstance(task.labels[0], str) else task.labels
    for seed in options.seeds:
        for target in options.target:
            started = time.perf_counter()
            clf = T5Classifier(
                t5_start(options), tokenizer=options.tokenizer, target=target, embeddings=BertEncoder(options.encoder),
                branching=options.branching, prompt=task.prompt, max_length=32, epochs=options.epochs,
                patience=options.epochs, learning_rate=options.learning_rate, tail_share=options.tail_share,
                random_state=seed,
            ).fit(task.records, y)  # fmt: skip
            fitted = time.perf_counter() - started
            top = clf.predict_topk(task.test_records)
            yield f"T5, {target}, seed {seed}", fitted, judge(task.labels, task.test_labels, clf.classes_, top)


def cnn_runs(task, options):
    """`XMLCNN`, whose seconds are those of processors, which other programs on the machine do not change."""
    from xclassic import XMLCNN

    texts, test_texts = (fill_template(task.prompt, rows) for rows in (task.records, task.test_records))
    y = np.array(task.labels) if isinstance(task.labels[0], str) else task.labels
    for seed in options.seeds:
        started = time.process_time()
        clf = XMLCNN(random_state=seed).fit(texts, y)
        fitted, n_epochs = time.process_time() - started, len(clf.curve_)
        print(f"# {[round(100 * entry['score'], 1) for entry in clf.curve_]} on held-out rows, by epoch", flush=True)
        top = clf.predict_topk(test_texts)
        yield f"XMLCNN, seed {seed}, {n_epochs} epochs", fitted, judge(task.labels, task.test_labels, clf.classes_, top)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder that holds bigbasket/ and the others")
    parser.add_argument("--data", choices=TASKS, default="bigbasket")
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(LINEAR))
    parser.add_argument("--features", nargs="+", choices=KINDS, default=["tf-idf", "bert", "both"])
    parser.add_argument("--encoder", default="sentence-transformers/all-MiniLM-L6-v2", help="id or folder")
    parser.add_argument("--encoder-weight", type=float, default=1.0, help="of BERT rows beside TF-IDF")
    parser.add_argument("--vectors", default="learned", help="file of word vectors")
    parser.add_argument("--n-dimensions", type=int, default=300, help="of word vectors that are learned")
    parser.add_argument("--vectors-weight", type=float, default=0.5, help="of word vectors beside TF-IDF")
    parser.add_argument("--cache", type=Path, help="folder to keep BERT rows in")
    parser.add_argument("--fields", action="store_true", help="all levels and the brand; bigbasket only")
    parser.add_argument("--cnn", action="store_true", help="run XMLCNN in place of the linear methods")
    parser.add_argument("--t5", action="store_true", help="run the T5 in place of the linear methods")
    parser.add_argument("--t5-model", help="id or folder; by default random weights")
    parser.add_argument("--tokenizer", default="google-t5/t5-base", help="id or folder")
    parser.add_argument("--target", nargs="+", choices=["name", "code"], default=["name", "code"], help="of the T5")
    parser.add_argument("--branching", type=int, default=6, help="of the codes")
    parser.add_argument("--d-model", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--tail-share", type=float, default=0.25)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rows", type=int, help="use so many training rows only")
    parser.add_argument("--test-rows", type=int, help="use so many test rows only")
    options = parser.parse_args()
    task = TASKS[options.data](options.data_dir / options.data)
    if options.rows:
        task.records, task.labels = task.records[: options.rows], task.labels[: options.rows]
    if options.test_rows:
        task.test_records = task.test_records[: options.test_rows]
        task.test_labels = task.test_labels[: options.test_rows]
    print(f"# {options.data}: {len(task.records)} training rows, {len(task.test_records)} test rows", flush=True)
    if options.fields and options.data != "bigbasket":
        parser.error("--fields is for bigbasket, whose records have the levels and the brand in fields")
    t5, linear = (t5_fields_runs, fields_runs) if options.fields else (t5_runs, linear_runs)
    runs = (t5 if options.t5 else cnn_runs if options.cnn else linear)(task, options)
    for i, (name, seconds, results) in enumerate(runs):
        if i == 0:
            print("| method | fit, s | " + " | ".join(results) + " |\n|" + "---|" * (2 + len(results)), flush=True)
        print(f"| {name} | {seconds:.0f} | " + " | ".join(f"{v:.1f}" for v in results.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
