"""Models that earlier versions wrote are read, and say what they said; `golden/write.py` made them."""

import json

import numpy as np
import pytest

from tests.golden import write
from xclassic import load
from xclassic.storage import registry

GOLDEN = write.GOLDEN

FOLDERS = sorted(folder for folder in GOLDEN.glob("format-*/*") if (folder / "answers.npz").exists())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_golden_models_predict_as_they_did(folder):
    if folder.name.startswith(write.NEEDS_TORCH):
        pytest.importorskip("transformers")
    if folder.name == "LabelMatcher":
        pytest.importorskip("ahocorasick_rs")
    found = write.answers(load(folder, verify="full"), write.read_rows(folder))
    with np.load(folder / "answers.npz") as expected:
        assert found.keys() == set(expected)
        for name, array in found.items():
            if array.dtype.kind == "f":
                np.testing.assert_allclose(array, expected[name], atol=1e-5, err_msg=name)
            else:
                np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_golden_models_cover_every_class_that_a_folder_can_hold():
    held = {json.loads((folder / "model.json").read_text())["class"] for folder in FOLDERS}
    assert held == {
        *registry.known_names(), "Pipeline", "FeatureUnion",
    }  # fmt: skip
