"""Files of word vectors: every format, plain and compressed, and what is wrong with the files of strangers."""

import bz2
import gzip
import lzma
import warnings

import numpy as np
import pytest

from tests.helpers.word_files import as_fasttext, as_text, as_word2vec
from xclassic.datasets import DataFileError, read_word_vectors
from xclassic.datasets._fasttext import hashes
from xclassic.datasets.word_vectors import LONGEST_LINE, WIDEST

WORDS = ["bread", "Moon", "größe", "moon", "日本"]
VECTORS = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
MODEL = as_fasttext(WORDS, VECTORS, n_buckets=0)
CUT = as_word2vec(WORDS, VECTORS)[:-9]
FORMATS = {
    "text": as_text(WORDS, VECTORS),
    "glove": as_text(WORDS, VECTORS, header=False),
    "word2vec": as_word2vec(WORDS, VECTORS),
    "fasttext": as_fasttext(WORDS, VECTORS, n_buckets=0, longest=0),
}


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "some.bin"
        path.write_bytes(content)
        return path

    return write


# What is read


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, bz2.compress])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_words_and_vectors(form, compress, file):
    words, vectors = read_word_vectors(file(compress(FORMATS[form])))
    assert words == WORDS
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, VECTORS)


@pytest.mark.parametrize("form", FORMATS)
def test_words_wanted_are_found_in_their_order_and_in_other_case(form, file):
    words, vectors = read_word_vectors(file(FORMATS[form]), ["日本", "sun", "moon", "bread"])
    assert words == ["日本", "moon", "bread"]
    np.testing.assert_array_equal(vectors, VECTORS[[4, 3, 0]])
    without = as_text(["MOON", "Moon"], VECTORS[:2])
    np.testing.assert_array_equal(read_word_vectors(file(without), ["moon"])[1], VECTORS[:1])


@pytest.mark.parametrize("form", FORMATS)
def test_no_words_wanted_or_found_is_an_empty_table(form, file):
    for wanted in ([], ["sun"]):
        words, vectors = read_word_vectors(file(FORMATS[form]), wanted)
        assert words == []
        assert vectors.shape == (0, 7)


@pytest.mark.parametrize("form", ["text", "word2vec"])
def test_of_a_word_that_occurs_twice_the_first_vector_counts(form, file):
    write = as_text if form == "text" else as_word2vec
    words, vectors = read_word_vectors(file(write(["a", "b", "a"], VECTORS[:3])))
    assert words == ["a", "b"]
    np.testing.assert_array_equal(vectors, VECTORS[:2])


def test_words_of_text_may_have_blanks_and_lines_other_ends(file):
    words, vectors = read_word_vectors(file(b"\xef\xbb\xbfa 1 2\r\n. . 3 4 \r\n\r\nnew york 5 6"))
    assert words == ["a", ". .", "new york"]
    np.testing.assert_array_equal(vectors, [[1, 2], [3, 4], [5, 6]])


def test_words_longer_than_a_piece_of_the_file_are_read(file):
    word = "x" * (3 << 20)
    assert read_word_vectors(file(f"a 1 2\n{word} 3 4\nb 5 6\n".encode()))[0] == ["a", word, "b"]


def test_words_that_are_not_utf8_are_left_out_with_a_warning(file):
    with pytest.warns(UserWarning, match="2 words are not UTF-8 and were left out"):
        words, _ = read_word_vectors(file(b"4 2\na 1 2\n\xfcber 3 4\nb 5 6\n\xe4 7 8\n"))
    assert words == ["a", "b"]


@pytest.mark.parametrize("said", [2, 4])
def test_other_numbers_of_words_than_said_cause_a_warning(said, file):
    with pytest.warns(UserWarning, match=f"says {said} words, and there are 3"):
        words, _ = read_word_vectors(file(f"{said} 2\na 1 2\nb 3 4\nlonger 0.125 0.25\n".encode()))
    assert words == ["a", "b", "longer"]


@pytest.mark.parametrize("words", ["sun", 3])
def test_words_are_a_list(words, file):
    with pytest.raises(TypeError, match=f"words is {words!r}; pass a list of words"):
        read_word_vectors(file(b"a 1 2\n"), words)


# Models of fastText


# As ``fasttext.FastText.get_subwords`` returns them for 5,000 buckets.
SUBWORDS = {
    "oil": [4007, 9, 2813, 1123, 2015, 1490],
    "größe": [1866, 807, 4953, 3140, 985, 915, 4898, 2364, 4038, 137, 4861, 2321, 2149, 4512],
}


