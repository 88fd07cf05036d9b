"""The simulations of a study, each in a process of its own kind: one thread, no neighbours.

XLA's thread pool loses more than it gives to this model, so parallel means processes here.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from secretjax import clock, proposals
from secretjax.errors import UserError
from secretjax.study import identity, memory, plugins, runs, tables
from secretjax.study.arms import Arm, unlike_default
from secretjax.study.params import Ageing, Demand, Params


@dataclass(frozen=True)
class Done:
    """One piece of work, as the summary shows it."""

    what: str
    kept: bool
    seconds: float
    split: dict[str, float] = field(default_factory=dict)  # seconds by `clock`'s names


@dataclass(frozen=True)
class Task:
    """Something to be computed.

    rows   gives its table, when called with the number of states at a time
    file   where the table goes
    """

    rows: Callable[[int], pa.Table]
    file: Path


def compute(
    study: Params, folder: Path, jobs: int, gib: float | None = None, scheduler: str | None = None
) -> Iterator[Done]:
    """Computes what is missing of the study's points and yields each as it is done.

    gib: memory for all its processes together, see `memory.limit`; fewer than `jobs` if they do
    not fit. scheduler: address of a Dask scheduler whose workers compute instead.
    Raises `UserError` for whatever the model refuses; the points that are done stay.
    """
    missing: dict[str, Task] = {}
    for what, task, schema in _pieces(study, folder):
        if runs.done(folder, task.file, schema):
            yield Done(what, True, 0.0)
        else:
            missing[what] = task
    if not missing:
        return
    state = memory.largest(study)
    if scheduler is None:
        fit = memory.share(state, memory.limit(gib), min(jobs, len(missing)), study.name)
        yield from _here(missing, fit)
        return
    from secretjax.study import cluster

    for what, split in cluster.compute(missing, scheduler, state, gib, study.name):
        yield Done(what, False, sum(split.values()), split)


def _pieces(study: Params, folder: Path) -> Iterator[tuple[str, Task, pa.Schema | None]]:
    """What is to be computed: what it is called, how, and the columns of its file."""
    place = partial(runs.point_file, folder)
    for arm, demand in sorted(study.points(), key=_is_short):
        file = place(identity.point_key(study, arm, demand))
        task = Task(partial(_point, study, arm, demand), file)
        yield f"{demand.name}: {arm.name}", task, tables.SAMPLES
    for case in study.kernel_files():
        task = Task(partial(_compare, study, case), place(identity.kernel_key(study, case)))
        schema = tables.REPLAY if case.name.endswith(".replay.npz") else tables.PREDICT
        yield f"kernel: {case.name.removesuffix('.npz')}", task, schema
    for item in study.ageing:
        task = Task(partial(_age, study, item), place(identity.ageing_key(study, item)))
        yield f"ageing: {item.recipe}", task, tables.AGED


def _here(missing: dict[str, Task], fit: memory.Share) -> Iterator[Done]:
    """In processes of this machine."""
    with workers(fit.jobs) as pool:
        tasks = {pool.submit(timed, task, fit.lanes): what for what, task in missing.items()}
        try:
            yield from _as_done(tasks)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise


def _is_short(point: tuple[Arm, Demand]) -> bool:
    """A pool that is full asks for a pageblock at each fault: such points are begun first."""
    return not proposals.table()[point[0].proposal].pool


def workers(jobs: int) -> Executor:
    """Processes for the points. They end with the one that started them, even if it is killed."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_watch, initargs=(os.getpid(),))


def _as_done(tasks: dict[Future[dict[str, float]], str]) -> Iterator[Done]:
    for future in as_completed(tasks):
        try:
            split = future.result()
            yield Done(tasks[future], False, sum(split.values()), split)
        except BrokenProcessPool as e:
            raise UserError(
                f"{tasks[future]}: its process was ended from outside, most likely for want of "
                "memory; give the command again to go on, with --jobs 1 if it happens again"
            ) from e
        except UserError as e:
            raise UserError(f"{tasks[future]}: {e}") from e


def _watch(parent: int) -> None:
    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def timed(task: Task, lanes: int) -> dict[str, float]:
    """Computes it, so many states at a time; the seconds it took, by what they were spent on."""
    _listen()
    clock.taken()
    with clock.spent("rest"):
        tables.write(task.rows(lanes), task.file)
    return clock.taken()


@cache
def _listen() -> None:
    """JAX tells the clock what it compiles."""
    from jax import monitoring

    def compiled(event: str, duration_secs: float, **_: object) -> None:
        if event.startswith("/jax/core/compile/"):
            clock.add("compile", duration_secs)

    monitoring.register_event_duration_secs_listener(compiled)


def given(run: Callable[..., Any], study: Params, arm: Arm, demand: Demand) -> Callable[..., Any]:
    """`engine.simulate` or `engine.watch` with all that a study says of a point but the states."""
    from secretjax import cases

    read = [cases.read(path) for path in study.start_files().values()]
    starts = [cases.start_of(case) for case in read]
    return partial(
        run,
        [start.on(arm) for start in starts] if unlike_default(arm) else starts,
        plugins.make("workload", demand.kind, demand.options),
        plugins.make("proposal", arm.proposal, arm.options),
        plugins.make("admission", arm.admission, arm.admission_options),
        seed=study.seed,
        ageing_events=study.ageing_events,
    )


def _point(study: Params, arm: Arm, demand: Demand, lanes: int) -> pa.Table:
    from secretjax import engine

    outcome = given(engine.simulate, study, arm, demand)(states=study.states, lanes=lanes)
    names = {
        "arm": arm.name,
        "proposal": arm.proposal,
        "admission": arm.admission,
        "demand": demand.name,
    }
    start = [study.starts[i % len(study.starts)] for i in range(study.states)]
    return tables.samples(names, tuple(start), outcome.steps, outcome.values)


def _age(study: Params, item: Ageing, lanes: int) -> pa.Table:
    from secretjax.study import aged

    return aged.aged(item, study.seed, lanes)


def _compare(study: Params, case: Path, lanes: int) -> pa.Table:
    from secretjax.study import kernel

    return kernel.compare(case, study.kernel_states, study.seed, lanes)
