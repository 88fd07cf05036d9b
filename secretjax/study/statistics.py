"""Intervals over states. States that share a start state are resampled within it.

Differences are paired: every arm faces the same states and the same requests, so the difference is
taken state by state and the interval is that of its mean (percentile bootstrap, fixed seed).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

LEVEL = 0.95
Values = np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A mean (or share) with its 95 % interval over `states`."""

    mean: float
    low: float
    high: float
    states: int


@dataclass(frozen=True)
class Difference(Estimate):
    """A paired difference to the baseline.

    share_lower, share_higher   of the states; the rest are equal
    verdict                     'lower', 'higher', 'equal' (no state differs), or 'undetermined'
                                when the interval holds 0
    """

    median: float
    share_lower: float
    share_higher: float
    verdict: str


def interval(values: Values, starts: Values, *, resamples: int = 2000, seed: int = 0) -> Estimate:
    """Mean of one number a state. `starts`: the start state of each, strata of the bootstrap."""
    values = np.asarray(values, np.float64)
    mean = float(values.mean())
    if len(values) < 2 or np.ptp(values) == 0:
        return Estimate(mean, mean, mean, len(values))
    means = _means(values, np.asarray(starts), resamples, np.random.default_rng(seed))
    return Estimate(mean, *_ends(means), len(values))


def _means(values: Values, starts: Values, resamples: int, rng: np.random.Generator) -> Values:
    """Means of resampled values, each start state's by themselves.

    Of n states n - 1 are drawn, else the spread is too small by (n - 1) / n (J. Rao, C. Wu,
    Resampling Inference with Complex Survey Data, 1988). Start states of one state are taken
    together; with all others, if there is but one of them.
    """
    names, counts = np.unique(starts, return_counts=True)
    lone = np.isin(starts, names[counts == 1])
    strata = np.zeros(len(starts)) if lone.sum() == 1 else np.where(lone, "", starts)
    sums = np.zeros(resamples)
    for stratum in np.unique(strata):
        group = values[strata == stratum]
        drawn = rng.integers(0, len(group), (resamples, max(len(group) - 1, 1)))
        sums += group[drawn].mean(1) * len(group)
    return sums / len(values)


def _ends(means: Values) -> tuple[float, float]:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


def _verdict(low: float, high: float, states: int) -> str:
    if states < 2:  # which have no spread
        return "undetermined"
    return "lower" if high < 0 else "higher" if low > 0 else "undetermined"


def paired(
    values: Values, baseline: Values, starts: Values, *, resamples: int = 2000, seed: int = 0
) -> Difference:
    """`values` minus `baseline`, state by state.

    Raises `ValueError` when they are not of the same states.
    """
    if len(values) != len(baseline) or len(values) != len(starts):
        raise ValueError(f"{len(values)} and {len(baseline)} states cannot be paired")
    change = np.asarray(values, np.float64) - np.asarray(baseline, np.float64)
    found = interval(change, starts, resamples=resamples, seed=seed)
    verdict = "equal" if not change.any() else _verdict(found.low, found.high, len(change))
    shares = float((change < 0).mean()), float((change > 0).mean())
    return Difference(
        found.mean, found.low, found.high, found.states, float(np.median(change)), *shares, verdict
    )


def apart(
    values: Values,
    starts: Values,
    others: Values,
    other_starts: Values,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Mean of `values` minus that of `others`, of states that are not the same: each resampled
    by itself. The shares are of pairs of one of each.
    """
    if not len(values) or not len(others):
        return Difference(np.nan, np.nan, np.nan, 0, np.nan, 0.0, 0.0, "undetermined")
    rng = np.random.default_rng(seed)
    values, others = np.asarray(values, np.float64), np.asarray(others, np.float64)
    mean = float(values.mean() - others.mean())
    low, high = _ends(
        _means(values, np.asarray(starts), resamples, rng)
        - _means(others, np.asarray(other_starts), resamples, rng)
    )
    pairs = values[:, None] - others[None, :]
    shares = float((pairs < 0).mean()), float((pairs > 0).mean())
    median, states = float(np.median(pairs)), len(values) + len(others)
    fewer = min(len(values), len(others))
    verdict = "equal" if not pairs.any() else _verdict(low, high, fewer)
    return Difference(mean, low, high, states, median, *shares, verdict)


def share(successes: int, tries: int) -> Estimate:
    """A proportion with its exact (Clopper-Pearson) interval."""
    if tries == 0:
        return Estimate(float("nan"), 0.0, 1.0, 0)
    found = binomtest(successes, tries).proportion_ci(LEVEL, "exact")
    return Estimate(successes / tries, float(found.low), float(found.high), tries)
