"""Imports run downward, so that the kernel never learns what it is used for."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "secretjax"

# Each floor may import itself and those below it. A name stands for a module or a folder.
FLOORS = (
    ("errors", "files", "registry"),
    ("mm", "ledger"),
    ("proposals", "admission", "workloads", "metrics"),
    ("program", "rules", "flow", "xla", "native", "runners", "engine", "replay"),
    ("cases",),
    ("hugetlb", "ageing"),
    ("predict", "machine"),
    ("study",),
    ("show", "cli", "bench", "peer"),
)
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part(module: str) -> str:
    """secretjax.mm.state -> mm; secretjax itself (its version) -> errors, the ground floor."""
    words = module.split(".")
    return words[1] if len(words) > 1 else "errors"


def imported(path: Path) -> Iterator[str]:
    """Every module of the package that `path` imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("secretjax"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import on line {node.lineno}"
            if node.module == "secretjax":
                for name in node.names:
                    if name.name != "__version__":
                        yield f"secretjax.{name.name}"
            elif (node.module or "").startswith("secretjax."):
                yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_run_downward(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        assert list(imported(path)) == []
        return
    assert own in FLOOR, f"{own}: give it a floor in {Path(__file__).name}"
    for module in imported(path):
        below = part(module)
        assert below in FLOOR, f"{module}: no such part"
        assert FLOOR[below] <= FLOOR[own], f"{own} imports {module}, which is above it"


KINDS = {"proposals", "admission", "workloads", "metrics"}
PLUGINS = [p for p in MODULES if p.parent.name in KINDS]


@pytest.mark.parametrize("path", PLUGINS, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_kinds_of_plug_ins_do_not_know_each_other(path):
    assert {part(module) for module in imported(path)} & (KINDS - {path.parent.name}) == set()


def test_figures_need_no_jax():
    for path in PACKAGE.glob("show/figures/*.py"):
        found = {
            name.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for name in node.names
        }
        assert "jax" not in found, path.name


def test_annotations_stay_checkable():
    """jaxtyping reads annotations; as text they would never be checked."""
    for path in MODULES:
        assert "from __future__ import annotations" not in path.read_text(), path.name


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_files_and_functions_stay_short(path):
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name}, line {node.lineno}"
