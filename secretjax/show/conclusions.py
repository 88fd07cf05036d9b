"""Conclusions about two arms, and what in memory they depend on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from secretjax.show import sentences, standing
from secretjax.show.figures._panels import position
from secretjax.show.measured import Measured, words
from secretjax.show.sentences import Numbers
from secretjax.study import sensitivity
from secretjax.study.params import Arm, Demand

DEMAND = "growth"
CONCLUSIONS = (
    ("pmd_pool", "per_page", "dm_2m_split"),
    ("cma_pool", "per_page", "dm_2m_split"),
    ("pmd_pool", "per_page", "huge_share"),
    ("cma_pool", "pmd_pool", "huge_share"),
    ("cma_pool", "pmd_pool", "whole_share"),
    ("cma_pool", "per_page", "polluted_blocks"),
    ("pmd_pool+reservation", "pmd_pool", "stranded_mib"),
    ("migratable", "per_page", "huge_share"),
    ("migratable", "per_page", "dm_2m_split"),
)
VERDICTS = ("better", "worse", "equal", "undetermined")
FACTORS = ("pinned pages", "secret share", "start state", "state drawn from it")
RESAMPLES = 200


@dataclass(frozen=True)
class Conclusion:
    """One arm against another in one metric."""

    arm: Arm
    other: Arm
    metric: str


def of(study: Measured) -> list[Conclusion]:
    """Those whose arms the study has."""
    if not study.demand_steps(DEMAND):
        return []
    found = [[sentences.arm_of(study, name, DEMAND) for name in pair] for *pair, _ in CONCLUSIONS]
    metrics = [metric for *_, metric in CONCLUSIONS]
    return [Conclusion(a, b, m) for (a, b), m in zip(found, metrics, strict=True) if a and b]


def named(one: Conclusion) -> str:
    """For an axis, each arm marked where no capture covers it."""
    arm, other = (standing.marked(a.name, a.validated) for a in (one.arm, one.other))
    return f"{arm} against {other}: {words(one.metric).label}"


def shares(study: Measured, demand: str = DEMAND) -> list[str]:
    """Measuring points with secret memory, of growth."""
    return [step for step in study.demand_steps(demand) if position(step)]


def demands(study: Measured, one: Conclusion) -> list[Demand]:
    """Those that are growth to the same shares for both, by their share of pinned pages."""
    same = [
        d for d in study.params.demands
        if d.kind == "growth" and shares(study, d.name) == shares(study)
        and all(arm in study.facing(d.name) for arm in (one.arm, one.other))
    ]  # fmt: skip
    return sorted(same, key=lambda d: d.options["pinned_percent"])


def verdict(study: Measured, one: Conclusion, demand: str, step: str, start: str) -> int:
    """Of one start state's states: an index into `VERDICTS`."""
    found = study.difference(demand, step, one.arm, one.other, one.metric, start=start).verdict
    if found in ("equal", "undetermined"):
        return VERDICTS.index(found)
    return int(found != words(one.metric).better)


def grid(study: Measured, one: Conclusion) -> Float[np.ndarray, "pins shares starts states"]:
    """The paired difference under each share of pinned pages; the axes are `FACTORS`."""
    of_state = study.starts(DEMAND)
    starts = list(dict.fromkeys(of_state))
    least = min(int((of_state == start).sum()) for start in starts)
    rows = np.stack([np.flatnonzero(of_state == start)[:least] for start in starts])

    def change(demand: str, step: str) -> np.ndarray:
        pair = [study.at(demand, step, arm, one.metric) for arm in (one.arm, one.other)]
        return (pair[0] - pair[1])[rows]

    return np.stack(
        [[change(demand.name, step) for step in shares(study)] for demand in demands(study, one)]
    )


def depends(
    study: Measured, one: Conclusion
) -> tuple[Float[np.ndarray, " factors"], Float[np.ndarray, " factors"]]:
    """Total Sobol index of each of `FACTORS`, and half of its 95 % bootstrap interval over states.

    NaN where a state says nothing of the metric.
    """
    cells, rng = grid(study, one), np.random.default_rng(0)
    states = cells.shape[-1]
    drawn = [
        sensitivity.of_grid(cells[..., rng.integers(0, states, states)]) for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return sensitivity.of_grid(cells), (high - low) / 2


def told(study: Measured, one: Conclusion) -> tuple[str, Numbers]:
    """Where it holds and what it depends on, in a sentence, and the numbers quoted.

    A place is a share of pinned pages, a share of secret memory and a start state.
    """
    places = [
        verdict(study, one, demand.name, step, start)
        for demand in demands(study, one)
        for step in shares(study)
        for start in dict.fromkeys(study.starts(DEMAND))
    ]
    count = {name: places.count(k) for k, name in enumerate(VERDICTS) if k in places}
    index: dict[str, float] = dict(zip(FACTORS, depends(study, one)[0].tolist(), strict=True))
    ranked = sorted((f for f in FACTORS if index[f] > 0), key=lambda f: -index[f])
    most = [f"{factor} (total index {sentences.short(index[factor])})" for factor in ranked[:2]]
    counted = sentences.listed([f"{name} in {n}" for name, n in count.items()])
    decided = [name for name in ("better", "worse") if name in count]
    head = "Undetermined" if "undetermined" in count else "No difference"
    if decided:
        head = decided[0].capitalize()
    if len(decided) == 2:
        head = f"Undetermined, depends on the {ranked[0]}" if ranked else "Undetermined"
    arms = [sentences.called(arm) for arm in (one.arm, one.other)]
    what = f"{' against '.join(arms)}, {words(one.metric).label}"
    text = f"{what}: **{head}**: {counted} of {len(places)} places"
    if most:
        text = f"{text}; its size depends most on {', then on '.join(most)}"
    numbers = {f"places.{name}": {"value": n, "unit": "places"} for name, n in count.items()}
    numbers |= {f"total.{f}": {"value": index[f], "unit": "of 1"} for f in ranked}
    return f"{text}.", numbers
