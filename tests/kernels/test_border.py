"""The border between Python and the compiled kernels: stubs, constants, owners of memory."""

import ast
import importlib
import inspect
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

import xclassic
import xclassic._kernels
from xclassic import KNN, Blend, DiSMEC, Parabel
from xclassic._kernels import arguments, blocks
from xclassic.blocks.weights import BlockWeights
from xclassic.parallel import RUNNING
from xclassic.rows import kernel_rows

FOLDER = Path(xclassic._kernels.__file__).parent
STUBS = sorted(FOLDER.glob("*.pyi"))


def parameters_of(function):
    """Return the names of the parameters, and those that only a keyword passes."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters], [p.name for p in parameters if p.kind == p.KEYWORD_ONLY]


def parameters_in(stub):
    named = [argument.arg for argument in (*stub.args.posonlyargs, *stub.args.args, *stub.args.kwonlyargs)]
    return named, [argument.arg for argument in stub.args.kwonlyargs]


def test_every_kernel_module_has_a_stub():
    compiled = {path.name.split(".")[0] for path in (*FOLDER.glob("*.so"), *FOLDER.glob("*.pyd"))}
    of_cython = {"_memoryviews"}  # kernels alone import it
    assert compiled - of_cython == {path.stem for path in STUBS}


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.stem)
def test_stub_names_what_the_module_defines(path):
    module = importlib.import_module(f"xclassic._kernels.{path.stem}")
    body = ast.parse(path.read_text()).body
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    public = {
        name
        for name, value in vars(module).items()
        if callable(value) and not inspect.isclass(value) and name[0] != "_"
    }
    assert public == functions.keys()
    for name, stub in functions.items():
        assert parameters_of(getattr(module, name)) == parameters_in(stub), name
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.bases:
            found = getattr(module, node.name)
            for member in node.body:
                name = member.target.id if isinstance(member, ast.AnnAssign) else member.name
                assert hasattr(found, name), f"{node.name}.{name}"
        elif isinstance(node, ast.AnnAssign):
            assert hasattr(module, node.target.id)


def test_kernel_functions_take_more_than_two_arguments_by_keyword_only():
    for path in STUBS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name != "__init__":
                assert len(node.args.args) <= 3, f"{path.stem}.{node.name}"


def test_tasks_start_at_zero():
    """What Cython declares is otherwise whatever lay on the stack."""
    for header in FOLDER.glob("*.h"):
        structs = re.finditer(
            r"^struct (\w*Task|\w*Tree|Rows|Chunks|Best) {\n(.*?)^};", header.read_text(), re.M | re.S
        )
        for struct in structs:
            for line in struct[2].splitlines():
                declared = line.split("//")[0].strip()
                if declared and not declared.startswith(("Rows ", "Chunks ", "Best ")):
                    assert all(" = " in name for name in declared.split(",")), f"{header.name}, {struct[1]}: {declared}"


def test_constants_are_those_of_the_kernels():
    header = (FOLDER / "arguments.h").read_text()
    for enum, table, names in (
        ("Loss", "LOSS", arguments.LOSSES),
        ("PathScore", "PATH_SCORE", arguments.PATH_SCORES),
        ("ValueType", "VALUE_TYPE", arguments.VALUE_TYPES),
    ):
        members = re.search(rf"enum {enum} : int32_t {{ (.*), N_\w+ }};", header)[1].split(", ")
        listed = re.findall(r'"(\w+)"', re.search(rf"{table}_NAMES\[\w+\] = {{(.*)}};", header)[1])
        assert [member.lower() for member in members] == listed == list(names)
    assert np.dtype(np.uint16).itemsize * 8 == arguments.LANES  # a mask has a bit for each lane
    assert [blocks.lane_width(n) for n in (1, 2, 3, 4, 5, 8, 9, 16, 40)] == [2, 2, 4, 4, 8, 8, 16, 16, 16]


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
def test_feature_rows_survive_a_pickle(dense):
    X = csr_array(np.eye(3, 4, dtype=np.float32))
    rows = kernel_rows(X.toarray() if dense else X, bias=2.0)
    again = pickle.loads(pickle.dumps(rows))
    assert (again.n_rows, again.n_features, again.bias, again.indptr is None) == (3, 4, 2.0, dense)
    np.testing.assert_array_equal(again.values, rows.values)


@pytest.mark.parametrize("n_rows", range(8))
@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
def test_batches_of_every_size_agree_with_numpy(n_rows, dense):
    """Also those at the limit from which the kernel makes a table of the features."""
    random = np.random.default_rng(n_rows)
    X, W = random.standard_normal((n_rows, 30)).astype(np.float32), random.standard_normal((30, 50)).astype(np.float32)
    weights = BlockWeights.from_dense(W, np.zeros(50, np.float32), np.arange(50), prune=0)
    top = weights.topk(X if dense else csr_array(X), 50)
    np.testing.assert_allclose(top.scores, -np.sort(-(X @ W), axis=1), atol=1e-5)


def test_stored_weights_outlive_their_arrays():
    weights = BlockWeights.from_dense(np.eye(4, dtype=np.float32), np.zeros(4, np.float32), np.arange(4), prune=0)
    stored, allowed = weights.stored, np.full(1, 0b1111, np.uint16)
    del weights
    rows = kernel_rows(np.eye(4, dtype=np.float32))
    ids, _, counts = blocks.predict_topk(
        stored, rows, allowed=allowed, lane_weights=None, added=False, k=1, stop=RUNNING
    )
    assert ids.ravel().tolist() == [0, 1, 2, 3]
    assert counts.tolist() == [1] * 4


def test_empty_csr_matrix_is_not_taken_for_a_dense_one():
    weights = BlockWeights.from_dense(
        np.eye(4, dtype=np.float32), np.arange(4, dtype=np.float32), np.arange(4), prune=0
    )
    top = weights.topk(csr_array((6, 4), dtype=np.float32), 2)
    assert top.ids.tolist() == [[3, 2]] * 6


@pytest.mark.parametrize("name", ["DiSMEC", "Parabel", "XReg", "FastXML", "PfastreXML", "PLST", "REML", "Blend"])
def test_prediction_ends_at_the_stop_byte(name):
    random = np.random.default_rng(0)
    X, Y = (
        random.standard_normal((60, 8)).astype(np.float32),
        csr_array(random.random((60, 12)) < 0.3, dtype=np.float32),
    )
    method = Blend([("a", DiSMEC()), ("b", Parabel())]) if name == "Blend" else getattr(xclassic, name)()
    clf = method.fit(X, Y)
    X = clf._check_input(X, reset=False)
    assert clf._topk(X, 3, None, RUNNING).counts.all()
    assert not clf._topk(X, 3, None, np.ones(1, np.uint8)).counts.any()


def test_search_for_neighbors_ends_at_the_stop_byte():
    X = np.random.default_rng(0).random((20, 8)).astype(np.float32)
    for rows in (X, csr_array(X)):
        index = KNN().fit(rows, np.eye(20, dtype=int)).index_
        assert index.nearest(rows, 3).counts.all()
        assert not index.nearest(rows, 3, np.ones(1, np.uint8)).counts.any()


@pytest.mark.skipif(not arguments.CHECKED, reason="only the build that checks every index looks")
@pytest.mark.parametrize(
    ("indptr", "indices"), [([0, 2, 1], [0, 1]), ([0, 1, 3], [0, 1]), ([0, 1, 2], [0, 2]), ([0, 1, 2], [-1, 0])]
)
def test_checked_build_looks_at_rows_on_entry(indptr, indices):
    with pytest.raises(IndexError):
        arguments.FeatureRows(
            np.array(indptr, np.int64),
            np.array(indices, np.int32),
            np.ones(len(indices), np.float32),
            n_rows=2,
            n_features=2,
        )
