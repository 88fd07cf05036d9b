"""A study in a folder of its own, with an engine that answers at once and always the same."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import secretjax
from secretjax.mm.words import Event
from secretjax.study import expected, headline, identity, memory, plugins, points, runs

COSTS = Path(__file__).parents[1] / "params" / "costs" / "x86_64.yaml"
PARAMS = """
name: tiny
question: Does it work?
seed: 7
starts: [one, two]
states: 5
arms: [per_page, {proposal: pmd_pool, admission: reservation, options: {blocks: 3}}]
baseline: per_page
demands: [{kind: growth, percents: [5, 10]}, {kind: small_files}]
cpus: 4
costs: costs.yaml
"""


@dataclass(frozen=True)
class PerPage:
    name = "per_page"
    slot = 0


@dataclass(frozen=True)
class PmdPool:
    name = "pmd_pool"
    slot = 1
    pool = True
    blocks: int = 1
    shared: bool = False


@dataclass(frozen=True)
class Admission:
    name = "none"


@dataclass(frozen=True)
class Growth:
    percents: tuple[int, ...] = (5, 10, 20, 30)
    churn_per_64_pages: int = 16

    def __post_init__(self) -> None:
        if not all(0 < p <= 100 for p in self.percents):
            raise ValueError("percents should be from 1 to 100")


@dataclass(frozen=True)
class SmallFiles:
    files: int = 64


TABLES: dict[str, dict[str, Any]] = {
    "proposal": {"per_page": PerPage, "pmd_pool": PmdPool},
    "admission": {"none": Admission, "reservation": Admission},
    "workload": {"growth": Growth, "small_files": SmallFiles},
}


def simulate(starts, demand, proposal, admission, *, states, seed, ageing_events, lanes) -> Any:
    """Numbers that depend on every input; `starts` are sizes of files here."""
    salt = seed + sum(starts) + ageing_events + len(repr((demand, proposal, admission)))
    steps = ("start", "grow", "released")
    shape = (states, len(steps))
    values = {
        event.name.lower(): (np.arange(states * 3).reshape(shape) * (event + 1) + salt)
        for event in Event
    }
    start = tuple(f"{i % len(starts)}" for i in range(states))
    return SimpleNamespace(steps=steps, values=values, start=start)


def install(
    put: Callable[[Any, str, Any], None],
    *,
    slowness: float = 0.0,
    calls: list[str] | None = None,
    frozen: bool = False,
) -> None:
    """Puts the fakes by `put(owner, attribute, value)`, as setattr.

    slowness   seconds that a simulation takes
    calls      gets an item per simulation
    frozen     the package's sources count as unchanged, whoever edits them meanwhile
    """

    def counted(starts: Any, demand: Any, proposal: Any, *rest: Any, **more: Any) -> Any:
        time.sleep(slowness)
        if calls is not None:
            calls.append(f"{type(demand).__name__} {type(proposal).__name__}")
        return simulate(starts, demand, proposal, *rest, **more)

    engine, cases = ModuleType("secretjax.engine"), ModuleType("secretjax.cases")
    engine.simulate = counted  # type: ignore[attr-defined]
    cases.read = lambda path: path.stat().st_size  # type: ignore[attr-defined]
    cases.start_of = lambda case: case  # type: ignore[attr-defined]
    put(secretjax, "engine", engine)
    put(secretjax, "cases", cases)
    put(plugins, "table", TABLES.__getitem__)
    put(headline, "described", lambda: {"split_2m": ("2 MiB entries split", "entries")})
    put(points, "workers", ThreadPoolExecutor)
    put(memory, "largest", lambda study: 1 << 20)
    put(expected, "told", lambda study, jobs: study.name)
    if frozen:
        put(identity, "sources", lambda *parts: dict.fromkeys(parts, ""))
        put(identity, "_simulation", lambda: "")  # these two remember what was so before
        put(identity, "_own_sources", lambda kind, name: {})


def make_study(folder: Path, notebook: nbformat.NotebookNode | None = None) -> Path:
    """The params file of a small study in `folder`, with all that it needs beside it."""
    kernel = folder / "params" / "kernel"
    kernel.mkdir(parents=True)
    for size, name in enumerate(("one", "two"), 10):
        (kernel / f"{name}.predict.npz").write_bytes(b"x" * size)
    (folder / "notebooks").mkdir()
    nbformat.write(notebook or small_notebook(), folder / "notebooks" / "10_small.ipynb")
    (folder / "params" / "costs.yaml").write_text(COSTS.read_text())
    file = folder / "params" / "tiny.yaml"
    file.write_text(PARAMS)
    return file


def small_notebook(*code: str) -> nbformat.NotebookNode:
    """A notebook whose outputs would differ from run to run if nobody looked after that."""
    parameters = new_code_cell('params_file = "params/tiny.yaml"\nresults_dir = "results"')
    parameters.metadata["tags"] = ["parameters"]
    cells = code or (
        "import json, os, sys\nfrom pathlib import Path\n"
        "told = json.loads((Path(results_dir) / 'numbers.json').read_text())",
        "print(results_dir, sys.prefix, flush=True)\nprint(len(told))\n"
        "print(os.getpid(), file=sys.stderr)\nobject()",
        "(Path(results_dir) / 'figures' / 'answer.svg').write_text('<svg/>')",
    )
    notebook = new_notebook(
        cells=[new_markdown_cell("# Small"), parameters, *[new_code_cell(c) for c in cells]],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"c{number}"
    return notebook


def tree(run: Path) -> dict[str, str]:
    """The files of a run, and its manifest: what two runs of the same study have alike."""
    return runs.digests(run) | {"manifest": (run / "manifest.json").read_text()}
