"""What each proposal would do on a captured machine: the same demand from the same drawn states."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t

from secretjax import admission, engine, proposals
from secretjax.cases import StartState
from secretjax.errors import UserError
from secretjax.machine import infer, part
from secretjax.machine.seen import Capture, ZoneSeen
from secretjax.predict import CaseDemand

MIB_PAGES = 256
# Secret memory so far at each step: what the probe takes by default and a quarter of it, or less
# where that is more than these shares of the zone.
STEPS = ((16, 2), (64, 5))  # MiB, %
MOST = STEPS[-1][0] * MIB_PAGES
FEW, SMALL = 8, 1 << 20  # states, and pages of a zone up to which there are as many
MOST_AT_ONCE = 4  # proposals, as each has its own block of states
PART = 1 << 32  # states drawn from are numbered so where a part of a zone is drawn
HUGE_PAGES = 8  # that others ask for after each step
METRICS = ("dm_2m_split", "dm_1g_split", "granted", "free_2m", "huge_ok")


@dataclass(frozen=True)
class Forecast:
    """What was predicted, and from what.

    pages     secret pages asked for so far, by step
    values    {proposal: {metric: int64 [states, steps]}}; metrics by METRICS, counters since the
              start; huge_ok of the step's HUGE_PAGES
    note      what else is to be said of it, if anything
    """

    zone: str
    pages: dict[str, int]
    values: dict[str, dict[str, np.ndarray]]
    states: int
    seed: int
    note: str = ""

    def steps(self) -> list[dict]:
        """As the answer to a predict case, of the only proposal."""
        (values,) = self.values.values()
        return [
            {"step": step, "metrics": {name: found[:, k] for name, found in values.items()}}
            for k, step in enumerate(self.pages)
        ]


def steps(zone: ZoneSeen, sizes: Iterable[tuple[int, int]] = STEPS) -> dict[str, int]:
    """{name of a step: secret pages so far}."""
    managed = zone.fields["managed"]
    wanted = [min(mib * MIB_PAGES, managed * share // 100) for mib, share in sizes]
    return {f"{round(pages / MIB_PAGES)} MiB": pages for pages in wanted}


def demand(pages: dict[str, int]) -> CaseDemand:
    """One file a step, touched in order, then huge pages for others."""
    ops, so_far = [], 0
    for step, total in pages.items():
        grow = {"op": "secret_grow", "pages": total - so_far, "churn_per_64_pages": 0}
        probe = {"op": "thp_probe", "huge_pages": HUGE_PAGES}
        ops += [op | {"step": step} for op in (grow, probe)]
        so_far = total
    return CaseDemand(tuple(ops))


def start_states(seen: Capture, zone: ZoneSeen, states: int, seed: int) -> list[StartState]:
    """Drawn start states; each of another part of the zone where that is too large (`part`)."""
    if not part.too_large(zone):
        return [infer.start_state(seen, zone, seed, k) for k in range(states)]
    infer.check(zone)
    small = (part.of(engine.generator(seed, k | PART), seen, zone) for k in range(states))
    return [infer.start_state(*machine, seed, k) for k, machine in enumerate(small)]


def forecast(
    seen: Capture,
    zone: ZoneSeen | None = None,
    *,
    states: int | None = None,
    seed: int = 1,
    names: Iterable[str] | None = None,
    pages: dict[str, int] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Forecast:
    """Every proposal, or those with these names, on `zone` or where secret memory comes from.

    states: by default FEW, or fewer of a large zone. pages: as `Forecast.pages`, instead of
    `steps`. progress: called with each proposal's name.
    Raises `UserError` when no state can be drawn.
    """
    zone = zone or seen.first(max(pages.values()) if pages else MOST)
    pages = pages or steps(zone)
    states = states or (FEW if zone.fields["managed"] <= SMALL else FEW // 2)
    starts, scale = start_states(seen, zone, states, seed), part.share(zone)
    totals = part.demanded(list(pages.values()), scale).tolist()
    asked = demand(dict(zip(pages, totals, strict=True)))
    names = list(names or sorted(proposals.PROPOSALS, key=lambda n: proposals.PROPOSALS[n].slot))

    common = engine.prepared(
        starts, asked, proposals.make("keep_mapped"), admission.make("none"), seed, 0
    )

    def values(name: str) -> dict[str, np.ndarray]:
        if progress:
            progress(name)
        out = simulation(common, proposals.make(name)).outcome(states, engine.LANES)
        return part.whole(_values(out, pages), np.array(list(pages.values())), scale)

    # most of the time is compilation, which leaves the interpreter to another thread
    with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), MOST_AT_ONCE)) as pool:
        found = dict(zip(names, pool.map(values, names), strict=True))
    return Forecast(zone.title, pages, found, states, seed, part.note(zone))


def simulation(common: engine.Simulation, proposal) -> engine.Simulation:
    """The same of another proposal; zones are loaded again only where it shapes start states."""
    shaped = [proposal.prepare(start) for start in common.starts]
    if all(a is b for a, b in zip(shaped, common.starts, strict=True)):
        return replace(common, proposal=proposal)
    return engine.prepared(
        common.starts, common.demand, proposal, common.admission, common.seed, common.ageing
    )


def _values(out: engine.Outcome, pages: dict[str, int]) -> dict[str, np.ndarray]:
    grown = [out.steps.index(f"{step}/secret_grow") for step in pages]
    probed = [out.steps.index(f"{step}/thp_probe") for step in pages]
    values = {name: out.values[name][:, grown] for name in METRICS}
    huge = out.values["huge_ok"]
    return values | {"huge_ok": huge[:, probed] - huge[:, grown]}


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean over states, and the 95 % prediction interval of one more of them (Student's t).

    The machine is one more of them: percentiles of so few states would leave it out too often.
    """
    mean, wide = float(values.mean()), 0.0
    if len(values) > 1:
        wide = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) * np.sqrt(1 + 1 / len(values))
    return mean, max(mean - float(wide), 0.0), mean + float(wide)


def zone_named(seen: Capture, name: str | None) -> ZoneSeen:
    """Where secret memory comes from, or the zone of this name (Normal, or 1.Normal: of node 1)."""
    if name is None:
        return seen.first(MOST)
    titles = {f"{zone.node}.{zone.name}": zone for zone in seen.zones}
    chosen = [zone for key, zone in titles.items() if name in (key, zone.name)]
    if len(chosen) != 1:
        raise UserError(
            f"{len(chosen)} zones are called '{name}'; this capture has {', '.join(titles)}"
        )
    return chosen[0]
