"""What all fuzzers share: how many tries, each with a seed of its own, and values that nobody expects."""

import os
from copy import deepcopy
from random import Random

SEED = int(os.environ.get("XCLASSIC_FUZZ_SEED", "0"))
# Tries per test in place of the test's own few, for `make fuzz`.
TRIES = int(os.environ.get("XCLASSIC_FUZZ_TRIES", "0"))

ODD_VALUES = (
    None, True, False, 0, 1, -1, 2, 7, 255, 2**31 - 1, 2**31, 2**32, 2**63, 10**400, 0.0, -0.5, 1e-300, 1e39, 1e308, "",
    "x", "None", "é" * 50, "\ud800", [], [0], [None], {}, {"tuple": []}, {"tuple": [1, "a"]}, [[[[]]]],
)  # fmt: skip


def chances(name, tries):
    """Yield the number of each try and its source of chance; both are the same in every run with the same seed."""
    for number in range(TRIES or tries):
        yield number, Random(f"{SEED} {name} {number}")


def flip_bits(chance, content):
    """Return bytes with one to three bits flipped, often near the start, where headers and first offsets are."""
    damaged = bytearray(content)
    reach = min(len(damaged), chance.choice([300, len(damaged)]))
    for _ in range(chance.randint(1, 3)):
        damaged[chance.randrange(reach)] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def places(value, path=()):
    """Yield the path of every value inside JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def change_json(chance, value):
    """Put an odd value or a copy of another in the place of a value inside JSON, or remove it; say what was done."""
    path = chance.choice(list(places(value)))
    owner = value
    for key in path[:-1]:
        owner = owner[key]
    if chance.random() < 0.2:
        del owner[path[-1]]
        return f"{path} removed"
    new = chance.choice(ODD_VALUES)
    if chance.random() < 0.2:
        new = value
        for key in chance.choice(list(places(value))):
            new = new[key]
    owner[path[-1]] = deepcopy(new)
    return f"{path} = {new!r}"
