"""Text that a terminal shows and does not obey."""

from __future__ import annotations

import json
import re
from typing import Any

# Control characters, other breaks of lines, and halves of characters, which have no encoding.
CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
_CONTROL = re.compile(f"[{CONTROLS}]")


def printable(text: str) -> str:
    """Return a text with control characters and halves of characters spelled as in JSON."""
    return _CONTROL.sub(spelled, text)


def spelled(found: re.Match[str]) -> str:
    """Return what was found as JSON spells it."""
    return json.dumps(found[0])[1:-1]


def to_json(value: Any) -> str:
    """Return JSON in one line, with letters of all scripts as they are."""
    return printable(json.dumps(value, ensure_ascii=False, default=str))
