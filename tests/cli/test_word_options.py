"""``xclassic train --word-vectors``: means of word vectors beside TF-IDF, learned or from a file."""

import numpy as np
from sklearn.pipeline import FeatureUnion, make_pipeline

import xclassic
from tests.helpers.word_files import as_text
from xclassic import DiSMEC, datasets, predict_topk
from xclassic.features import TextFeatures, WordVectors

PRODUCTS = datasets.products_file()
OPTIONS = f"train DiSMEC {PRODUCTS} --text-field title --label-field type --model m"


def expected_of(vectors, weight):
    records = datasets.read_records(PRODUCTS)
    views = FeatureUnion(
        [("terms", TextFeatures()), ("words", WordVectors(vectors=vectors))],
        transformer_weights={"terms": 1.0, "words": weight},
    )
    titles = [row["title"] for row in records]
    pipe = make_pipeline(views, DiSMEC()).fit(titles, [[row["type"]] for row in records])
    return titles, predict_topk(pipe, titles, 3)


def assert_same(titles, expected):
    found = predict_topk(xclassic.load("m"), titles, 3)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)


def test_learned_vectors_stand_beside_terms(run):
    run(f"{OPTIONS} --word-vectors learned --word-vectors-weight 0.75")
    assert_same(*expected_of("learned", 0.75))
    assert "WordVectors" in run("info m").out
    assert run(f"predict m {PRODUCTS} -k 1").out.count("\n") == 293


def test_vectors_come_from_a_file(run, tmp_path):
    words = ["dress", "bread", "lamp", "green"]
    (tmp_path / "some.vec").write_bytes(as_text(words, np.random.default_rng(0).standard_normal((4, 6))))
    run(f"{OPTIONS} --word-vectors {tmp_path / 'some.vec'}")
    assert_same(*expected_of(tmp_path / "some.vec", 0.5))


def test_what_cannot_be_is_said(run):
    assert "'none.vec', and there is no such file" in run(f"{OPTIONS} --word-vectors none.vec", 1).err
    assert "which is a folder; pass the path of a file" in run(f"{OPTIONS} --word-vectors .", 1).err
    assert "as in 1,3, or none" in run(f"{OPTIONS} --char-ngrams x", 2).err
    assert "is for --word-vectors, which is missing" in run(f"{OPTIONS} --word-vectors-weight 1", 2).err
    assert "which --on-disk cannot hold" in run(f"{OPTIONS} --word-vectors learned --on-disk d", 2).err
    assert "--word-vectors is for TF-IDF of texts" in run("train DiSMEC bibtex --model m --word-vectors learned", 2).err
