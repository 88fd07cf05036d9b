"""docs/add_a_*.md, followed to the letter in a copy of the project.

Here without the commands that take long: the tests and the runs. With SECRETJAX_FOLLOW=all in the
environment every command is given (a quarter of an hour).
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GUIDES = sorted(DOCS.glob("add_a_*.md"))
WHOLE = os.environ.get("SECRETJAX_FOLLOW") == "all"
each = pytest.mark.parametrize("guide", GUIDES, ids=lambda g: g.stem)


def blocks(guide: Path, language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", guide.read_text())


def written(guide: Path) -> tuple[str, str]:
    """Name and text of the one file that the reader is told to write."""
    text = guide.read_text()
    (name,) = re.findall(r"(?i)write (?:this|it)\s+to\s+`([^`]+)`:", text)
    (code,) = blocks(guide, "python")
    return name, code


def commands(guide: Path) -> Iterator[str]:
    """The lines to type."""
    for line in blocks(guide, "sh")[0].splitlines():
        if WHOLE or not (" -m pytest " in line or "secretjax run " in line):
            yield line


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    skipped = shutil.ignore_patterns("__pycache__", "machines")
    for part in ("secretjax", "docs", "params", "notebooks", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=skipped)
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@each
def test_following_it_to_the_letter_works(guide, copy):
    name, code = written(guide)
    assert not (copy / name).exists()
    (copy / name).write_text(code)
    own = os.environ | {"PYTHONPATH": str(copy), "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    said = {}
    for line in commands(guide):
        done = subprocess.run(
            ["bash", "-c", line], cwd=copy, env=own, capture_output=True, text=True, check=False
        )
        said[line] = done.stdout
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    (listed,) = [out for line, out in said.items() if "secretjax list" in line]
    new = "giant_pages" if "metrics" in name else Path(name).stem
    assert re.search(rf"(?m)^{new}  +\S", listed), listed


def test_there_is_one_for_each_kind():
    kinds = {"proposal", "workload", "metric", "figure", "notebook"}
    assert {guide.stem.removeprefix("add_a_") for guide in GUIDES} == kinds
    for guide in GUIDES:
        assert len(guide.read_text().splitlines()) <= 75, "short"


@each
def test_its_code_is_as_ours(guide):
    name, code = written(guide)
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "-"], ["format", "--check", "-"]):
        more = ["--stdin-filename", name]
        done = subprocess.run(
            [*ruff, *command, *more], cwd=ROOT, input=code, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
