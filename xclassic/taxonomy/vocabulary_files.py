"""Vocabularies from files: SKOS, and tables as Annif has them and with columns of ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from xclassic.datasets import DataFileError
from xclassic.datasets._files import read_lines
from xclassic.datasets.texts import first_line, numbered_records, suffix_of
from xclassic.taxonomy.skos import read_skos
from xclassic.taxonomy.vocabulary import Vocabulary
from xclassic.validation.parameters import check_choice

FORMATS_BY_SUFFIX = {
    ".ttl": "turtle", ".nt": "turtle", ".rdf": "rdfxml", ".xml": "rdfxml", ".owl": "rdfxml", ".skos": "rdfxml",
    ".tsv": "tsv", ".csv": "csv",
}  # fmt: skip
FORMATS = ("turtle", "rdfxml", "tsv", "csv")
IDS = ("uri", "id")  # Names of the first column.
COLUMN = re.compile(r"(?P<kind>label|other)(?:_(?P<language>[A-Za-z0-9-]+))?|broader|notation|deprecated|replaced_by")
SEPARATOR = "|"
TRUE, FALSE = ("true", "1", "yes"), ("", "false", "0", "no")

Row = tuple[int, Mapping[str, str]]


def read_vocabulary(path: str | os.PathLike[str], *, format: str | None = None, unknown: str = "raise") -> Vocabulary:
    """Read the concepts of a vocabulary from a file in UTF-8, plain or compressed with gzip, xz or bzip2.

    Parameters
    ----------
    path : path
        SKOS in Turtle or RDF/XML, for which the extra ``skos`` installs rdflib, or a table.
    format : {"turtle", "rdfxml", "tsv", "csv"}, optional
        By default the suffix tells it (``.ttl``, ``.nt``, ``.rdf``, ``.xml``, ``.owl``, ``.skos``, ``.tsv``,
        ``.csv``, before ``.gz``, ``.xz`` or ``.bz2``), or else the first line.
    unknown : {"raise", "drop"}, default="raise"
        What becomes of parents and replacements that are no concepts of the file: an error, or they are left out.

    Returns
    -------
    Vocabulary
        The concepts in the order of the file.

    Raises
    ------
    DataFileError
        A ValueError that names the file, and the line where there is one: what is not well-formed or not UTF-8, XML
        with entities other than short ones, columns that are unknown or too many, an id that comes twice, a parent that
        is no concept, a file without concepts.
    ModuleNotFoundError
        If the file is SKOS, and rdflib is not installed.
    ValueError
        If there is no such format.

    Notes
    -----
    Of SKOS are read all things of the type ``skos:Concept``: ``prefLabel``, ``altLabel`` and ``hiddenLabel`` with their
    languages in lower case, also as labels of SKOS-XL with a ``literalForm``, ``broader`` and ``narrower``,
    ``notation``, ``owl:deprecated``, and ``isReplacedBy`` and ``replaces`` of Dublin Core, which make the former
    concept a deprecated one. Nothing is fetched from the network. Of several preferred names in one language the first
    as text is taken, and the rest are other names.

    A table has a first line that names its columns: ``uri`` (or ``id``), and any of ``label``, ``label_en`` (preferred
    names, with their language), ``other``, ``other_en`` (other names), ``broader`` (parents), ``notation``,
    ``deprecated`` (``true`` or nothing) and ``replaced_by`` (ids, which also make a concept deprecated). A cell holds
    several names or ids with ``|`` between them. Ids may stand in angle brackets. TSV without a first line of names is
    read as Annif writes it: ``<uri>``, label and notation, of which the last may be missing; a concept without a label
    is deprecated.

    Cost: rdflib reads about 30,000 statements a second; tables take a few seconds for 1,000,000 concepts. Of SKOS only
    what is listed is kept in memory, beside the text of the file.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from xclassic import read_vocabulary
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "drinks.csv")
    ...     _ = file.write_text("id,label_en,other_en,broader\\nc1,drinks,,\\nc2,tea,cuppa|brew,c1\\n")
    ...     vocabulary = read_vocabulary(file)
    >>> vocabulary.synonyms("en"), vocabulary.broader
    ({'c2': ['cuppa', 'brew']}, {'c2': ('c1',)})
    """
    path = Path(os.path.expanduser(path))
    if format is not None:
        check_choice("format", format, FORMATS)
    check_choice("unknown", unknown, ("raise", "drop"))
    form = format or FORMATS_BY_SUFFIX.get(suffix_of(path)) or _format_of_content(path)
    try:
        return read_skos(path, form, unknown) if form in ("turtle", "rdfxml") else _read_table(path, form, unknown)
    except DataFileError:
        raise
    except ValueError as error:
        raise DataFileError(path, str(error)) from error


def _format_of_content(path: Path) -> str:
    line = first_line(path).strip()
    if re.match(r"<\?xml|<!DOCTYPE|<rdf:RDF", line, re.IGNORECASE):
        return "rdfxml"
    if re.match(r"@?(prefix|base)\s", line, re.IGNORECASE) or re.match(r"<[^>\t]*>\s+<", line):
        return "turtle"
    if "\t" in line:
        return "tsv"
    if line.partition(",")[0] in IDS:
        return "csv"
    raise DataFileError(
        path,
        f"neither its name nor its first line tells what it is, which begins with {line[:40]!r}. Accepted are SKOS in "
        f"Turtle or RDF/XML, TSV, and CSV with a first column {' or '.join(IDS)}; format= names one",
    )


def _read_table(path: Path, form: str, unknown: str) -> Vocabulary:
    preferred: dict[str, dict[str, str]] = {}
    others: dict[str, dict[str, list[str]]] = {}
    broader, deprecated, notations = {}, {}, {}
    line_of: dict[str, int] = {}
    names_columns = form == "csv" or first_line(path).split("\t")[0].strip() in IDS
    for line, row in _rows(path, form) if names_columns else _rows_of_annif(path):
        concept = _id(next((row[name] for name in IDS if name in row), ""))
        if not concept:
            raise DataFileError(path, "there is no id in the first column", line)
        if line_of.setdefault(concept, line) != line:
            raise DataFileError(path, f"the concept {concept!r} is in line {line_of[concept]} already", line)
        preferred[concept], others[concept] = {}, {}
        for column, cell in row.items():
            match = COLUMN.fullmatch(column)
            language = ((match and match["language"]) or "").lower()
            if match and match["kind"] == "label" and cell.strip():
                preferred[concept][language] = cell
            elif match and match["kind"] == "other":
                others[concept][language] = _cells(cell)
        broader[concept] = [_id(cell) for cell in _cells(row.get("broader", ""))]
        replacements = [_id(cell) for cell in _cells(row.get("replaced_by", ""))]
        if replacements or _truth(path, line, row.get("deprecated", "")):
            deprecated[concept] = replacements
        if notation := row.get("notation", "").strip():
            notations[concept] = notation
    if not preferred:
        raise DataFileError(path, "there is no concept in it")
    return Vocabulary(
        preferred, others=others, broader=broader, deprecated=deprecated, notations=notations, unknown=unknown
    )


def _rows(path: Path, form: str) -> Iterator[Row]:
    """Yield the rows of a table whose first line names the columns."""
    checked = False
    for line, row in numbered_records(path, form):
        if not checked:
            _check_columns(path, [name.strip() for name in row])
            checked = True
        yield line, {name.strip(): cell for name, cell in row.items()}


def _check_columns(path: Path, names: list[str]) -> None:
    strange = [name for name in names if name not in IDS and not COLUMN.fullmatch(name)]
    if strange or len(set(IDS) & set(names)) != 1 or len(set(names)) < len(names):
        raise DataFileError(
            path,
            f"its first line names the columns {', '.join(map(repr, names))}; accepted are {' or '.join(IDS)}, and "
            "label or label_en (and other languages), other or other_en, broader, notation, deprecated and "
            "replaced_by, each once",
            1,
        )


def _rows_of_annif(path: Path) -> Iterator[Row]:
    """Yield the rows of a TSV file of ids, labels and notations."""
    for line, text in enumerate(read_lines(path), 1):
        if text.isspace():
            continue
        cells = text.rstrip("\r\n").split("\t")
        if len(cells) > 3:
            raise DataFileError(
                path,
                f"expected 1 to 3 cells (<uri>, label, notation), found {len(cells)}. If the first line shall name the "
                f"columns, let the first one be {' or '.join(IDS)}",
                line,
            )
        label, notation = [*cells[1:], "", ""][:2]
        yield line, {"uri": cells[0], "label": label, "notation": notation, "deprecated": "" if label.strip() else "1"}


def _id(cell: str) -> str:
    return cell.strip().removeprefix("<").removesuffix(">")


def _cells(cell: str) -> list[str]:
    return [part for part in map(str.strip, cell.split(SEPARATOR)) if part]


def _truth(path: Path, line: int, cell: str) -> bool:
    text = cell.strip().lower()
    if text not in (*TRUE, *FALSE):
        raise DataFileError(path, f"deprecated is {cell!r}; accepted are true and false", line)
    return text in TRUE
