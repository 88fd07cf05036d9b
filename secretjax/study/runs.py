"""Run folders: what a study has found, in files whose bytes depend on its inputs only.

results/<name>/<run_id>/
    params.json        the resolved params; written first
    points/            one parquet per (arm, demand); there = done
    samples.parquet    all points in one tidy table
    kernel_replay.parquet, kernel_predict.parquet   the model compared with the captured kernel
    ageing.parquet     aged memory beside the captured start states
    numbers.json       named numbers
    figures/ notebooks/
    manifest.json      what it was made from and the hash of every file; written last
    log/               everything that differs from run to run; no part of the result
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from secretjax.errors import UserError
from secretjax.files import replacing
from secretjax.study import costs as cost_table
from secretjax.study import headline, identity, params, tables
from secretjax.study.costs import Costs
from secretjax.study.params import Params

AGEING_FILE = "ageing.parquet"
# Columns of these in which no value is missing
KEYS = (["case", "kernel", "fallback"], ["case", "scenario", "fallback", "step", "metric"])
ONCE = (["case"], ["case", "step", "metric"])  # by which each has one row
KERNEL_FILES = ("kernel_replay.parquet", "kernel_predict.parquet")


@dataclass(frozen=True)
class Run:
    """A run folder, open for reading (and for figures to be added).

    params   the study, see `secretjax.study.params.Params`
    folder   results/<name>/<run_id>
    """

    params: Params
    folder: Path

    @property
    def run_id(self) -> str:
        """The hash that names the folder."""
        return self.folder.name

    @property
    def figures_dir(self) -> Path:
        """Where figures are written; it exists."""
        folder = self.folder / "figures"
        folder.mkdir(exist_ok=True)
        return folder

    @cached_property
    def _samples(self) -> pd.DataFrame:
        return self._read(categories=True)

    def _read(self, *, categories: bool) -> pd.DataFrame:
        file = self.folder / "samples.parquet"
        return tables.read(file, tables.SAMPLES, categories=categories).to_pandas()

    def samples(self) -> pd.DataFrame:
        """Tidy samples: columns arm, proposal, admission, demand, start, step, metric (text, as
        categories), state (int32), value (int64). Rows: arms and demands as in the params, then
        metric by name, then state, then step in its order of time.
        """
        return self._samples.copy()

    def costed(self) -> pd.DataFrame:
        """Costs in the same columns (plain text), `value` being low, best and high (float64).

        Metrics: see `secretjax.study.costs.METRICS`. Units: ns, and page-ns x CPUs.
        """
        study = self.params
        samples = self._read(categories=False)
        return cost_table.apply(samples, self.costs(), study.cpus, study.ways())

    def costs(self) -> Costs:
        """The cost table of the study; `.frame()` shows it."""
        return cost_table.load(self.params.costs_file())

    def kernel(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The model compared with the kernel, see `kernel`.

        Both are empty if the params say `kernel_states: 0`.
        """
        if not self.params.kernel_states:
            return pd.DataFrame(), pd.DataFrame()
        return kernel(self.folder)

    def ageing(self) -> pd.DataFrame:
        """Aged states beside captured ones: columns and rows as in `secretjax.study.aged`.

        Empty if the params name no recipe.
        """
        if not self.params.ageing:
            return pd.DataFrame()
        return tables.read(self.folder / AGEING_FILE, tables.AGED).to_pandas()

    @cached_property
    def numbers(self) -> dict[str, dict[str, Any]]:
        """{name: {value, low, high, unit, label}}: the headline numbers; low and high are a 95 %
        interval of the mean over the states.
        """
        return read_json(self.folder / "numbers.json")


def open_run(params_file: str | Path, results_dir: str | Path) -> Run:
    """The run of `params_file` in `results_dir`, which is either a folder of runs (`results`) or
    one run folder (then its own params count, overrides included).

    Relative paths are looked up from the working folder upwards, so that a notebook finds them
    from notebooks/ too. Raises `UserError` with the command to give if the study was not run.
    """
    source, results = _upwards(Path(params_file)), _upwards(Path(results_dir))
    if (results / "params.json").is_file():
        where = results / "params.json"
        return Run(params.restore(read_json(where), source, str(where)), results)
    study = params.load(source)
    folder = results / study.name / identity.run_id(study)
    if not (folder / "samples.parquet").is_file():
        raise UserError(
            f"{folder}: this study was not run yet, or the params or the model changed since; "
            f"give this command first: secretjax run {params_file} --results {results_dir}"
        )
    return Run(study, folder)


