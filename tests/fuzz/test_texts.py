"""Texts of random characters at TextFeatures, with all settings, against scikit-learn and in pieces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from tests.helpers.odd_inputs import fuzz, is_refusal, outcome
from xclassic.features import TextFeatures
from xclassic.features.terms import WORDS

pytestmark = pytest.mark.long
CHARACTERS = st.one_of(
    st.sampled_from([*"aB1_+#., \t\n", "\u0130", "\u03a3", "\u0301", "\ud83d", "\u3000", "\U0001f600"]), st.characters()
)
TEXTS = st.lists(st.lists(CHARACTERS, max_size=40).map("".join), max_size=12)
LENGTHS = st.tuples(st.integers(1, 6), st.integers(0, 94)).map(lambda pair: (pair[0], sum(pair)))


@fuzz(200)
@given(
    texts=TEXTS,
    kind=st.sampled_from(["word", "char_wb"]),
    lengths=LENGTHS,
    min_df=st.sampled_from([1, 2, 3, 0.0, 0.5, 1.0]),
    max_features=st.sampled_from([None, 1, 3, 1000]),
    sublinear_tf=st.booleans(),
    stop_words=st.sampled_from([None, "english", ["a", "b1"]]),
)
def test_features_are_those_of_scikit_learn(texts, kind, lengths, stop_words, **params):
    twin = TfidfVectorizer(analyzer=kind, ngram_range=lengths, dtype=np.float32, **params)
    names = {"word": "ngram_range", "char_wb": "char_ngrams"}
    ours = TextFeatures(**dict.fromkeys(names.values(), ()) | {names[kind]: lengths}, **params, stop_words=stop_words)
    if kind == "word":
        twin.set_params(token_pattern=WORDS["whole"], stop_words=stop_words)
    found = outcome(ours.fit_transform, texts)
    if is_refusal(found):
        with pytest.raises(ValueError, match=r"empty vocabulary|no terms remain|Iterable|0 sample|max_df"):
            twin.fit(texts)
        return
    expected = twin.fit(texts).transform(texts)
    assert ours.get_feature_names_out().size == len(twin.vocabulary_)
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.data, expected.data)


@fuzz(100)
@given(texts=TEXTS, cut=st.integers(0, 12), n_hashed=st.sampled_from([None, 1, 7, 2**20]))
def test_pieces_are_counted_as_all_texts(texts, cut, n_hashed, tmp_path_factory):
    params = {"n_hashed": n_hashed, "char_ngrams": (1, 3)}
    whole = outcome(TextFeatures(**params).fit, texts)
    source = [texts[:cut], texts[cut:]]
    found = outcome(TextFeatures(**params).fit_to_matrix, source, tmp_path_factory.mktemp("X") / "X")
    assert is_refusal(whole) == is_refusal(found)
    if not is_refusal(whole):
        np.testing.assert_array_equal(found.transform(texts).toarray(), whole.transform(texts).toarray())
