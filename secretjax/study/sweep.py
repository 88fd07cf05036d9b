"""A study from its params file to executed notebooks; whatever is done already is kept."""

import os
import shlex
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from secretjax.errors import UserError
from secretjax.study import executed, expected, identity, points, runs
from secretjax.study import params as params_file
from secretjax.study.params import Params
from secretjax.study.points import Done


def run(
    params: Path,
    overrides: list[str],
    jobs: int,
    results: Path,
    memory: float | None = None,
    cluster: str | None = None,
) -> Path:
    """Runs the study in `params` and returns its run folder.

    overrides   `a.b=v`, as after --set
    jobs        points, then notebooks, that are run at once
    memory      GiB that its processes may take, see `secretjax.study.memory`
    cluster     address of a Dask scheduler whose workers compute the points
    Interrupted at any moment and given again it ends with the same bytes. Raises `UserError` in
    one sentence if a parameter, a file or a cell is at fault.
    """
    study = params_file.load(params, overrides)
    with _environment():
        folder = runs.prepare(study, results)
        with runs.locked(folder):
            print(expected.told(study, jobs), file=sys.stderr, flush=True)
            finished = [_shown(d) for d in _compute(study, folder, jobs, memory, cluster)]
            _keep_times(folder, finished)
            runs.consolidate(study, folder)
            command = _command(params, overrides, jobs, results)
            finished += _execute(study, params, folder, jobs, command)
            runs.write_manifest(study, folder)
    _summary(finished, study, folder)
    return folder


def _compute(study: Params, folder: Path, *how) -> Iterator[Done]:
    total = len(study.points()) + len(study.kernel_files())
    with _bar(total, "points") as bar:
        for done in points.compute(study, folder, *how):
            bar.set_postfix_str(done.what)
            bar.update()
            yield done


def _execute(study: Params, params: Path, folder: Path, jobs: int, command: str) -> list[Done]:
    wanted = executed.keys(study, folder)
    executed.refresh(folder, wanted)
    missing = {n: k for n, k in wanted.items() if not executed.current(folder, n, k)}
    finished = [Done(f"notebook {name}", True, 0.0) for name in wanted if name not in missing]
    failed: dict[str, UserError] = {}
    files = study.notebook_files()
    with ThreadPoolExecutor(jobs) as pool, _bar(len(missing), "notebooks") as bar:
        tasks = {
            pool.submit(executed.execute, files[name], params, folder, key): name
            for name, key in missing.items()
        }
        try:
            for task in as_completed(tasks):
                name = tasks[task]
                try:
                    finished.append(_shown(Done(f"notebook {name}", False, task.result())))
                except UserError as e:
                    failed[name] = e
                bar.set_postfix_str(name)
                bar.update()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            executed.end_kernels()
            raise
    if failed:
        first = min(failed)
        others = sorted(set(failed) - {first})
        more = f" (and {', '.join(others)} failed too)" if others else ""
        raise UserError(f"{failed[first]}{more}; to repeat it: {command}")
    return finished


@contextmanager
def _environment() -> Iterator[None]:
    """What the processes of points and notebooks start with; what the caller set stays."""
    wanted = {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "NPROC": "1",
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": "0",
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    before = dict(os.environ)
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
    # The kernels import the package that is running, installed or not.
    path = [str(identity.ROOT.parent), *filter(None, [before.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    try:
        yield
    finally:
        for name in (*wanted, "PYTHONPATH"):
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)


def _command(params: Path, overrides: list[str], jobs: int, results: Path) -> str:
    words = ["secretjax", "run", str(params)]
    for assignment in overrides:
        words += ["--set", assignment]
    return shlex.join([*words, "--jobs", str(jobs), "--results", str(results)])


def _bar(total: int, what: str) -> tqdm:
    """A progress bar on a terminal; elsewhere `_shown` prints lines."""
    return tqdm(total=total, desc=what, unit="", disable=None, leave=False, dynamic_ncols=True)


def _shown(done: Done) -> Done:
    if not sys.stderr.isatty() and not done.kept:
        print(f"{done.what}: {done.seconds:.1f} s", file=sys.stderr, flush=True)
    return done


def _keep_times(folder: Path, finished: list[Done]) -> None:
    """Where the time of each piece of work went, into the log; of those kept, what is there."""
    file = folder / "log" / "timings.json"
    try:
        times = runs.read_json(file)
    except UserError:
        times = {}
    split = {d.what: {k: round(s, 3) for k, s in d.split.items()} for d in finished if d.split}
    runs.write_json(file, times | split)
    if split:
        names = sorted({name for own in split.values() for name in own})
        total = ((name, sum(own.get(name, 0.0) for own in split.values())) for name in names)
        print("in all: " + ", ".join(f"{n} {s:.1f} s" for n, s in total), file=sys.stderr)


def _summary(finished: list[Done], study: Params, folder: Path) -> None:
    width = max(len(done.what) for done in finished)
    for done in sorted(finished, key=lambda d: d.what):
        state = "kept" if done.kept else f"{done.seconds:.1f} s"
        print(f"{done.what:<{width}}  {state:>9}", file=sys.stderr)
    computed = sum(not done.kept for done in finished)
    print(
        f"{study.name}: {study.states} states from {len(study.starts)} start states, "
        f"{computed} of {len(finished)} pieces of work done now, the others kept: {folder}",
        file=sys.stderr,
    )
