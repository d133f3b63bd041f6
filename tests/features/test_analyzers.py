"""Analyzers of TextFeatures: functions, names, what is built in, and what a model folder holds of them."""

import sys
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from xclassic import load, save
from xclassic.features import TextFeatures, analyzers, register_analyzer
from xclassic.storage.folder import ModelFileError

TEXTS = ["Running shoes, runs", "The Runner; ran", "shoe shoes", ""]
WORDS = {"preset": "abstract", "min_df": 1}


def by_semicolon(text):
    return [part.strip() for part in text.split(";")]


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(analyzers, "_registered", {})
    register_analyzer("semicolon", by_semicolon)


@pytest.mark.parametrize("lengths", [(1, 1), (1, 3), (2, 2)])
def test_terms_are_those_of_scikit_learn_with_this_tokenizer(lengths):
    twin = TfidfVectorizer(
        tokenizer=by_semicolon,
        token_pattern=None,
        lowercase=False,
        ngram_range=lengths,
        stop_words=["b"],
        dtype=np.float32,
    )
    texts = ["a b; a;b", "A;  ;c d;b;é\ud83d", "b", "x;y;z"]
    ours = TextFeatures(**WORDS, analyzer=by_semicolon, ngram_range=lengths, stop_words=["b"])
    ours.fit(texts)
    expected = twin.fit(texts).transform(texts)
    assert ours.get_feature_names_out().tolist() == twin.get_feature_names_out().tolist()
    for X in (ours.transform(texts), ours.fit_transform(texts)):
        np.testing.assert_array_equal(X.toarray(), expected.toarray())


def test_characters_stay_those_of_the_text():
    chars = TextFeatures(ngram_range=()).fit(TEXTS).get_feature_names_out().tolist()
    both = TextFeatures(analyzer=by_semicolon).fit(TEXTS).get_feature_names_out().tolist()
    assert both[-len(chars) :] == chars


def test_simple_is_what_no_analyzer_does():
    expected = TextFeatures(**WORDS).fit_transform(TEXTS)
    np.testing.assert_array_equal(
        TextFeatures(**WORDS, analyzer="simple").fit_transform(TEXTS).toarray(), expected.toarray()
    )
    named = TextFeatures(**WORDS, analyzer=analyzers.analyzer_of("simple"))
    np.testing.assert_array_equal(named.fit_transform(TEXTS).toarray(), expected.toarray())


def test_snowball_stems_words(monkeypatch, tmp_path):
    pytest.importorskip("snowballstemmer")
    monkeypatch.setattr("xclassic.features.text_chunks.CHARACTERS", 5)
    encoder = TextFeatures(**WORDS, analyzer="snowball(english)", n_jobs=2).fit(TEXTS)
    assert encoder.get_feature_names_out().tolist() == ["ran", "run", "runner", "shoe", "the"]
    save(encoder, tmp_path / "model")
    np.testing.assert_array_equal(
        load(tmp_path / "model").transform(TEXTS).toarray(), encoder.transform(TEXTS).toarray()
    )


def test_spacy_gives_lemmas(monkeypatch):
    def pipeline(text):
        words = [("Shoes", "Shoe", False), (",", ",", True), ("ran", "run", False)]
        return [SimpleNamespace(lemma_=lemma, is_punct=punct, is_space=False) for _, lemma, punct in words]

    def load_pipeline(model, disable):
        if model != "en_core_web_sm":
            raise OSError(f"no {model}")
        return pipeline

    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=load_pipeline))
    analyzers._spacy_pipeline.cache_clear()
    encoder = TextFeatures(**WORDS, analyzer="spacy(en_core_web_sm)").fit(["Shoes, ran"])
    assert encoder.get_feature_names_out().tolist() == ["run", "shoe"]
    with pytest.raises(ImportError, match="no pipeline 'de': python -m spacy download de"):
        TextFeatures(analyzer="spacy(de)").fit(TEXTS)
    analyzers._spacy_pipeline.cache_clear()


def test_words_too_long_to_be_words_keep_their_ends():
    pytest.importorskip("snowballstemmer")
    encoder = TextFeatures(preset="abstract", min_df=1, analyzer="snowball(english)")
    names = encoder.fit([f"breads {'breads' * 100_000}"]).get_feature_names_out().tolist()
    assert names == ["bread", "breads" * 100_000]


