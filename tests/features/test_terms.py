"""The compiled counter of terms against its slow twin, the vectorizer of scikit-learn: vocabularies and values."""

import pickle
import re
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from tests.helpers.interrupts import count_tasks, press_ctrl_c
from xclassic import load, save
from xclassic._kernels.terms import CUTS, first_unsorted, merge_strings, sort_strings, take_strings
from xclassic.features import TextFeatures, text_chunks
from xclassic.features.terms import WORDS, Cut, packed, unpacked
from xclassic.parallel import RUNNING
from xclassic.storage.folder import ModelFileError

# Letters of every width, what changes its length in lower case, what joins words, and every kind of blank.
ODD = [
    *"aAbBzZ09_+#.,-'! \t\n\r\v\f\x1c\x1f\x85\xa0",
    *"éßÄ²½\u0130\u0131\u01c5\u03a3\u03c3\u0301\u0660\u0966\u2160\u4e00\u3000\u2003\u200b\u2028\ud83d\ude00\ufeff\uffff",
    *"\U0001d7d8\U0001f600\U00010400\0",
    *["C++", "c#", "3.5", "9,5", "1.2.3", "a+b", "c++17", "the", "ΑΣ", "Σ "],
]
TEXT = st.lists(st.one_of(st.sampled_from(ODD), st.characters()), max_size=25).map("".join)
TEXTS = st.lists(TEXT, min_size=1, max_size=8)


def twin_of(cut, **params):
    """Return scikit-learn's vectorizer of the same terms."""
    if cut.kind == "word":
        params |= {"token_pattern": WORDS[cut.words], "stop_words": sorted(cut.stop_words) or None}
    return TfidfVectorizer(analyzer=cut.kind, ngram_range=cut.lengths, dtype=np.float32, **params)


def counts_of(cut, texts):
    """Return the terms of each text with their counts."""
    counted = cut.count([text.lower() for text in texts], RUNNING)
    names = unpacked(counted.strings)
    ends = counted.ptr.tolist()
    return [
        {names[term]: count for term, count in counted.entries[begin:end].tolist()} for begin, end in pairwise(ends)
    ]


CASES = st.builds(
    lambda kind, low, more, words, stop: Cut(kind, (low, low + more), words, stop if kind == "word" else frozenset()),
    st.sampled_from(["word", "char_wb"]),
    st.integers(1, 5),
    st.integers(0, 3),
    st.sampled_from(list(WORDS)),
    st.sampled_from([frozenset(), frozenset({"the", "a", "c++", "é", "9,5"})]),
)


@pytest.mark.filterwarnings("ignore:Your stop_words may be inconsistent")
@given(TEXTS, CASES)
def test_terms_are_those_of_scikit_learn(texts, cut):
    analyze = twin_of(cut).build_analyzer()
    for text, counted in zip(texts, counts_of(cut, texts), strict=True):
        terms = analyze(text)
        assert counted == {term: terms.count(term) for term in set(terms)}


@pytest.mark.parametrize("words", WORDS)
def test_every_character_is_of_the_class_that_re_has_it_in(words):
    """Each between two words, and after a number."""
    characters = [chr(c) for c in range(0x110000)]
    pattern = re.compile(WORDS[words])
    cut = Cut("word", (1, 1), words)
    for start in range(0, len(characters), 2**14):
        text = " ".join(f"ab{c}cd 1{c}2" for c in characters[start : start + 2**14]).lower()
        found = unpacked(cut.count([text], RUNNING).strings)
        assert found == list(dict.fromkeys(pattern.findall(text)))


def test_every_blank_parts_words_for_characters():
    text = "".join(f"x{c}" for c in map(chr, range(0x3100)))
    twin = twin_of(Cut("char_wb", (2, 3)))
    assert set(unpacked(Cut("char_wb", (2, 3)).count([text], RUNNING).strings)) == set(
        twin.set_params(lowercase=False).build_analyzer()(text)
    )


