"""Model folders that are damaged in every way that chance finds: the predictions stay the same, or `load` refuses them.

A failure names folder, try and damage; XCLASSIC_FUZZ_SEED and XCLASSIC_FUZZ_TRIES repeat it, or look further.
"""

import importlib.util
import json
import shutil

import numpy as np
import pytest

from tests.golden import write
from tests.helpers.folders import edit_header, file_of, read_header, replace_array
from tests.helpers.fuzz import chances, change_json, flip_bits
from xclassic import ModelFileError, load
from xclassic.storage.folder import HEADER

pytestmark = pytest.mark.long

FOLDERS = sorted(folder for folder in write.GOLDEN.glob("format-*/*") if (folder / "answers.npz").exists())
if importlib.util.find_spec("transformers") is None:
    FOLDERS = [folder for folder in FOLDERS if not folder.name.startswith(write.NEEDS_TORCH)]
every_folder = pytest.mark.parametrize("golden", FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")


class Patient:
    """A copy of a model folder that heals: the files of the model, its rows, and what it says of them."""

    def __init__(self, golden, folder):
        shutil.copytree(golden, folder)
        self.folder, self.rows = folder, write.read_rows(folder)
        edit_header(folder, lambda header: header.update(format=2))  # Format 1 has no checksum of the header.
        files = [HEADER, *(entry["file"] for entry in read_header(folder)["arrays"].values())]
        self.contents = {name: (folder / name).read_bytes() for name in files}
        self.expected = write.answers(load(folder, verify="full"), self.rows)

    def put(self, name, content):
        """Write a file anew: an older model may still have the old one mapped."""
        (self.folder / name).unlink(missing_ok=True)
        (self.folder / name).write_bytes(content)

    def heal(self):
        for name, content in self.contents.items():
            self.put(name, content)


@pytest.fixture
def patient(golden, tmp_path):
    return Patient(golden, tmp_path / golden.name)


def damage_file(chance, patient):
    """Cut a file, swap it with another, or flip some of its bits; return what was done."""
    name = chance.choice(sorted(patient.contents))
    content = patient.contents[name]
    kind = chance.choice(["cut", "swapped", "flipped", "gone"])
    if kind == "gone":
        (patient.folder / name).unlink()
        return f"{name} gone"
    if kind == "swapped":
        content = patient.contents[chance.choice(sorted(patient.contents))]
    elif kind == "cut":
        content = content[: chance.randrange(len(content))]
    else:
        content = flip_bits(chance, content)
    patient.put(name, content)
    return f"{name} {kind}"


def damage_header(chance, patient):
    header = json.loads(patient.contents[HEADER])
    done = change_json(chance, header)
    patient.put(HEADER, json.dumps(header).encode())
    return done


@every_folder
def test_damaged_folders_predict_the_same_or_are_refused(golden, patient):
    refused = 0
    for number, chance in chances(golden.name, 40):
        done = chance.choice([damage_file, damage_file, damage_header])(chance, patient)
        try:
            model = load(patient.folder, mmap=chance.random() < 0.5, verify="full")
            found = write.answers(model, patient.rows)
        except ModelFileError:
            refused += 1
        else:
            for name, array in patient.expected.items():
                np.testing.assert_array_equal(found[name], array, err_msg=f"try {number}: {done}")
        patient.heal()
    assert refused > 0


def forge_array(chance, patient):
    """Change an array and give it a checksum that fits; return what was done."""
    header = read_header(patient.folder)
    name = chance.choice(sorted(header["arrays"]))
    content = patient.contents[header["arrays"][name]["file"]]
    if file_of(patient.folder, name).suffix != ".npy":
        content = flip_bits(chance, content) if chance.random() < 0.8 else content[: chance.randrange(len(content))]
        replace_array(patient.folder, name, content)
        return f"{name} flipped or cut"
    array = np.load(file_of(patient.folder, name))
    kind = chance.choice(["bits", "bits", "short", "reversed", "zero", "wide"])
    if kind == "bits" and array.nbytes:
        array = np.frombuffer(flip_bits(chance, array.tobytes()), array.dtype).reshape(array.shape)
    elif kind == "short" and array.ndim:
        array = array[: chance.randrange(len(array) + 1)]
    elif kind == "reversed" and array.ndim:
        array = array[::-1]
    elif kind == "zero":
        array = np.zeros_like(array)
    elif kind == "wide" and array.dtype.kind in "iuf":
        array = array.astype(np.float64 if array.dtype.kind == "f" else np.int64)
    replace_array(patient.folder, name, array)
    return f"{name} {kind}"


def forge_header(chance, patient):
    header = read_header(patient.folder)
    changed = {key: value for key, value in header.items() if key not in ("format", "crc32")}
    done = change_json(chance, changed)
    (patient.folder / HEADER).write_text(json.dumps(changed | {"format": 2}))
    edit_header(patient.folder, lambda _: None)
    return done


def outcome(function, *arguments, **options):
    """Return what a call returns, or the error that it raises."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        return error


def is_about_the_rows(error):
    """Tell whether an error may be that of a model which was fitted on other rows."""
    words = ("features", "not finite", "NaN", "infinity", "has no field", "X has", "X holds", "X[")
    return isinstance(error, (ValueError, TypeError)) and any(word in str(error) for word in words)


@every_folder
@pytest.mark.filterwarnings("ignore")  # Forged weights overflow.
def test_forged_folders_predict_something_or_are_refused(golden, patient):
    """Checksums fit, as those of somebody who makes a folder to harm: no crash, and no error that is another's."""
    for number, chance in chances(golden.name, 40):
        done = outcome(chance.choice([forge_array, forge_header]), chance, patient)
        if not isinstance(done, Exception):  # Half a character cannot be written, nor an array whose entry is gone.
            model = outcome(load, patient.folder, mmap=chance.random() < 0.5, verify=chance.choice(["lazy", "full"]))
            assert not isinstance(model, Exception) or isinstance(model, ModelFileError), (number, done, model)
            if not isinstance(model, Exception):
                found = outcome(write.answers, model, patient.rows)
                fits = isinstance(found, (dict, ModelFileError)) or is_about_the_rows(found)
                assert fits, (number, done, found)
        patient.heal()
