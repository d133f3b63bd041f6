"""What `load` leaves unchecked is checked before its first use, and an error names the model and not the rows."""

import shutil

import numpy as np
import pytest

from tests.golden import write
from tests.helpers.folders import edit_header, file_of, read_header, replace_array
from xclassic import ModelFileError, load

FOLDERS = sorted(folder.name for folder in write.GOLDEN.glob("format-1/*") if (folder / "answers.npz").exists())


@pytest.mark.parametrize("name", [name for name in FOLDERS if not name.startswith(write.NEEDS_TORCH)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_found_before_their_first_use(tmp_path, name, value):
    folder = tmp_path / name
    shutil.copytree(write.GOLDEN / "format-1" / name, folder)
    rows, damaged = write.read_rows(folder), 0
    for key, entry in read_header(folder)["arrays"].items():
        if "f" not in entry["dtype"] or 0 in entry["shape"]:
            continue
        whole = np.load(file_of(folder, key))
        array = whole.copy()
        array.flat[-1] = value
        replace_array(folder, key, array)
        with pytest.raises(ModelFileError):
            write.answers(load(folder), rows)
        replace_array(folder, key, whole)
        damaged += 1
    assert damaged > 0


@pytest.mark.parametrize(
    ("name", "parameter"),
    [("KNN", "n_neighbors"), ("SLEEC", "n_neighbors"), ("AnnexML", "n_neighbors"), ("PfastreXML", "candidates"),
     ("CompressedSensing", "n_positives"), ("Bonsai", "beam"), ("Blend", "n_candidates")],
)  # fmt: skip
def test_numbers_of_a_header_take_no_memory(tmp_path, name, parameter):
    """Arrays of so many entries for each row would take more than a test may have."""
    folder = tmp_path / name
    shutil.copytree(write.GOLDEN / "format-1" / name, folder)
    rows = write.read_rows(folder)
    edit_header(folder, lambda header: header["params"].update({parameter: 2**31 - 1}))
    assert write.answers(load(folder), rows)["counts"].shape == (rows.shape[0],)


def test_classes_are_checked_at_once(tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(write.GOLDEN / "format-1" / "DiSMEC", folder)
    classes = np.load(file_of(folder, "classes_"))
    replace_array(folder, "classes_", classes[::-1])
    with pytest.raises(ModelFileError, match="not in increasing order"):
        load(folder)
    broken = classes.copy()
    broken.view(np.uint32)[-1] = 0x110000
    replace_array(folder, "classes_", broken)
    with pytest.raises(ModelFileError, match="text that is no text"):
        load(folder)
