"""Texts and records as sparse features: TF-IDF of words and of characters, and bins of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf, isinf, sqrt
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from xclassic.storage.arrays import pack_strings, stored_array, unpack_strings
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata
from xclassic.validation.parameters import check_choice, check_common, check_number
from xclassic.validation.records import check_columns, check_texts, is_records

WHOLE = "text"  # Name of the only field if the input is not records.
KINDS = ("word", "char_wb")
# What counts as a word. Models stored before the words of one character counted have the pattern "long".
WORDS = {"any": r"(?u)\w+(?:\+\+|[+#](?!\w))?", "long": r"(?u)\b\w\w+\b"}
IDF = (1, 100)  # The weight of a term is 1 + log((1 + n) / (1 + df)) for n texts, of which df have it.
LONGEST = 100  # Words or characters of a term. The terms of a text take memory of its length times this.


class Preset(NamedTuple):
    """The settings for texts of one kind.

    Attributes
    ----------
    ngram_range, char_ngrams : tuple of int
        Shortest and longest length; empty for no such terms.
    min_df : int
    sublinear_tf : bool
    """

    ngram_range: tuple[int, ...]
    char_ngrams: tuple[int, ...]
    min_df: int
    sublinear_tf: bool


PRESETS = {"title": Preset((1, 2), (4, 4), 1, True), "abstract": Preset((1, 1), (), 2, False)}


# Its output is never wrapped in a table, which cannot hold sparse rows.
class TextFeatures(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    r"""TF-IDF of texts, or of the text fields of records with bins of their numbers, with settings made for XMC.

    A term t that occurs c times in a text weighs :math:`(1 + \ln c) \, (1 + \ln \frac{1 + n}{1 + n_t})`, or c in place
    of the first factor, if it is in :math:`n_t` of n training texts. The words of a field are one block of features,
    its character n-grams another, and each is scaled to unit length. A word is any run of letters, digits and
    underscores, with a plus or number sign behind it as in C++ and C#. The blocks of a field share its weight of 1, a
    numeric field has `numeric_weight`, and a row without missing values has unit length: the product of two such rows
    is the weighted mean of the cosines of their blocks.

    Parameters
    ----------
    text : str or sequence of str, optional
        Text fields of the records that ``fit`` will get; each has its own vocabulary. By default `X` holds texts, not
        records.
    numeric : str or sequence of str, default=()
        Numeric fields of the records, such as a price.
    preset : {"title", "abstract"} or sequence of these, default="title"
        ``"title"``, for texts of a few words: words and pairs of words, sequences of four characters within words, and
        the logarithm of counts. ``"abstract"``, for texts of sentences: words of at least two texts, and plain counts.
        A sequence has one preset for each field of `text`.
    ngram_range : tuple of int, optional
        Shortest and longest sequence of words, such as ``(1, 2)``; ``()`` for no words. This and the next four hold for
        all text fields; None is the choice of the preset.
    char_ngrams : tuple of int, optional
        Shortest and longest sequence of characters within words, such as ``(3, 5)``; ``()`` for none.
    min_df : int or float, optional
        Leave out terms of fewer texts (int), or of a smaller share of them (float).
    max_features : int, optional
        Keep this many of the most frequent terms in a block. Default: all.
    stop_words : "english" or list of str, optional
        Words left out. Default: none.
    sublinear_tf : bool, optional
        Count a term as one plus the logarithm of its count.
    n_bins : int, default=20
        Number of bins for the values of a numeric field, with about equally many training rows each; at least 2.
    numeric_weight : float, default=0.3
        Weight of each numeric field, above 0; a text field has weight 1.

    Attributes
    ----------
    vectorizers_ : dict of str to list of sklearn.feature_extraction.text.TfidfVectorizer
        For each text field, the vectorizers of words and of characters. The field is ``"text"`` if `X` holds texts.
    edges_ : dict of str to ndarray of float64, shape (n_edges,)
        For each numeric field, the edges between bins, ascending; a value on an edge belongs to the higher bin.

    See Also
    --------
    sklearn.pipeline.FeatureUnion : Several weighted views side by side, such as texts with other settings.

    Notes
    -----
    A missing or empty text is a block of zeros. A missing number has its own bin.

    The presets did best on held-out training rows. P@1 of ``DiSMEC`` on 426 types of groceries by title:
    75.6 with words, 76.9 with pairs of words, 77.4 with characters too, 78.0 with the price, 84.9 with title and brand.
    On subjects of library records: 39.6 by title, 38.8 by title and abstract in one text, 40.5 in two fields, 43.1 with
    ``preset=("title", "abstract")``.

    Cost: Python cuts the texts into terms, in one thread; character n-grams take several times as long as words. The
    vocabularies are dicts of some 100 bytes per term.

    References
    ----------
    .. [1] G. Salton and C. Buckley, "Term-weighting approaches in automatic text retrieval", Information Processing and
       Management 24, 1988.

    Examples
    --------
    >>> from xclassic.features import TextFeatures
    >>> encoder = TextFeatures(char_ngrams=()).fit(["stars and planets", "bread and butter"])
    >>> X = encoder.transform(["the planets of bread and butter"])
    >>> encoder.get_feature_names_out()[X.indices].tolist()
    ['and', 'and butter', 'bread', 'bread and', 'butter', 'planets']

    >>> from sklearn.pipeline import make_pipeline
    >>> from xclassic import DiSMEC, predict_topk
    >>> products = [{"title": "rye bread", "price": 2.5}, {"title": "bread machine", "price": 129}]
    >>> pipe = make_pipeline(TextFeatures("title", numeric="price"), DiSMEC()).fit(products, [["food"], ["kitchen"]])
    >>> predict_topk(pipe, [{"title": "white bread", "price": "1.90"}], k=1).named(pipe.classes_)[0][0][0]
    'food'
    """

    vectorizers_: dict[str, list[TfidfVectorizer]]
    edges_: dict[str, NDArray[np.float64]]

    def __init__(
        self,
        text: str | Sequence[str] | None = None,
        *,
        numeric: str | Sequence[str] = (),
        preset: str | Sequence[str] = "title",
        ngram_range: Sequence[int] | None = None,
        char_ngrams: Sequence[int] | None = None,
        min_df: float | None = None,
        max_features: int | None = None,
        stop_words: str | Sequence[str] | None = None,
        sublinear_tf: bool | None = None,
        n_bins: int = 20,
        numeric_weight: float = 0.3,
    ) -> None:
        self.text = text
        self.numeric = numeric
        self.preset = preset
        self.ngram_range = ngram_range
        self.char_ngrams = char_ngrams
        self.min_df = min_df
        self.max_features = max_features
        self.stop_words = stop_words
        self.sublinear_tf = sublinear_tf
        self.n_bins = n_bins
        self.numeric_weight = numeric_weight

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _n_features_out(self) -> int:
        terms = sum(vectorizer.idf_.size for made in self.vectorizers_.values() for vectorizer in made)
        return terms + sum(edges.size + 2 for edges in self.edges_.values())

    def _check_parameters(self) -> None:
        check_common(self)
        fields, numeric = _fields("text", self.text), _fields("numeric", self.numeric)
        if self.text is not None and not fields:
            raise ValueError("text names no field; pass at least one, or None to read texts.")
        if numeric and self.text is None:
            raise ValueError(f"numeric names {', '.join(numeric)}, but text none; name the text fields as well.")
        if overlap := set(fields) & set(numeric):
            raise ValueError(f"The field {min(overlap)!r} is in text and in numeric; it can be in one of them.")
        presets = [self.preset] if isinstance(self.preset, str) or not _is_list(self.preset) else list(self.preset)
        for preset in presets:
            check_choice("preset", preset, PRESETS)
        if not isinstance(self.preset, str) and len(presets) != max(1, len(fields)):
            raise ValueError(f"preset has {len(presets)} entries for {max(1, len(fields))} text fields; pass one each.")
        for name in ("ngram_range", "char_ngrams"):
            _check_range(name, getattr(self, name))
        if not all(_kinds(choices) for choices in self._choices()):
            raise ValueError("ngram_range and char_ngrams are both empty; at least one of them must be a pair.")
        if isinstance(self.min_df, float):
            check_number("min_df", self.min_df, minimum=0, maximum=1)
        elif self.min_df is not None:
            check_number("min_df", self.min_df, minimum=1, integer=True)
        if self.max_features is not None:
            check_number("max_features", self.max_features, minimum=1, integer=True)
        if isinstance(self.stop_words, str):
            check_choice("stop_words", self.stop_words, ("english",))
        elif self.stop_words is not None and not (
            _is_list(self.stop_words) and all(isinstance(word, str) for word in self.stop_words)
        ):
            raise TypeError(f"stop_words is {self.stop_words!r}; pass 'english', a list of str, or None.")
        if not isinstance(self.sublinear_tf, (bool, type(None))):
            raise TypeError(f"sublinear_tf is {self.sublinear_tf!r}; it must be True, False or None.")
        check_number("n_bins", self.n_bins, minimum=2, integer=True)
        check_number("numeric_weight", self.numeric_weight, minimum=0, inclusive=False, maximum=1e6)

    def _choices(self) -> list[Preset]:
        """Return the settings of each text field: its parameters, or its preset where they are None."""
        n_fields = max(1, len(_fields("text", self.text)))
        presets = [self.preset] * n_fields if isinstance(self.preset, str) else self.preset
        given = {name: getattr(self, name) for name in Preset._fields if getattr(self, name) is not None}
        return [PRESETS[preset]._replace(**given) for preset in presets]

    # Reading

    def _read(self, X: Any, *, fitted: bool) -> tuple[dict[str, NDArray[np.object_]], dict[str, NDArray[np.float64]]]:
        """Return the texts and the numbers of each field."""
        if self.text is None:
            if is_records(X):
                raise TypeError("X holds records, not texts; name the fields to read, as in TextFeatures('title').")
            return {WHOLE: check_texts(X)}, {}
        fields, numeric = _fields("text", self.text), _fields("numeric", self.numeric)
        if isinstance(X, Mapping) and any(isinstance(X.get(field), str) for field in fields):
            raise TypeError("X is one record; pass a list of records, [record] for a single one.")
        columns = check_columns(X, [*fields, *numeric], fitted=fitted)
        texts = {field: check_texts(columns[field], f"X[{field!r}]") for field in fields}
        return texts, {field: _numbers(columns[field], f"X[{field!r}]") for field in numeric}

    # Fitting and transforming

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn vocabularies, weights of terms, and bins.

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
        ValueError
            If a field is unknown, all texts of a field are empty or have no term of `min_df` texts, a numeric field
            holds no number or a value that is not a number, or a parameter is out of range.
        TypeError
            If `X` holds texts where records are expected or the reverse, or a text is not a string.
        """
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> csr_array:
        """Learn from rows and return their features, in half the time of ``fit(X).transform(X)``.

        Parameters
        ----------
        X, y
            As in ``fit``, which raises the same errors.

        Returns
        -------
        csr_array of float32, shape (n_rows, n_features)
        """
        self._check_parameters()
        texts, numbers = self._read(X, fitted=False)
        vectorizers: dict[str, list[TfidfVectorizer]] = {}
        parts = []
        for (field, column), choices in zip(texts.items(), self._choices(), strict=True):
            vectorizers[field] = [self._vectorizer(kind, lengths, choices, "any") for kind, lengths in _kinds(choices)]
            parts.append([_fit_terms(vectorizer, column, field) for vectorizer in vectorizers[field]])
        self.edges_ = {field: _edges(values, self.n_bins, field) for field, values in numbers.items()}
        self.vectorizers_ = vectorizers
        return self._joined(parts, numbers)

    def transform(self, X: Any) -> csr_array:
        """Return the features of rows.

        Parameters
        ----------
        X : sequence of str, or DataFrame, list of dicts or dict of columns
            As in ``fit``; zero rows are allowed.

        Returns
        -------
        csr_array of float32, shape (n_rows, n_features)
            Canonical features. Terms that ``fit`` did not see are left out.

        Raises
        ------
        ValueError, TypeError
            As in ``fit`` if `X` cannot be read.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.
        """
        check_is_fitted(self)
        texts, numbers = self._read(X, fitted=True)
        if not all(column.size for column in texts.values()):
            return csr_array((0, self._n_features_out), dtype=np.float32)
        parts = [
            [vectorizer.transform(texts[field]) for vectorizer in made] for field, made in self.vectorizers_.items()
        ]
        return self._joined(parts, numbers)

    def _vectorizer(self, kind: str, lengths: Sequence[int], choices: Preset, words: str) -> TfidfVectorizer:
        stop_words = (
            self.stop_words if self.stop_words is None or isinstance(self.stop_words, str) else [*self.stop_words]
        )
        return TfidfVectorizer(
            analyzer=kind,
            ngram_range=tuple(lengths),
            min_df=choices.min_df,
            max_features=self.max_features,
            stop_words=stop_words if kind == "word" else None,
            token_pattern=WORDS[words if kind == "word" else "long"],  # Any but the default would warn.
            sublinear_tf=choices.sublinear_tf,
            dtype=np.float32,
        )

    def _joined(self, parts: list[list[Any]], numbers: dict[str, NDArray[np.float64]]) -> csr_array:
        """Return blocks of unit length side by side, with their weights."""
        length = sqrt(len(parts) + len(numbers) * self.numeric_weight**2)
        blocks = [block * np.float32(1 / (sqrt(len(part)) * length)) for part in parts for block in part]
        for field, values in numbers.items():
            blocks.append(_one_hot(values, self.edges_[field], np.float32(self.numeric_weight / length)))
        joined = csr_array(hstack(blocks, format="csr"))
        joined.sort_indices()  # The indices of a vectorizer's fit_transform are not sorted.
        return joined

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the features.

        Parameters
        ----------
        input_features : object, optional
            Ignored.

        Returns
        -------
        ndarray of object, shape (n_features,)
            Plain words and character n-grams in quotes, both after a prefix such as ``title:`` if there are several
            text fields; bins as ``10.0 <= price < 20.0`` and ``price missing``.
        """
        check_is_fitted(self)
        names: list[str] = []
        for field, made in self.vectorizers_.items():
            prefix = f"{field}: " if len(self.vectorizers_) > 1 else ""
            for vectorizer in made:
                quote = "'" if vectorizer.analyzer == "char_wb" else ""
                names += [f"{prefix}{quote}{term}{quote}" for term in vectorizer.get_feature_names_out()]
        for field, edges in self.edges_.items():
            names += _bin_names(field, edges.tolist())
        return np.array(names, object)

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays: Arrays = {f"edges{i}": edges for i, edges in enumerate(self.edges_.values())}
        pairs = [(field, vectorizer) for field, made in self.vectorizers_.items() for vectorizer in made]
        for i, (_, vectorizer) in enumerate(pairs):
            arrays |= pack_strings(f"terms{i}", vectorizer.get_feature_names_out())
            arrays[f"idf{i}"] = vectorizer.idf_
        words = {pattern: name for name, pattern in WORDS.items()}
        blocks = [
            [field, v.analyzer, list(v.ngram_range), v.sublinear_tf, words[v.token_pattern]] for field, v in pairs
        ]
        return arrays, {"blocks": blocks}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        fields = [WHOLE] if self.text is None else _fields("text", self.text)
        choices = dict(zip(fields, self._choices(), strict=True))
        self.vectorizers_ = {field: [] for field in fields}
        for i, (field, kind, (shortest, longest), sublinear_tf, *words) in enumerate(metadata["blocks"]):
            check_choice("analyzer", kind, KINDS)
            _check_range("ngram_range", (shortest, longest))
            # A preset may have changed since the fit; the fitted settings are in the metadata.
            settings = choices[field]._replace(sublinear_tf=sublinear_tf is True)
            vectorizer = self._vectorizer(kind, (shortest, longest), settings, words[0] if words else "long")
            idf = stored_array(arrays, f"idf{i}", np.float32, (None,), IDF)
            terms = unpack_strings(arrays, f"terms{i}", idf.size)
            vectorizer.vocabulary_ = {term: number for number, term in enumerate(terms)}
            if len(vectorizer.vocabulary_) != idf.size:
                raise ModelFileError(f"The terms of {field!r} in the model repeat.")
            vectorizer.idf_ = idf
            self.vectorizers_[field].append(vectorizer)
        if not all(self.vectorizers_.values()):
            raise ModelFileError(f"The model lacks the vocabulary of one of the fields {', '.join(fields)}.")
        self.edges_ = {}
        for i, field in enumerate(_fields("numeric", self.numeric)):
            self.edges_[field] = edges = stored_array(arrays, f"edges{i}", np.float64, (None,))
            if not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
                raise ModelFileError(f"The edges of the bins of {field!r} in the model do not ascend.")


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset))


def _fields(name: str, value: Any) -> list[str]:
    """Return a parameter that names fields as a list."""
    if value is None or isinstance(value, str):
        return [] if value is None else [value]
    if not isinstance(value, Sequence) or not all(isinstance(field, str) for field in value):
        raise TypeError(f"{name} is {value!r}; pass the name of a field, or a list of names.")
    if len(set(value)) < len(value):
        raise ValueError(f"{name} is {value!r}; name each field once.")
    return list(value)


def _check_range(name: str, value: Any) -> None:
    """Raise an error unless a range is None, empty, or two lengths."""
    if value is None or (isinstance(value, Sequence) and len(value) == 0 and not isinstance(value, str)):
        return
    valid = isinstance(value, (tuple, list)) and len(value) == 2 and all(type(length) is int for length in value)
    if not valid or not 1 <= value[0] <= value[1] <= LONGEST:
        raise ValueError(
            f"{name} is {value!r}; pass the shortest and longest length, as in (1, 2), at most {LONGEST}, or () for "
            "none."
        )


def _kinds(choices: Preset) -> list[tuple[str, Sequence[int]]]:
    """Return the analyzers that a text field needs, with the lengths of their terms."""
    lengths = (choices.ngram_range, choices.char_ngrams)
    return [(kind, pair) for kind, pair in zip(KINDS, lengths, strict=True) if len(pair)]


def _fit_terms(vectorizer: TfidfVectorizer, texts: NDArray[np.object_], field: str) -> Any:
    try:
        return vectorizer.fit_transform(texts)
    except ValueError as error:
        if not any(text.strip() for text in texts):
            raise ValueError(
                f"All {texts.size} texts of the field {field!r} are empty. Name the field that holds the text or leave "
                "this one out."
            ) from error
        if not any(map(vectorizer.build_analyzer(), texts)):  # A text has n-grams of characters unless it is empty.
            raise ValueError(
                f"Not one of the {texts.size} texts of the field {field!r} has words for ngram_range="
                f"{vectorizer.ngram_range} that are not in stop_words; the first is {texts[0][:60]!r}. Choose shorter "
                "sequences, or ngram_range=() for no words."
            ) from error
        what, name = ("words", "ngram_range") if vectorizer.analyzer == "word" else ("character n-grams", "char_ngrams")
        raise ValueError(
            f"No {what} are in min_df={vectorizer.min_df} of the {texts.size} texts of the field {field!r}. Lower "
            f"min_df (1 keeps all), or leave them out by {name}=()."
        ) from error


def _numbers(values: list[Any], name: str) -> NDArray[np.float64]:
    """Return numbers, and NaN where they are missing."""
    numbers = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        try:
            numbers[i] = float(value)
        except (TypeError, ValueError, OverflowError):
            numbers[i] = inf
        if isinf(numbers[i]):
            raise ValueError(
                f"{name}[{i}] is {value!r}, no finite number. Write it as 1299.5, without unit or separators; leave it "
                "empty (None, NaN, '') where it is missing."
            )
    return numbers


def _edges(values: NDArray[np.float64], n_bins: int, field: str) -> NDArray[np.float64]:
    """Return the quantiles that divide the values into bins, fewer than `n_bins` needs if many values are equal."""
    known = values[~np.isnan(values)]
    if not known.size:
        raise ValueError(f"All {values.size} values of the field {field!r} are missing; leave it out of numeric.")
    edges: NDArray[np.float64] = np.unique(np.quantile(known, np.arange(1, n_bins) / n_bins))
    return edges


def _one_hot(values: NDArray[np.float64], edges: NDArray[np.float64], weight: np.float32) -> csr_array:
    """Return one entry per row, in the column of its bin, or in the last column if its value is missing."""
    columns = np.where(np.isnan(values), edges.size + 1, np.searchsorted(edges, values, side="right"))
    entries = (np.full(values.size, weight), columns.astype(np.int32), np.arange(values.size + 1, dtype=np.int32))
    return csr_array(entries, shape=(values.size, edges.size + 2))


def _bin_names(field: str, edges: list[float]) -> list[str]:
    inner = [f"{low} <= {field} < {high}" for low, high in pairwise(edges)]
    return [f"{field} < {edges[0]}", *inner, f"{field} >= {edges[-1]}", f"{field} missing"]
