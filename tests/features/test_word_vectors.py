"""WordVectors: means against a plain reference, vectors that are learned, files, records, persistence, bad input."""

import math
from collections import Counter

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.pipeline import FeatureUnion, make_pipeline

from tests.helpers.word_files import as_fasttext, as_text, as_word2vec
from xclassic import KNN, Bonsai, DiSMEC, ModelFileError, Parabel, datasets, load, predict_topk, save
from xclassic.features import TextFeatures, WordVectors
from xclassic.features.co_occurrence import factored, neighbor_counts, positive_information, text_information
from xclassic.features.word_table import tokens_of
from xclassic.storage.folder import load_model, save_model

PRODUCTS = datasets.read_records(datasets.products_file())
TITLES, TYPES = [row["title"] for row in PRODUCTS], [row["type"] for row in PRODUCTS]
TEXTS = ["rye bread, bread", "Moon", "bread and C++", "", "no vector here"]
WORDS = ["bread", "moon", "rye", "c++", "MOON", "sun"]
VECTORS = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
TABLE = (WORDS, VECTORS)


def plain_rows(texts, training, table):
    """Return the rows of texts, word by word."""
    n_texts = Counter(word for text in training for word in set(text))
    vectors = {}
    for word, vector in zip(*table, strict=True):
        vectors.setdefault(word, vector / np.linalg.norm(vector))
    rows = []
    for text in texts:
        row = np.zeros(table[1].shape[1])
        for word, count in Counter(text).items():
            if word in vectors:
                row += count * (1 + math.log((1 + len(training)) / (1 + n_texts[word]))) * vectors[word]
        rows.append(row / (np.linalg.norm(row) or 1))
    return np.array(rows)


SPLIT = [["rye", "bread", "bread"], ["moon"], ["bread", "and", "c++"], [], ["no", "vector", "here"]]


# Means


def test_rows_are_weighted_means():
    encoder = WordVectors(vectors=TABLE).fit(TEXTS)
    new, split = ["Sun, moon, moon & RYE", "rye"], [["sun", "moon", "moon", "rye"], ["rye"]]
    for texts, words in ((TEXTS, SPLIT), (new, split)):
        rows = encoder.transform(texts)
        assert rows.dtype == np.float32
        known = ([*WORDS[:4]], VECTORS[:4])  # The sun is in no training text.
        np.testing.assert_allclose(rows, plain_rows(words, SPLIT, known), atol=1e-6)
    assert encoder.words_.tolist() == ["rye", "bread", "moon", "c++"]
    assert encoder.coverage_ == 6 / 10
    everything = WordVectors(vectors=TABLE, vocabulary="file").fit(TEXTS)
    np.testing.assert_allclose(everything.transform(new), plain_rows(split, SPLIT, TABLE), atol=1e-6)


@pytest.mark.parametrize("vectors", ["learned", TABLE])
def test_rows_depend_on_their_text_alone(vectors):
    encoder = WordVectors(vectors=vectors, n_dimensions=20, n_removed=1).fit(TITLES + TEXTS)
    rows = encoder.transform(TITLES + TEXTS)
    np.testing.assert_array_equal(rows, np.vstack([encoder.transform([text]) for text in TITLES + TEXTS]))
    lengths = np.linalg.norm(rows, axis=1)
    assert ((np.abs(lengths - 1) < 1e-6) | (lengths == 0)).all()
    assert encoder.transform([]).shape == (0, encoder.vectors_.shape[1])


def test_fields_are_blocks_of_equal_weight():
    records = [{"title": text, "blurb": text[::2] or None} for text in TITLES]
    encoder = WordVectors(["title", "blurb"], n_dimensions=10, min_df=1)
    rows = encoder.fit_transform(records)
    np.testing.assert_array_equal(rows, encoder.transform(records))
    assert rows.shape == (len(records), 20)
    np.testing.assert_allclose(np.linalg.norm(rows[:, :10], axis=1), math.sqrt(0.5), rtol=1e-6)
    assert encoder.transform([{"title": TITLES[0]}])[0, 10:].any() == 0
    assert encoder.get_feature_names_out().tolist()[-1] == "wordvectors19"


