"""Texts and records as sparse features: TF-IDF of words and of characters, bins of numbers, and categories."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from xclassic.datasets.matrices import write_matrix
from xclassic.features.analyzers import check_storable
from xclassic.features.record_fields import RecordFields, ValueCounts, Values
from xclassic.features.term_counts import Counts
from xclassic.features.terms import Block, Counted, Terms
from xclassic.features.text_chunks import (
    below_each_other,
    chunks_of,
    count_chunk,
    matrix_of,
    run_chunks,
    side_by_side,
    transform_chunk,
    weigh_chunk,
)
from xclassic.features.text_parameters import Preset
from xclassic.features.text_settings import Texts, TextSettings
from xclassic.features.text_storage import stored_blocks, text_arrays
from xclassic.storage.folder import Arrays, Verify
from xclassic.storage.models import Metadata
from xclassic.validation.records import ReadsTexts, read_text_fields


# Its output is never wrapped in a table, which cannot hold sparse rows.
class TextFeatures(ReadsTexts, TextSettings, RecordFields, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    r"""TF-IDF of texts, or of the text fields of records beside their numbers and categories, with settings for XMC.

    A term t that occurs c times in a text weighs :math:`(1 + \ln c) \, (1 + \ln \frac{1 + n}{1 + n_t})`, or c in place
    of the first factor, if it is in :math:`n_t` of n training texts. The words of a field are one block of features,
    its character n-grams another, and each is scaled to unit length. A word is any run of letters, digits and
    underscores, with points and commas between digits, as in 9,5, and a plus or number sign behind it, as in C++ and
    C#. The blocks of a field share its weight of 1, a numeric field has `numeric_weight`, all others have
    `category_weight`, and a row without missing texts has unit length: the product of two such rows is the weighted
    mean of the cosines of their blocks.

    Parameters
    ----------
    text : str or sequence of str, optional
        Text fields of the records that ``fit`` will get; each has its own vocabulary. By default `X` holds texts, not
        records.
    numeric : str or sequence of str, default=()
        Numeric fields of the records, such as a price.
    category : str or sequence of str, default=()
        Fields of one value, such as a shop or a brand: a string, a finite number or a bool.
    several : str or sequence of str, default=()
        Fields of several values: a list of them, or a text that holds them between separators.
    crossed : sequence of pairs of str, default=()
        Pairs of fields of one value, such as ``[("shop", "brand")]``, with a column for each pair of values. The fields
        may be in `category` too, which has a column for each value of one of them.
    preset : {"auto", "title", "abstract"} or sequence of these, default="auto"
        ``"auto"`` chooses words, pairs, characters and `min_df` by quick models of training rows (see Notes).
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
    char_weight : float, optional
        Weight of the characters of a field, above 0, beside its words, which weigh 1. None: that of the preset.
    choose_for : {"both", "tree", "linear"}, default="both"
        Which models choose for ``"auto"``: a label tree, a ridge regression, or both. On long texts they disagree, and
        its own kind is better for a method.
    separator : str, default=","
        What stands between the values of a field in `several` that is a text.
    min_rows : int, default=2
        A value, or a pair of values, of fewer training rows has no column of its own: all of them share one, with those
        that ``fit`` did not see. At least 1.
    n_bins : int, default=20
        Number of bins for the values of a numeric field, with about equally many training rows each; at least 2.
    numeric_weight : float, default=0.3
        Weight of each numeric field, above 0; a text field has weight 1.
    category_weight : float, default=0.7
        Weight of each field in `category` and `several` and of each pair in `crossed`, above 0.
    analyzer : str or callable, optional
        What cuts the texts of all fields into words, of which sequences are made; sequences of characters stay those of
        the text. ``"simple"``, which is the default; ``"snowball(english)"``, stems of a language, which need
        ``pip install "xclassic[text]"``; ``"spacy(en_core_web_sm)"``, lemmas of a pipeline of spaCy; a name given
        to `register_analyzer`; or a function from a text to a list of words, which a model folder cannot hold.
    n_hashed : int, optional
        Hash the terms of each block into so many columns, such as ``2**20``, and keep no vocabulary: memory is bounded,
        and terms that ``fit`` did not see count too. Terms of one column count as one, `min_df` of the preset is left
        aside, and a feature is called ``hash 17``. Default: a column for each term.
    n_jobs : int, optional
        Threads, as joblib counts them; the features are the same, bit for bit, for every number.
    random_state : int, RandomState or None, default=0
        Seed of the rows that ``"auto"`` looks at.
    verbose : int, default=0
        Above 0, show the progress of the choice.

    Attributes
    ----------
    terms_ : dict of str to list of Terms
        For each text field, its words and its sequences of characters: their ``names()``, and their weights ``idf``.
        The field is ``"text"`` if `X` holds texts.
    settings_ : dict of str to Preset
        For each text field, what is used: the settings of its preset or those chosen, and parameters that are not None.
    report_ : dict of str to dict
        For each field that was chosen for: ``"chosen"``, the settings; ``"why"``; and ``"tried"``, with the settings,
        ``n_features`` and P@1, P@3 and P@5 in percent of each model, for ``n_held_out`` rows.
    edges_ : dict of str to ndarray of float64, shape (n_edges,)
        For each numeric field, the edges between bins, ascending; a value on an edge belongs to the higher bin.
    categories_ : dict of str, or of tuple of two str, to list of str
        For each field in `category` and `several` and each pair in `crossed`, the values that have a column, ascending;
        a pair of values is a JSON list.

    See Also
    --------
    sklearn.pipeline.FeatureUnion : Several weighted views side by side, such as texts with other settings.

    Notes
    -----
    A missing or empty text is a block of zeros. A missing number has its own bin; a missing value, an empty list and a
    pair that lacks a value have a column of their own. The values of a row in `several` share its weight evenly.

    ``"auto"`` needs `y`; without it, or with fewer than 200 labeled rows, a field whose median text has 20 words or
    more gets ``"abstract"`` and others ``"title"``. With it, seven settings are tried for one field after another: both
    presets, and settings between them. Each gets a tree (`Bonsai` with one tree) and a ridge regression
    (`OneVsRestLeastSquares`, of at most 500 labels), which rank the labels of rows that they have not seen. Of the
    settings whose worst loss against the best one for each model is the least, or more by no more than 0.1 points of
    the mean of P@1, P@3 and P@5, the narrowest wins. It looks at 20,000 rows or 3 million
    characters at most: all rows of labels drawn at random. So its cost does not grow with the data.

    The presets did best on held-out training rows. P@1 of ``DiSMEC`` on 426 types of groceries by title:
    75.6 with words, 76.9 with pairs of words, 77.4 with characters too, 78.0 with the price, 84.9 with title and brand.
    On subjects of library records: 39.6 by title, 38.8 by title and abstract in one text, 40.5 in two fields, 43.1 with
    ``preset=("title", "abstract")``.

    Cost: compiled code cuts and counts the texts in `n_jobs` threads; character n-grams take several times as long as
    words. A vocabulary takes the bytes of its terms, and some 30 for each.

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

    def __init__(
        self,
        text: str | Sequence[str] | None = None,
        *,
        numeric: str | Sequence[str] = (),
        category: str | Sequence[str] = (),
        several: str | Sequence[str] = (),
        crossed: Sequence[Sequence[str]] = (),
        preset: str | Sequence[str] = "auto",
        ngram_range: Sequence[int] | None = None,
        char_ngrams: Sequence[int] | None = None,
        min_df: float | None = None,
        max_features: int | None = None,
        stop_words: str | Sequence[str] | None = None,
        sublinear_tf: bool | None = None,
        char_weight: float | None = None,
        choose_for: str = "both",
        separator: str = ",",
        min_rows: int = 2,
        n_bins: int = 20,
        numeric_weight: float = 0.3,
        category_weight: float = 0.7,
        analyzer: str | Callable[[str], Iterable[str]] | None = None,
        n_hashed: int | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.text = text
        self.numeric = numeric
        self.category = category
        self.several = several
        self.crossed = crossed
        self.preset = preset
        self.ngram_range = ngram_range
        self.char_ngrams = char_ngrams
        self.min_df = min_df
        self.max_features = max_features
        self.stop_words = stop_words
        self.sublinear_tf = sublinear_tf
        self.char_weight = char_weight
        self.choose_for = choose_for
        self.separator = separator
        self.min_rows = min_rows
        self.n_bins = n_bins
        self.numeric_weight = numeric_weight
        self.category_weight = category_weight
        self.analyzer = analyzer
        self.n_hashed = n_hashed
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _n_features_out(self) -> int:
        return sum(terms.idf.size for _, terms in self._blocks()) + self._n_other_columns()

    def _blocks(self) -> list[tuple[str, Terms]]:
        """Return the terms that make a block of columns each, with their fields."""
        return [(field, terms) for field, made in self.terms_.items() for terms in made]

    # Reading

    def _read(self, X: Any, *, fitted: bool) -> tuple[Texts, Values]:
        """Return the texts of each text field, and the values of all others."""
        fields = self._text_fields()
        columns, others = read_text_fields(
            X, None if self.text is None else fields, self._other_fields(), fitted=fitted, reader="TextFeatures"
        )
        return dict(zip(fields, columns, strict=True)), self._read_others(others)

    # Fitting and transforming

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn vocabularies, weights of terms, and bins.

        Parameters
        ----------
        X : sequence of str, or DataFrame, list of dicts or dict of columns
            Texts, or records if `text` names fields. None, NaN, the empty text, and a field that only other records
            have count as missing.
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector, optional
            Labels of the rows, by which ``preset="auto"`` chooses; a pipeline passes them on. Else ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a field is unknown, all texts of a field are empty or have no term of `min_df` texts, a numeric field
            holds no number or a value that is not a number, a category has no value of `min_rows` rows, or a parameter
            is out of range.
        TypeError
            If `X` holds texts where records are expected or the reverse, a text is not a string, or a category is a
            list.
        """
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> csr_array:
        """Learn from rows and return their features, in less time than ``fit(X).transform(X)``.

        Parameters
        ----------
        X, y
            As in ``fit``, which raises the same errors.

        Returns
        -------
        csr_array of float32, shape (n_rows, n_features)
        """
        self._check_parameters()
        texts, others = self._read(X, fitted=False)
        settings, report = self._chosen(texts, y)
        rows = self._learn_rows(texts, others, settings)
        self.report_ = report
        return rows

    def _learn_rows(self, texts: Texts, others: Values, settings: dict[str, Preset]) -> csr_array:
        """Learn from rows that were read, and return their features."""
        counts = self._new_counts(settings)
        chunks = self._count(counts, texts, keep=True)
        values = ValueCounts()
        values.add(others)
        columns = self._learn(counts, values, settings)
        tasks = [(chunk, [of_block[i] for of_block in columns]) for i, chunk in enumerate(chunks)]
        weigh = partial(weigh_chunk, self._blocks(), self._factors())
        return self._joined(run_chunks(weigh, tasks, texts, self.n_jobs), others)

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
        if "terms_" not in vars(self):
            check_is_fitted(self)  # It takes longer than all else for one text.
        return self._rows(*self._read(X, fitted=True))

    def _rows(self, texts: Texts, others: Values) -> csr_array:
        """Return the features of rows that were read."""
        transform = partial(transform_chunk, self._blocks(), self._factors())
        return self._joined(run_chunks(transform, chunks_of(texts), texts, self.n_jobs), others)

    def fit_to_matrix(self, source: Any, folder: str | os.PathLike[str], y: Any = None) -> Self:
        """Learn from texts that do not fit into memory, and write their features to a folder.

        The result is that of ``fit``, and the folder holds what ``fit_transform`` returns, bit for bit; but
        ``preset="auto"`` looks at the first 20,000 rows alone.

        Parameters
        ----------
        source : path, or iterable of pieces
            A file that `xclassic.datasets.read_texts` reads, whose field ``"text"`` holds the texts unless `text`
            names fields; or pieces of rows, each as ``fit`` takes them, that can be iterated over twice.
        folder : path
            Where `xclassic.datasets.write_matrix` writes the features, for `xclassic.datasets.open_matrix`.
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector, optional
            As in ``fit``.

        Returns
        -------
        self

        Raises
        ------
        DataFileError
            If a file cannot be read.
        ValueError, TypeError
            As in ``fit``, or if `source` is an iterator, which ends after the first pass.
        FileExistsError, OSError
            If the folder cannot be written.

        Notes
        -----
        `source` is read twice. Memory: 100 to 150 bytes for each different term, 8 bytes for each row and numeric
        field, and one piece.
        """
        self._check_parameters()
        if iter(self._pieces(source)) is source:
            raise TypeError(
                "source is an iterator, which ends after the first pass; pass a file, a list, or an object "
                "whose __iter__ begins anew."
            )
        settings, report = self._chosen_on_first(source, y)
        counts, values = self._new_counts(settings), ValueCounts()
        for number, piece in enumerate(self._pieces(source)):
            texts, others = self._read(piece, fitted=number > 0)
            self._count(counts, texts, keep=False)
            values.add(others)
        self._learn(counts, values, settings)
        self.report_ = report
        return self.transform_to_matrix(source, folder)

    def transform_to_matrix(self, source: Any, folder: str | os.PathLike[str]) -> Self:
        """Write the features of texts that do not fit into memory to a folder.

        Parameters
        ----------
        source, folder
            As in ``fit_to_matrix``, which raises the same errors; an iterator will do.

        Returns
        -------
        self

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.
        """
        check_is_fitted(self)
        rows = (self.transform(piece) for piece in self._pieces(source))
        write_matrix(folder, rows, n_columns=self._n_features_out)
        return self

    # Counting and weighing

    def _count(
        self, counts: list[tuple[str, Counts]], texts: dict[str, NDArray[np.object_]], *, keep: bool
    ) -> list[list[Counted]]:
        """Count the terms of further texts; return those of each chunk and block, if they are to be kept."""
        count = partial(count_chunk, [(field, terms.cut) for field, terms in counts], keep)
        found = run_chunks(count, chunks_of(texts), texts, self.n_jobs)
        for block, (field, terms) in enumerate(counts):
            terms.add(texts[field], [known[block] for _, known in found])
        return [counted for counted, _ in found]

    def _learn(
        self, counts: list[tuple[str, Counts]], values: ValueCounts, settings: dict[str, Preset]
    ) -> list[list[NDArray[np.int32]]]:
        """Set what is fitted; return the columns of the terms of each block and kept chunk."""
        made: dict[str, list[Terms]] = {field: [] for field in settings}
        columns = []
        for field, count in counts:
            of_field = settings[field]
            terms, numbers = count.finish(
                field,
                min_df=of_field.min_df,
                max_features=self.max_features,
                sublinear_tf=of_field.sublinear_tf,
            )
            made[field].append(terms)
            columns.append(numbers)
        self._learn_others(values)
        self.terms_, self.settings_ = made, settings
        return columns

    def _joined(self, chunks: list[Block], others: Values) -> csr_array:
        """Return the blocks of texts below each other, and beside them the other fields."""
        blocks = [below_each_other(chunks)]
        widths = [sum(terms.idf.size for _, terms in self._blocks())]
        for block in self._blocks_of_others(others, 1 / self._length()):
            blocks.append((block.indptr.astype(np.int64), block.indices.astype(np.int32), block.data))
            widths.append(block.shape[1])
        return matrix_of(side_by_side(blocks, widths), sum(widths))

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
            text fields; bins as ``10.0 <= price < 20.0`` and ``price missing``; categories as ``shop = north``, ``shop
            other`` and ``shop missing``, and pairs as ``shop = north & brand = Acme``.
        """
        check_is_fitted(self)
        names: list[str] = []
        for field, terms in self._blocks():
            prefix = f"{field}: " if len(self.terms_) > 1 else ""
            quote = "" if terms.cut.kind == "word" else "'"
            names += [f"{prefix}{quote}{term}{quote}" for term in terms.names()]
        return np.array([*names, *self._names_of_others()], object)

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        check_storable(self.analyzer)
        arrays, metadata = text_arrays(self._blocks())
        return arrays | self._arrays_of_others(), metadata | self._metadata_of_settings()

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        self.terms_ = stored_blocks(arrays, metadata, self._text_fields(), self._cut)
        self._set_settings(metadata)
        self._set_arrays_of_others(arrays)