def kernel(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The model compared with the kernel: (replay, predict) of a run folder.

    Columns: see `secretjax.study.kernel`. Raises `UserError` if a file is missing or damaged.
    """
    kinds = zip(KERNEL_FILES, (tables.REPLAY, tables.PREDICT), strict=True)
    replay, predict = (tables.read(folder / name, schema).to_pandas() for name, schema in kinds)
    for rows, name, keys, once in zip((replay, predict), KERNEL_FILES, KEYS, ONCE, strict=True):
        if rows[keys].isna().any(axis=None):
            raise UserError(f"{folder / name}: lacks values; run the study again")
        if rows.duplicated(once).any():
            raise UserError(f"{folder / name}: has two rows of one case; run the study again")
    return replay, predict


def read_json(path: Path) -> dict[str, Any]:
    """The object in the JSON file `path`; a `UserError` says what is wrong with the file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as e:
        raise UserError(f"{path}: no such file; run the study again") from e
    except ValueError as e:
        raise UserError(f"{path}: no valid JSON ({e}); run the study again") from e
    if not isinstance(found, dict):
        raise UserError(f"{path}: holds no object; run the study again")
    return found


def _upwards(path: Path) -> Path:
    """`path`, or the same relative path from the nearest folder above that has it."""
    if path.is_absolute():
        return path
    here = Path.cwd()
    return next((up / path for up in (here, *here.parents) if (up / path).exists()), path)


def prepare(study: Params, results: Path) -> Path:
    """The study's run folder, made if need be; `params.json` is in it."""
    folder = results / study.name / identity.run_id(study)
    for part in ("points", "figures", "notebooks", "log"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    write_json(folder / "params.json", study.resolve())
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps every other run out of the folder; the lock ends with this process, however it ends.

    Raises `UserError` if another process has it. What a killed one left half-written is removed.
    """
    with open(folder / "log" / "lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            file.seek(0)
            raise UserError(
                f"{folder}: process {file.read().strip() or '?'} is working on this run already; "
                "wait for it, or give another folder with --results"
            ) from e
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        for half in [*folder.glob(".*.part"), *folder.glob("*/.*.part")]:
            half.unlink(missing_ok=True)
        yield


def point_file(folder: Path, key: str) -> Path:
    """Where the point's samples are, or will be."""
    return folder / "points" / f"{key}.parquet"


def done(folder: Path, file: Path, schema: pa.Schema | None = None) -> bool:
    """Whether the point's file is there and whole; one from a sibling run with its name will do."""
    if tables.readable(file, schema):
        return True
    file.unlink(missing_ok=True)
    for other in sorted(folder.parent.glob(f"*/points/{file.name}")):
        if tables.readable(other, schema):
            with replacing(file) as temporary:
                shutil.copyfile(other, temporary)
            return True
    return False


def consolidate(study: Params, folder: Path) -> None:
    """Writes what the notebooks read: samples, the comparison with the kernel, named numbers."""
    points = [
        tables.read(point_file(folder, identity.point_key(study, *point)), tables.SAMPLES)
        for point in study.points()
    ]
    together = pa.concat_tables(points)
    if study.kernel_states:
        write_kernel(folder, [
            (case.name, tables.read(point_file(folder, identity.kernel_key(study, case))))
            for case in study.kernel_files()
        ])  # fmt: skip
    if study.ageing:
        from secretjax.study import aged

        files = [point_file(folder, identity.ageing_key(study, item)) for item in study.ageing]
        parts = [aged.captured(study), *(tables.read(file, tables.AGED) for file in files)]
        tables.write(pa.concat_tables(parts), folder / AGEING_FILE)
    table = cost_table.load(study.costs_file())
    write_json(folder / "numbers.json", headline.numbers(study, together.to_pandas(), table))
    # Last: its presence says that the others are there.
    tables.write(together, folder / "samples.parquet")


def write_kernel(folder: Path, parts: list[tuple[str, pa.Table]]) -> None:
    """Writes the comparison with the kernel from its cases (name, rows), by name."""
    by_name = [table for _, table in sorted(parts, key=lambda part: part[0])]
    for name, schema in zip(KERNEL_FILES, (tables.REPLAY, tables.PREDICT), strict=True):
        rows = pa.concat_tables([schema.empty_table(), *(t for t in by_name if t.schema == schema)])
        tables.write(rows, folder / name)


def write_manifest(study: Params, folder: Path) -> None:
    """Writes what the run was made from and what came out. Nothing here changes when repeated."""
    write_json(
        folder / "manifest.json",
        {
            "run_id": folder.name,
            "question": study.question,
            "params": study.resolve(),
            "seed": study.seed,
            "sizes": {
                "points": len(study.points()),
                "states": study.states,
                "samples": tables.rows(folder / "samples.parquet"),
            },
            "versions": identity.versions(),
            "sources": identity.digest(identity.sources(".")),
            "starts": identity.start_digests(study),
            "costs": identity.file_digest(study.costs_file()),
            "files": digests(folder),
        },
    )


def digests(folder: Path) -> dict[str, str]:
    """{path: hash} of all files of the result: neither log/, nor the manifest, nor hidden ones."""
    found = {}
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if file.is_file() and not hidden and parts[0] not in ("log", "manifest.json"):
            found["/".join(parts)] = identity.file_digest(file)
    return found


def write_json(path: Path, value: Any) -> None:
    """Writes `path` as a whole; the same value gives the same bytes."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