def test_what_training_rows_have_in_common_is_removed():
    plain = WordVectors(n_dimensions=20).fit_transform(TITLES)
    removed = WordVectors(n_dimensions=20, n_removed=2).fit_transform(TITLES)
    directions = np.linalg.svd(plain.astype(np.float64), full_matrices=False)[2][:2]
    assert np.abs(removed @ directions.T).max() < 1e-5
    rest = plain - plain @ directions.T @ directions
    np.testing.assert_allclose(removed, rest / np.linalg.norm(rest, axis=1, keepdims=True), atol=1e-4)


def test_texts_have_no_limit():
    encoder = WordVectors(vectors=TABLE).fit(TEXTS)
    long = encoder.transform(["x" * 10_000_000, "bread " * 200_000 + "moon"])
    assert not long[0].any()
    assert long[1] @ encoder.transform(["moon"])[0] > encoder.transform(["bread"])[0] @ encoder.transform(["moon"])[0]
    learned = WordVectors(min_df=1, n_dimensions=2).fit(["x" * 1_000_000, "a " * 100_000 + "b", "c"])
    assert learned.words_.size == 4


def test_output_can_be_a_table():
    pandas = pytest.importorskip("pandas")
    encoder = WordVectors(vectors=TABLE).set_output(transform="pandas")
    assert isinstance(encoder.fit_transform(TEXTS), pandas.DataFrame)


# Learning


def plain_counts(texts, n_words, window):
    counts = np.zeros((n_words, n_words))
    for text in texts:
        for i, one in enumerate(text):
            for j, other in enumerate(text):
                if 0 < abs(i - j) <= window:
                    counts[one, other] += window + 1 - abs(i - j)
    return counts


def plain_information(counts):
    smoothed = counts.sum(axis=0) ** 0.75
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.log(counts / np.outer(counts.sum(axis=1), smoothed / smoothed.sum()))
    return np.where(counts > 0, np.maximum(values, 0), 0)


@pytest.mark.parametrize("window", [1, 3, 50])
def test_neighbors_are_counted_by_distance(window, monkeypatch):
    monkeypatch.setattr("xclassic.features.co_occurrence.OCCURRENCES", 100)
    index = {}
    tokens = tokens_of(TITLES, index, grow=True)
    texts = [tokens.flat[a:b].tolist() for a, b in zip(tokens.starts[:-1], tokens.starts[1:], strict=True)]
    counts = neighbor_counts(*tokens, len(index), window)
    expected = plain_counts(texts, len(index), window)
    np.testing.assert_array_equal(counts.toarray(), expected)
    np.testing.assert_allclose(positive_information(counts).toarray(), plain_information(expected), atol=2e-5)


def test_information_of_texts_and_words():
    index = {}
    tokens = tokens_of(TEXTS, index, grow=True)
    counts = np.array([[words.count(word) for word in index] for words in SPLIT if words], float)
    found = text_information(*tokens, len(index))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.toarray(), plain_information(counts), atol=2e-5)


def test_factors_are_singular_vectors():
    random = np.random.default_rng(0)
    matrix = random.standard_normal((60, 6)) @ np.diag([9, 7, 5, 3, 2, 1]) @ random.standard_normal((6, 40))
    found = factored(csr_array(matrix.astype(np.float32)), 6, 0, None, 0)
    _, values, right = np.linalg.svd(matrix)
    expected = right[:6].T * np.sqrt(values[:6])
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=2e-3, atol=2e-3)
    assert factored(csr_array(matrix.astype(np.float32)), 30, 0, None, 0).shape == (40, 6)  # the rank


@pytest.mark.parametrize("window", [None, 3])
def test_learned_vectors_are_the_same_for_every_n_jobs(window, monkeypatch):
    monkeypatch.setattr("xclassic.features.co_occurrence.OCCURRENCES", 200)
    encoders = [WordVectors(window=window, n_dimensions=40, n_jobs=n_jobs).fit(TITLES) for n_jobs in (None, 2, 4)]
    for other in encoders[1:]:
        np.testing.assert_array_equal(other.vectors_, encoders[0].vectors_)
        np.testing.assert_array_equal(other.transform(TITLES), encoders[0].transform(TITLES))
    seeded = WordVectors(window=window, n_dimensions=40, random_state=1).fit(TITLES)
    assert (seeded.vectors_ != encoders[0].vectors_).any()


