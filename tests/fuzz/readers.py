"""What reads files of others, each given a changed one: {name: (weight, function)}.

A function writes into the folder that it is given and returns what then reads it.
"""

import json
import random
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from secretjax import cases
from secretjax.machine import capture, lab, probe, seen
from secretjax.mm.load import load
from secretjax.show import notebook, site_source, yours
from secretjax.study import costs, executed, params, runs, tables
from secretjax.workloads.base import Pages
from tests import expect, fake_proc, fake_run
from tests.fuzz import mutate
from tests.zones import scattered

ROOT = Path(__file__).parents[2]
KERNEL = ROOT / "params" / "kernel"
PARAMS = sorted((ROOT / "params").glob("*.yaml"))
CASES = ("b_512_s1.predict", "p1a_512_s1.predict", "f_thp_s1.replay", "d_512_64M_s1@empty.predict")
ARMS = ("keep_mapped", "per_page", "pmd_pool+reservation")

Read = Callable[[], object]


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {info.filename.removesuffix(".npy"): file.read(info) for info in file.infolist()}


@cache
def case_files() -> list[dict[str, bytes]]:
    """Captured ones, and a small start state without demands."""
    small, first = scattered(8192, below=4096), 512
    real = expect.start(KERNEL / "b_512_s1.predict.npz")
    own = {"start_pfn": first, "managed": 8192 - first, "min": 8, "low": 10, "high": 12}
    listed, there = small.list_pfn >= first, small.block_pfn >= first
    classes = small.page_class.copy()
    classes[:first] = cases.CLASSES.index("outside_zone")
    names = ("list_pfn", "list_order", "list_mt", "list_kind")
    made = replace(
        small,
        zone=small.zone | own,
        page_class=classes,
        settings=real.settings | {"total_pages": 8192},
        **{name: getattr(small, name)[listed] for name in names},
        **{name: getattr(small, name)[there] for name in ("block_pfn", "block_mt")},
    )
    with tempfile.TemporaryDirectory() as folder:
        cases.write_start(Path(folder) / "small.npz", made)
        found = [members(Path(folder) / "small.npz")] * 4
    return found + [members(KERNEL / f"{name}.npz") for name in CASES]


def case(rng: random.Random, folder: Path) -> Read:
    file = folder / "x.npz"
    file.write_bytes(mutate.npz(rng, rng.choice(case_files())))

    def read() -> None:
        start = expect.start(file)
        if start.zone["end_pfn"] <= 8192:
            Pages(start)
            load(start)

    return read


@cache
def capture_file() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.npz"
        start = expect.start(KERNEL / "d_512_64M_s1@empty.predict.npz")
        found = lab.shown(start)
        zone = found.zones[0]
        level = np.full(zone.regions, 2, np.uint8)
        found = replace(found, zones=(replace(zone, dm_level=level),))
        seen.write(file, found)
        return members(file)


def machine(rng: random.Random, folder: Path) -> Read:
    file = folder / "x.npz"
    file.write_bytes(mutate.npz(rng, capture_file()))

    def read() -> None:
        if seen.is_capture(file):
            seen.read(file)

    return read


@cache
def proc_files() -> dict[str, bytes]:
    start = scattered(8192, below=4096)
    settings = {"sysctl": {"min_free_kbytes": "1024"}}
    start = replace(start, settings=settings)
    with tempfile.TemporaryDirectory() as name:
        root = fake_proc.write(Path(name), {(0, "DMA32"): start})
        return {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}


def proc(rng: random.Random, folder: Path) -> Read:
    files = dict(proc_files())
    name = rng.choice(list(files))
    if rng.random() < 0.1:
        del files[name]
    elif name == "proc/kpageflags" or rng.random() < 0.3:
        files[name] = mutate.data(rng, files[name])
    else:
        files[name] = mutate.text(rng, files[name].decode()).encode("utf-8", "replace")
    for name, raw in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)
    return lambda: capture.capture(folder)


@cache
def texts() -> list[tuple[str, object]]:
    return [(f.read_text(), yaml.safe_load(f.read_text())) for f in PARAMS]


def study(rng: random.Random, folder: Path) -> Read:
    file = folder / "x.yaml"
    file.write_bytes(mutate.as_yaml(rng, *rng.choice(texts())))
    return lambda: params.load(file)


def override(rng: random.Random, folder: Path) -> Read:
    keys = (
        "states",
        "arms.1.options",
        "arms.per_page.rules",
        "demands.0.percents",
        "x",
        "starts.0",
    )
    keys += ("demands.growth.churn_per_64_pages", "arms", "", "seed", "ageing.0.pages", "a.b.c.d")
    given = []
    for _ in range(rng.choice((1, 1, 2))):
        value = rng.choice(
            (json.dumps(rng.choice(mutate.ODD_VALUES)), rng.choice(mutate.ODD_WORDS))
        )
        given.append(
            rng.choice((f"{rng.choice(keys)}={value}", value, f"{rng.choice(keys)}{value}"))
        )
    return lambda: params.load(ROOT / "params" / "smoke.yaml", given)