@pytest.mark.parametrize(
    ("package", "analyzer", "message"),
    [
        (
            "snowballstemmer",
            "snowball(english)",
            r"needs the package snowballstemmer: pip install 'xclassic\[text\]'",
        ),
        ("spacy", "spacy(en_core_web_sm)", "needs the package spacy: pip install spacy"),
    ],
)
def test_missing_packages_are_named(package, analyzer, message, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=message):
        TextFeatures(analyzer=analyzer).fit(TEXTS)


def test_registered_analyzer_is_saved_by_its_name(registered, tmp_path, monkeypatch):
    encoder = TextFeatures(**WORDS, analyzer="semicolon").fit(TEXTS)
    assert "The Runner" in encoder.get_feature_names_out()
    save(encoder, tmp_path / "model")
    np.testing.assert_array_equal(
        load(tmp_path / "model").transform(TEXTS).toarray(), encoder.transform(TEXTS).toarray()
    )
    monkeypatch.setattr(analyzers, "_registered", {})
    message = (
        r"The analyzer 'semicolon' is not registered; call xclassic.features.register_analyzer\('semicolon', function\)"
    )
    with pytest.raises(ModelFileError, match=message):
        load(tmp_path / "model")
    with pytest.raises(ValueError, match=message):
        TextFeatures(analyzer="semicolon").fit(TEXTS)


def test_function_is_refused_when_saved(tmp_path):
    encoder = TextFeatures(**WORDS, analyzer=by_semicolon).fit(TEXTS)
    with pytest.raises(TypeError, match=r"a model folder holds no code. Give it a name by .*register_analyzer"):
        save(encoder, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_registered_analyzer_works_in_other_processes(registered, monkeypatch):
    monkeypatch.setattr("xclassic.features.text_chunks.CHARACTERS", 5)
    expected = TextFeatures(**WORDS, analyzer="semicolon").fit_transform(TEXTS)
    with joblib.parallel_config("loky", n_jobs=2):
        found = TextFeatures(**WORDS, analyzer="semicolon").fit_transform(TEXTS)
    np.testing.assert_array_equal(found.toarray(), expected.toarray())


@pytest.mark.parametrize(
    ("analyzer", "error", "message"),
    [
        (3, TypeError, "analyzer is 3; pass a name, a function"),
        ("snowball", ValueError, r"has no language None; pass one as in 'snowball\(english\)'. It knows .*english"),
        ("snowball(klingon)", ValueError, "has no language 'klingon'"),
        ("spacy", ValueError, "needs a pipeline, as in"),
        ("simple(english)", ValueError, "takes no argument"),
        ("voikko(fi)", ValueError, "is not registered"),
        ("snowball(english", ValueError, "is not registered"),
        ("", ValueError, "is not registered"),
        (str.lower, TypeError, r"returned 'running shoes, runs' for the text 'Running .*must return a list of str"),
        (len, TypeError, "returned 19"),
        (int, ValueError, "The analyzer <class 'int'> fails on the text 'Running shoes, runs': ValueError: invalid"),
        (lambda text: [1], TypeError, r"a list with 1 for the text"),
        (lambda text: [], ValueError, "has words"),
    ],
)
def test_bad_analyzers_are_refused(analyzer, error, message):
    if isinstance(analyzer, str) and analyzer.startswith("snowball"):
        pytest.importorskip("snowballstemmer")
    with pytest.raises(error, match=message):
        TextFeatures(**WORDS, analyzer=analyzer).fit(TEXTS)


@pytest.mark.parametrize(
    ("name", "function", "error", "message"),
    [
        (3, by_semicolon, TypeError, "name is 3"),
        ("snowball", by_semicolon, ValueError, "which are built in"),
        ("mine(x)", by_semicolon, ValueError, "without parentheses"),
        ("", by_semicolon, ValueError, "name is ''"),
        ("mine", "simple", TypeError, "function is 'simple'; pass what takes a text"),
    ],
)
def test_bad_registrations_are_refused(name, function, error, message):
    with pytest.raises(error, match=message):
        register_analyzer(name, function)