@settings(deadline=None)
@given(
    TEXTS,
    st.sampled_from([("word", (1, 1)), ("word", (1, 2)), ("char_wb", (2, 4))]),
    st.booleans(),
    st.sampled_from([1, 2, 0.3]),
    st.sampled_from([None, 1, 5]),
)
def test_values_are_those_of_scikit_learn_to_the_bit(texts, block, sublinear_tf, min_df, max_features):
    kind, lengths = block
    params = {"sublinear_tf": sublinear_tf, "min_df": min_df, "max_features": max_features}
    twin = twin_of(Cut(kind, lengths), **params)
    ranges = {"ngram_range": (), "char_ngrams": ()} | {{"word": "ngram_range", "char_wb": "char_ngrams"}[kind]: lengths}
    ours = TextFeatures(**ranges, **params)
    try:
        twin.fit(texts)
    except ValueError:
        with pytest.raises(ValueError, match="texts of the field 'text'"):
            ours.fit(texts)
        return
    found = ours.fit_transform(texts)
    expected = twin.transform(texts)
    (terms,) = ours.terms_["text"]
    assert terms.names() == twin.get_feature_names_out().tolist()
    np.testing.assert_array_equal(terms.idf, twin.idf_)
    for X in (found, ours.transform(texts)):
        np.testing.assert_array_equal(X.indptr, expected.indptr)
        np.testing.assert_array_equal(X.indices, expected.indices)
        np.testing.assert_array_equal(X.data, expected.data)


@pytest.mark.parametrize("kind", ["word", "char_wb"])
def test_many_chunks_and_workers_give_the_same_bits(kind, monkeypatch):
    random = np.random.default_rng(0)
    words = np.array([f"{chr(97 + i % 26)}{i}" for i in range(300)])
    texts = [" ".join(random.choice(words, random.integers(0, 12)).tolist()) for _ in range(400)]
    params = {"ngram_range": (1, 2) if kind == "word" else (), "char_ngrams": () if kind == "word" else (2, 3)}
    whole = TextFeatures(**params, max_features=200)
    expected = whole.fit_transform(texts)
    monkeypatch.setattr(text_chunks, "CHARACTERS", 500)
    for n_jobs in (1, 2, 3):
        cut = TextFeatures(**params, max_features=200, n_jobs=n_jobs)
        for X in (cut.fit_transform(texts), cut.transform(texts)):
            np.testing.assert_array_equal(X.indptr, expected.indptr)
            np.testing.assert_array_equal(X.indices, expected.indices)
            np.testing.assert_array_equal(X.data, expected.data)
        assert cut.get_feature_names_out().tolist() == whole.get_feature_names_out().tolist()


def test_chunks_hold_all_rows_once(monkeypatch):
    monkeypatch.setattr(text_chunks, "CHARACTERS", 10)
    texts = np.array(["", "a" * 35, "b", "", "c" * 9, "d" * 10, "e", ""], object)
    chunks = text_chunks.chunks_of({"one": texts, "two": texts[::-1]})
    assert len(chunks) > 3
    assert [text for chunk in chunks for text in chunk["one"]] == texts.tolist()
    assert [text for chunk in chunks for text in chunk["two"]] == texts[::-1].tolist()


def test_ten_million_equal_characters_are_one_text_like_any_other():
    text = "a" * 10_000_000
    encoder = TextFeatures()
    X = encoder.fit_transform([text, "b a"])
    words, letters = encoder.terms_["text"]
    assert words.names() == ["a", text, "b", "b a"]
    assert letters.names() == [" a ", " aaa", " b ", "aaa ", "aaaa"]
    np.testing.assert_array_equal(encoder.transform([text]).toarray(), X[[0]].toarray())


def test_counting_ends_at_the_stop_byte():
    counted = Cut("word", (1, 1)).count(["a b", "c"], np.ones(1, np.uint8))
    assert counted.ptr.tolist() == [0]


def test_ctrl_c_ends_a_fit_at_any_chunk(monkeypatch):
    monkeypatch.setattr(text_chunks, "CHARACTERS", 5)
    texts = ["stars and planets", "bread and butter", "moons"]
    fit = partial(TextFeatures().fit_transform, texts)
    for moment in (0, count_tasks(fit) - 1):
        assert press_ctrl_c(fit, moment) == 1
    fitted = TextFeatures().fit(texts)
    assert press_ctrl_c(partial(fitted.transform, texts), 1) == 1


