"""Many states at once: what they share, the randomness of each, and what is measured.

A state is one zone with its program. `runners` says what takes states on: native code, one after
the other, or a program of XLA on the lanes of a block that fits the cache, of which `flow` says who
is on which. Every state is at its own place, and
its results depend on its start state and on (seed, its number) only: not on the block or the
number of devices.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from secretjax import clock, metrics, processes, runners
from secretjax.admission.base import Admission
from secretjax.errors import UserError
from secretjax.flow import Seen, Task
from secretjax.ledger import settled
from secretjax.mm.layout import HEADS, Use
from secretjax.mm.load import load
from secretjax.mm.reading import read
from secretjax.mm.state import FULL, Fault, Zone
from secretjax.mm.words import PAGEBLOCK_PAGES, Event
from secretjax.program import Program
from secretjax.program import start as start_program
from secretjax.proposals.base import Pooled, Proposal
from secretjax.workloads.base import Churn, Do, Pages, Script, Workload

LANES = 64  # of a block: enough to fill the vector units, few enough for the cache
SPARE_HANDLES = 512  # huge pages that others hold
ROWS = 1 << 14  # of a script: as `rounded`


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was measured.

    steps    names of the measuring points, in order
    values   {metric: int64 [states, steps]}
    start    name of each state's start state
    digests  uint32 [states, 2], of each state's memory at the end: equal digests, equal bits
    """

    steps: tuple[str, ...]
    values: dict[str, np.ndarray]
    start: tuple[str, ...]
    digests: np.ndarray


def pages_of(zone: Zone) -> int:
    """Pages of a zone, or of each zone of a block."""
    return zone.link.shape[-1] // 2 - HEADS


@cache
def measurer(pages: int, opens: bool) -> Callable:
    """Compiled: Int32 [states, metrics] of a block, in the order of `metrics.METRICS`.

    opens: `Proposal.opens`; what is not opened is not mapped either.
    """

    def one(zone: Zone, me: Program):
        own = {
            Event.GRANTED: me.granted,
            Event.FALLBACK: me.fallback,
            Event.ZEROED: me.granted,
            Event.WINDOW: me.apart,
            Event.REFUSED_OPEN: 0 if opens else me.refused_mmap,
            Event.REFUSED_MMAP: me.refused_mmap if opens else 0,
            Event.REFUSED_FAULT: me.refused_fault,
            Event.OOM_FAULT: me.killed,
            Event.SIGBUS_FAULT: me.sigbus,
            Event.HUGE_TRIED: me.huge_tried,
            Event.HUGE_OK: me.huge_ok,
        }
        idle = me.own.pool - (me.own.held - me.own.singles)
        known = {"pool_pages": me.own.pool, "pool_idle": jnp.where(me.own.pool > 0, idle, 0)}
        known |= {"promised": me.own.reserved, "files_up": me.up}
        assert me.tables is not None
        known["users"] = settled(me.tables, me.current).user
        reading = read(zone, pages, own, easy=me.easy, held=me.own.held, program=known)
        return jnp.stack([metric.read(reading) for metric in metrics.METRICS.values()])

    return jax.jit(jax.vmap(one))


@jax.jit
@jax.vmap
def digest(zone: Zone):
    """Two 32-bit words of every array and register of a zone."""
    words = [leaf.reshape(-1).astype(jnp.uint32) for leaf in jax.tree.leaves(zone)]
    every = jnp.concatenate(words)
    place = jnp.arange(every.size, dtype=jnp.uint32)
    mixed = (every + place * jnp.uint32(2654435761)) * jnp.uint32(2246822519)
    mixed = mixed ^ (mixed >> 15)
    return jnp.stack([mixed.sum(dtype=jnp.uint32), (mixed * (place | 1)).sum(dtype=jnp.uint32)])


def generator(seed: int, state: int) -> np.random.Generator:
    """The randomness of one state: depends on the seed and its number only."""
    return np.random.Generator(np.random.Philox(key=[seed, state]))


def owned(zone: Zone, pfn, handle, handles: int, fixed=()) -> Zone:
    """The zone (of NumPy arrays) with owners of pages in use, fixed pages, a table of handles."""
    link = zone.link.copy()
    link[2 * np.asarray(fixed, np.int64)] |= int(Use.FIXED)
    link[2 * pfn + 1] = handle
    table = np.full(handles, -1, np.int32)
    table[handle] = pfn
    return zone._replace(link=link, handle=table)