@pytest.mark.parametrize("window", [None, 4])
def test_words_in_the_same_company_are_close(window):
    random = np.random.default_rng(0)
    colors, foods = ("red", "green", "blue", "white"), ("bread", "rice", "milk", "salt")
    texts = [
        " ".join([*random.choice(words, 2, replace=False), *random.choice(filler, 2)])
        for _ in range(300)
        for words, filler in ((colors, ["paint", "wall", "brush"]), (foods, ["eat", "kitchen", "cook"]))
    ]
    encoder = WordVectors(window=window, n_dimensions=4).fit(texts)
    one, other = (encoder.transform(list(words)) for words in (colors, foods))
    assert (one @ one.T).min() > (one @ other.T).max()


def test_words_of_fewer_texts_are_not_learned():
    encoder = WordVectors(min_df=3, n_dimensions=5).fit(TITLES)
    n_texts = Counter(word for title in TITLES for word in set(tokens_words(title)))
    assert set(encoder.words_) == {word for word, count in n_texts.items() if count >= 3}


def tokens_words(text):
    index = {}
    tokens_of([text], index, grow=True)
    return list(index)


# Files


@pytest.mark.parametrize("vocabulary", ["training", "file"])
@pytest.mark.parametrize("write", [as_text, as_word2vec])
def test_files_and_tables_give_the_same_rows(write, vocabulary, tmp_path):
    (tmp_path / "some.vec").write_bytes(write(WORDS, VECTORS))
    options = {"vocabulary": vocabulary}
    expected = WordVectors(vectors=dict(zip(*TABLE, strict=True)), **options).fit_transform(TEXTS)
    for vectors in (tmp_path / "some.vec", str(tmp_path / "some.vec"), TABLE):
        np.testing.assert_array_equal(WordVectors(vectors=vectors, **options).fit(TEXTS).transform(TEXTS), expected)


@pytest.mark.parametrize("vocabulary", ["training", "file"])
def test_sequences_of_fasttext_stand_in_for_words(vocabulary, tmp_path):
    rows = np.random.default_rng(0).standard_normal((102, 6)).astype(np.float32)
    (tmp_path / "model.bin").write_bytes(as_fasttext(["bread", "Moon"], rows, n_buckets=100))
    encoder = WordVectors(vectors=tmp_path / "model.bin", vocabulary=vocabulary).fit(TEXTS)
    assert encoder.coverage_ == 1
    found = encoder.transform(["breads", "moon"])
    _, vectors = datasets.read_word_vectors(tmp_path / "model.bin", ["breads", "moon"])
    assert found[0].any() == (vocabulary == "file")
    np.testing.assert_allclose(found[1], vectors[1] / np.linalg.norm(vectors[1]), atol=1e-6)
    if vocabulary == "file":
        np.testing.assert_allclose(found[0], vectors[0] / np.linalg.norm(vectors[0]), atol=1e-6)
        both = encoder.transform(["breads, breads and moon"])[0]
        unseen = 1 + math.log(1 + len(TEXTS))
        parts = {"breads": 2 * unseen, "and": 1 + math.log(6 / 2), "moon": 1 + math.log(6 / 2)}
        expected = sum(weight * encoder.transform([word])[0] for word, weight in parts.items())
        np.testing.assert_allclose(both, expected / np.linalg.norm(expected), atol=1e-6)
    save(encoder, tmp_path / "saved")
    for verify in ("lazy", "full"):
        again = load(tmp_path / "saved", verify=verify)
        np.testing.assert_array_equal(again.transform(["breads", "moon"]), found)


# Pipelines and persistence


@pytest.mark.parametrize("clf", [DiSMEC(), Parabel(), KNN(5), Bonsai()])
@pytest.mark.parametrize("vectors", ["learned", "file"])
def test_pipelines_beside_words_come_back(vectors, clf, tmp_path):
    if vectors == "file":
        words = sorted({word for title in TITLES for word in tokens_words(title)})
        vectors = (words, np.random.default_rng(0).standard_normal((len(words), 30)))
    views = FeatureUnion(
        [("words", TextFeatures("title")), ("meaning", WordVectors("title", vectors=vectors, n_dimensions=30))]
    )
    pipe = make_pipeline(views, clf).fit(PRODUCTS, TYPES)
    top = predict_topk(pipe, PRODUCTS, 3)
    assert np.mean(pipe.classes_[top.ids[:, 0]] == np.array(TYPES)) > 0.5
    save(pipe, tmp_path / "model")
    again = load(tmp_path / "model", verify="full")
    np.testing.assert_array_equal(predict_topk(again, PRODUCTS, 3).ids, top.ids)
    np.testing.assert_array_equal(predict_topk(again, PRODUCTS, 3).scores, top.scores)


