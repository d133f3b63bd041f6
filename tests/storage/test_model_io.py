"""The model folder: what is stored, what is refused, and that nothing is lost or let in."""

import copy
import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.contract import noisy
from tests.helpers.folders import edit_header, file_of, read_header
from tests.helpers.interrupts import HANG
from xclassic import DiSMEC, ModelFileError, load
from xclassic._kernels.blocks import simd_level, simd_levels, use_simd_level
from xclassic.storage import folder as folder_module
from xclassic.storage.folder import HEADER, load_model, save_model
from xclassic.storage.models import packed, unpacked

GOLDEN = Path(__file__).parents[1] / "golden" / "format-1" / "plain"
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and file types")


def names(folder):
    return {entry.name for entry in os.scandir(folder)}


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    save_model(folder, {"class": "X", "version": 1}, {"w.values": np.arange(100, dtype=np.float32), "n": np.arange(3)})
    return folder


def script(code, *arguments):
    """Run Python code in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_script(code, *arguments):
    process = script(code, *arguments)
    out, err = process.communicate(timeout=HANG)
    assert process.returncode == 0, err
    return out


# What is stored


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("verify", ["lazy", "full"])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int32).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(10)[::3],
        np.arange(3, dtype=">i4"),
        np.array(7.5, np.float16),
        np.zeros((0, 4), np.float32),
        np.array([True, False]),
        np.array(["", "grün", "a longer label"]),
        np.array([b"bytes"]),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_arrays_come_back(tmp_path, array, mmap, verify):
    save_model(tmp_path / "m", {}, {"a.b-c_d": array})
    found = load_model(tmp_path / "m", mmap=mmap, verify=verify)[1]["a.b-c_d"]
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("<")
    assert found.shape == array.shape
    assert not mmap or found.size == 0 or not found.flags.writeable


def test_header_comes_back(tmp_path):
    header = {"class": "DiSMEC", "params": {"C": 1.5, "loss": None, "names": ["ä", "\n"], "deep": {"x": [True]}}}
    save_model(tmp_path / "m", header, {})
    assert load_model(tmp_path / "m") == (header, {})


@pytest.mark.parametrize(
    ("header", "arrays", "error", "message"),
    [
        ({"a": {1, 2}}, {}, TypeError, "plain JSON"),
        ({"a": float("nan")}, {}, ValueError, "plain JSON"),
        ({}, {"a": np.array([None])}, TypeError, "dtype object"),
        ({}, {"a": np.zeros(2, [("x", "i4")])}, TypeError, "bools, numbers, bytes and text"),
        ({}, {"../a": np.zeros(2)}, ValueError, "cannot name an array"),
        ({}, {"": np.zeros(2)}, ValueError, "cannot name an array"),
        ({"arrays": 3}, {}, ValueError, "the key 'arrays'"),
        ({"a": "\ud800"}, {}, ValueError, "surrogates not allowed"),
        ({"a": {1: 0, "1": 1}}, {}, ValueError, "names a key twice"),
        ({"a": "x" * 2**23}, {}, ValueError, "is larger than"),
        ({}, {"a": np.zeros((1,) * 9)}, ValueError, "has shape"),
        ({}, {f"a{i}": np.zeros(0) for i in range(10_001)}, ValueError, "no list of arrays"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_save_rejects_what_cannot_come_back_before_anything_is_written(tmp_path, model, header, arrays, error, message):
    before = names(model)
    for folder in (tmp_path / "new", model):
        with pytest.raises(error, match=message):
            save_model(folder, header, arrays)
    assert names(tmp_path) == {"model"}
    assert names(model) == before
    assert load_model(model)[0]["version"] == 1


def test_golden_model_of_format_1_loads():
    """Made by `save_model` with this header and the arrays w (float32) and names; never to be rewritten."""
    header, arrays = load_model(GOLDEN, verify="full")
    assert header == {"class": "X", "facts": {"n": 2}}
    assert arrays["w"].tolist() == [[0.5, -1.0]]
    assert arrays["w"].dtype == np.float32
    assert arrays["names"].tolist() == ["a", "bc"]


# Saving over something


def test_replaced_model_leaves_no_files(model):
    before = names(model)
    save_model(model, {"version": 2}, {"other": np.ones(2)})
    assert load_model(model)[0] == {"version": 2}
    assert len(names(model)) == 3  # header, array, lock
    assert names(model) & before == {HEADER, ".lock"}


def test_reader_keeps_what_it_has_mapped(model):
    values = load_model(model)[1]["w.values"]
    save_model(model, {}, {"w.values": np.zeros(100, np.float32)})
    np.testing.assert_array_equal(values, np.arange(100))


def test_leftovers_of_a_killed_save_are_swept_and_the_files_of_users_kept(model):
    for name in ("w.0123456789abcdef.npy", "model.json.0123456789abcdef", "notes.txt", "w.npy"):
        (model / name).write_text("x")
    save_model(model, {}, {})
    assert names(model) == {HEADER, ".lock", "notes.txt", "w.npy"}


@pytest.mark.parametrize("header", ["", "{", "[]"])
def test_damaged_model_can_be_replaced(model, header):
    (model / HEADER).write_text(header)
    save_model(model, {"version": 2}, {"a": np.ones(1)})
    assert load_model(model)[0] == {"version": 2}
    assert len(names(model)) == 3


def test_folder_with_something_else_is_rejected(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match=r"holds 'thesis.tex' and no model; save to a new or empty folder"):
        save_model(tmp_path, {}, {})
    with pytest.raises(FileExistsError, match="is a file; a model is saved as a folder"):
        save_model(tmp_path / "thesis.tex", {}, {})
    assert names(tmp_path) == {"thesis.tex"}


@posix
def test_full_disk_leaves_the_old_model(model):
    """The limit on the size of files stands in for the disk."""
    before = names(model)
    code = """
        import resource, sys
        import numpy as np
        from xclassic.storage.folder import save_model
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        try:
            save_model(sys.argv[1], {"version": 2}, {"small": np.zeros(10), "large": np.zeros(100_000)})
        except OSError as error:
            print(error.errno, error)
        """
    message = run_script(code, model)
    assert message.startswith(f"{errno.EFBIG} ")
    assert "could not save the model" in message
    assert "what was there is unchanged" in message
    assert names(model) == before
    assert load_model(model, verify="full")[0]["version"] == 1


def test_save_reads_back_before_it_replaces(model):
    before = names(model)

    def refuse(header, arrays):
        assert (header, arrays["a"].tolist()) == ({"version": 2}, [1.0])
        raise ModelFileError("it is odd")

    with pytest.raises(ValueError, match=r"could not be loaded again, so it is not saved, and what .* unchanged .*odd"):
        save_model(model, {"version": 2}, {"a": np.ones(1)}, check=refuse)
    assert names(model) == before
    assert load_model(model)[0]["version"] == 1


def test_save_of_a_model_that_load_refuses_keeps_the_old_one(tmp_path):
    clf = DiSMEC().fit(np.eye(3), ["a", "b", "c"])
    clf.save(tmp_path / "m")
    for spoil in (lambda: clf.set_params(C=-1.0), lambda: clf.weights_.bias.fill(np.nan)):
        spoil()
        with pytest.raises(ValueError, match=r"could not be loaded again, .* unchanged .*: .*(C is -1|not finite)"):
            clf.save(tmp_path / "m")
        assert load(tmp_path / "m", verify="full").predict(np.eye(3)).tolist() == ["a", "b", "c"]
        clf.set_params(C=1.0)


def test_interrupted_save_leaves_the_old_model(model, monkeypatch):
    before = names(model)

    def interrupt(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_model(model, {}, {"a": np.ones(3)})
    assert names(model) == before


# Several processes

SAVER = """
    import sys
    from threading import Event
    import numpy as np
    from xclassic.storage.folder import save_model
    version = int(sys.argv[2])
    print("ready", flush=True)
    while True:
        version += 1
        arrays = {f"a{i}": np.full(3000, version) for i in range(4)}
        save_model(sys.argv[1], {"version": version}, arrays)
        Event().wait(0.02)  # who waits for the lock looks every 50 ms, and without a pause one saver might keep it
    """

# One process makes many that are killed, each at a later call of any function than the one before.
KILLED = """
    import os, signal, sys
    import numpy as np
    from xclassic.storage.folder import load_model, save_model
    folder, n_cut_short = sys.argv[1], 0

    def arrays(version):
        return {f"a{i}": np.full(3000, version) for i in range(4)}

    def save_and_die(version, moment):
        def count(frame, event, argument):
            nonlocal moment
            moment -= 1
            if moment < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        sys.setprofile(count)
        save_model(folder, {"version": version}, arrays(version))
        os._exit(0)

    save_model(folder, {"version": 0}, arrays(0))
    old, seen = 0, []
    for moment in range(0, 1_000_000, 19):
        child = os.fork()
        if child == 0:
            save_and_die(moment + 1, moment)
        _, status = os.waitpid(child, 0)
        header, found = load_model(folder, verify="full")
        assert header["version"] in (old, moment + 1)
        assert len(found) == 4 and all((array == header["version"]).all() for array in found.values())
        seen.append(header["version"] != old)
        n_cut_short += len(os.listdir(folder)) > 6  # header, lock, four arrays
        old = header["version"]
        if not os.WIFSIGNALED(status):
            break
    print(len(seen), sum(seen), n_cut_short)
    """


def check_one_version(folder):
    """Load the model and return its version, which every array must carry."""
    header, arrays = load_model(folder, verify="full")
    assert len(arrays) == 4
    for array in arrays.values():
        assert (array == header["version"]).all()
    return header["version"]


@posix
def test_kill_at_any_moment_leaves_the_old_model_or_the_new_one(tmp_path):
    folder = tmp_path / "m"
    n_moments, n_new, n_cut_short = map(int, run_script(KILLED, folder).split())
    assert n_moments > 50
    assert 1 <= n_new < n_moments
    assert n_cut_short > 20
    save_model(folder, {}, {})
    assert names(folder) == {HEADER, ".lock"}


def both(versions):
    """Whether each of the two savers wrote a version that was read."""
    return {version > 1_000_000 for version in versions if version} == {False, True}


@posix
def test_savers_and_a_reader_at_once(tmp_path):
    folder = tmp_path / "m"
    save_model(folder, {"version": 0}, {f"a{i}": np.zeros(3000, int) for i in range(4)})
    savers = [script(SAVER, folder, start) for start in (0, 1_000_000)]
    seen = set()
    try:
        for saver in savers:
            saver.stdout.readline()
        for _ in range(100_000):
            seen.add(check_one_version(folder))
            if len(seen) > 20 and both(seen):
                break
    finally:
        alive = [saver.poll() is None for saver in savers]
        for saver in savers:
            saver.kill()
            saver.communicate()
    assert all(alive)
    assert both(seen)


# Loading what is damaged or hostile


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"\x80\x04]", "not valid JSON"),
        (b"[]", "is not the header of a model"),
        (b'{"format": 1}', "no list of arrays"),
        (b'{"format": 1, "arrays": []}', "no list of arrays"),
        (b'{"format": true, "arrays": {}}', "is not the header of a model"),
        (b'{"format": 0, "arrays": {}}', "is not the header of a model"),
        (b'{"format": 1.0, "arrays": {}}', "is not the header of a model"),
        (b'{"format": 99, "arrays": {}}', r"has format 99; this version reads up to 2. Upgrade xclassic"),
        (b'{"format": 1, "arrays": {}, "x": NaN}', "not a finite number"),
        (b'{"format": 1, "arrays": {}, "x": 1e999}', "not a finite number"),
        (b'{"format": 1, "format": 1, "arrays": {}}', "names a key twice"),
        (b'{"format": 1, "arrays": {}, "x": "\\ud800"}', "not valid JSON"),
        (b'{"format": 1, "arrays": {}, "x": ' + b"9" * 10_000 + b"}", "not valid JSON"),
        (b'{"format": 1, "arrays": {}, "x": ' + b"[" * 200_000, "not valid JSON"),
        (b'{"format": 1, "arrays": {"a": 5}}', "is not valid"),
        (b'{"format": 1, "arrays": {"a/b": {}}}', "is not valid"),
    ],
)
def test_load_rejects_hostile_headers(model, content, message):
    (model / HEADER).write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        load_model(model)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("file", "../../etc/passwd", "names the file"),
        ("file", "n.0123456789abcdef.npy", "names the file"),
        ("file", None, "names the file"),
        ("dtype", "|O", "has dtype"),
        ("dtype", "float32", "has dtype"),
        ("dtype", "<U0", "has dtype"),
        ("dtype", "<f8", "its header says"),
        ("dtype", "<f3", "is damaged"),
        ("shape", [-1], "has shape"),
        ("shape", [99], "its header says"),
        ("shape", [2**62], "has shape"),
        ("shape", [1.0], "has shape"),
        ("shape", 100, "has shape"),
        ("crc32", "x", "has checksum"),
    ],
)
def test_load_rejects_hostile_entries(model, key, value, message):
    edit_header(model, lambda header: header["arrays"]["w.values"].update({key: value}))
    with pytest.raises(ModelFileError, match=message):
        load_model(model)


def make_pipe(file):
    os.mkfifo(file)


def link_to(target):
    return lambda file: file.symlink_to(target)


@posix
def test_load_follows_links_to_regular_files(model, tmp_path):
    """As caches of hubs, version control of data and mounted configurations lay folders out."""
    links, absolute = tmp_path / "links", tmp_path / "absolute"
    for folder in (links, absolute):
        folder.mkdir()
    for name in names(model):
        (links / name).symlink_to(Path("..", "model", name))
        (absolute / name).symlink_to(links / name)
    for folder in (links, absolute):
        header, arrays = load_model(folder, verify="full")
        assert header["version"] == 1
        assert arrays["n"].tolist() == [0, 1, 2]
    file = file_of(model, "n")
    file.unlink()
    with pytest.raises(ModelFileError, match=rf"{file.name} is a link to .*, which is not there; fetch what it"):
        load_model(links)
    (model / HEADER).unlink()
    with pytest.raises(ModelFileError, match=r"There is no model in .*links: model\.json is a link to"):
        load_model(links)


@posix
def test_save_to_a_folder_of_links_replaces_the_links_alone(model, tmp_path):
    links = tmp_path / "links"
    links.mkdir()
    for name in names(model) - {".lock"}:
        (links / name).symlink_to(model / name)
    save_model(links, {"version": 2}, {"n": np.ones(1)})
    assert load_model(links, verify="full")[0]["version"] == 2
    assert load_model(model, verify="full")[0]["version"] == 1
    assert not any(file.is_symlink() for file in links.iterdir())


@posix
def test_save_refuses_a_linked_lock(model, tmp_path):
    target = tmp_path / "precious"
    target.write_text("data")
    (model / ".lock").unlink()
    (model / ".lock").symlink_to(target)
    with pytest.raises(FileExistsError, match=r"is a link, which cannot be a lock; remove it and save again"):
        save_model(model, {"version": 2}, {})
    assert target.read_text() == "data"
    assert load_model(model)[0]["version"] == 1


@posix
@pytest.mark.parametrize("make", [make_pipe, Path.mkdir, link_to(Path("/dev/zero")), link_to(Path("/"))])
@pytest.mark.parametrize("of_header", [True, False])
def test_load_reads_regular_files_alone(model, make, of_header):
    file = model / HEADER if of_header else file_of(model, "n")
    file.unlink()
    make(file)
    with pytest.raises(ModelFileError, match="cannot be read" if of_header else "is damaged"):
        load_model(model)
    if of_header and make is make_pipe:
        save_model(model, {}, {})  # does not wait for the pipe either
        assert load_model(model) == ({}, {})


def test_load_names_what_is_missing(model, tmp_path):
    with pytest.raises(ModelFileError, match=r"There is no model in .*nowhere: model.json is missing"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(ModelFileError, match=r"model\.json is missing"):
        load_model(tmp_path)
    with pytest.raises(ModelFileError, match="There is no model"):
        load_model(model / HEADER)
    file = file_of(model, "n")
    file.unlink()
    with pytest.raises(ModelFileError, match=rf"is incomplete: {file.name} is missing"):
        load_model(model)


@pytest.mark.parametrize("size", [0, 5, 60, 127, 128, 140, 151, 153, 1000])
def test_load_rejects_files_of_another_length(model, size):
    os.truncate(file_of(model, "n"), size)
    with pytest.raises(ModelFileError, match="is damaged"):
        load_model(model)


def test_pickle_is_never_read(model):
    class Bomb:
        def __reduce__(self):
            return os.abort, ()

    file = file_of(model, "n")
    file.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelFileError, match="is damaged"):
        load_model(model)
    np.save(file, np.array([Bomb()], dtype=object))
    with pytest.raises(ModelFileError, match="is damaged"):
        load_model(model)


def test_checksum_finds_a_flipped_bit(model):
    file = file_of(model, "w.values")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    load_model(model)
    with pytest.raises(ModelFileError, match="its checksum differs"):
        load_model(model, verify="full")


def test_every_flipped_bit_of_the_header_is_found(tmp_path):
    header = {"class": "X", "params": {"C": 1.5, "path": [3, None, True, "ä"]}}
    save_model(tmp_path / "m", header, {"a": np.arange(2)})
    file = tmp_path / "m" / HEADER
    content = file.read_bytes()
    refused = 0
    for position in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        file.write_bytes(damaged)
        try:
            assert load_model(tmp_path / "m")[0] == header
        except ModelFileError:
            refused += 1
    assert refused > 6 * len(content)  # Of one kind of white space another one may be made.


def test_edited_header_is_refused_with_the_way_out(model):
    file = model / HEADER
    file.write_text(file.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(ModelFileError, match=r"is damaged: its checksum is \d+, and it says \d+\..*save it instead"):
        load_model(model)


def test_header_may_be_written_in_another_way(model):
    (model / HEADER).write_text(json.dumps(read_header(model), ensure_ascii=False, sort_keys=True))
    assert load_model(model)[0]["version"] == 1


def test_header_of_format_1_has_no_checksum(model):
    header = read_header(model)
    del header["crc32"]
    (model / HEADER).write_text(json.dumps(header))
    with pytest.raises(ModelFileError, match="it says None"):
        load_model(model)
    (model / HEADER).write_text(json.dumps(header | {"format": 1}))
    assert load_model(model)[0]["version"] == 1


def test_load_of_a_large_model_reads_no_array(model, monkeypatch):
    """An array of a gigabyte, all hole, is mapped, and its checksum left for later."""
    file = file_of(model, "w.values")
    with open(file, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (2**28,)})
        stream.truncate(stream.tell() + 4 * 2**28)
    edit_header(model, lambda header: header["arrays"]["w.values"].update(shape=[2**28]))
    monkeypatch.setattr(folder_module, "_checksum", lambda array: pytest.fail("computes a checksum"))
    values = load_model(model)[1]["w.values"]
    assert isinstance(values.base, np.memmap)
    assert values[-1] == 0


def test_model_names_the_instruction_set_of_its_fit(tmp_path):
    here, lowest = simd_level(), simd_levels()[0]
    use_simd_level(lowest)
    try:
        clf = DiSMEC().fit(*noisy())
    finally:
        use_simd_level(here)
    assert clf.instruction_set_ == lowest
    clf.save(tmp_path)
    assert load(tmp_path).instruction_set_ == lowest
    header, arrays = packed(clf)
    del header["target"]["instruction_set"]
    assert unpacked(copy.deepcopy(header), dict(arrays), "full").instruction_set_ is None
    header["target"]["instruction_set"] = 4
    with pytest.raises(ModelFileError, match="The instruction set of the model is 4"):
        unpacked(header, dict(arrays), "full")


def test_foreign_class_is_not_made(model):
    with pytest.raises(ModelFileError, match="class 'X'"):
        load(model)


def test_copies_of_a_folder_are_models(model, tmp_path):
    shutil.copytree(model, tmp_path / "copy")
    shutil.rmtree(model)
    assert load_model(tmp_path / "copy", verify="full")[0]["version"] == 1


# Files of other kinds


def test_bytes_can_be_files_that_other_programs_read(tmp_path):
    content = np.frombuffer(b'{"a": 1}', np.uint8)
    save_model(tmp_path / "m", {}, {"tokenizer.json": content, "w.safetensors": content[:0], "x": np.arange(3)})
    file = next((tmp_path / "m").glob("tokenizer.*.json"))
    assert json.loads(file.read_text()) == {"a": 1}
    for mmap in (True, False):
        _, arrays = load_model(tmp_path / "m", mmap=mmap, verify="full")
        assert bytes(arrays["tokenizer.json"]) == b'{"a": 1}'
        assert arrays["w.safetensors"].size == 0
    save_model(tmp_path / "m", {}, {"tokenizer.json": content[:2]})
    assert len(list((tmp_path / "m").glob("tokenizer.*.json"))) == 1
    file = next((tmp_path / "m").glob("tokenizer.*.json"))
    file.write_bytes(b"[]")
    with pytest.raises(ModelFileError, match="its checksum differs"):
        load_model(tmp_path / "m")
    file.write_bytes(b"[")
    with pytest.raises(ModelFileError, match="has 1 bytes, not 2"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("array", [np.arange(3), np.zeros((2, 2), np.uint8)])
def test_files_are_made_of_rows_of_bytes_alone(tmp_path, array):
    with pytest.raises(TypeError, match="row of bytes"):
        save_model(tmp_path / "m", {}, {"w.safetensors": array})


@pytest.mark.parametrize("change", [{"dtype": "<f4"}, {"file": "w.0123456789abcdef.npy"}, {"shape": [2, 2]}])
def test_file_entries_are_checked(tmp_path, change):
    save_model(tmp_path / "m", {}, {"w.safetensors": np.zeros(4, np.uint8)})
    edit_header(tmp_path / "m", lambda header: header["arrays"]["w.safetensors"].update(change))
    with pytest.raises(ModelFileError):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("name", [".DS_Store", ".gitkeep"])
def test_folders_that_count_as_empty_take_a_model(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / name).touch()
    DiSMEC().fit(np.eye(2), [["a"], ["b"]]).save("~/m")
    assert load("~/m").classes_.tolist() == load(tmp_path / "m").classes_.tolist() == ["a", "b"]
    assert (tmp_path / "m" / name).exists()
