"""One list of dependencies, two lock files that agree with it, and nothing that leaks."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMPORT_NAMES = {
    "salib": "SALib",
    "ipython": "IPython",
    "pyyaml": "yaml",
    "sphinx-mathjax-offline": "sphinx-mathjax-offline",
}
TEXT = {".py", ".md", ".toml", ".yml", ".yaml", ".json", ".txt", ".lock", ".ipynb", ".css", ""}


def pins(name: str) -> dict[tuple[str, str], str]:
    """{(package, marker): version} of a lock file."""
    found = {}
    for line in (ROOT / name).read_text().splitlines():
        if line[:1].isalnum():
            requirement = Requirement(line.removesuffix("\\").strip())
            (version,) = requirement.specifier
            assert version.operator == "==", line
            key = canonicalize_name(requirement.name), str(requirement.marker or "")
            found[key] = version.version
    return found


def declared() -> list[Requirement]:
    lines = PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]
    return [Requirement(line) for line in lines]


def tracked() -> list[Path]:
    """The files that git knows or would add; without git, all but the hidden folders."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        names = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        names = [p for p in ROOT.rglob("*") if not any(q[0] == "." for q in p.parts[1:])]
    return [path for path in names if path.is_file()]


def test_both_lock_files_pin_the_same():
    assert pins("requirements.lock") == pins("requirements-conda.txt")
    assert len(pins("requirements.lock")) > 100


def test_every_pin_is_hashed_for_make_and_none_for_conda():
    blocks = re.split(r"(?m)^(?=[a-z])", (ROOT / "requirements.lock").read_text())
    assert all("--hash=sha256:" in block for block in blocks if block.strip())
    assert "--hash" not in (ROOT / "requirements-conda.txt").read_text()


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-conda.txt"])
def test_no_lock_file_names_a_host(name):
    text = (ROOT / name).read_text()
    assert "://" not in text and "index" not in re.sub(r"#.*", "", text)


@pytest.mark.parametrize("requirement", declared(), ids=lambda r: r.name)
def test_every_dependency_is_locked_within_its_range(requirement):
    versions = [v for (name, _), v in pins("requirements.lock").items() if name == requirement.name]
    assert versions, f"{requirement.name} is not locked: make lock"
    assert all(requirement.specifier.contains(version) for version in versions)


def test_every_import_of_the_package_is_declared():
    known = set(sys.stdlib_module_names) | {"secretjax"}
    extras = PROJECT["project"]["optional-dependencies"].values()
    for line in [*PROJECT["project"]["dependencies"], *(x for extra in extras for x in extra)]:
        name = Requirement(line).name
        known.add(IMPORT_NAMES.get(name, name.replace("-", "_")))
    for path in (ROOT / "secretjax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] in known, f"{path.name} imports {name}"


def test_conda_gets_the_same_python_and_the_same_pins():
    import yaml

    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (python,) = [d for d in listed if isinstance(d, str) and d.startswith("python=")]
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    assert allowed.contains(python.removeprefix("python="))
    (pip,) = [d["pip"] for d in listed if isinstance(d, dict)]
    assert pip == ["-r requirements-conda.txt", "-e ."]


def test_the_oldest_python_is_the_same_everywhere():
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    assert f"({oldest.replace('.', ', ')})" in (ROOT / "Makefile").read_text()
    assert f"Python {oldest}" in (ROOT / "README.md").read_text()


def test_no_file_names_a_machine_a_registry_or_a_secret():
    # Each pattern is written so that it does not match itself.
    forbidden = re.compile(
        r"py[p]i\.org|python[h]osted|[r]egistry\.npmjs|conda\.anacond[a]|"
        r"/wor[k]/|/hom[e]/\w|/roo[t]/|/tm[p]/\w|\.\./share[d]|"
        r"BEGIN [A-Z ]*PRIVATE KE[Y]|gh[pousr]_[A-Za-z0-9]{20}|AKIA[0-9A-Z]{16}|xox[bp]-\d"
    )
    for path in tracked():
        if path.suffix in TEXT and path.name != "LICENSE":
            found = forbidden.search(path.read_text(encoding="utf-8", errors="replace"))
            assert found is None, f"{path.relative_to(ROOT)}: {found.group()}"


def test_no_tracked_file_is_large():
    for path in tracked():
        assert path.stat().st_size <= 8 << 20, path


def test_targets_are_documented_and_phony():
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?m)^([a-z]+):", text))
    assert {"help", "venv", "results", "test", "lab", "site", "bench", "clean"} <= targets
    assert targets == set(re.findall(r"(?m)^([a-z]+):.*## \S", text))
    assert targets == set(re.findall(r"(?m)^\.PHONY: (.*)", text)[0].split())


def test_make_says_which_python_it_needs(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    old = tmp_path / "old-python"
    old.write_text(
        f"#!{sys.executable}\nimport sys\nsys.version_info = (3, 9)\nsys.version = '3.9.1 (old)'\n"
        "exec(sys.argv[2])\n"
    )
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "venv", f"PY={old}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Python 3.11 or later is needed" in done.stderr and "is 3.9.1" in done.stderr


def test_ci_runs_the_tests_without_input():
    script = ROOT / ".ci" / "run"
    text = script.read_text()
    assert script.stat().st_mode & 0o111
    assert text.startswith("#!/bin/bash\n") and "set -euo pipefail" in text
    assert text.rstrip().endswith("make test"), "pytest's summary is the last thing printed"
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
