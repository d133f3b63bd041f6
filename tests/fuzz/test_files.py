"""Damaged data files."""

import json

import numpy as np
import pytest
from hypothesis import given
from scipy.sparse import issparse, save_npz

from tests.helpers.contract import block_diagonal
from tests.helpers.odd_inputs import damaged, fuzz, is_refusal, outcome
from xclassic.datasets import read_npz, read_records, read_split, read_texts, read_xmc, write_xmc

pytestmark = pytest.mark.long
X, Y = block_diagonal(12)
ROWS = [
    {"text": "tea, or coffee", "labels": ["drink", "hot"]},
    {"text": None, "labels": []},
    {"text": "ünder", "labels": ["x"]},
]


def written(folder, name):
    """Return the bytes of a sound file."""
    path = folder / name
    if name == "a.txt":
        write_xmc(path, X, Y)
    elif name == "a.npz":
        save_npz(path, X)
    elif name == "a.npy":
        np.save(path, X.toarray())
    elif name == "a.jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif name == "a.csv":
        path.write_text('text,labels\n"tea, or coffee","drink,hot"\n,\nünder,x\n', encoding="utf8")
    else:
        path.write_text("1 2\n2 1\n3 3\n")
    return path.read_bytes()


def read_xmc_file(path):
    features, labels = read_xmc(path)
    return [features, labels]


READERS = {
    "a.txt": read_xmc_file,
    "a.npz": lambda path: [read_npz(path)[0]],
    "a.npy": lambda path: [read_npz(path)[0]],
    "a.jsonl": lambda path: [read_texts(path), read_records(path)],
    "a.csv": lambda path: [read_texts(path), read_records(path)],
    "split.txt": lambda path: [read_split(path)],
}


@pytest.mark.parametrize("name", READERS)
def test_damaged_files(name, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    content, path = written(folder, name), folder / f"damaged-{name}"

    @fuzz(150)
    @given(changed=damaged(content))
    def read(changed):
        path.write_bytes(changed)
        found = outcome(READERS[name], path)
        if is_refusal(found):
            assert path.name in str(found)
            return
        for part in found:
            if issparse(part):
                part.check_format(full_check=True)
                assert np.isfinite(part.data).all()

    read()
