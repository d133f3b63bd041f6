"""The bundled products from text to tags: a T5 that writes codes, and rows of an encoder beside words."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, make_pipeline

from gpu_steps.common import Result, Setting, bert_sizes, products, quick_t5, result, save_bert
from xclassic import Parabel, T5Classifier, encode_labels, predict_topk
from xclassic.features import BertEncoder, TextFeatures
from xclassic.metrics import precision_at_k, prefix_credit

SECONDS = 25.0  # of training


def run(setting: Setting) -> Iterator[Result]:
    """Yield accuracies on every second product, after training on the others."""
    rows = products()
    texts, types = [row["title"] for row in rows], np.array([row["type"] for row in rows])
    with tempfile.TemporaryDirectory() as folder:
        yield written_codes(setting, Path(folder), texts, types)
        yield from both_views(setting, Path(folder), texts, types)


def written_codes(setting: Setting, folder: Path, texts: list[str], types: np.ndarray) -> Result:
    """Train for about `SECONDS`, in as many epochs as a short training says."""
    names = np.unique(types[::2])
    letters = make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)), TruncatedSVD(20, random_state=0))
    options = quick_t5(
        folder, device=setting.device, target="code", embeddings=letters.fit_transform(names), validation=0
    )
    T5Classifier(**options | {"epochs": 1}).fit(texts[::2], types[::2])  # to warm up
    started = time.perf_counter()
    T5Classifier(**options | {"epochs": 2}).fit(texts[::2], types[::2])
    each = (time.perf_counter() - started) / 2
    n_epochs = setting.pick(max(10, round(SECONDS * setting.scale / each)), 10)
    clf = T5Classifier(**options | {"epochs": n_epochs}).fit(texts[::2], types[::2])
    top = clf.predict_topk(texts[1::2], 5)
    truth = types[1::2, None] == clf.classes_
    p1 = 100 * precision_at_k(truth, top, 1)
    credit = 100 * prefix_credit(truth, top, clf.codes_)
    check = f"T5 from random weights, codes, {n_epochs} epochs of {each:.2f} s: P@1, prefix credit"
    return result(check, f"{p1:.1f}, {credit:.1f}", "above 30", None if setting.small else p1 > 30)


def both_views(setting: Setting, folder: Path, texts: list[str], types: np.ndarray) -> Iterator[Result]:
    """Train `Parabel` on words, and on words with rows of an encoder of random weights beside them."""
    model = save_bert(folder / "bert", texts, **next(iter(bert_sizes(setting).values())))
    encoder = BertEncoder(model, device=setting.device)
    union = FeatureUnion(
        [("words", TextFeatures()), ("rows", encoder)], transformer_weights={"words": 1.0, "rows": 0.1}
    )
    Y, classes = encode_labels([[name] for name in types])
    for name, features in (("words", TextFeatures()), ("words and encoder", union)):
        pipe = make_pipeline(features, Parabel(random_state=0)).fit(texts[::2], Y[::2])
        p1 = 100 * precision_at_k(Y[1::2], predict_topk(pipe, texts[1::2], 5), 1)
        yield result(f"Parabel on {name}: P@1", f"{p1:.1f}", "above 70", p1 > 70, n_labels=len(classes))
