"""The numbers of a run by arm, demand, step and metric, with their intervals over the states."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from secretjax import metrics
from secretjax.errors import UserError, suggestion
from secretjax.mm.words import PAGEBLOCK_PAGES, Event
from secretjax.show import standing
from secretjax.study import costs, runs, statistics
from secretjax.study.costs import Bound
from secretjax.study.params import Arm
from secretjax.study.statistics import Difference, Estimate

Get = Callable[[str], np.ndarray]
PER_MIB = 256
PER_GIB = PAGEBLOCK_PAGES * PAGEBLOCK_PAGES


@dataclass(frozen=True)
class Words:
    """A metric for people. better: "lower", "higher" or None."""

    label: str
    unit: str
    better: str | None


def ratio(part: np.ndarray, whole: np.ndarray, nothing: float = 0.0) -> np.ndarray:
    """part / whole, `nothing` where there is no whole."""
    return np.divide(part, whole, out=np.full_like(part, nothing), where=whole != 0)


def asked(get: Get) -> np.ndarray:
    """Pages of secret memory that users asked for, granted or not."""
    return get("granted") + get("refused")


def memory(get: Get) -> np.ndarray:
    """Pages that the direct map covers, present or not."""
    large = PAGEBLOCK_PAGES * get("dm_2m_entries") + PER_GIB * get("dm_1g_entries")
    return get("dm_4k_pages") + large


def since(counted: np.ndarray) -> np.ndarray:
    """How much was counted since the step before."""
    return np.diff(counted, axis=1, prepend=0)


def from_pool(get: Get) -> np.ndarray:
    """Pages granted from pageblocks of a pool; NaN as long as there was none, nor a fallback."""
    had = np.maximum.accumulate(get("pool_pages"), axis=1) + get("fallback_pages") > 0
    return np.where(had, get("granted") - get("fallback_pages"), np.nan)


def huge_now(get: Get) -> np.ndarray:
    """Share of the huge pages asked for since the step before; NaN where none was."""
    return 100 * ratio(since(get("huge_ok")), since(get("huge_tried")), np.nan)


# Read off the measured ones, state by state: {metric: (words, formula)}
DERIVED: dict[str, tuple[Words, Callable[[Get], np.ndarray]]] = {
    "refused_open_share": (
        Words("refused at open", "% of pages asked for", "lower"),
        lambda get: 100 * ratio(get("refused_open"), asked(get)),
    ),
    "refused_mmap_share": (
        Words("refused at mmap", "% of pages asked for", "lower"),
        lambda get: 100 * ratio(get("refused_mmap"), asked(get)),
    ),
    "refused_fault_share": (
        Words("refused at the fault", "% of pages asked for", "lower"),
        lambda get: 100 * ratio(get("refused_fault"), asked(get)),
    ),
    "fallback_share": (
        Words("single pages instead of the pool's", "% of pages granted", "lower"),
        lambda get: 100 * ratio(get("fallback_pages"), get("granted")),
    ),
    "dm_4k_share": (
        Words("direct map in 4 KiB entries", "% of memory", "lower"),
        lambda get: 100 * ratio(get("dm_4k_pages"), memory(get)),
    ),
    "splits_per_block": (
        Words("splits for each 2 MiB of secret memory", "entries", "lower"),
        lambda get: PAGEBLOCK_PAGES * ratio(get("dm_2m_split"), get("granted"), np.nan),
    ),
    "splits_now": (
        Words("splits for each 2 MiB of secret memory, this step", "entries", "lower"),
        lambda get: (
            PAGEBLOCK_PAGES * ratio(since(get("dm_2m_split")), since(get("granted")), np.nan)
        ),
    ),
    "table_share": (
        Words("page tables of splits", "% of memory", "lower"),
        lambda get: 100 * ratio(get("table_pages"), memory(get)),
    ),
    "whole_share": (
        Words("granted from whole pageblocks", "% of pages asked for", "higher"),
        lambda get: 100 * ratio(from_pool(get), asked(get), np.nan),
    ),
    "flush_per_page": (
        Words("TLB flushes", "for each secret page granted", "lower"),
        lambda get: ratio(get("flush"), get("granted"), np.nan),
    ),
    "packing": (
        Words("pageblocks with secret pages", "times the least possible", "lower"),
        lambda get: ratio(get("secret_scatter"), 1000.0 * (get("secret_blocks") > 0), np.nan),
    ),
    "secret_mib": (
        Words("secret memory held", "MiB", "higher"),
        lambda get: get("secret_pages") / PER_MIB,
    ),
    "stranded_mib": (
        Words("stranded in pools", "MiB", "lower"),
        lambda get: get("stranded_pages") / PER_MIB,
    ),
    "huge_now": (Words("huge pages others got", "% of those asked for", "higher"), huge_now),
    "huge_share": (
        Words("huge pages others got, in all", "% of those asked for", "higher"),
        lambda get: 100 * ratio(get("huge_ok"), get("huge_tried")),
    ),
    "cost_per_page": (
        Words("cost of all counted work", "us per secret page granted", "lower"),
        lambda get: ratio(get("cost_ns"), get("granted"), np.nan) / 1000,
    ),
    "exposure_us": (
        Words("exposure by the protocol in use", "page-us x CPUs", "lower"),
        lambda get: get("exposure_page_ns") / 1000,
    ),
    "exposure_direct_map_us": (
        Words("exposure if put into the direct map", "page-us x CPUs", "lower"),
        lambda get: get("exposure_direct_map_page_ns") / 1000,
    ),
}


def words(metric: str) -> Words:
    """What a metric is called; `UserError` if there is none of this name."""
    if metric in DERIVED:
        return DERIVED[metric][0]
    if metric in costs.METRICS:
        label, unit = costs.METRICS[metric]
        return Words(standing.measure(label, metric), unit, "lower")
    known = metrics.table()
    if metric not in known:
        found = suggestion(metric, {**known, **DERIVED, **costs.METRICS})
        raise UserError(f"no metric named '{metric}': {found}")
    label = standing.measure(known[metric].label, metric)
    return Words(label, known[metric].unit, known[metric].better)


class Measured:
    """What a run measured: arrays [states, steps], and estimates over the states."""

    def __init__(self, run: runs.Run):
        self.run, self.params = run, run.params
        self.arms = list(run.params.arms)
        samples = run.samples()
        self._steps: dict[str, list[str]] = {}
        self._starts: dict[str, np.ndarray] = {}
        self._values: dict[tuple[str, str, str], np.ndarray] = {}
        self._estimates: dict[tuple[Any, ...], Estimate] = {}
        points = samples.groupby(["demand", "arm", "metric"], sort=False, observed=True).indices
        for (demand, *_), rows in points.items():
            if demand not in self._steps:
                mine = samples.iloc[rows]
                self._steps[demand] = mine["step"].unique().tolist()
                self._starts[demand] = mine["start"].to_numpy(str)[:: len(self._steps[demand])]
        wanted, few = (
            {d.name for d in run.params.demands},
            min(map(len, self._steps.values()), default=0),
        )
        if set(self._steps) != wanted or few < 2:
            raise UserError(
                f"{run.folder / 'samples.parquet'}: does not hold the demands "
                f"{', '.join(sorted(wanted))}; remove the folder and run the study again"
            )
        numbers = samples["value"].to_numpy(np.float64)
        for key, rows in points.items():
            # Rows lie by state, then step: see `Run.samples`.
            shape = self.params.states, len(self._steps[key[0]])
            if len(rows) != shape[0] * shape[1]:
                raise UserError(
                    f"{run.folder / 'samples.parquet'}: {len(rows)} rows of {', '.join(key)}, but "
                    f"{shape[0]} states at {shape[1]} measuring points are expected; remove the "
                    "folder and run the study again"
                )
            self._values[key] = numbers[rows].reshape(shape)

    def facing(self, demand: str) -> list[Arm]:
        """The arms that face a demand of the study."""
        return self.params.facing(demand)

    def demand_steps(self, demand: str) -> list[str]:
        """Measuring points in the order of time; none if the study has no such demand."""
        return self._steps.get(demand, [])

    def peak(self, demand: str) -> str:
        """The last measuring point before everything is given back."""
        return self._steps[demand][-2]

    def starts(self, demand: str) -> np.ndarray:
        """Name of each state's start state."""
        return self._starts[demand]

    def array(
        self, demand: str, arm: Arm, metric: str, bound: Bound = "best", cpus: int = 0
    ) -> np.ndarray:
        """float64 [states, steps]; `bound` of the cost table and `cpus` matter to costs only.

        NaN of an arm that does not face the demand. cpus: that a flush has to reach, the study's
        if not given
        """
        key = demand, arm.name, metric
        if key in self._values:
            return self._values[key]
        if arm not in self.facing(demand):
            return np.full((self.params.states, len(self._steps[demand])), np.nan)
        if metric in DERIVED:
            return DERIVED[metric][1](lambda name: self.array(demand, arm, name, bound, cpus))
        if metric in costs.METRICS:
            return self._cost(demand, arm, metric, bound, cpus or self.params.cpus)
        words(metric)
        raise UserError(f"{self.run.folder}: has no metric '{metric}'; run the study again")

    def _cost(self, demand: str, arm: Arm, metric: str, bound: Bound, cpus: int) -> np.ndarray:
        table = self.run.costs()
        if metric.startswith("exposure"):
            copied = self.array(demand, arm, "secret_copied")
            if "direct_map" in metric:
                return costs.exposure(copied, table, cpus, bound, "direct_map")
            mapped = self.array(demand, arm, "copied_mapped")
            return costs.exposed(copied, mapped, table, cpus, bound)
        held = self.array(demand, arm, "secret_pages")
        way = self.params.ways().get(arm.name, costs.Ways())
        if metric == "ipis":
            return costs.interrupts(costs.in_ways(self.counts(demand, arm), held, way), cpus)
        return costs.spent(self.counts(demand, arm), held, table, cpus, bound, way)

    def counts(self, demand: str, arm: Arm) -> np.ndarray:
        """float64 [states, steps, events]; zero of those that no metric has, which cost nothing."""
        known, shape = metrics.table(), (self.params.states, len(self._steps[demand]))
        names = [event.name.lower() for event in Event]
        every = [self.array(demand, arm, n) if n in known else np.zeros(shape) for n in names]
        return np.stack(every, axis=-1)

    def at(
        self, demand: str, step: str, arm: Arm, metric: str, bound: Bound = "best", cpus: int = 0
    ) -> np.ndarray:
        """One number a state."""
        return self.array(demand, arm, metric, bound, cpus)[:, self._steps[demand].index(step)]

    def estimate(
        self, demand: str, step: str, arm: Arm, metric: str, bound: Bound = "best"
    ) -> Estimate:
        """Mean over the states for which the metric says something, with its interval."""
        key = demand, step, arm.name, metric, bound
        if key not in self._estimates:
            values = self.at(demand, step, arm, metric, bound)
            said = ~np.isnan(values)
            self._estimates[key] = (
                statistics.interval(values[said], self.starts(demand)[said])
                if said.any()
                else Estimate(np.nan, np.nan, np.nan, 0)
            )
        return self._estimates[key]

    def difference(
        self, demand: str, step: str, arm: Arm, other: Arm, metric: str, start: str = ""
    ) -> Difference:
        """`arm` minus `other`, state by state, over the states for which both say something.

        start: of the states aged from this start state only
        """
        pair = [self.at(demand, step, one, metric) for one in (arm, other)]
        said = ~np.isnan(pair[0] + pair[1])
        if start:
            said &= self.starts(demand) == start
        if not said.any():
            return Difference(np.nan, np.nan, np.nan, 0, np.nan, 0.0, 0.0, "undetermined")
        return statistics.paired(pair[0][said], pair[1][said], self.starts(demand)[said])

    def by_start(
        self, demand: str, step: str, arm: Arm, other: Arm, metric: str
    ) -> dict[str, float]:
        """{start state: mean of `arm` minus `other`} over the states aged from it."""
        change = self.at(demand, step, arm, metric) - self.at(demand, step, other, metric)
        of, said = self.starts(demand), ~np.isnan(change)
        return {str(s): float(change[said & (of == s)].mean()) for s in np.unique(of[said])}

    def rests_on(self, demand: str) -> str:
        """What a figure of this demand rests on, for its caption."""
        starts = len(set(self.starts(demand)))
        return (
            f"Run {self.run.run_id}: {self.params.states} memory states from {starts} captured "
            "start states; means with 95 % bootstrap intervals over the states, "
            "resampled within each start state."
        )