def test_what_was_loaded_can_be_fitted_again(tmp_path):
    learned = WordVectors(n_dimensions=8, n_removed=1).fit(TITLES)
    save(learned, tmp_path / "learned")
    again = load(tmp_path / "learned")
    assert repr(again) == repr(learned)
    assert again.coverage_ == learned.coverage_
    np.testing.assert_array_equal(clone(again).fit_transform(TITLES), learned.transform(TITLES))
    given = WordVectors(vectors=TABLE).fit(TEXTS)
    save(given, tmp_path / "given")
    again = load(tmp_path / "given")
    assert again.vectors is None
    np.testing.assert_array_equal(again.transform(TEXTS), given.transform(TEXTS))
    np.testing.assert_array_equal(again.fit(["bread", "moon moon"]).words_, ["bread", "moon"])
    with pytest.raises(ValueError, match="vectors is None, which is for transformers that hold vectors already"):
        clone(load(tmp_path / "given")).fit(TEXTS)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("vectors", lambda array: array[:-1]),
        ("vectors", lambda array: array.astype(np.float64)),
        ("vectors", lambda array: np.full_like(array, np.nan)),
        ("weights", lambda array: -array),
        ("weights", lambda array: array[:, 1:]),
        ("removed0", lambda array: array[:, 1:]),
        ("removed0", lambda array: np.full_like(array, np.inf)),
        ("words", lambda array: array[:-1]),
        ("words", lambda array: np.full_like(array, ord("a"))),
    ],
)
def test_damaged_models_are_refused(name, damage, tmp_path):
    save(WordVectors(n_dimensions=8, n_removed=1).fit(["a b", "b a", "a c", "c b"]), tmp_path / "model")
    header, arrays = load_model(tmp_path / "model", mmap=False)
    save_model(tmp_path / "other", header, {**arrays, name: damage(arrays[name])})
    with pytest.raises(ModelFileError):
        load(tmp_path / "other", verify="full")


# Bad input


@pytest.mark.parametrize(
    ("parameters", "X", "problem"),
    [
        ({}, ["", None], "There is not one word in any of the 2 texts"),
        ({}, ["one two", "three"], "No word is in min_df=2 of the 2 texts. Lower min_df, or pass a file"),
        ({}, ["same", "same"], "The 1 words of the texts keep the same company"),
        ({"vectors": (["sun"], VECTORS[:1])}, ["one two"], "Not one of the 2 words .* one, two, has a vector; .*sun"),
        ({"text": "title"}, [{"title": None}], "There is not one word in any of the 1 texts of 'title'"),
        ({"vectors": (["sun"], VECTORS)}, ["sun"], r"vectors has 1 words and an array of shape \(6, 5\)"),
        ({"vectors": {"sun": [1, 2], "moon": [1]}}, ["sun"], "vectors does not hold words and their vectors"),
        ({"vectors": {"sun": [1, np.nan]}}, ["sun"], "vectors has NaN, infinite"),
        ({"vectors": 5}, ["sun"], "vectors is a int; pass 'learned', a path"),
        ({"text": []}, [{"title": "a"}], "text names no field"),
        ({"text": "title"}, [{"name": "a"}], "X has no field 'title'; found are name"),
        ({"text": "title"}, ["a"], "the fields title are to be read"),
        ({"text": "title"}, {"title": "a"}, "X is one record"),
        ({}, [{"title": "a"}], "X holds records, not texts; name the fields"),
        ({"vectors": "none.vec"}, ["sun"], "vectors is 'none.vec', and there is no such file"),
        ({}, [5], r"X\[0\] is 5, a int; texts are strings"),
    ],
)  # fmt: skip
def test_errors_say_what_is_accepted(parameters, X, problem):
    with pytest.raises((ValueError, TypeError, OSError), match=problem):
        WordVectors(**parameters).fit(X)


def test_vectors_of_zeros_have_no_direction():
    rows = WordVectors(vectors={"sun": [0, 0], "moon": [0, 2]}).fit_transform(["sun", "moon", "sun moon"])
    np.testing.assert_array_equal(rows, [[0, 0], [0, 1], [0, 1]])
