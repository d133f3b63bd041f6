"""Labels whose names a text contains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from warnings import warn

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.utils.validation import check_is_fitted

from xclassic.base import Arrays, Metadata, Verify, XMCClassifier
from xclassic.parallel import StopByte, run_tasks
from xclassic.storage.arrays import pack_strings, unpack_strings
from xclassic.storage.folder import ModelFileError
from xclassic.taxonomy.match_features import (
    GENERAL,
    OF_LABEL,
    LabelCounts,
    Matches,
    features_of_labels,
    find_matches,
    fit_logistic,
    hits_of,
    joined,
    probabilities,
    rarity_of_stems,
)
from xclassic.taxonomy.name_finding import BARE, OTHER, NameFinder, Tokens, aho_corasick, languages, words_of
from xclassic.topk import TopK
from xclassic.validation.label_names import check_label_names, named_labels
from xclassic.validation.labels import check_target
from xclassic.validation.parameters import check_choice, check_number, check_type
from xclassic.validation.records import ReadsTexts, check_texts

BYTES_OF_TOKEN, BYTES_OF_MATCH = 150, 1500  # In Python lists and in the table of features.
BYTES_OF_NAME = 1000


@dataclass(frozen=True)
class NameMatch:
    """A name of a label in a text.

    Attributes
    ----------
    label : str or int
        As in ``classes_``.
    name : str
        The words of the name, in small letters.
    found : str
        The words of the text, from the first to the last one of the name.
    kind : {"exact", "stem", "set"}
        The very words of the name, their stems, or its words in any order.
    role : {"preferred", "other", "bare"}
        The preferred name, another one, or a name without its qualifier in parentheses.
    position : int
        Number of words before it.
    probability : float
        That the label is relevant.
    """

    label: Any
    name: str
    found: str
    kind: str
    role: str
    position: int
    probability: float


class LabelMatcher(ReadsTexts, XMCClassifier):
    r"""Labels whose names are in the text, ranked by the probability that they are relevant.

    A name is found where its words follow each other, as they are or by their stems, and where all of its words are
    within a window, in any order. Names that lie within a longer one are found too. A label with a match has the
    probability :math:`1 / (1 + e^{-w \cdot f - b})`, a logistic regression of the matches of the training rows. Its
    features f are what kind of match it is; its place, and how often it occurs; length of the name and rarity of its
    words; how many labels share the name; whether it lies within a longer one; the number of labels found; and,
    for labels with training rows, how many rows, how many matches, and which share of the matches was right.
    Labels without training rows have a regression of their own, without the last ones.

    Parameters
    ----------
    names : Mapping[Any, str] or Sequence[str], optional
        The preferred name of each label: a dict with labels as keys, whose labels are among ``classes_`` even if no row
        has them, or a list in the order of ``classes_``. A missing name is None or empty. By default labels that are
        strings are names themselves.
    synonyms : Mapping[Any, Sequence[str]] or Sequence[Sequence[str]], optional
        Other names of labels, in the same form.
    language : str or None, default="english"
        Of the Snowball stemmer, such as "german" or "finnish". None compares words as they are.
    window : int, default=10
        Most words from the first to the last one of a name whose words are apart or in another order; 0 finds no such
        names.
    n_jobs : int, optional
        Workers, as joblib counts them; matching runs mostly in Python, one thread at a time.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
    names_ : list of tuple of str
        The names of each label, the preferred one first.
    shared_names_ : dict of str to list
        Names that several labels have, and their labels.
    weights_ : ndarray of float64, shape (2, n_weights)
        Of the regression for labels with training rows, and for those without: weights of the features, and b.

    See Also
    --------
    Blend : To rank these labels together with those of a method that learns from rows.

    Notes
    -----
    Case, and the forms that Unicode has for one character, do not matter. A name in the form "bank (finance)" is also
    found without its qualifier. A label that no text names is not predicted. Names that several labels share are
    accepted, and `shared_names_` has them; each of the labels is then matched.

    For the regression, what training rows say of a label is counted in the other four fifths of the rows.

    Needs the packages ahocorasick-rs and snowballstemmer: ``pip install "xclassic[text]"``.

    Cost: O(words + matches) for sequences, whatever the number of names; for words in any order, a look at each name
    whose rarest word is in the text. About 0.2 ms for a title against 25,000 names. Memory: about 1 KB for
    each name, and during a fit 1.5 KB for each match.

    References
    ----------
    .. [1] O. Medelyan, "Human-competitive automatic topic indexing", PhD thesis, University of Waikato, 2009.
    .. [2] A. Aho and M. Corasick, "Efficient string matching: an aid to bibliographic search", CACM 1975.

    Examples
    --------
    >>> from xclassic import LabelMatcher
    >>> texts = ["The history of art", "Trees of the city", "Art in the city", "A tree"]
    >>> y = [["t1"], ["t2", "t3"], ["t3"], ["t2"]]
    >>> names = {"t1": "art history", "t2": "tree", "t3": "city", "t4": "cooking"}
    >>> clf = LabelMatcher(names, synonyms={"t3": ["town"]}).fit(texts, y)
    >>> clf.predict_topk(["Cooking for all"], k=1).named(clf.classes_)[0][0][0]
    't4'
    >>> [(match.label, match.found, match.kind) for match in clf.matches(["Towns: a history of modern art"])[0]]
    [('t1', 'history of modern art', 'set'), ('t3', 'towns', 'stem')]
    """

    _probabilistic = True
    _not_saved: ClassVar[tuple[str, ...]] = ("names", "synonyms")

    names_: list[tuple[str, ...]]
    weights_: NDArray[np.float64]
    _finder: NameFinder
    _rarity: NDArray[np.float64]
    _counts: LabelCounts
    _share: float

    def __init__(
        self,
        names: Mapping[Any, str] | Sequence[str] | None = None,
        *,
        synonyms: Mapping[Any, Sequence[str]] | Sequence[Sequence[str]] | None = None,
        language: str | None = "english",
        window: int = 10,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.names = names
        self.synonyms = synonyms
        self.language = language
        self.window = window
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("window", self.window, minimum=0, integer=True)
        if self.language is not None:
            check_type("language", self.language, (str,), "the name of a language, or None")
            check_choice("language", self.language, languages())

    def _check_input(self, X: Any, *, reset: bool) -> Any:
        """Return the texts as an array of str."""
        texts = check_texts(X)
        if reset:
            if texts.size == 0:
                raise ValueError("X has no rows; at least one text is needed.")
            self.n_features_in_ = 1  # Each row is one text.
        return texts

    def _known_labels(self) -> list[Any]:
        return named_labels(self.names)

    # Training

    def _fit(self, X: Any, Y: csr_array) -> None:
        aho_corasick()  # It raises before time is spent.
        self._know(check_label_names(self.names, self.synonyms, self._names_of_labels()))
        self._tell()
        chunks = [slice(start, start + self._rows_per_task) for start in range(0, X.size, self._rows_per_task)]
        described: dict[str, Any] = {"n_jobs": self.n_jobs, "verbose": self.verbose}
        tokens = run_tasks(lambda rows, stop: self._finder.tokens(X[rows]), chunks, description="reading", **described)
        self._rarity = rarity_of_stems(tokens, self._finder.n_stems)
        found = run_tasks(
            lambda part, stop: find_matches(self._finder, part, self._rarity),
            tokens,
            description="matching",
            **described,
        )
        matches = joined(found, [chunk.start for chunk in chunks])
        self._learn(matches, Y)

    def _know(self, names: list[tuple[str, ...]]) -> None:
        self.names_ = names
        self._finder = NameFinder(names, self.language, self.window)

    def _learn(self, matches: Matches, Y: csr_array) -> None:
        hits = hits_of(matches, Y)
        self._share = float((hits.sum() + 1) / (hits.size + 2))
        self._counts = LabelCounts.of(matches, hits, Y, np.arange(Y.shape[0]))
        of_label, known = features_of_labels(matches, hits, Y, self._share)
        general = fit_logistic(matches.features, hits)
        full = fit_logistic(np.column_stack([matches.features, of_label])[known], hits[known])
        self.weights_ = np.stack([full, np.concatenate([general[:-1], np.zeros(len(OF_LABEL)), general[-1:]])])

    def _tell(self) -> None:
        """Warn of names that cannot tell labels apart, or cannot be found."""
        shared, n_unnamed = (
            self.shared_names_,
            np.setdiff1d(np.arange(len(self.names_)), self._finder.entries.label).size,
        )
        if n_unnamed == len(self.names_):
            raise ValueError("No label has a name with a word in it, so none can be found; pass names.")
        told = []
        if shared:
            name, labels = next(iter(shared.items()))
            told.append(
                f"{len(shared)} names belong to several labels, the first is {name!r} of {labels[:3]}: each of them is "
                "matched, and shared_names_ lists them all"
            )
        if n_unnamed:
            told.append(f"{n_unnamed} of {len(self.names_)} labels have no name with a word in it and are never found")
        if told:
            warn("; ".join(told) + ".", UserWarning, stacklevel=6)

    @property
    def shared_names_(self) -> dict[str, list[Any]]:
        """Names that several labels have, and their labels."""
        labels_of: dict[str, list[Any]] = {}
        for label, names in zip(self._names_of_labels().tolist(), self.names_, strict=True):
            for words in {" ".join(words_of(name)) for name in names} - {""}:
                labels_of.setdefault(words, []).append(label)
        return {name: labels for name, labels in labels_of.items() if len(labels) > 1}

    # Prediction

    def _topk(self, X: Any, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        matches, scores = self._scored(self._finder.tokens(X))
        kept = slice(None) if labels is None else np.isin(matches.label, labels)
        entries = (scores[kept], (matches.row[kept], matches.label[kept]))
        return TopK.from_csr(csr_array(entries, shape=(X.size, self.classes_.size)), k)

    def _scored(self, tokens: Tokens) -> tuple[Matches, NDArray[np.float64]]:
        """Return matches and their probabilities."""
        matches = find_matches(self._finder, tokens, self._rarity)
        of_label = self._counts.features(matches.label, self._share)
        features = np.column_stack([matches.features, of_label])
        known = self._counts.rows[matches.label] > 0
        of_known, of_others = (probabilities(features, weights) for weights in self.weights_)
        return matches, np.where(known, of_known, of_others)

    def matches(self, X: Any) -> list[list[NameMatch]]:
        """Return the names that texts contain: why the labels of a prediction are predicted.

        Parameters
        ----------
        X : sequence of str

        Returns
        -------
        list of list of NameMatch
            For each text its matches, one for each label, the most probable first.

        Raises
        ------
        TypeError
            If a row is not a text.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.
        """
        check_is_fitted(self)
        texts = self._check_input(X, reset=False)
        tokens = self._finder.tokens(texts)
        matches, scores = self._scored(tokens)
        words = [words_of(text) for text in texts]
        rows: list[list[NameMatch]] = [[] for _ in texts]
        entries = self._finder.entries
        for i in np.lexsort((matches.label, -scores)).tolist():
            row, entry = int(matches.row[i]), matches.entry[i]
            position = int(matches.start[i] - tokens.ends[row])
            rows[row].append(
                NameMatch(
                    label=self.classes_[matches.label[i]].item(),
                    name=self._finder.words_of_entry(int(entry)),
                    found=" ".join(words[row][position : position + int(matches.span[i])]),
                    kind="exact" if matches.is_exact[i] else "set" if matches.is_set[i] else "stem",
                    role={OTHER: "other", BARE: "bare"}.get(int(entries.role[entry]), "preferred"),
                    position=position,
                    probability=float(scores[i]),
                )
            )
        return rows

    def estimate_memory(self, X: Any, y: Any) -> int:
        """Return the number of bytes that ``fit(X, y)`` will need at its peak, beyond `X` and `y` themselves.

        Parameters
        ----------
        X, y
            As for ``fit``; the words of the texts are counted, and of names those of the labels.

        Returns
        -------
        int
            An estimate for about one match for every three words.
        """
        self._check_parameters()
        texts = check_texts(X)
        n_labels = check_target(y, texts.size).Y.shape[1]
        n_tokens = sum(len(words_of(text)) for text in texts)
        return BYTES_OF_TOKEN * n_tokens + BYTES_OF_MATCH * n_tokens // 3 + BYTES_OF_NAME * n_labels

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        ends = np.cumsum([0, *map(len, self.names_)], dtype=np.int64)
        arrays = {
            "name_ends": ends,
            **pack_strings("names", [name for names in self.names_ for name in names]),
            "rarity": self._rarity,
            "weights": self.weights_,
            **{f"counts.{name}": counts for name, counts in self._counts._asdict().items()},
        }
        if self._labels_of_columns is not None:
            arrays["labels"] = self._labels_of_columns
        return arrays, {"share": self._share}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        ends, self._labels_of_columns = np.asarray(arrays["name_ends"]), arrays.get("labels")
        n_labels, n_weights = self.classes_.size, len(GENERAL) + len(OF_LABEL) + 1
        if ends.dtype != np.int64 or ends.shape != (n_labels + 1,) or ends[0] != 0 or (np.diff(ends) < 1).any():
            raise ModelFileError("The names of the model do not fit its labels.")
        if self._names_of_labels().shape != (n_labels,):
            raise ModelFileError("The labels that the names of the model belong to are not as many as its labels.")
        flat = unpack_strings(arrays, "names", int(ends[-1]))
        self._know([tuple(flat[a:b]) for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)])
        self._rarity, self.weights_ = np.asarray(arrays["rarity"]), np.asarray(arrays["weights"])
        self._counts = LabelCounts(*(np.asarray(arrays[f"counts.{name}"]) for name in LabelCounts._fields))
        self._share = float(metadata["share"])
        shapes = {"rarity": (self._finder.n_stems + 1,), "weights": (2, n_weights)}
        numbers = {name: np.asarray(arrays[name]) for name in shapes}
        if any(
            array.shape != shapes[name] or array.dtype != np.float64 or not np.isfinite(array).all()
            for name, array in numbers.items()
        ):
            raise ModelFileError("The numbers of the model do not fit its names, or are not finite.")
        if any(
            counts.shape != (n_labels,) or not (np.isfinite(counts) & (counts >= 0)).all() for counts in self._counts
        ):
            raise ModelFileError("The counts of the model do not fit its labels.")
        if not 0 < self._share < 1 or (self._counts.right > self._counts.found).any():
            raise ModelFileError("The shares of the model are not in (0, 1).")
        labels = self._names_of_labels().tolist()
        self.names = {label: names[0] for label, names in zip(labels, self.names_, strict=True)}
        self.synonyms = {label: list(names[1:]) for label, names in zip(labels, self.names_, strict=True)}
