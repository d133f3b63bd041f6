"""Texts and records as means of the vectors of their words, which are read from a file or learned."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from math import sqrt
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from xclassic.features.co_occurrence import learned_vectors, word_counts
from xclassic.features.text_parameters import fields_of
from xclassic.features.word_table import (
    LEARNED,
    Subwords,
    Tokens,
    WordTable,
    checked_table,
    found_words,
    tokens_of,
    unit_vectors,
)
from xclassic.parallel import StopByte, blas_threads, run_tasks, spawn_seeds
from xclassic.storage.arrays import FINITE, pack_strings, stored_array, stored_count, unpack_strings
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata
from xclassic.validation.parameters import check_choice, check_common, check_n_jobs, check_number
from xclassic.validation.records import ReadsTexts, read_text_fields

Texts = NDArray[np.object_]
Vectors = NDArray[np.float32]

VOCABULARIES = ("training", "file")
TEXTS = 2048  # Of a task.
SMALLEST = 1e-6  # Length of a mean of unit vectors below which it is rounding errors.


class WordVectors(ReadsTexts, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""Means of the vectors of words: dense rows by which texts of related words are close.

    The row of a text is :math:`\sum_t w_t v_t`, scaled to unit length, over its words t with a vector :math:`v_t` of
    unit length. Here :math:`w_t` is TF-IDF, :math:`c \, (1 + \ln \frac{1 + n}{1 + n_t})` of a word that occurs c times
    and is in :math:`n_t` of n training texts. Words are those of `TextFeatures`, in lower case, and
    however long a text is, all of them count. Each field is a block of columns, and all blocks weigh the same.

    Parameters
    ----------
    text : str or sequence of str, optional
        Text fields of the records that ``fit`` will get. By default `X` holds texts, not records.
    vectors : "learned", path, dict of str to ndarray, or tuple (words, matrix), default="learned"
        A file of vectors that `xclassic.datasets.read_word_vectors` reads, or words with vectors. ``"learned"``: from
        the texts of ``fit``, by factoring how often words occur near each other. None in a transformer that was loaded
        from a model folder means those that it holds.
    vocabulary : {"training", "file"}, default="training"
        Which words of a file are kept: those of the training texts, or all, so that words of later texts have vectors
        too; of a model of fastText every word has one then.
    n_dimensions : int, default=300
        Numbers of a vector that is learned; fewer if the texts do not tell so many apart.
    window : int, optional
        Learn a word from the words at most so many places away, closer ones counting more, such as 5. By default from
        the texts it is in, which is faster and better the longer the texts are.
    min_df : int, default=2
        Learn words of at least so many texts.
    n_removed : int, default=0
        Take from each row what it has of the so many directions that the training rows have most in common.
    n_jobs : int, optional
        Threads; -1 for all CPUs.
    random_state : int or None, default=0
        Seed of the factoring; None takes a new one each time.
    verbose : int, default=0
        Above 0, show the progress with the time left.

    Attributes
    ----------
    words_ : ndarray of object, shape (n_words,)
        The words that have vectors.
    vectors_ : ndarray of float32, shape (n_words, n_dimensions)
        Their vectors, of unit length.
    weights_ : ndarray of float32, shape (n_fields, n_words + 1)
        Weights of the words in each field; the last ones are of words that training did not have.
    coverage_ : float
        Share of the words in the training texts, counted as often as they occur, that have a vector.

    See Also
    --------
    TextFeatures : TF-IDF itself, to stand beside in a ``FeatureUnion``.
    BertEncoder : Vectors that depend on the words around, for a hundred times the computation.

    Notes
    -----
    A text none of whose words has a vector is a row of zeros.

    Vectors are learned from positive pointwise mutual information of words and texts (or of words within a window),
    whose singular vectors of the words, times the roots of the singular values, are the vectors [1]_. The result is the
    same for every `n_jobs`.

    Memory of a fit: 12 bytes for each word of the texts, 20 for each pair of a word and a text (or of words that occur
    near each other), and 24 bytes for each number of `vectors_`. Computation: 14 times the pairs, times `n_dimensions`.
    Of a file, only the vectors that are kept take memory, twice.

    References
    ----------
    .. [1] O. Levy, Y. Goldberg and I. Dagan, "Improving distributional similarity with lessons learned from word
       embeddings", TACL 2015.
    .. [2] S. Arora, Y. Liang and T. Ma, "A simple but tough-to-beat baseline for sentence embeddings", ICLR 2017, who
       remove one direction.
    .. [3] P. Bojanowski, E. Grave, A. Joulin and T. Mikolov, "Enriching word vectors with subword information", TACL
       2017.

    Examples
    --------
    >>> from xclassic.features import WordVectors
    >>> texts = ["rye bread", "rye rolls", "white bread", "white rolls", "desk lamp", "floor lamp", "floor and desk"]
    >>> encoder = WordVectors(n_dimensions=2).fit(texts)
    >>> rows = encoder.transform(["bread", "rolls", "lamp"])
    >>> bool(rows[0] @ rows[1] > rows[0] @ rows[2])
    True
    """

    words_: NDArray[np.object_]
    vectors_: Vectors
    weights_: Vectors
    coverage_: float
    _removed: list[Vectors]
    _subwords: Subwords | None
    _index: dict[str, int]
    _not_saved: ClassVar[tuple[str, ...]] = ("vectors",)

    def __init__(
        self,
        text: str | Sequence[str] | None = None,
        *,
        vectors: Any = LEARNED,
        vocabulary: str = "training",
        n_dimensions: int = 300,
        window: int | None = None,
        min_df: int = 2,
        n_removed: int = 0,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.text = text
        self.vectors = vectors
        self.vocabulary = vocabulary
        self.n_dimensions = n_dimensions
        self.window = window
        self.min_df = min_df
        self.n_removed = n_removed
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _n_features_out(self) -> int:
        return len(self.weights_) * self.vectors_.shape[1]

    def _check_parameters(self) -> None:
        check_common(self)
        check_n_jobs(self.n_jobs)
        check_number("verbose", self.verbose, minimum=0, integer=True)
        if self.text is not None and not fields_of("text", self.text):
            raise ValueError("text names no field; pass at least one, or None to read texts.")
        if not isinstance(self.vectors, (str, os.PathLike, Mapping, tuple, type(None))):
            raise TypeError(
                f"vectors is a {type(self.vectors).__name__}; pass {LEARNED!r}, a path, a dict from words to vectors, "
                "or a tuple (words, matrix)."
            )
        check_choice("vocabulary", self.vocabulary, VOCABULARIES)
        check_number("n_dimensions", self.n_dimensions, minimum=1, integer=True)
        check_number("min_df", self.min_df, minimum=1, integer=True)
        check_number("n_removed", self.n_removed, minimum=0, integer=True)
        if self.window is not None:
            check_number("window", self.window, minimum=1, integer=True)

    def _read(self, X: Any, *, fitted: bool) -> list[Texts]:
        """Return the texts of each field."""
        fields = None if self.text is None else fields_of("text", self.text)
        return read_text_fields(X, fields, fitted=fitted, reader="WordVectors")[0]

    # Fitting

    def fit(self, X: Any, y: Any = None) -> Self:
        """Read or learn vectors of the words, and weigh the words.

        Parameters
        ----------
        X : sequence of str, or DataFrame, list of dicts or dict of columns
            Texts, or records if `text` names fields. None, NaN, the empty text, and a field that only other records
            have count as missing.
        y : object, optional
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        DataFileError
            If the file of vectors cannot be read.
        FileNotFoundError
            If there is no such file.
        ValueError
            If a field is unknown, no word has a vector, or a parameter is out of range.
        TypeError
            If `X` holds texts where records are expected or the reverse, or a text is not a string.
        """
        self._fit(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Vectors:
        """Learn from rows and return their features, as ``fit(X).transform(X)`` does, reading texts once.

        Parameters
        ----------
        X, y
            As in ``fit``, which raises the same errors.

        Returns
        -------
        ndarray of float32, shape (n_rows, n_fields * n_dimensions)
        """
        return self._joined(self._fit(X))

    def _fit(self, X: Any) -> list[Vectors]:
        """Fit, and return the rows of each field."""
        self._check_parameters()
        texts = self._read(X, fitted=False)
        known: dict[str, int] = {}
        tokens = [tokens_of(column, known, grow=True) for column in texts]
        if not known:
            where = "" if self.text is None else f" of {', '.join(map(repr, fields_of('text', self.text)))}"
            raise ValueError(f"There is not one word in any of the {sum(map(len, texts))} texts{where}.")
        table = self._table(tokens, list(known))
        index = {word: number for number, word in enumerate(table.words)}
        numbers = np.array([index.get(word, -1) for word in known], np.int32)
        counted = [word_counts(*part.renumbered(numbers), len(index)) for part in tokens]
        n_words, n_found = sum(part.flat.size for part in tokens), sum(int(counts.sum()) for counts in counted)
        weights = [_inverse_frequencies(counts) for counts in counted]
        self.words_, self.vectors_, self._subwords = np.array(table.words, object), table.vectors, table.subwords
        self.weights_, self._index, self.coverage_ = np.array(weights, np.float32), index, n_found / n_words
        self._removed = [np.empty((0, self.vectors_.shape[1]), np.float32)] * len(texts)
        parts = [self._means(column, field) for field, column in enumerate(texts)]
        self._removed = [_common_directions(rows, self.n_removed) for rows in parts]
        return [_without(rows, removed) for rows, removed in zip(parts, self._removed, strict=True)]

    def _table(self, tokens: list[Tokens], words: list[str]) -> WordTable:
        """Return the vectors of words."""
        if self.vectors is None and not hasattr(self, "vectors_"):
            raise ValueError(
                "vectors is None, which is for transformers that hold vectors already; pass 'learned', a path, or "
                "words with vectors."
            )
        if isinstance(self.vectors, str) and self.vectors == LEARNED:
            return self._learned(tokens, words)
        held = WordTable(self.words_.tolist(), self.vectors_, self._subwords) if self.vectors is None else None
        table = held or checked_table(self.vectors, None if self.vocabulary == "file" else words)
        return found_words(table, words, everything=self.vocabulary == "file")

    def _learned(self, tokens: list[Tokens], words: list[str]) -> WordTable:
        starts = [0, *np.cumsum([part.flat.size for part in tokens]).tolist()]
        every = Tokens(
            np.concatenate([part.flat for part in tokens]),
            np.concatenate([[0], *(part.starts[1:] + at for part, at in zip(tokens, starts, strict=False))]),
        )
        n_texts = np.diff(word_counts(*every, len(words)).tocsc().indptr)
        kept = np.flatnonzero(n_texts >= self.min_df)
        if not kept.size:
            raise ValueError(
                f"No word is in min_df={self.min_df} of the {every.starts.size - 1} texts. Lower min_df, or pass a "
                "file of vectors."
            )
        numbers = np.full(len(words), -1, np.int32)
        numbers[kept] = np.arange(kept.size)
        vectors = learned_vectors(
            *every.renumbered(numbers),
            kept.size,
            self.n_dimensions,
            window=self.window,
            seed=int(spawn_seeds(self.random_state, 1)[0]),
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        if not vectors.shape[1]:
            raise ValueError(
                f"The {kept.size} words of the texts keep the same company, so no vectors can be learned. Pass more "
                "texts, or a file of vectors."
            )
        return WordTable([words[number] for number in kept.tolist()], unit_vectors(vectors), None)

    # Transforming

    def transform(self, X: Any) -> Vectors:
        """Return the rows of texts.

        Parameters
        ----------
        X : sequence of str, or DataFrame, list of dicts or dict of columns
            As in ``fit``; zero rows are allowed.

        Returns
        -------
        ndarray of float32, shape (n_rows, n_fields * n_dimensions)
            Row i for row i of `X`, of unit length if each field has a word with a vector.

        Raises
        ------
        ValueError, TypeError
            As in ``fit`` if `X` cannot be read.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.
        """
        check_is_fitted(self)
        parts = [self._means(column, field) for field, column in enumerate(self._read(X, fitted=True))]
        return self._joined([_without(rows, removed) for rows, removed in zip(parts, self._removed, strict=True)])

    def _means(self, texts: Texts, field: int) -> Vectors:
        """Return the rows of the texts of a field, before common directions are removed."""
        slabs = [texts[at : at + TEXTS] for at in range(0, texts.size, TEXTS)]
        rows = run_tasks(
            partial(_slab_means, self, field), slabs, n_jobs=self.n_jobs, description="words", verbose=self.verbose
        )
        return np.concatenate([np.empty((0, self.vectors_.shape[1]), np.float32), *rows])

    def _joined(self, parts: list[Vectors]) -> Vectors:
        joined = np.hstack(parts)
        joined *= np.float32(1 / sqrt(len(parts)))
        return joined

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays: Arrays = pack_strings("words", self.words_)
        arrays |= {"vectors": self.vectors_, "weights": self.weights_}
        arrays |= {f"removed{field}": removed for field, removed in enumerate(self._removed)}
        lengths = None
        if self._subwords is not None:
            arrays["buckets"] = np.asarray(self._subwords.buckets, np.float32)
            lengths = [self._subwords.shortest, self._subwords.longest]
        learned = isinstance(self.vectors, str) and self.vectors == LEARNED
        return arrays, {
            "n_words": self.words_.size, "n_dimensions": self.vectors_.shape[1], "coverage": self.coverage_,
            "learned": learned, "subwords": lengths,
        }  # fmt: skip

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        n_words, width = (stored_count(metadata, name) for name in ("n_words", "n_dimensions"))
        n_fields = 1 if self.text is None else len(fields_of("text", self.text))
        within = FINITE if verify == "full" else None
        words = unpack_strings(arrays, "words", n_words)
        self._index = {word: number for number, word in enumerate(words)}
        if len(self._index) < n_words:
            raise ModelFileError("The words of the model repeat.")
        self.words_ = np.array(words, object)
        self.vectors_ = stored_array(arrays, "vectors", np.float32, (n_words, width), within)
        self.weights_ = stored_array(arrays, "weights", np.float32, (n_fields, n_words + 1), (0, 100))
        self._removed = [
            stored_array(arrays, f"removed{field}", np.float32, (None, width), FINITE) for field in range(n_fields)
        ]
        self._subwords = None
        if metadata["subwords"] is not None:
            shortest, longest = metadata["subwords"]
            buckets = stored_array(arrays, "buckets", np.float32, (None, width), within)
            self._subwords = Subwords.checked(buckets, shortest, longest)
        self.coverage_ = float(metadata["coverage"])
        self.vectors = LEARNED if metadata["learned"] is True else None


def _inverse_frequencies(counts: csr_array) -> Vectors:
    """Return the weight of each word of a field, and of further ones."""
    n_texts = np.append(np.bincount(counts.indices, minlength=counts.shape[1]), 0)
    return (1 + np.log((1 + counts.shape[0]) / (1 + n_texts))).astype(np.float32)


def _slab_means(model: WordVectors, field: int, texts: Texts, stop: StopByte) -> Vectors:
    """Return the rows of some texts, which depend on each text alone."""
    index, vectors, weights = model._index, model.vectors_, model.weights_[field]
    further: dict[str, int] = {}
    tokens = tokens_of(texts, index, further=further if model._subwords is not None else None)
    counts = word_counts(*tokens, len(index) + len(further))
    counts.data *= weights[np.minimum(counts.indices, len(index))]
    rows = np.asarray((counts[:, : len(index)] if further else counts) @ vectors, np.float32)
    if further and model._subwords is not None:
        found, made = model._subwords.vectors(list(further))
        columns = [further[word] for word in found]
        rows += counts[:, columns] @ unit_vectors(made)
    return unit_vectors(rows)


def _common_directions(rows: Vectors, count: int) -> Vectors:
    """Return the directions that rows have most in common, shape (count, n_dimensions)."""
    width = rows.shape[1]
    count = min(count, width - 1)
    if not count:
        return np.empty((0, width), np.float32)
    with blas_threads(1):
        gram = sum((part.astype(np.float64).T @ part for part in np.array_split(rows, len(rows) // TEXTS + 1)), 0.0)
        vectors = eigh(gram, subset_by_index=(width - count, width - 1))[1]
    return np.ascontiguousarray(vectors[:, ::-1].T, np.float32)


def _without(rows: Vectors, directions: Vectors) -> Vectors:
    """Return rows without some directions, of unit length."""
    if not len(directions):
        return rows
    wide = directions.astype(np.float64)  # In float64 a row does not depend on the rows beside it.
    rest = [part - (part.astype(np.float64) @ wide.T) @ wide for part in np.array_split(rows, len(rows) // TEXTS + 1)]
    return unit_vectors(np.concatenate(rest).astype(np.float32), SMALLEST)
