"""The named numbers of a run: few enough to read, enough to quote every conclusion from."""

from typing import Any

import numpy as np
import pandas as pd

from secretjax.study import costs, statistics
from secretjax.study.costs import Costs
from secretjax.study.params import Params

# What the question is about, in the order of the question; those that a run has are given.
HEADLINE = (
    "refused_fault",
    "refused_mmap",
    "split_2m",
    "split_1g",
    "migrated",
    "cost_ns",
    "exposure_page_ns",
)


def numbers(study: Params, samples: pd.DataFrame, table: Costs) -> dict[str, dict[str, Any]]:
    """{demand.step.arm.metric: {value, low, high, states, unit, label, difference}}, at the peak.

    value, low, high   mean over the states and its 95 % interval (see `study.statistics`)
    difference         the same of the paired differences to the baseline, state by state
    The peak is the last measuring point before everything is given back.
    """
    costed = costs.apply(samples, table, study.cpus, study.ways())
    costed = costed.assign(value=costed["best"]).drop(columns=list(costs.BOUNDS))
    words = described()
    found: dict[str, dict[str, Any]] = {}
    together = pd.concat([samples, costed], ignore_index=True)
    together = together[together["metric"].isin(HEADLINE)]
    for demand in study.demands:
        mine = together[together["demand"] == demand.name]
        steps = list(dict.fromkeys(mine["step"]))
        peak = steps[-2] if len(steps) > 1 else steps[-1]
        at_peak = mine[mine["step"] == peak].sort_values("state")
        values = {
            key: group["value"].to_numpy(float)
            for key, group in at_peak.groupby(["arm", "metric"], sort=False)
        }
        start = at_peak.drop_duplicates("state")["start"].to_numpy()
        for arm in study.arms:
            for metric in HEADLINE:
                if (arm.name, metric) not in values:
                    continue
                label, unit = words.get(metric, (metric.replace("_", " "), ""))
                one = values[arm.name, metric]
                entry = _mean(one, start) | {"unit": unit, "label": f"{arm.name}, {peak}: {label}"}
                if arm.name != study.baseline:
                    entry["difference"] = _mean(one - values[study.baseline, metric], start)
                found[f"{demand.name}.{peak}.{arm.name}.{metric}"] = entry
    return found


def _mean(values: np.ndarray, start: np.ndarray) -> dict[str, Any]:
    found = statistics.interval(values, start)
    numbers = {"value": found.mean, "low": found.low, "high": found.high}
    shown = {name: float(f"{number:.6g}") for name, number in numbers.items()}
    return shown | {"states": found.states}


def described() -> dict[str, tuple[str, str]]:
    """{metric: (label, unit)} of every metric that the package knows."""
    from secretjax import metrics

    known = {name: (metric.label, metric.unit) for name, metric in metrics.METRICS.items()}
    return known | costs.METRICS