def test_a_stop_between_two_blocks_leaves_sound_rows():
    """What a stopped task returns is thrown away, but must not read past the end."""
    whole = TextFeatures().fit(["a b", "c d"])
    words, letters = (terms.rows(["a b", "c d"], 1.0, RUNNING) for terms in whole.terms_["text"])
    stopped = whole.terms_["text"][1].rows(["a b", "c d"], 1.0, np.ones(1, np.uint8))
    assert [block[0].size for block in (words, letters, stopped)] == [3, 3, 1]
    ptr, indices, _ = text_chunks.side_by_side([words, stopped], [6, 6])
    assert (ptr.tolist(), indices.tolist()[: ptr[-1]]) == ([0], [])


STRINGS = st.lists(TEXT, unique=True, max_size=20)


@given(STRINGS, STRINGS)
def test_strings_are_sorted_and_merged_as_python_does(first, second):
    assert unpacked(packed(first)) == first
    ordered = take_strings(*packed(first), sort_strings(*packed(first)))
    assert unpacked(ordered) == sorted(first)
    assert first_unsorted(*ordered) == -1
    merged, of_first, of_second = merge_strings(packed(sorted(first)), packed(sorted(second)))
    union = unpacked(merged)
    assert union == sorted({*first, *second})
    assert [union[i] for i in of_first] == sorted(first)
    assert [union[i] for i in of_second] == sorted(second)


def test_first_string_out_of_order_is_found():
    assert [first_unsorted(*packed(strings)) for strings in (["a", "b", "ab"], ["a", "a"], [], ["x"])] == [2, 1, -1, -1]


def test_cuts_of_words_are_those_with_a_pattern():
    assert set(CUTS) == {*WORDS, "char_wb", "tokens"}


def test_numbers_with_a_point_are_words():
    encoder = TextFeatures("t", preset="abstract", min_df=1).fit([{"t": "Size 9,5 or 3.5. Python 3.11.7, 1,000 x 2.x"}])
    assert encoder.terms_["t"][0].names() == ["1,000", "2", "3.11.7", "3.5", "9,5", "or", "python", "size", "x"]


def test_models_stored_before_keep_numbers_in_two_words(tmp_path):
    encoder = TextFeatures(preset="abstract", min_df=1).fit(["9 5"])
    arrays, metadata = encoder._get_arrays()
    metadata["blocks"][0][-1] = "any"
    earlier = TextFeatures(preset="abstract", min_df=1)
    earlier._set_arrays(arrays, metadata, "full")
    save(earlier, tmp_path / "model")
    assert [clf.transform(["9,5"]).nnz for clf in (encoder, load(tmp_path / "model"))] == [0, 2]


def test_terms_survive_a_pickle():
    encoder = TextFeatures().fit(["moons of Jupiter"])
    encoder.transform(["moons"])
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.transform(["moons"]).toarray(), encoder.transform(["moons"]).toarray())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"terms0": a["terms0"][:-1]}, "string ends of terms0"),
        (lambda a: a | {"terms0.ends": a["terms0.ends"][::-1].copy()}, "string ends of terms0"),
        (lambda a: a | {"terms0.ends": a["terms0.ends"][1:]}, "Array terms0.ends is missing or no int64"),
        (lambda a: a | {"terms0": a["terms0"].astype(np.int8)}, "Array terms0 is missing or no uint8"),
        (lambda a: a | {"terms0": a["terms0"][::-1].copy()}, "is not above the one before it"),
        (lambda a: a | {"terms0": np.maximum(a["terms0"], 0xC0)}, "is not above|are no UTF-8"),
        (lambda a: a | {"terms0": np.array([65, 66, 0xC3], np.uint8)}, "are no UTF-8"),
        (
            lambda a: a | {"terms0": np.frombuffer("ABé".encode(), np.uint8), "terms0.ends": np.array([0, 1, 3, 4])},
            "within a character",
        ),
        (lambda a: a | {"idf0": a["idf0"] * np.nan}, "idf0"),
    ],
)
def test_broken_vocabularies_are_refused(change, message):
    encoder = TextFeatures(ngram_range=(1, 1), char_ngrams=()).fit(["a b c"])
    arrays, metadata = encoder._get_arrays()
    with pytest.raises(ModelFileError, match=message):
        TextFeatures(ngram_range=(1, 1), char_ngrams=())._set_arrays(change(arrays), metadata, "lazy")
