"""Pieces of a model in the making: what they hold, and what is refused."""

import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from xclassic._kernels.blocks import Cells
from xclassic.storage.folder import ModelFileError
from xclassic.storage.pieces import PieceFolder, read_piece, read_plan, remove_pieces, write_piece

PLAN = {"data": "0123", "parameter C": 1.0, "parameter tree": None, "fit parameters": ["relevance"]}
NUMBERS = some.arrays(
    st.sampled_from([np.bool_, np.int32, np.int64, np.uint16, np.float16, np.float32, np.float64]),
    some.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
LEAVES = NUMBERS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
RESULTS = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


def assert_equal(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape, found.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        assert_equal(list(found.values()), list(expected.values()))
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)
    else:
        assert found == expected


@given(result=RESULTS)
def test_a_piece_is_read_as_it_was_written(result, tmp_path_factory):
    file = tmp_path_factory.mktemp("pieces") / "000-00000.npz"
    write_piece(file, result, PLAN)
    assert_equal(read_piece(file, PLAN), result)
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_cells_of_blocks_are_kept(tmp_path):
    cells = Cells()
    cells.features, cells.masks, cells.values = (
        [np.arange(n, dtype=dtype) for n in (3, 0, 2)] for dtype in (np.int32, np.uint16, np.float32)
    )
    write_piece(tmp_path / "piece.npz", (cells, np.ones(2)), PLAN)
    found, _ = read_piece(tmp_path / "piece.npz")
    assert isinstance(found, Cells)
    assert_equal([found.features, found.masks, found.values], [cells.features, cells.masks, cells.values])


@pytest.mark.parametrize("value", [object(), np.array([None]), {1, 2}, [np.array(["text"])]])
def test_what_a_piece_cannot_hold_is_refused_and_leaves_no_file(value, tmp_path):
    with pytest.raises(TypeError, match="cannot hold"):
        write_piece(tmp_path / "piece.npz", value, PLAN)
    assert not list(tmp_path.iterdir())


def test_every_damaged_byte_is_an_error_or_changes_nothing(tmp_path):
    file = tmp_path / "piece.npz"
    write_piece(file, [np.arange(20, dtype=np.float32), {"seed": 7}], PLAN)
    content = file.read_bytes()
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 0x15]) + content[place + 1 :])
        with suppress(ModelFileError):  # Some bytes nobody reads, such as those of the time of writing.
            assert_equal(read_piece(file), [np.arange(20, dtype=np.float32), {"seed": 7}])
    for end in range(0, len(content), 7):
        file.write_bytes(content[:end])
        with pytest.raises(ModelFileError, match="is damaged"):
            read_piece(file)


@pytest.mark.parametrize(
    ("plan", "name", "differs"),
    [
        (PLAN | {"parameter C": 2.0}, "000-00001.npz", "parameter C is 1.0, here it is 2.0"),
        (PLAN, "000-00002.npz", "file is 000-00001.npz, here it is 000-00002.npz"),
    ],
)
def test_piece_of_another_fit_or_task_is_refused(plan, name, differs, tmp_path):
    write_piece(tmp_path / "000-00001.npz", 7, PLAN)
    (tmp_path / "000-00001.npz").rename(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} is a piece of another fit: its {differs}"):
        read_piece(tmp_path / name, plan)
    assert read_piece(tmp_path / name) == 7


def test_pickled_objects_in_a_piece_are_refused(tmp_path):
    file = tmp_path / "piece.npz"
    np.savez(file, structure=np.array([{"value": 1}], object))
    with pytest.raises(ModelFileError, match="is damaged"):
        read_piece(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("other", b"")
    with pytest.raises(ModelFileError, match="is damaged"):
        read_piece(file)


@pytest.mark.parametrize("content", ["", "{", "[]", "3"])
def test_damaged_plans_are_refused(content, tmp_path):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(ModelFileError, match=r"plan\.json"):
        PieceFolder(tmp_path, {}, 1, None)


def test_only_pieces_are_removed(tmp_path):
    PieceFolder(tmp_path / "kept", {"data": "a"}, 2, 0)
    assert read_plan(tmp_path / "kept") == {"data": "a", "shards": 2}
    write_piece(tmp_path / "kept" / "000-00000.npz", 1, PLAN)
    (tmp_path / "kept" / "000-00001.npz.0123456789abcdef").touch()
    (tmp_path / "kept" / "letter.txt").touch()
    remove_pieces(tmp_path / "kept")
    assert [entry.name for entry in (tmp_path / "kept").iterdir()] == ["letter.txt"]
    (tmp_path / "kept" / "letter.txt").unlink()
    remove_pieces(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    remove_pieces(tmp_path / "kept")
