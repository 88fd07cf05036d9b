"""What a result depends on, as hashes: equal hash, equal bytes."""

import ast
import hashlib
import importlib.metadata
import json
from functools import cache
from pathlib import Path
from typing import Any

from secretjax import __version__, project
from secretjax.study import plugins
from secretjax.study.params import Ageing, Arm, Demand, Params

# Raised when the same inputs shall give another result, or the same result in another form.
FORM = 1
DIGITS = 12
SIMULATION = (
    "mm", "metrics", "workloads", "cases", "native", "clock.py", "engine.py", "flow.py",
    "ledger.py", "processes.py", "program.py", "registry.py", "rules.py", "runners.py", "xla.py",
)  # fmt: skip
ANSWERS = (  # what answers to a captured case beside it
    "proposals", "admission", "predict.py", "replay.py", "hugetlb.py", "study/kernel.py",
    "study/tables.py",
)  # fmt: skip
LIBRARIES = (
    "jax", "matplotlib", "numpy", "pandas", "papermill", "pyarrow", "SALib", "scipy", "seaborn",
)  # fmt: skip
ROOT = project.PACKAGE


def digest(value: Any) -> str:
    """Hash of plain JSON values; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Hash of a file's bytes."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def sources(*parts: str) -> dict[str, str]:
    """{path in the package: hash} of the Python files in these folders and files of it."""
    found = [ROOT / part for part in parts]
    files = [f for part in found for f in ([part] if part.is_file() else part.rglob("*.py"))]
    own = sorted(f for f in files if project.SHIPPED not in f.parents)
    return {str(f.relative_to(ROOT)): file_digest(f) for f in own}


@cache
def _simulation() -> str:
    return digest([FORM, sources(*SIMULATION)])


@cache
def _own_sources(kind: str, name: str) -> dict[str, str]:
    """The plug-in's file, what all of its kind share, and the neighbours that it builds on."""
    package = plugins.PACKAGES[kind]
    folder = ROOT / package.rpartition(".")[2]
    found = [f for f in folder.glob("*.py") if f.name[0] == "_" or f.name == "base.py"]
    wanted = [folder / f"{name}.py"]
    while wanted:
        file = wanted.pop()
        if file in found or not file.is_file():
            continue
        found.append(file)
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        imports = {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
        for n in nodes:
            if isinstance(n, ast.Import):
                imports |= {name.name for name in n.names}
            elif isinstance(n, ast.ImportFrom) and n.module == package:
                imports |= {f"{package}.{name.name}" for name in n.names}
        inside = [module for module in imports if module.startswith(f"{package}.")]
        wanted += [folder / f"{module.rpartition('.')[2]}.py" for module in inside]
    return sources(*[str(file.relative_to(ROOT)) for file in found])


def point_key(study: Params, arm: Arm, demand: Demand) -> str:
    """The name of the point's file: readable, then a hash of all that its numbers depend on."""
    inputs = {
        "simulation": _simulation(),
        "proposal": _own_sources("proposal", arm.proposal),
        "admission": _own_sources("admission", arm.admission),
        "starts": _starts(study),
        "arm": arm.model_dump(mode="json"),
        "demand": demand.model_dump(mode="json", exclude={"arms"}),
        "scale": [study.states, study.seed, study.ageing_events],
    }
    return f"{demand.name}--{arm.name}--{digest(inputs)[:DIGITS]}"


def kernel_key(study: Params, case: Path) -> str:
    """The same for a case of the captured kernel, which may need any proposal."""
    answers = sorted(case.parent.glob(f"{case.name.partition('.')[0].partition('@')[0]}.*"))
    inputs = {
        "simulation": _simulation(),
        "sources": sources(*ANSWERS),
        "files": {f.name: file_digest(f) for f in {case, *answers}},
        "scale": [study.kernel_states, study.seed],
    }
    return f"{case.name.removesuffix('.npz')}--{digest(inputs)[:DIGITS]}"


def ageing_key(study: Params, item: Ageing) -> str:
    """The same for the states of an ageing recipe."""
    inputs = {
        "simulation": _simulation(),
        "sources": sources("ageing", "study/aged.py"),
        "states": item.model_dump(mode="json"),
        "seed": study.seed,
    }
    return f"{item.recipe}--{digest(inputs)[:DIGITS]}"


def run_id(study: Params) -> str:
    """The name of the run folder: the params, the points, the cost table."""
    inputs = {
        "params": study.resolve(),
        "points": sorted(point_key(study, arm, demand) for arm, demand in study.points()),
        "kernel": sorted(kernel_key(study, case) for case in study.kernel_files()),
        "ageing": [ageing_key(study, item) for item in study.ageing],
        "costs": file_digest(study.costs_file()),
    }
    return digest(inputs)[:DIGITS]


def notebook_key(study: Params, file: Path, data: list[Path]) -> str:
    """What an executed notebook depends on: its source, the package, the libraries, the data."""
    inputs = {
        "notebook": file_digest(file),
        "package": sources("."),
        "versions": versions(),
        "params": study.resolve(),
        "costs": file_digest(study.costs_file()),
        "data": {f.name: file_digest(f) for f in data},
    }
    return digest(inputs)


def start_digests(study: Params) -> dict[str, str]:
    """{start state: hash of its file}."""
    return dict(_starts(study))


def _starts(study: Params) -> list[tuple[str, str]]:
    return [(name, file_digest(file)) for name, file in study.start_files().items()]


def versions() -> dict[str, str]:
    """Of the package and of the libraries that leave a mark in results."""
    return {"secretjax": __version__} | {n: importlib.metadata.version(n) for n in LIBRARIES}
