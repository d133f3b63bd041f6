"""Concepts as vocabularies have them: names in several languages, parents, and concepts that are no longer used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from xclassic.taxonomy.graph import ConceptGraph
from xclassic.validation.parameters import check_choice

Given = TypeVar("Given")
Names = Mapping[str, Mapping[str, str]]
OtherNames = Mapping[str, Mapping[str, Sequence[str]]]


class Vocabulary:
    """Concepts of a vocabulary, such as a thesaurus, as plain data.

    `read_vocabulary` makes one of a file. Its methods make what the rest of the package takes: names and other names of
    labels, a graph of them, and lists of labels without those that are deprecated.

    Parameters
    ----------
    preferred : mapping of str to mapping of str to str
        For each concept, by its id, the preferred name in each language, such as ``{"c1": {"en": "tea"}}``; empty for a
        concept without names. The language of names that have none is "".
    others : mapping of str to mapping of str to sequence of str, optional
        Other names of concepts in each language.
    broader : mapping of str to sequence of str, optional
        The parents of concepts.
    deprecated : mapping of str to sequence of str, optional
        The concepts that are no longer used, each with those that replace it, which may be none.
    notations : mapping of str to str, optional
        Codes of concepts, as of a classification.
    unknown : {"raise", "drop"}, default="raise"
        What becomes of parents and replacements that are no concepts of the vocabulary: an error, or they are left out.

    Attributes
    ----------
    ids : tuple of str
        The concepts, in the order of `preferred`.
    languages : tuple of str
        Languages of the preferred names, sorted.
    preferred : dict of str to dict of str to str
        As given, without blanks around names and without empty names.
    others : dict of str to dict of str to tuple of str
        As given, without names that are preferred in the same language.
    broader : dict of str to tuple of str
        Of the concepts that have parents.
    deprecated : dict of str to tuple of str
        As given.
    notations : dict of str to str
        As given.

    Raises
    ------
    ValueError
        If there is no concept, an id is empty, or an id is used that is no concept.
    TypeError
        If ids or names are not strings.

    See Also
    --------
    ConceptGraph : What `graph` makes.

    Notes
    -----
    A cycle of parents is no error here, since names and other names can be used without them; `graph` refuses it.

    Examples
    --------
    >>> from xclassic import Vocabulary
    >>> vocabulary = Vocabulary(
    ...     {"c1": {"en": "drinks", "de": "Getränke"}, "c2": {"en": "tea", "de": "Tee"}, "c3": {"en": "brew"}},
    ...     others={"c2": {"en": ["cuppa"]}},
    ...     broader={"c2": ["c1"]},
    ...     deprecated={"c3": ["c2"]},
    ... )
    >>> vocabulary
    Vocabulary(3 concepts, 1 deprecated; languages de, en)
    >>> vocabulary.names("de")
    {'c1': 'Getränke', 'c2': 'Tee'}
    >>> vocabulary.by_name("en").synonyms("en")
    {'tea': ['cuppa', 'brew']}
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        preferred: Names,
        *,
        others: OtherNames | None = None,
        broader: Mapping[str, Sequence[str]] | None = None,
        deprecated: Mapping[str, Sequence[str]] | None = None,
        notations: Mapping[str, str] | None = None,
        unknown: str = "raise",
    ) -> None:
        check_choice("unknown", unknown, ("raise", "drop"))
        self.ids = tuple(_mapping("preferred", preferred, "of the names of each concept"))
        if not self.ids:
            raise ValueError("preferred is empty; a vocabulary needs at least one concept.")
        if "" in self.ids:
            raise ValueError("A concept has an empty id; give it one, such as its URI.")
        known = set(self.ids)
        self.preferred = {
            concept: {
                language: name
                for language, names in _by_language("preferred", concept, by_language).items()
                if (name := _name(concept, names))
            }
            for concept, by_language in preferred.items()
        }
        self.others = {
            concept: self._others(concept, by_language)
            for concept, by_language in _of_concepts("others", others, known).items()
        }
        self.others = {concept: names for concept, names in self.others.items() if names}
        self.broader = _related("broader", broader, known, unknown)
        self.broader = {concept: parents for concept, parents in self.broader.items() if parents}
        self.deprecated = _related("deprecated", deprecated, known, unknown)
        self.notations = dict(_of_concepts("notations", notations, known))
        for text in (*self.ids, *self.notations.values()):
            if not isinstance(text, str):
                raise TypeError(f"An id or a notation is {text!r}; they are strings.")
        self.languages = tuple(sorted({language for names in self.preferred.values() for language in names}))

    def _others(self, concept: str, by_language: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
        found = {}
        for language, names in _by_language("others", concept, by_language).items():
            if not _is_list(names):
                raise TypeError(f"others of {concept!r} are {names!r}; pass a list of names, [name] for one.")
            different = dict.fromkeys(_name(concept, name) for name in names)
            different.pop("", None)
            different.pop(self.preferred[concept].get(language, ""), None)
            if different:
                found[language] = tuple(different)
        return found

    # Names

    def names(self, language: str | None = None) -> dict[str, str]:
        """Return the preferred name of each concept, without deprecated concepts.

        Parameters
        ----------
        language : str, optional
            One of `languages`; may be left out if there is only one.

        Returns
        -------
        dict of str to str
            Names by id, of the concepts that have one in this language.

        Raises
        ------
        ValueError
            If there are no names in this language, or several languages and none is named.
        """
        language = self._language(language)
        return {
            concept: self.preferred[concept][language]
            for concept in self.current
            if language in self.preferred[concept]
        }

    def synonyms(self, language: str | None = None) -> dict[str, list[str]]:
        """Return the other names of each concept, without deprecated concepts.

        Parameters
        ----------
        language : str, optional
            One of `languages`; may be left out if there is only one.

        Returns
        -------
        dict of str to list of str
            By id, of the concepts that have a preferred name and others in this language. Names of deprecated concepts
            are further names of what replaces them.

        Raises
        ------
        ValueError
            If there are no names in this language, or several languages and none is named.

        Examples
        --------
        >>> vocabulary = Vocabulary({"c1": {"en": "tea"}, "c2": {"en": "brew"}}, deprecated={"c2": ["c1"]})
        >>> vocabulary.synonyms()
        {'c1': ['brew']}
        """
        language = self._language(language)
        names = self.names(language)
        found = {concept: dict.fromkeys(self.others.get(concept, {}).get(language, ())) for concept in names}
        for old in self.deprecated:
            former = [*filter(None, [self.preferred[old].get(language)]), *self.others.get(old, {}).get(language, ())]
            for concept in self._replacements[old]:
                if concept in names:
                    found[concept].update(dict.fromkeys(name for name in former if name != names[concept]))
        return {concept: list(others) for concept, others in found.items() if others}

    def _language(self, language: str | None) -> str:
        if language is None and len(self.languages) == 1:
            return self.languages[0]
        if language not in self.languages:
            if not self.languages:
                raise ValueError("No concept has a preferred name; call concepts by their ids.")
            found = (
                "There are names in several languages" if language is None else f"There are no names in {language!r}"
            )
            there = ", ".join(map(repr, self.languages))
            raise ValueError(f"{found}; pass one of those that the vocabulary has: {there}.")
        return language

    # Concepts

    @cached_property
    def current(self) -> tuple[str, ...]:
        """The concepts that are not deprecated, in the order of `ids`."""
        return tuple(concept for concept in self.ids if concept not in self.deprecated)

    def by_name(self, language: str | None = None, *, shared: str = "raise") -> Vocabulary:
        """Return the vocabulary with names in place of ids, for data whose labels are names.

        Parameters
        ----------
        language : str, optional
            One of `languages`; may be left out if there is only one.
        shared : {"raise", "keep"}, default="raise"
            What becomes of current concepts that share a name: an error that names them, or they keep their ids.

        Returns
        -------
        Vocabulary
            Concepts without a name in this language keep their ids, and so do deprecated ones whose name another
            concept has.

        Raises
        ------
        ValueError
            If concepts share a name, there are no names in this language, or several languages and none is named.

        Examples
        --------
        >>> vocabulary = Vocabulary({"c1": {"en": "drinks"}, "c2": {"en": "tea"}}, broader={"c2": ["c1"]})
        >>> vocabulary.by_name("en").graph().ancestors(1)
        ('drinks',)
        """
        language = self._language(language)
        names = {concept: names[language] for concept, names in self.preferred.items() if language in names}
        return self._renamed(names, "name", shared)

    def by_notation(self, *, shared: str = "raise") -> Vocabulary:
        """Return the vocabulary with notations in place of ids, for data whose labels are codes.

        Parameters
        ----------
        shared : {"raise", "keep"}, default="raise"
            What becomes of current concepts that share a notation: an error that names them, or they keep their ids.

        Returns
        -------
        Vocabulary
            Concepts without a notation keep their ids.

        Raises
        ------
        ValueError
            If concepts share a notation, or none has one.
        """
        if not self.notations:
            raise ValueError("No concept has a notation; call concepts by their ids, or by_name.")
        return self._renamed(self.notations, "notation", shared)

    def _renamed(self, new: Mapping[str, str], what: str, shared: str) -> Vocabulary:
        check_choice("shared", shared, ("raise", "keep"))
        having: dict[str, list[str]] = {}
        for concept in self.current:
            having.setdefault(new.get(concept, concept), []).append(concept)
        clashes = {name: concepts for name, concepts in having.items() if len(concepts) > 1}
        if clashes and shared == "raise":
            shown = [f"{name!r}, of {' and '.join(map(repr, clashes[name]))}" for name in list(clashes)[:3]]
            raise ValueError(
                f"{len(clashes)} times concepts share a {what} (first: {'; '.join(shown)}). Call concepts by their "
                'ids, or pass shared="keep", with which these keep their ids.'
            )
        called = {
            concept: name if len(concepts) == 1 else concept
            for name, concepts in having.items()
            for concept in concepts
        }
        taken = set(called.values())
        for old in self.deprecated:
            free = [name for name in (new.get(old, old), old) if name not in taken]
            if not free:
                raise ValueError(
                    f"The deprecated concept {old!r} cannot keep its id, which is a {what} of another; call concepts "
                    "by their ids."
                )
            called[old] = free[0]
            taken.add(free[0])
        return Vocabulary(
            {called[concept]: self.preferred[concept] for concept in self.ids},
            others={called[concept]: names for concept, names in self.others.items()},
            broader={called[concept]: [called[name] for name in parents] for concept, parents in self.broader.items()},
            deprecated={called[old]: [called[name] for name in by] for old, by in self.deprecated.items()},
            notations={called[concept]: notation for concept, notation in self.notations.items()},
        )

    def graph(self, labels: Sequence[str] | None = None) -> ConceptGraph:
        """Return the concepts with their parents.

        Parameters
        ----------
        labels : sequence of str, optional
            The concepts that are labels, as in ``classes_`` of an estimator; by default the current ones in their
            order.

        Returns
        -------
        ConceptGraph
            Of all concepts, also deprecated ones.

        Raises
        ------
        ValueError
            If parents form a cycle, which the message names, or a label is no concept.
        """
        above = {concept: self.broader.get(concept, ()) for concept in self.ids}
        return ConceptGraph(above, self.current if labels is None else list(labels))

    def replace_deprecated(self, labels: Iterable[Iterable[str]]) -> list[list[str]]:
        """Return label lists in which deprecated concepts give way to those that replace them.

        Parameters
        ----------
        labels : iterable of iterables of str
            Labels of each row. Those that are no concepts stay as they are.

        Returns
        -------
        list of list of str
            Each label once per row. A deprecated concept that nothing replaces stays.

        Raises
        ------
        TypeError
            If the labels of a row are one string.

        Examples
        --------
        >>> vocabulary = Vocabulary({"c1": {}, "c2": {}}, deprecated={"c2": ["c1"]})
        >>> vocabulary.replace_deprecated([["c2", "c1"], ["c2", "other"]])
        [['c1'], ['c1', 'other']]
        """
        rows = []
        for row, given in enumerate(labels):
            if not _is_list(given):
                raise TypeError(f"Row {row} is {given!r}; pass a list of labels for each row, [label] for one.")
            replaced = [new for label in given for new in self._replacements.get(label) or (label,)]
            rows.append(list(dict.fromkeys(replaced)))
        return rows

    @cached_property
    def _replacements(self) -> dict[str, tuple[str, ...]]:
        """For each deprecated concept the current ones that replace it, at once or by way of other deprecated ones."""
        found = {}
        for old in self.deprecated:
            seen, waiting, current = {old}, list(self.deprecated[old]), dict[str, None]()
            while waiting:
                concept = waiting.pop(0)
                if concept not in self.deprecated:
                    current[concept] = None
                elif concept not in seen:
                    seen.add(concept)
                    waiting += self.deprecated[concept]
            found[old] = tuple(current)
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        parts = ("ids", "preferred", "others", "broader", "deprecated", "notations")
        return all(getattr(self, part) == getattr(other, part) for part in parts)

    def __repr__(self) -> str:
        shown = ", ".join(language or "''" for language in self.languages) or "none"
        return f"Vocabulary({len(self.ids)} concepts, {len(self.deprecated)} deprecated; languages {shown})"


def _name(concept: str, name: str) -> str:
    """Return a name with single blanks."""
    if not isinstance(name, str):
        raise TypeError(f"A name of {concept!r} is {name!r}; names are strings.")
    return " ".join(name.split())


def _mapping(what: str, given: Any, wanted: str) -> Mapping[Any, Any]:
    if not isinstance(given, Mapping):
        raise TypeError(f"{what} is {given!r}, a {type(given).__name__}; pass a dict {wanted}.")
    return given


def _by_language(what: str, concept: Any, given: Any) -> Mapping[str, Any]:
    return _mapping(f"{what} of {concept!r}", given, "of names by language, such as {'en': ...}, or {} for none")


def _is_list(names: Any) -> bool:
    return isinstance(names, Iterable) and not isinstance(names, (str, bytes))


def _of_concepts(what: str, given: Mapping[str, Given] | None, known: set[str]) -> dict[str, Given]:
    found = dict(_mapping(what, given or {}, "by concept"))
    strangers = [concept for concept in found if concept not in known]
    if strangers:
        raise ValueError(
            f"{what} holds {len(strangers)} that are no concepts (first: {strangers[:3]}); add them to preferred, with "
            "{} if they have no names."
        )
    return found


def _related(
    what: str, given: Mapping[str, Sequence[str]] | None, known: set[str], unknown: str
) -> dict[str, tuple[str, ...]]:
    """Return the concepts that each concept of a mapping leads to."""
    found = {}
    strangers: list[tuple[str, str]] = []
    for concept, names in _of_concepts(what, given, known).items():
        if not _is_list(names):
            raise TypeError(f"{what} of {concept!r} is {names!r}; pass a list of ids, [id] for one.")
        strangers += [(name, concept) for name in names if name not in known]
        found[concept] = tuple(dict.fromkeys(name for name in names if name in known))
    if strangers and unknown == "raise":
        name, concept = strangers[0]
        raise ValueError(
            f"{what} leads {len(strangers)} times to what is no concept of the vocabulary (first: {name!r}, from "
            f'{concept!r}). Add them, or pass unknown="drop", which leaves such steps out.'
        )
    return found