@pytest.mark.parametrize("word", SUBWORDS)
def test_sequences_of_characters_have_the_hashes_of_fasttext(word):
    assert [value % 5000 for value in hashes(word, 3, 6)] == SUBWORDS[word]


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_vectors_of_fasttext_are_means_over_word_and_sequences(compress, file):
    words = ["oil", "Oil", "</s>"]
    rows = np.random.default_rng(1).standard_normal((len(words) + 5000, 4)).astype(np.float32)
    path = file(compress(as_fasttext(words, rows, n_buckets=5000, labels=["__label__x"])))
    buckets = rows[len(words) :]
    expected = {
        "oil": np.vstack([rows[:1], buckets[SUBWORDS["oil"]]]).mean(axis=0),
        "größe": buckets[SUBWORDS["größe"]].mean(axis=0),  # a word that the model never saw
        "</s>": rows[2],
    }
    found, vectors = read_word_vectors(path, [*expected, "x" * 1000])
    assert found == list(expected)
    np.testing.assert_allclose(vectors, list(expected.values()), rtol=1e-5)
    assert read_word_vectors(path)[0] == words


# What is wrong


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty; a line for each word is accepted"),
        (b"\xff\xfea\0 \0", "it is UTF-16; save it in UTF-8"),
        (b"\n", "line 1: the first line is '.n'; accepted are"),
        (b"word\n", "line 1: the first line is 'word.n'; accepted are"),
        (b"2 0\na\nb\n", "vectors are said to have 0 numbers; accepted are 1 to"),
        (b"1 99999999999999999999999\na 1\n", "vectors are said to have .* numbers; accepted are 1 to"),
        (b"1000000000 300\na " + b"0.5 " * 300, "says 1000000000 words of 300 numbers, which take .* bytes, but"),
        (b"2 3\na 1 2 3\nb 1 2\n", "line 3: found 2 numbers behind the word 'b', where the first line says 3"),
        (b"2 3\na 1 2 3\nb 1 2 3 4\n", "line 3: found 4 numbers behind the word 'b', where the first line says 3"),
        (b"a 1 2 3\nb 1 2 3\n1 2 3\n", "line 3: found 2 numbers behind the word '1', where the first line says 3"),
        (b"2 3\na 1 2 3\nb 1 x 3\n", "line 3: 'x' is not a number"),
        (b"2 3\na 1 nan 3\nb 1 2 3\n", "line 2: 'nan' is not a finite number"),
        (b"2 3\na 1 2 3\nb 1 -inf 3\n", "line 3: '-inf' is not a finite number"),
        (b"2 3\na 1 2 3\nb 1 1e39 3\n", "line 3: '1e39' is not a finite number"),
        (as_word2vec(["a", "b"], [[1, 2], [3, np.nan]]), "the vector of 'b' has NaN or infinite numbers"),
        (as_word2vec(WORDS, VECTORS)[:-40], "says 5 words of 7 numbers, which take at least 145 bytes, but"),
        (as_word2vec(["b", "a" * 20_000], [[1, 2], [3, 4]]), "word 2 of 2 at byte 14 does not end within 10000 bytes"),
        (gzip.compress(as_word2vec(WORDS, VECTORS))[:-20], "the compressed data is damaged or cut short"),
        (gzip.compress(CUT), "ends at byte .*, within the vector of word 5 of 5"),
        (gzip.compress(b"9 7\n" + CUT[4:] + bytes(10)), "ends at byte .*, within .*word 6 of 9"),
        (as_fasttext(["a"], [[1.0]], n_buckets=0, quantized=True), r"quantized .*\(.ftz\).*Write its vectors"),
        (as_fasttext(["a"], [[1.0]], n_buckets=0, version=11), "of version 11; accepted is 12.*Write its vectors"),
        (as_fasttext(["a"], [[np.inf]], n_buckets=0, longest=0), "the vector of 'a' has NaN or infinite"),
        (as_fasttext(["a", "a"], [[1.0], [2.0]], n_buckets=0), "says 2 words, and 1 different ones follow"),
        (as_fasttext(["a", "b"], [[1.0]], n_buckets=0), "it has 1 vectors for 2 words; the file is damaged"),
        (as_fasttext(["a"], [[1.0]], n_buckets=0, longest=10**6), "sequences of 3 to 1000000 characters"),
        (MODEL[:-60], "said to be 5 of 7 numbers, which take at least 140 bytes, but"),
        (MODEL[:100], "the file ends at byte 100, within entry|at least 50 bytes, but"),
        (MODEL[:30], "the file ends at byte 30, within the setting"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong_with_a_file(content, problem, file):
    with warnings.catch_warnings(action="ignore"), pytest.raises(DataFileError, match=problem):
        read_word_vectors(file(content))


def test_headers_cannot_ask_for_memory(file):
    """A compressed file may be longer than it looks, so nothing but what is there may be taken."""
    content = f"1000000000 {WIDEST}\na ".encode() + bytes(8)
    with pytest.raises(DataFileError, match="within the vector of word 1 of 1000000000"):
        read_word_vectors(file(gzip.compress(content)))


def test_lines_without_end_are_refused(file):
    with pytest.raises(DataFileError, match=f"line 2: the line has more than {LONGEST_LINE} bytes"):
        read_word_vectors(file(b"1 2\na" + b"a" * (LONGEST_LINE + 5)))


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        read_word_vectors(tmp_path / "none.vec")
