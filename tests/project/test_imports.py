"""Imports run downward, so that the kernel never learns what it is used for."""

import ast

import pytest

from tests import architecture
from tests.architecture import FLOOR, MODULES, PACKAGE, imported, part


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_run_downward(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        assert list(imported(path)) == []
        return
    assert own in FLOOR, f"{own}: give it a floor in tests/architecture.py"
    for module in imported(path):
        below = part(module)
        assert below in FLOOR, f"{module}: no such part"
        assert FLOOR[below] <= FLOOR[own], f"{own} imports {module}, which is above it"


@pytest.mark.parametrize("name", ["page", "drawing"])
def test_the_map_of_the_package_shows_these_imports(name):
    file = architecture.DOCS / {"page": "architecture.md", "drawing": "architecture.svg"}[name]
    told = "give: python -m tests.architecture"
    assert file.read_text() == getattr(architecture, name)(), told


def test_an_arrow_of_the_map_is_an_import_and_every_import_can_be_followed():
    arrows = architecture.arrows()
    assert all(b in architecture.imports()[a] for a, b in arrows)
    reached = {a: {b for c, b in arrows if c == a} for a in FLOOR}
    for _ in FLOOR:
        reached = {a: found.union(*(reached[b] for b in found)) for a, found in reached.items()}
    for part_, below in architecture.imports().items():
        assert {b for b in below if FLOOR[b]} <= reached[part_]


KINDS = {"proposals", "admission", "workloads", "metrics"}
PLUGINS = [p for p in MODULES if p.parent.name in KINDS]


@pytest.mark.parametrize("path", PLUGINS, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_kinds_of_plug_ins_do_not_know_each_other(path):
    assert {part(module) for module in imported(path)} & (KINDS - {path.parent.name}) == set()


def test_figures_need_no_jax():
    for path in PACKAGE.glob("show/figures/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {getattr(node, "module", None), *(name.name for name in node.names)}
                assert "jax" not in {(name or "").split(".")[0] for name in names}, path.name


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
            last = node.end_lineno
            assert last is not None and last - node.lineno < 60, f"{node.name}, line {node.lineno}"
