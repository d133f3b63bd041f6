"""Tokenizers from model folders: checked for what would take memory without end, before the library parses them."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xclassic.storage.folder import ModelFileError

KEYS = ("version", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model")
COMPONENTS = {
    "normalizer": (
        "BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Prepend",
        "Replace", "Sequence", "Strip", "StripAccents",
    ),
    "pre_tokenizer": (
        "BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace", "Punctuation",
        "Sequence", "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit",
    ),
    "post_processor": ("BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"),
    "decoder": (
        "BPEDecoder", "ByteFallback", "ByteLevel", "CTC", "Fuse", "Metaspace", "Replace", "Sequence", "Strip",
        "WordPiece",
    ),
    "model": ("BPE", "Unigram", "WordLevel", "WordPiece"),
}  # fmt: skip
MEMBERS = ("normalizers", "pretokenizers", "processors", "decoders")  # Keys of the components of a Sequence.
LARGE = ("vocab", "merges", "precompiled_charsmap")  # Fields whose size is that of the file.
MOST_VALUES = 1000  # Values of a component but for its large fields.
MOST_LETTERS = 10_000  # Of a string in them.
HIGHEST = 10**7  # Numbers in them are token ids, types and lengths.
MOST_GROWTH = 1000  # How many times longer a text may become before it is cut into tokens.


def read_tokenizer(content: bytes) -> Any:
    """Return a tokenizer that neither cuts nor pads.

    Parameters
    ----------
    content : bytes
        A ``tokenizer.json``.

    Raises
    ------
    ModelFileError
        If it is damaged, has components of unknown type or numbers out of range, or could make a text too long.
    """
    from tokenizers import Tokenizer

    with tokenizer_errors():
        parts = json.loads(content)
        for name, allowed in COMPONENTS.items():
            if parts.get(name) is not None or name == "model":
                _check_component(name, parts[name], allowed)
        growth = math.prod(
            _growth(part) for name in ("normalizer", "pre_tokenizer") for part in _parts(parts.get(name))
        )
        if growth > MOST_GROWTH:
            raise ValueError(f"it could make a text {growth} times longer; up to {MOST_GROWTH} are read")
        for token in parts["added_tokens"]:
            if type(token["id"]) is not int or not 0 <= token["id"] <= HIGHEST:
                raise ValueError(f"an added token has the id {token['id']!r}")
        return Tokenizer.from_str(json.dumps({key: parts.get(key) for key in KEYS}))


@contextmanager
def tokenizer_errors() -> Iterator[None]:
    """Turn whatever a tokenizer raises into ModelFileError, also a panic of Rust, which is no Exception."""
    try:
        yield
    except (MemoryError, ImportError):
        raise
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise ModelFileError(f"The tokenizer is damaged: {type(error).__name__}: {error}.") from error
        raise


def _check_component(name: str, part: Any, allowed: tuple[str, ...]) -> None:
    if not isinstance(part, dict) or part.get("type") not in allowed:
        kind = part.get("type") if isinstance(part, dict) else part
        raise ValueError(f"its {name} is of type {kind!r}; known are {', '.join(allowed)}")
    values = list(_values(part))
    if len(values) > MOST_VALUES:
        raise ValueError(f"its {name} has more than {MOST_VALUES} fields")
    for value in values:
        if isinstance(value, str) and len(value) > MOST_LETTERS:
            raise ValueError(f"its {name} has a string of {len(value)} characters; up to {MOST_LETTERS} are read")
        if isinstance(value, (int, float)) and not abs(value) <= HIGHEST:
            raise ValueError(f"its {name} has the number {value!r}; up to {HIGHEST} are read")
    for member in _members(part):
        _check_component(name, member, allowed)


def _values(value: Any) -> Iterator[Any]:
    """Yield all values inside a component, but for those of its large fields."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in LARGE:
                yield key
                yield from _values(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner)
    else:
        yield value


def _members(part: dict[str, Any]) -> list[Any]:
    return [member for key in MEMBERS for member in part.get(key, ())]


def _parts(part: Any) -> Iterator[dict[str, Any]]:
    """Yield a component and, of a Sequence, all of its components."""
    if part is not None:
        yield part
        for member in _members(part):
            yield from _parts(member)


def _growth(part: dict[str, Any]) -> int:
    """Return how many times longer a component may make a text."""
    kind = part["type"]
    if kind == "Precompiled":
        return _longest_replacement(base64.b64decode(part["precompiled_charsmap"], validate=True))
    if kind in ("Replace", "Prepend"):
        return len(part.get("content", part.get("prepend", ""))) + (kind == "Prepend") or 1
    return 2 if kind == "ByteLevel" else 1


def _longest_replacement(charsmap: bytes) -> int:
    """Return the length of the longest string of a SentencePiece map: a trie, and the strings that it leads to."""
    size = int.from_bytes(charsmap[:4], "little")
    if size < 4 or size % 4 or 4 + size > len(charsmap):
        raise ValueError(f"its map of characters is to have {size} bytes and has {len(charsmap)}")
    return max(1, *map(len, charsmap[4 + size :].split(b"\0")))
