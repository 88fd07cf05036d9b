"""How much memory a study takes, and how many states at a time fit a limit.

A state takes 8 bytes a page (`mm.layout`: a row of two words), 12 bytes a pageblock at most, 4
bytes a handle, 8 bytes a row of its script, and 16 KiB for the rest. A process takes

    PROCESS + COPIES x states at a time x bytes of a state

which covers every peak measured on a CPU (resource.getrusage, jax 0.10.2, 2^17 to 2^22 pages, 2 to
64 states at a time). What a state answers does not depend on how many go at a time, so a study
under a limit ends in the same bytes.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import psutil

from secretjax import ageing, cases, engine, predict
from secretjax.errors import UserError
from secretjax.mm.words import PAGEBLOCK_PAGES
from secretjax.study.params import Ageing, Demand, Params

PROCESS = 800 << 20  # bytes: Python, libraries, the compiler at work
COPIES = 7  # of the states on the lanes: the block, a group that is measured, those that come
SMALL = 16 << 10  # bytes of a state beside its pages, handles and script
AT_EASE = 8  # states at a time below which fewer processes are better
GIB = 1 << 30


@dataclass(frozen=True)
class Share:
    """What fits.

    jobs   processes at once
    lanes  states at a time in each of them
    """

    jobs: int
    lanes: int


def state_bytes(pages: int, handles: int, rows: int) -> int:
    """Bytes of one state of so many pages, handles and rows of its script."""
    return 8 * pages + 12 * pages // PAGEBLOCK_PAGES + 4 * handles + 8 * rows + SMALL


def process_bytes(state: int, lanes: int) -> int:
    """Bytes of a process with so many states of `state` bytes at a time."""
    return PROCESS + COPIES * lanes * state


def share(state: int, limit: int, jobs: int, what: str) -> Share:
    """As many of `jobs` as fit into `limit`, with the engine's lanes halved as often as need be.

    state, limit: bytes. what: the study, for the sentence. A process less is better than fewer
    than `AT_EASE` states at a time in each. Raises `UserError` when one state alone does not fit.
    """
    for least in (AT_EASE, 1):
        for count in range(jobs, 0, -1):
            fit = engine.LANES
            while fit > least and process_bytes(state, fit) * count > limit:
                fit //= 2
            if process_bytes(state, fit) * count <= limit:
                return Share(count, fit)
    raise UserError(
        f"{what}: one state takes {process_bytes(state, 1) / GIB:.2f} GiB with the process that "
        f"simulates it, but {limit / GIB:.2f} GiB are allowed; give more with --memory, or start "
        "states with fewer pages"
    )


def limit(gib: float | None) -> int:
    """Bytes of so many GiB; None: what this machine has available now (psutil)."""
    return psutil.virtual_memory().available if gib is None else int(gib * GIB)


def largest(study: Params) -> int:
    """Bytes of the largest state of a study: of its points, its captured cases, its recipes."""
    found = [_point(study, demand) for demand in study.demands]
    found += [_case(file, study.seed) for file in study.kernel_files()]
    return max(found + [_recipe(item) for item in study.ageing])


def _point(study: Params, demand: Demand) -> int:
    from secretjax.study import points

    def prepared(starts, workload, proposal, admission, *, seed: int, ageing_events: int):
        return engine.prepared(starts, workload, proposal, admission, seed, ageing_events)

    # The arms differ by a row or two.
    return _bytes(points.given(prepared, study, study.arms[0], demand)())


def _case(file: Path, seed: int) -> int:
    case = cases.read(file)
    if not isinstance(case, cases.PredictCase):
        return 0  # a recorded stream is one state alone, and small
    return _bytes(predict.prepared(case, None, seed))


def _bytes(common) -> int:
    found = (common.task(number) for number in range(len(common.starts)))
    return max(
        sum(leaf.nbytes for leaf in jax.tree.leaves((task.zone, task.own, task.table)))
        for task in found
    )


def _recipe(item: Ageing) -> int:
    plan = ageing.make(item.recipe).plan(item.pages, engine.generator(0, 0))
    return state_bytes(item.pages, len(plan.slots.order), plan.longest)
