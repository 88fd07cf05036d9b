"""States that come and go on the lanes of one compiled program.

A step costs by the number of lanes, and a state needs from a thousand steps to millions. So each
one is measured when it is at its own stop and goes on at once, one that is at its end makes room
for the next, and the last ones take turns on fewer lanes. What a state answers does not depend on
its neighbours.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Int32

from secretjax.errors import UserError
from secretjax.mm.state import Zone
from secretjax.program import Program

STEPS = 4096  # between two looks at who is at a stop
GROUP = 8  # lanes that are measured and changed at a time, or this share of them if that is more
FEW, PATIENCE = 3 / 8, 64  # this share of the lanes in use for so many looks: on fewer from now on
LIMIT = 1 << 26  # steps within which somebody must come to a stop


class Task(NamedTuple):
    """One state: what its lane begins with, and where it is to be measured.

    stops, point   (name, row of the script) in order, and the next one of them
    """

    number: int
    zone: Zone | None  # of NumPy arrays; these three are None once they are on a lane
    own: Program | None
    table: Int[np.ndarray, "rows 2"] | None
    stops: list[tuple[str, int]]
    point: int = 0

    def stop(self) -> int:
        """The row to wait at, -1 beyond the last one."""
        return self.stops[self.point][1] if self.point < len(self.stops) else -1


class Seen(NamedTuple):
    """States at their stops: the first lanes of a group, which may have more.

    tasks   whose they are; `Task.point` says at which of its stops each is
    """

    tasks: list[Task]
    zones: Zone
    own: Program


def stack(trees: Iterable):
    """One tree of arrays with the states in front."""
    return jax.tree.map(
        lambda *leaves: jnp.asarray(np.stack([np.asarray(x) for x in leaves])), *trees
    )


@jax.jit
def taken(block, lanes: Int32[Array, " lanes"]):
    """These lanes of a block."""
    return jax.tree.map(lambda x: x[lanes], block)


@partial(jax.jit, donate_argnums=0)
def put(block, lanes: Int32[Array, " lanes"], part):
    """The block with these lanes as in `part`."""
    return jax.tree.map(lambda x, y: x.at[lanes].set(y), block, part)


class Flow:
    """States on at most so many lanes, in the order in which they are asked for."""

    def __init__(self, run: Callable, tasks: Iterable[Task], lanes: int):
        """run: see `xla.program_runner`. tasks: drawn from when a lane is free."""
        self.run, self.coming, self.more = run, iter(tasks), True
        first = self._next(lanes)
        self.rows = max(rows_of(task) for task in first)
        self.group = min(len(first), max(GROUP, len(first) // GROUP))
        self.block: tuple[Any, ...] = self._stacked(first)
        self.tasks = [placed(task) for task in first]  # by lane
        self.stops = np.array([task.stop() for task in first], np.int32)  # -1: at its end

    def __iter__(self) -> Iterator[Seen]:
        """Each state at each of its stops, in the order in which they come there.

        Raises `UserError` when nobody comes to a stop any more.
        """
        idle = few = 0
        while live := int((self.stops >= 0).sum()):
            few = few + 1 if not self.more and live <= len(self.tasks) * FEW else 0
            if few > PATIENCE and self.group < len(self.tasks):
                yield from Flow(self.run, self._parked(), self.group)
                return
            self._go(STEPS)
            here = self._at_stop(live)
            idle = 0 if here else idle + STEPS
            check_limit(idle, live, LIMIT)
            if here:
                self._go(2)  # writes what is pending
            for k in range(0, len(here), self.group):
                lanes = here[k : k + self.group]
                zones, own = taken(self.block[:2], self._filled(lanes))
                yield Seen([self.tasks[lane] for lane in lanes], zones, own)
                self._move_on(lanes)

    def _next(self, count: int) -> list[Task]:
        """As many of the coming ones, or as there are."""
        tasks = list(islice(self.coming, count))
        self.more = len(tasks) == count
        return tasks

    def _go(self, steps: int) -> None:
        zones, own, tables = self.block
        own = own._replace(stop=jnp.array(self.stops))
        self.block = (*self.run(zones, own, tables, steps), tables)

    def _at_stop(self, live: int) -> list[int]:
        """Lanes to be measured: none yet as long as few wait and others are on their way."""
        waits = (self.stops >= 0) & (np.asarray(self.block[1].pc) >= self.stops)
        here = np.flatnonzero(waits).tolist()
        return here if len(here) >= min(live, max(len(waits) // GROUP, 1)) else []

    def _move_on(self, lanes: list[int]) -> None:
        """They go on to their next stops, or others take their places."""
        for lane in lanes:
            self.tasks[lane] = self.tasks[lane]._replace(point=self.tasks[lane].point + 1)
            self.stops[lane] = self.tasks[lane].stop()
        freed = [lane for lane in lanes if self.stops[lane] < 0]
        new = self._next(len(freed)) if freed and self.more else []
        if not new:
            return
        freed = freed[: len(new)]
        for lane, task in zip(freed, new, strict=True):
            self.tasks[lane], self.stops[lane] = placed(task), task.stop()
        self.rows = max(self.rows, *(rows_of(task) for task in new))
        zones, own, tables = self.block
        longer = self.rows - tables.shape[1]
        tables = jnp.pad(tables, ((0, 0), (0, longer), (0, 0))) if longer else tables
        part = self._stacked(new + new[:1] * (self.group - len(new)))
        self.block = put((zones, own, tables), self._filled(freed), part)

    def _parked(self) -> Iterator[Task]:
        """The states that are not at their ends, as they are now."""
        block = jax.tree.map(np.asarray, self.block)
        for lane in np.flatnonzero(self.stops >= 0).tolist():
            zone, own, table = jax.tree.map(lambda x, k=lane: x[k], block)
            yield self.tasks[lane]._replace(zone=zone, own=own, table=table)

    def _filled(self, lanes: list[int]) -> Int32[Array, " lanes"]:
        """As many as a group has: the first one again where there are fewer."""
        return jnp.asarray(lanes + lanes[:1] * (self.group - len(lanes)), jnp.int32)

    def _stacked(self, tasks: list[Task]) -> tuple[Any, ...]:
        table = np.zeros((len(tasks), self.rows, 2), np.int32)
        for row, task in zip(table, tasks, strict=True):
            assert task.table is not None
            row[: len(task.table)] = task.table
        return stack([t.zone for t in tasks]), stack([t.own for t in tasks]), jnp.asarray(table)


def rows_of(task: Task) -> int:
    """The length of its script."""
    assert task.table is not None
    return len(task.table)


def placed(task: Task) -> Task:
    """Without its arrays, which are on a lane now."""
    return task._replace(zone=None, own=None, table=None)


def run_to_stop(run: Callable, zones, own, tables, limit: int = LIMIT) -> tuple:
    """Steps until every state waits at its stop, then two idle ones that write what is pending."""
    steps = 0
    while True:
        steps += STEPS
        zones, own = run(zones, own, tables, STEPS)
        behind = int((np.asarray(own.pc) < own.stop).sum())
        if not behind:
            return run(zones, own, tables, 2)
        check_limit(steps, behind, limit)


def check_limit(steps: int, states: int, limit: int) -> None:
    """Raises `late` when states have got nowhere in so many steps."""
    if steps >= limit:
        raise late(states, limit)


def late(states: int, limit: int) -> UserError:
    """So many states have got nowhere in so many steps."""
    return UserError(
        f"{states} states did not come to the end of their work within {limit} steps: a fault of "
        "the model or of a plug-in, not of the input; please report it with the command that you "
        "gave"
    )
