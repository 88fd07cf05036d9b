"""Which arm is cheaper, and what that depends on: over the whole cost table, CPUs and memory.

The cost of an arm is its counted events times their costs (`study.costs`), so it is computed again
for any costs without a simulation. Every cost is drawn between its low and high and the number of
CPUs between 1 and 256, both evenly on a logarithmic scale; the start state is drawn too, as the
memory that the arms face. Sobol indices (SALib: Saltelli's sampling, Jansen's estimator) say what
share of the variance of the logarithm of the ratio of two arms' costs a factor has, by itself and
with all its interactions. What memory itself decides was simulated on a full grid, whose indices
need no sampling (`of_grid`).
"""

from dataclasses import dataclass
from typing import cast

import numpy as np

from secretjax.study import costs
from secretjax.study.costs import Bound, Costs, Number

MOST_CPUS = 256
MEMORY = "memory"
CPUS = "cpus"


@dataclass(frozen=True)
class Draws(Costs):
    """A cost table of many draws at once. drawn: {entry: [draws]}, the others are as they were."""

    drawn: dict[str, np.ndarray]

    def ns(self, entry: str, bound: Bound) -> Number:
        """The draws of one entry."""
        return self.drawn.get(entry, super().ns(entry, bound))


@dataclass(frozen=True)
class Sensitivity:
    """How the ratio of two arms' costs depends on each factor.

    cheaper     share of the draws in which the first arm is cheaper
    total       {factor: total index}, `memory` the start state
    margin      {factor: half of the index's 95 % interval}
    flips       {factor: value at which the cheaper arm changes, all others at their best}
    """

    cheaper: float
    total: dict[str, float]
    margin: dict[str, float]
    flips: dict[str, float]


def ranges(table: Costs) -> dict[str, tuple[float, float]]:
    """{factor: low, high} of what is drawn, the memory aside; what has no range is left out."""
    entries = type(table.entries).model_fields
    ns = lambda entry, bound: cast(float, table.ns(entry, bound))  # noqa: E731
    bounds = {e: (ns(e, "low"), ns(e, "high")) for e in entries}
    known = {e: ends for e, ends in bounds.items() if 0 < ends[0] < ends[1]}
    return {**known, CPUS: (1.0, float(MOST_CPUS))}


def ratio(
    one: np.ndarray, other: np.ndarray, table: Costs, drawn: dict[str, np.ndarray]
) -> np.ndarray:
    """log(cost of one / cost of other), float64 [draws].

    one, other   events for each secret page granted, [start states, events]
    drawn        {factor: [draws]}; entries that are not drawn are at their best
    """
    many = Draws(table.name, table.about, table.entries, drawn)
    weights = costs.weights(many, drawn[CPUS], "best")
    at = np.minimum(drawn[MEMORY].astype(int), len(one) - 1)
    total = [np.einsum("de,ed->d", arm[at], weights) for arm in (one, other)]
    return np.log(total[0] / total[1])


def analyse(
    one: np.ndarray, other: np.ndarray, table: Costs, cpus: int, *, draws: int = 1024, seed: int = 0
) -> Sensitivity:
    """The sensitivity of two arms' costs; `one` and `other` as in `ratio`."""
    from SALib.analyze import sobol as analysis
    from SALib.sample import sobol as sampling

    spans = ranges(table)
    factors = [*spans, MEMORY]
    problem = {
        "num_vars": len(factors),
        "names": factors,
        "bounds": [*[np.log(ends).tolist() for ends in spans.values()], [0.0, float(len(one))]],
    }
    points = sampling.sample(problem, draws, calc_second_order=False, seed=seed)
    drawn = {f: np.exp(points[:, k]) for k, f in enumerate(spans)} | {MEMORY: points[:, -1]}
    found = ratio(one, other, table, drawn)
    if np.ptp(found) == 0:
        nothing = dict.fromkeys(factors, 0.0)
        return Sensitivity(float(found[0] < 0), nothing, nothing, {})
    index = analysis.analyze(problem, found, calc_second_order=False, seed=seed)
    total, margin = (dict(zip(factors, index[k].tolist(), strict=True)) for k in ("ST", "ST_conf"))
    flips = {f: at for f in spans if (at := flip(one, other, table, cpus, f)) is not None}
    return Sensitivity(float((found < 0).mean()), total, margin, flips)


def of_grid(cells: np.ndarray) -> np.ndarray:
    """Total Sobol index of each axis of a full grid, all its levels alike likely; float64 [axes].

    Exact, nothing is drawn: the mean of the variance along the axis, as a share of the variance of
    all (A. Saltelli et al. 2010, the numerator of a total index). 0 where nothing varies.
    """
    whole = cells.var()
    along = np.array([cells.var(axis=axis).mean() for axis in range(cells.ndim)])
    return along / whole if whole != 0 else along


def flip(one: np.ndarray, other: np.ndarray, table: Costs, cpus: int, factor: str) -> float | None:
    """Where the cheaper arm changes as one factor goes from low to high, on average memory."""
    low, high = ranges(table)[factor]
    line = np.geomspace(low, high, 257)
    drawn = {CPUS: np.full(len(line), float(cpus)), MEMORY: np.zeros(len(line)), factor: line}
    means = one.mean(0, keepdims=True), other.mean(0, keepdims=True)
    sign = np.sign(ratio(*means, table, drawn))
    changes = np.flatnonzero(sign[1:] != sign[:-1])
    return float(line[changes[0] + 1]) if len(changes) else None
