"""SKOS in Turtle and RDF/XML, read by rdflib: nothing is fetched, and what a file may expand to is bounded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.parsers import expat

from xclassic.datasets import DataFileError
from xclassic.datasets._files import open_data, read_lines
from xclassic.taxonomy.vocabulary import Vocabulary

SKOS = "http://www.w3.org/2004/02/skos/core#"
DCT = "http://purl.org/dc/terms/"
TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
DEPRECATED = "http://www.w3.org/2002/07/owl#deprecated"
CONCEPT = f"{SKOS}Concept"
# In SKOS-XL names are things of their own, which have the strings.
SKOS_XL = "http://www.w3.org/2008/05/skos-xl#"
LITERAL_FORM = f"{SKOS_XL}literalForm"
NAMES = ("prefLabel", "altLabel", "hiddenLabel")
# What is kept of a file, so that memory is taken by names and steps alone.
READ = {
    TYPE, DEPRECATED, LITERAL_FORM, f"{DCT}isReplacedBy", f"{DCT}replaces",
    *(f"{SKOS}{name}" for name in (*NAMES, "broader", "narrower", "notation")), *(f"{SKOS_XL}{name}" for name in NAMES),
}  # fmt: skip
BASE = "http://relative.invalid/"  # Of relative ids, which are returned as they are written.
LONGEST_ENTITY = 200  # Characters. Files use entities for the names of namespaces.

Statements = dict[str, list[tuple[Any, Any]]]


def read_skos(path: Path, form: str, unknown: str) -> Vocabulary:
    """Read a SKOS file.

    Parameters
    ----------
    path : path
        Plain or compressed.
    form : {"turtle", "rdfxml"}
    unknown : {"raise", "drop"}
        See `Vocabulary`.

    Raises
    ------
    DataFileError
        If the file is not well-formed, has entities other than short ones, or has no concept.
    ModuleNotFoundError
        If rdflib is not installed.
    """
    if form == "turtle":
        text: str | bytes = "".join(read_lines(path))
    else:
        with open_data(path) as stream:
            text = stream.read()
        _check_xml(path, text)
    return _vocabulary(path, _statements(path, text, form), unknown)


def _check_xml(path: Path, text: bytes) -> None:
    """Refuse what is not well-formed, and entities that lead outside or to others: text could grow without bounds."""

    def refuse_entities(name: str, is_parameter: bool, value: str | None, *outside: Any) -> None:
        if is_parameter or value is None or "&" in value or len(value) > LONGEST_ENTITY:
            raise DataFileError(
                path,
                f"it declares the entity {name!r}, which leads outside the file, holds other entities or is longer "
                f"than {LONGEST_ENTITY} characters; accepted are short ones, as for namespaces. Write out what it "
                "stands for",
                parser.CurrentLineNumber,
            )

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = refuse_entities
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise DataFileError(
            path, f"the XML is not well-formed ({expat.ErrorString(error.code)})", error.lineno
        ) from error


def _statements(path: Path, text: str | bytes, form: str) -> Statements:
    """Return subjects and values of the properties that are read."""
    try:
        from rdflib import Graph, URIRef
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "SKOS is read by rdflib; install it with: pip install 'xclassic[skos]'.", name=error.name
        ) from error
    found: Statements = {name: [] for name in READ}

    class Collected(Graph):
        def add(self, triple: Any) -> Any:
            subject, name, value = triple
            if str(name) == LITERAL_FORM:  # Of a name, which needs no URI.
                found[LITERAL_FORM].append((subject, value))
            elif isinstance(subject, URIRef) and str(name) in found:
                found[str(name)].append((_id(subject), value))
            return self

    try:
        Collected().parse(data=text, format="turtle" if form == "turtle" else "xml", publicID=BASE)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # A parser may fail in any way at what strangers have written.
        raise _broken(path, error, form) from error
    _resolve_names(found)
    return found


def _resolve_names(found: Statements) -> None:
    """Add the strings of names in SKOS-XL to the names of concepts."""
    strings: dict[Any, list[Any]] = {}
    for name, string in found[LITERAL_FORM]:
        strings.setdefault(name, []).append(string)
    for kind in NAMES:
        found[f"{SKOS}{kind}"] += [
            (concept, string) for concept, name in found[f"{SKOS_XL}{kind}"] for string in strings.get(name, ())
        ]


def _broken(path: Path, error: Exception, form: str) -> DataFileError:
    if isinstance(error, RecursionError):
        return DataFileError(path, "its brackets are nested too deeply")
    if form == "turtle":
        line = getattr(error, "lines", None)
        reason = getattr(error, "_why", None) or f"{type(error).__name__}: {error}"
        if isinstance(error, IndexError):  # The parser looks for what would come next.
            reason = "it ends within a statement"
        return DataFileError(path, f"the Turtle cannot be read ({reason})", None if line is None else line + 1)
    return DataFileError(path, f"the RDF/XML cannot be read ({error})")


def _id(value: Any) -> str:
    return str(value).removeprefix(BASE)


def _vocabulary(path: Path, found: Statements, unknown: str) -> Vocabulary:
    concepts = dict.fromkeys(subject for subject, value in found[TYPE] if str(value) == CONCEPT)
    if not concepts:
        raise DataFileError(path, f"no skos:Concept is in it ({CONCEPT}); expected a vocabulary in SKOS")
    preferred: dict[str, dict[str, str]] = {concept: {} for concept in concepts}
    others: dict[str, dict[str, list[str]]] = {}
    # A second preferred name in a language breaks the rules of SKOS; it is one more of the other names.
    for concept, name in sorted(found[f"{SKOS}prefLabel"], key=_text):
        if concept in preferred and preferred[concept].setdefault(_language(name), str(name)) != str(name):
            _add(others, concept, name)
    for concept, name in found[f"{SKOS}altLabel"] + found[f"{SKOS}hiddenLabel"]:
        if concept in preferred:
            _add(others, concept, name)
    deprecated: dict[str, list[str]] = {
        concept: [] for concept, value in found[DEPRECATED] if str(value).lower() in ("true", "1")
    }
    steps: list[tuple[dict[str, list[str]], str, Callable[[str, str], tuple[str, str]]]]
    broader: dict[str, list[str]] = {}
    steps = [
        (broader, f"{SKOS}broader", lambda subject, value: (subject, value)),
        (broader, f"{SKOS}narrower", lambda subject, value: (value, subject)),
        (deprecated, f"{DCT}isReplacedBy", lambda subject, value: (subject, value)),
        (deprecated, f"{DCT}replaces", lambda subject, value: (value, subject)),
    ]
    for relation, name, ordered in steps:
        for subject, value in found[name]:
            concept, other = ordered(subject, _id(value))
            relation.setdefault(concept, []).append(other)
    return Vocabulary(
        preferred,
        others=others,
        broader=_of(concepts, broader),
        deprecated=_of(concepts, deprecated),
        notations={concept: str(value) for concept, value in found[f"{SKOS}notation"][::-1] if concept in concepts},
        unknown=unknown,
    )


def _add(others: dict[str, dict[str, list[str]]], concept: str, name: Any) -> None:
    others.setdefault(concept, {}).setdefault(_language(name), []).append(str(name))


def _of(concepts: dict[str, None], relation: dict[str, list[str]]) -> dict[str, list[str]]:
    return {concept: relation[concept] for concept in concepts if concept in relation}


def _language(name: Any) -> str:
    return (getattr(name, "language", None) or "").lower()


def _text(statement: tuple[str, Any]) -> str:
    return str(statement[1])