def cost(rng: random.Random, folder: Path) -> Read:
    found = (ROOT / "params" / "costs" / "x86_64.yaml").read_text()
    (folder / "x.yaml").write_bytes(mutate.as_yaml(rng, found, yaml.safe_load(found)))
    return lambda: costs.load(folder / "x.yaml").frame()


@cache
def finished() -> tuple[Path, Path]:
    """(params file, run folder) of a made-up study with all that a finished run has."""
    file, run = fake_run.make(Path(tempfile.mkdtemp(prefix="fuzz")), ARMS, states=3)
    found = {"run_id": run.name, "params": runs.read_json(run / "params.json"), "seed": 3}
    found |= {"question": "Who?", "versions": {"jax": "1"}, "files": runs.digests(run)}
    runs.write_json(run / "manifest.json", found)
    row = {"id": "H1", "question": "Is it?", "answer": "yes", "why": "`x` is", "notebook": "10_m"}
    runs.write_json(run / "figures" / "claims.json", {"claims": [row, row | {"id": "H2"}]})
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# Is it?"]}
    code = {"cell_type": "code", "id": "b", "metadata": {"tags": ["parameters"]}, "source": "x = 1"}
    code |= {"execution_count": 1, "outputs": [{"output_type": "stream", "name": "stdout",
             "text": "hi"}, {"output_type": "display_data", "data": {"text/plain": "x"},
             "metadata": {}}]}  # fmt: skip
    meta = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    book = {"cells": [cell, code], "metadata": meta, "nbformat": 4, "nbformat_minor": 5}
    runs.write_json(run / "notebooks" / "10_m.ipynb", book)
    return file, run


TABLES = ("samples.parquet", *runs.KERNEL_FILES, runs.AGEING_FILE)
SCHEMAS = (tables.SAMPLES, tables.REPLAY, tables.PREDICT, tables.AGED)


@cache
def table_of(name: str) -> pa.Table:
    return tables.read(finished()[1] / name)


def changed_run(rng: random.Random, folder: Path, names: tuple[str, ...]) -> Path:
    """A copy of the run in which one file is not as it was."""
    run, name = folder / "run", rng.choice(names)
    shutil.copytree(finished()[1], run)
    file = run / name
    if name.endswith(".parquet") and rng.random() < 0.6:
        tables.write(mutate.table(rng, table_of(name)), file)
    elif name.endswith(".parquet"):
        file.write_bytes(mutate.data(rng, file.read_bytes()))
    else:
        file.write_bytes(mutate.as_json(rng, json.loads(file.read_text())))
    return run


def parquet(rng: random.Random, folder: Path) -> Read:
    name = rng.choice(TABLES)
    schema = dict(zip(TABLES, SCHEMAS, strict=True))[name]
    file = folder / name
    if rng.random() < 0.3:
        tables.write(mutate.table(rng, table_of(name).slice(0, 200)), file)
    else:
        file.write_bytes(mutate.data(rng, (finished()[1] / name).read_bytes()))

    def read() -> None:
        tables.readable(file, schema)
        tables.read(file, schema).to_pandas()

    return read


def results(rng: random.Random, folder: Path) -> Read:
    run = changed_run(rng, folder, (*TABLES, "samples.parquet", "params.json", "numbers.json"))

    def read() -> None:
        found = notebook.open(finished()[0], run)
        _ = found.describe(), found.checks(), found.run.costed()
        _ = found.run.kernel(), found.run.ageing(), found.run.numbers
        found.summary("growth", "dm_2m_split", "cost_per_page")
        _ = found.predict_answer(), found.replay_answer()

    return read


def site(rng: random.Random, folder: Path) -> Read:
    names = ("manifest.json", "numbers.json", "figures/claims.json", "notebooks/10_m.ipynb")
    drawn = rng.random() < 0.2  # the comparison with the kernel, whose figure takes seconds
    run = changed_run(rng, folder, runs.KERNEL_FILES if drawn else names)
    for name in () if drawn else runs.KERNEL_FILES:
        (run / name).unlink()
    source = folder / "source"
    source.mkdir()

    def read() -> None:
        manifest = site_source.read_json(run / "manifest.json")
        site_source._notebooks(run, source)
        site_source._provenance(run, source, manifest)
        site_source._front(run, source, manifest)

    return read


def resumed(rng: random.Random, folder: Path) -> Read:
    """What a run that goes on looks at of what was done before."""
    run = changed_run(rng, folder, ("manifest.json", "notebooks/10_m.ipynb"))
    return lambda: executed.refresh(run, {"10_m": "k"})


def probed(rng: random.Random, folder: Path) -> Read:
    """The answer of `secretjax probe` beside a params file."""
    found = {"told": ["a", "b"], "format": probe.FORMAT, "pages": 3}
    answer = folder / "probe.json"
    answer.write_bytes(mutate.as_json(rng, found))
    shown = object.__new__(yours.Yours)  # of a machine and a run that do not matter
    shown.probes = [answer]
    return shown.probe


READERS = {
    "case": (30, case),
    "machine": (20, machine),
    "study": (16, study),
    "override": (8, override),
    "cost": (8, cost),
    "parquet": (8, parquet),
    "proc": (4, proc),
    "results": (2, results),
    "site": (1, site),
    "resumed": (1, resumed),
    "probed": (1, probed),
}