def timed(zone: Zone, rng: np.random.Generator, secret: int) -> Zone:
    """The zone (of NumPy arrays) with its own timing of background threads.

    Half a second lasts 900 to 26,000 page faults, 4,900 in the middle: as the captured runs, whose
    host was fast or slow by the run (2,300 to 10,300) and, as much, from one moment to the next
    (`background.half_second`). kcompactd is somewhere within its half second.
    """
    as32 = lambda x: np.asarray(int(x), np.int32)  # noqa: E731
    least, spread = 100 * np.exp(rng.uniform(np.log(917), np.log(4_050))), rng.uniform(0, 1)
    pace = least * 6.4**spread
    random, poll = rng.integers(1, 1 << 31), rng.uniform(1, pace)
    limits = zone.limits._replace(period=as32(least), secret=as32(secret))
    now = zone.now._replace(random=as32(random), poll=as32(poll), pace=as32(pace))
    return zone._replace(limits=limits, now=now)


def rounded(size: int, grain: int = 1 << 16) -> int:
    """Sizes in coarse steps, so that demands share compiled programs."""
    return -(-size // grain) * grain


@dataclass(frozen=True)
class Simulation:
    """What all its states have in common."""

    starts: Sequence
    bases: Sequence[Zone]  # of NumPy arrays
    pools: Sequence[Pages]
    demand: Workload
    proposal: Proposal
    admission: Admission
    seed: int
    ageing: int
    handles: int

    def task(self, number: int) -> Task:
        """The state with this number before its first step."""
        k, rng = number % len(self.starts), generator(self.seed, number)
        start, base, demand = self.starts[k], self.bases[k], self.demand
        total = start.zone["managed"]
        secret = demand.secret(total)
        churn = Churn(self.pools[k], rng, secret, self.ageing + demand.events(total))
        script = self.script(total, churn, rng)
        fixed = np.zeros(0, np.int64)
        anonymous = self.pools[k].anonymous
        if pinned := demand.pinned(len(anonymous)):
            fixed = rng.choice(anonymous, min(pinned, len(anonymous)), replace=False)
        zone = owned(base, churn.pfn, churn.handle, self.handles, fixed)
        zone = timed(zone, rng, int(base.limits.secret) | self.proposal.secret)
        owners = script.owners()
        limits = self.admission.limits(total, int(owners["present"].sum()))
        own = start_program(demand.floor(), churn.spare + 1, owners, limits)
        table = np.zeros((rounded(script.length + 1, ROWS), 2), np.int32)
        table[: script.length + 1] = script.array()
        return Task(number, zone, own, table, script.stops)

    def script(self, total: int, churn: Churn, rng: np.random.Generator) -> Script:
        """What is asked of a state: first the pool is filled, then ageing, then the demand."""
        script = Script(self.demand.secret(total), rng=rng)
        fills = self.proposal.fill(total) + self.admission.fill(total, 1) > 0
        if fills:
            script.do(Do.FILL)
        if self.ageing:
            script.add(churn.rows(self.ageing))
        self.demand.write(script, total, churn)
        if fills:
            users = int(script.owners()["present"].sum())
            wanted = max(self.proposal.fill(total), self.admission.fill(total, users))
            script.rows[0][0, 1] = wanted
        return script

    def seen(self, numbers: Iterable[int], lanes: int) -> Iterator[Seen]:
        """These states at each of their measuring points; `UserError` where one shows a fault."""
        pages = pages_of(self.bases[0])
        runner = runners.of_arm(self.proposal, self.admission.program(), pages)
        for seen in runner.flow(map(self.task, numbers), lanes):
            here = [task.number for task in seen.tasks]
            check_faults(seen.zones, here, self.starts, self.proposal.name, self.seed)
            yield seen

    def outcome(self, states: int | range, lanes: int) -> Outcome:
        """These states, or so many, at all their measuring points."""
        wanted = range(states) if isinstance(states, int) else states
        pages, steps = pages_of(self.bases[0]), tuple(name for name, _ in self.task(0).stops)
        shape, digests = (len(wanted), len(steps)), np.zeros((len(wanted), 2), np.uint32)
        values = {name: np.zeros(shape, np.int64) for name in metrics.METRICS}
        for seen in clocked(self.seen(wanted, lanes) if len(wanted) else iter(())):
            rows = np.array([wanted.index(task.number) for task in seen.tasks])
            points = np.array([task.point for task in seen.tasks])
            with clock.spent("metrics"):
                measured = measurer(pages, self.proposal.opens)(seen.zones, seen.own)
                found = np.asarray(measured)
                for name, column in zip(metrics.METRICS, found.T, strict=True):
                    values[name][rows, points] = column[: len(rows)]
                ends = np.flatnonzero(points == len(steps) - 1)
                if len(ends):
                    digests[rows[ends]] = np.asarray(digest(seen.zones))[ends]
        for name, metric in metrics.METRICS.items():
            if metric.counter:
                values[name] = values[name] - values[name][:, :1]
        names = tuple(self.starts[i % len(self.starts)].name for i in wanted)
        return Outcome(steps, values, names, digests)


def clocked(coming: Iterator[Seen]) -> Iterator[Seen]:
    """The same; what it took goes to `clock` as ageing, up to the first point, or as demand."""
    while True:
        with clock.spent("demand") as frame:
            seen = next(coming, None)
            if seen is not None and all(task.point == 0 for task in seen.tasks):
                frame[0] = "age"
        if seen is None:
            return
        yield seen


def simulate(
    starts: Sequence,
    demand: Workload,
    proposal: Proposal,
    admission: Admission,
    *,
    states: int,
    seed: int,
    ageing_events: int = 0,
    lanes: int = LANES,
) -> Outcome:
    """Runs a demand on many states; state i starts from `starts[i % len(starts)]`.

    starts: `cases.StartState`, all with the same number of pages. ageing_events: background events
    before the first measuring point, different in each state. Under jax.distributed all processes
    call it alike, each runs a part of the states, and all get the whole answer.

    Raises `UserError` when the rule cannot wrap the proposal, when the zones differ in size, or
    when a state shows a fault (a bug of the model or of a plug-in), with the state to look at.
    """
    common = prepared(starts, demand, proposal, admission, seed, ageing_events)
    own = common.outcome(processes.mine(states), lanes)
    values = {name: processes.together(found, states) for name, found in own.values.items()}
    names = tuple(starts[i % len(starts)].name for i in range(states))
    return Outcome(own.steps, values, names, processes.together(own.digests, states))


def watch(
    starts: Sequence,
    demand: Workload,
    proposal: Proposal,
    admission: Admission,
    *,
    state: int,
    seed: int,
    ageing_events: int = 0,
) -> dict[str, Zone]:
    """{measuring point: the zone there, in NumPy arrays} of one state of `simulate`."""
    common = prepared(starts, demand, proposal, admission, seed, ageing_events)
    found = {}
    for seen in common.seen([state], 1):
        task = seen.tasks[0]
        found[task.stops[task.point][0]] = jax.tree.map(lambda x: np.array(x[0]), seen.zones)
    return found


def prepared(
    starts: Sequence,
    demand: Workload,
    proposal: Proposal,
    admission: Admission,
    seed: int,
    ageing: int,
) -> Simulation:
    """What all states have in common; `UserError` as `simulate` says."""
    if not admission.fits(proposal):
        raise UserError(
            f"admission '{admission.name}' cannot wrap '{proposal.name}': it has no pool"
        )
    if admission.reserves and not cast(Pooled, proposal).shared:
        proposal = replace(proposal, shared=True)
    starts = [proposal.prepare(start) for start in starts]
    bases = [jax.tree.map(np.asarray, load(start)) for start in starts]
    if len({base.link.shape for base in bases}) > 1:
        raise UserError("start states of different size cannot share a batch; run them apart")
    totals = {start.zone["managed"] for start in starts}
    most = max(
        demand.secret(total) + Churn.slots(ageing + demand.events(total)) for total in totals
    )
    spare = max(SPARE_HANDLES, max(totals) // PAGEBLOCK_PAGES)
    handles = rounded(most + 1 + spare)
    pools = [Pages(start) for start in starts]
    return Simulation(starts, bases, pools, demand, proposal, admission, seed, ageing, handles)


def faults(zones: Zone) -> np.ndarray:
    """Bits of `Fault` of each zone, its counters looked at too: int64 [states]."""
    counted = np.asarray(zones.ticks, np.int64).sum(1)
    return np.asarray(zones.now.fault, np.int64) | np.where(counted < FULL, 0, Fault.COUNTER)


def check_faults(zones: Zone, numbers, starts, who: str, seed: int) -> None:
    """`UserError` with every fault bit that `who` caused, and the first state that has one."""
    fault = faults(zones)[: len(numbers)]
    bad = np.flatnonzero(fault)
    if not len(bad):
        return
    bits = {bit.name: int(((fault & bit) != 0).sum()) for bit in Fault if (fault & bit).any()}
    state = list(numbers)[bad[0]]
    found = ", ".join(f"{bit} in {count}" for bit, count in bits.items())
    why = (
        "a fault of the model or of this plug-in, not of the input; please report it with these "
        "numbers"
    )
    if list(bits) == [Fault.COUNTER.name]:
        why = "more was asked than a counter of 32 bits holds; ask for less, or in several studies"
    raise UserError(
        f"'{who}': {found} of {len(fault)} states looked at, first in state {state} of seed {seed} "
        f"(start '{starts[state % len(starts)].name}'): {why}"
    )
