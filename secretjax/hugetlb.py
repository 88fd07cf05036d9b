"""hugetlb pools whose pages come out of the modelled zone: operations of programs, step by step.

What the counters of a pool ask for depends on what they got before, so the operations are taken
one by one: each asks the zones of all states for pages at once, with the effort that the kernel
makes for a pool (direct compaction included), and gives back what it did not use.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from secretjax import admission, engine, flow, proposals, runners
from secretjax.admission._hugetlb_ops import Machine
from secretjax.cases import StartState
from secretjax.mm.load import load
from secretjax.mm.state import Op
from secretjax.mm.words import PAGEBLOCK_ORDER
from secretjax.program import start as start_program
from secretjax.workloads import _recorded as recorded
from secretjax.workloads.base import Do, Script

ALL = 1 << 15  # more pages than any zone has


class Zones:
    """Copies of one start state, each with its own timing, that answer in lockstep."""

    def __init__(self, start: StartState, numbers: Sequence[int], seed: int):
        """numbers: which states, of those that the seed makes."""
        base = jax.tree.map(np.asarray, load(start))
        pages, none = engine.pages_of(base), np.zeros(0, np.int64)
        owned = engine.owned(base, none, none, engine.rounded(engine.SPARE_HANDLES))
        rngs = (engine.generator(seed, i) for i in numbers)
        self.zones = flow.stack([engine.timed(owned, rng, False) for rng in rngs])
        total = start.zone["managed"]
        proposal, rule = proposals.make("keep_mapped"), admission.make("none")
        me = start_program(0, 0, Script().owners(), rule.limits(total, 1))
        self.me = flow.stack([me] * len(numbers))
        self.runner = runners.of_arm(proposal, rule.program(), pages)
        self.check = lambda: engine.check_faults(self.zones, numbers, [start], proposal.name, seed)

    def take(self, pages: np.ndarray) -> np.ndarray:
        """Up to so many huge pages for each state; how many it got. int64 [states] both."""
        before = np.asarray(self.me.kept, np.int64)
        self._do([np.array([[int(Do.DRAIN), n]] if n else np.zeros((0, 2))) for n in pages])
        return np.asarray(self.me.kept, np.int64) - before

    def give(self, pages: np.ndarray) -> None:
        """So many of each state's huge pages go back, those that came last first."""
        kept = np.asarray(self.me.kept)
        self._do([put(np.arange(k - 1, k - 1 - n, -1)) for k, n in zip(kept, pages, strict=True)])
        self.me = self.me._replace(kept=self.me.kept - jnp.asarray(pages, jnp.int32))

    def _do(self, rows: list[np.ndarray]) -> None:
        stop = np.array([len(r) for r in rows], np.int32)
        length = engine.rounded(int(stop.max()) + 1, engine.ROWS)
        table = np.zeros((len(rows), length, 2), np.int32)
        for state, r in enumerate(rows):
            table[state, : len(r)] = r
        self.me = self.me._replace(pc=jnp.zeros_like(self.me.pc), stop=jnp.asarray(stop))
        self.zones, self.me = self.runner.to_stop(self.zones, self.me, jnp.asarray(table))
        self.check()


def put(handles: np.ndarray) -> np.ndarray:
    """Rows that give back the huge pages with these handles."""
    k = len(handles)
    requests = np.stack([np.ones(k), np.full(k, PAGEBLOCK_ORDER), np.full(k, -1), handles], 1)
    rows = recorded.encode(np.column_stack([requests, np.zeros(k)]).astype(np.int64))
    rows[:, 0] += Op.PUT - Op.FREE
    rows[:, 0] |= 1 << recorded.FRESH
    return rows


def run(
    ops: Sequence[dict], start: StartState, states: int, seed: int, lanes: int = engine.LANES
) -> list[tuple[str, dict]]:
    """[(step, {counter: int64 [states]})] after each operation that has a step.

    lanes: states at a time.
    """
    blocks = [
        _run(ops, start, range(first, min(first + lanes, states)), seed)
        for first in range(0, states, lanes)
    ]
    return [
        (step, {name: np.concatenate([b[k][1][name] for b in blocks]) for name in counters})
        for k, (step, counters) in enumerate(blocks[0])
    ]


def _run(ops, start, numbers, seed):
    zones, found = Zones(start, numbers, seed), []
    machines = [Machine(0) for _ in numbers]
    for op in ops:
        got = zones.take(np.array([needed(machine, op) for machine in machines]))
        for machine, pages in zip(machines, got.tolist(), strict=True):
            machine.counters = replace(machine.counters, buddy=pages)
            machine.do(op)
        zones.give(np.array([machine.counters.buddy for machine in machines]))
        if "step" in op:
            each = [machine.shown() for machine in machines]
            names = {name: np.array([e[name] for e in each]) for name in each[0]}
            found.append((op["step"], names))
    return found


def needed(machine: Machine, op: dict) -> int:
    """Pages that the operation would take from a zone that has them."""
    trial = deepcopy(machine)
    trial.counters = replace(trial.counters, buddy=ALL)
    trial.least = ALL
    trial.do(op)
    return ALL - trial.least
