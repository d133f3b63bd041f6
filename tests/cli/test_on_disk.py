"""``xclassic train --on-disk``: features in a folder, and the model that they give in memory."""

import json

import numpy as np
import pytest

from xclassic import datasets, load
from xclassic.datasets import open_matrix

RECORDS = datasets.read_records(datasets.products_file())


def arrays_of(folder):
    model = load(folder)
    return (model[-1] if hasattr(model, "steps") else model)._get_arrays()[0]


def assert_same_model(run, data, options):
    run(f"train DiSMEC {data} --model memory.model {options}")
    done = run(f"train DiSMEC {data} --model disk.model --on-disk rows {options}")
    expected = run(f"train DiSMEC {data} --model memory.model --force {options}")
    assert done.out.split(", trained")[0].replace("disk", "memory") == expected.out.split(", trained")[0]
    found, expected = arrays_of("disk.model"), arrays_of("memory.model")
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    return open_matrix("rows", verify="full")


@pytest.mark.parametrize("options", ["--text-field title", "--text-field title --numeric-field price"])
def test_texts_and_records_give_the_model_of_memory(run, options):
    X = assert_same_model(run, datasets.products_file(), f"{options} --label-field type --label-delimiter=")
    assert X.shape[0] == len(RECORDS)
    run(f"predict disk.model {datasets.products_file()}")
    run(f"evaluate disk.model {datasets.products_file()} --label-field type --label-delimiter=")


def test_several_fields_of_json_lines_give_the_model_of_memory(run, tmp_path):
    lines = [json.dumps({**record, "labels": [record["type"]]}) for record in RECORDS[:100]]
    (tmp_path / "products.jsonl").write_text("\n".join(lines))
    assert_same_model(run, "products.jsonl", "--text-field title --text-field brand")


def test_a_text_file_of_points_gives_the_model_of_memory(run, tmp_path):
    data = datasets.load_bibtex()
    datasets.write_xmc(tmp_path / "bibtex.txt.gz", data.X[:300], data.Y[:300])
    assert assert_same_model(run, "bibtex.txt.gz", "").shape == (300, 1836)


def test_what_is_in_memory_anyway_is_refused(run, tmp_path):
    assert "bibtex is a folder of points" in run("train DiSMEC bibtex --model a.model --on-disk rows", code=2).err
    data = datasets.load_bibtex()
    np.save(tmp_path / "X.npy", data.X[:9].toarray())
    line = "train DiSMEC X.npy --label-matrix Y.npz --model a.model --on-disk rows"
    assert "X.npy is a matrix in memory" in run(line, code=2).err
    assert not (tmp_path / "rows").exists()


def test_a_folder_of_other_things_and_a_file_without_rows_are_refused(run, tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "notes.txt").write_text("")
    (tmp_path / "x.txt").write_text("0 3 2\n")
    assert "'notes.txt'" in run("train DiSMEC x.txt --model a.model --on-disk rows", code=1).err
    assert "there are no rows in it" in run("train DiSMEC x.txt --model a.model --on-disk other", code=1).err
