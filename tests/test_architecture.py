"""The floors of the house: imports point down, families do not import each other, no two rooms import each other."""

import ast
import re
from functools import cache
from itertools import combinations
from pathlib import Path

import xclassic

PACKAGE = Path(xclassic.__file__).parent
TESTS = Path(__file__).parent
FAMILIES = {"baselines", "linear", "label_tree", "instance_tree", "neighbors", "compression", "coding"}
FLOORS = [
    {"__main__", "cli", "serving", "distributed", "html_report"},
    {"ensemble"},
    {"taxonomy", "neural", "features"},
    FAMILIES,
    {"blocks", "linalg", "networks", "metrics", "datasets"},
    {
        "base",
        "storage",
        "validation",
        "topk",
        "parallel",
        "cluster",
        "rows",
        "explanation",
        "shared_docs",
        "changing",
        "weighing",
        "weighted_ranking",
        "pipelines",
    },
    {"_kernels", "_version", "_versions"},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
PUBLIC = {  # where the names come from that modules import from the package itself
    alias.name: node.module or alias.name
    for node in ast.parse((PACKAGE / "__init__.pyi").read_text()).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}


@cache
def imports():
    """Return (room, file, imported module within the package) of every import, also of those inside functions."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in getattr(node, "names", [])]
            if isinstance(node, ast.ImportFrom) and node.module == "xclassic":
                modules = [PUBLIC.get(name, name) for name in names]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xclassic."):
                modules = [node.module.removeprefix("xclassic.")]
            elif isinstance(node, ast.Import):
                modules = [name.removeprefix("xclassic.") for name in names if name.startswith("xclassic.")]
            else:
                continue
            found += [(room, str(path.relative_to(PACKAGE)), module) for module in modules if room != "__init__"]
    return [(room, file, module) for room, file, module in found if module.split(".")[0] != room]


def test_rooms_have_a_floor_each():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} <= FLOOR_OF.keys()
    assert ("linear", "linear/dismec.py", "blocks.training") in imports()
    assert ("cli", "cli/report_command.py", "html_report") in imports()  # inside a function


def test_design_page_lists_the_rooms():
    design = TESTS.parent / "docs" / "design.md"
    block = design.read_text().split("    xclassic/\n")[1].split("\n\n")[0]
    listed = {line.split()[0].strip(",").removesuffix("/").removesuffix(".py") for line in block.splitlines()}
    rooms = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert rooms - {"__pycache__", "_version", "_versions", "__main__"} == listed


def test_imports_point_down():
    assert [(file, module) for room, file, module in imports() if FLOOR_OF[room] > FLOOR_OF[module.split(".")[0]]] == []


def test_families_import_of_each_other_the_label_tree_alone():
    between = {(file, m) for room, file, m in imports() if {room, m.split(".")[0]} <= FAMILIES}
    assert {(file, module) for file, module in between if module != "label_tree.tree"} == set()


def test_rooms_do_not_import_each_other():
    arrows = {(room, module.split(".")[0]) for room, _, module in imports()}
    assert [pair for pair in combinations(FLOOR_OF, 2) if {pair, pair[::-1]} <= arrows] == []


def test_test_modules_import_no_other_test_module():
    modules = {path.stem for path in TESTS.rglob("test_*.py")}
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                assert not {name.split(".")[-1] for name in names} & modules, path


def test_locks_open_in_forked_children():
    files = [path.name for path in PACKAGE.rglob("*.py") if re.search(r"\bR?Lock\(\)", path.read_text())]
    assert files == ["parallel.py"]
