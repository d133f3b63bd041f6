"""The terms of a fitted TextFeatures as arrays and metadata of a model folder, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xclassic.features.analyzers import UnknownAnalyzerError
from xclassic.features.terms import KINDS, WORDS, Cut, Terms, stored_terms
from xclassic.features.text_parameters import check_lengths
from xclassic.storage.folder import Arrays, ModelFileError
from xclassic.storage.models import Metadata
from xclassic.validation.parameters import check_choice

CutOf = Callable[[str, tuple[int, int], str], Cut]


def text_arrays(blocks: list[tuple[str, Terms]]) -> tuple[Arrays, Metadata]:
    """Return the arrays and metadata of terms with their fields."""
    arrays: Arrays = {}
    settings = []
    for i, (field, terms) in enumerate(blocks):
        arrays[f"idf{i}"] = terms.idf
        if terms.strings is not None:
            arrays[f"terms{i}"], arrays[f"terms{i}.ends"] = terms.strings
        cut = terms.cut
        settings.append([field, cut.kind, list(cut.lengths), terms.sublinear_tf, cut.words])
    return arrays, {"blocks": settings}


def stored_blocks(arrays: Arrays, metadata: Metadata, fields: Sequence[str], cut_of: CutOf) -> dict[str, list[Terms]]:
    """Return the terms of each field after all checks."""
    found: dict[str, list[Terms]] = {field: [] for field in fields}
    # A preset may have changed since the fit; the fitted settings are in the metadata.
    for i, (field, kind, (shortest, longest), sublinear_tf, *words) in enumerate(metadata["blocks"]):
        check_choice("analyzer", kind, KINDS)
        check_lengths("ngram_range", (shortest, longest))
        pattern = words[0] if words else "long"
        check_choice("words", pattern, WORDS)
        try:
            cut = cut_of(kind, (shortest, longest), pattern)
        except UnknownAnalyzerError as error:
            raise ModelFileError(str(error)) from error
        idf, strings = stored_terms(arrays, str(i), hashed=cut.n_hashed is not None)
        if cut.n_hashed not in (None, idf.size):
            raise ModelFileError(f"The model has {idf.size} columns of hashed terms, but n_hashed={cut.n_hashed}.")
        found[field].append(Terms(cut, sublinear_tf is True, idf, strings))
    if not all(found.values()):
        raise ModelFileError(f"The model lacks the vocabulary of one of the fields {', '.join(fields)}.")
    return found
