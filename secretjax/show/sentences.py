"""Numbers in words: no number in a notebook is typed by hand, and each is kept under a name."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from secretjax.show import standing
from secretjax.show.measured import Measured, words
from secretjax.study.params import Arm
from secretjax.study.sensitivity import Sensitivity
from secretjax.study.statistics import Difference, Estimate

SURE = 5  # % of the draws that may say otherwise
CROWD = 8  # so many arms of one value are still named one by one
Numbers = dict[str, dict[str, Any]]


def digits(value: float) -> int:
    """Decimals that a number of this size is given with."""
    size = abs(value)
    if math.isnan(value) or size >= 100 or value == int(value):
        return 0
    return 1 if size >= 10 else 2


def short(value: float, decimals: int | None = None) -> str:
    """1234567 -> 1,234,567; 12.345 -> 12.3; 0.004 -> <0.01; a dash for no number."""
    if math.isnan(value):
        return "-"
    decimals = digits(value) if decimals is None else decimals
    text = f"{value:,.{decimals}f}"
    if value and float(text.replace(",", "")) == 0:
        return f"{'<' if value > 0 else '>-'}{10**-decimals:g}"
    return text


def span(e: Estimate) -> str:
    """A mean and its interval, as exact as that is; the mean alone when no state differs."""
    if math.isnan(e.mean):
        return "no value"
    if e.low == e.high:
        return short(e.mean)
    of_interval = math.ceil(-math.log10((e.high - e.low) / 2))
    of_mean = 3 - math.floor(math.log10(abs(e.mean))) if e.mean else 4
    decimals = max(0, min(4, of_interval, of_mean))
    return f"{short(e.mean, decimals)} [{short(e.low, decimals)}, {short(e.high, decimals)}]"


def named(e: Estimate, unit: str, label: str) -> dict[str, Any]:
    """An estimate as it stands in a file of named numbers."""
    ends = {"value": e.mean, "low": e.low, "high": e.high}
    found: dict[str, Any] = {
        key: None if math.isnan(number) else float(f"{number:.6g}") for key, number in ends.items()
    }
    found |= {"states": e.states, "unit": unit, "label": label}
    if isinstance(e, Difference):
        found |= {
            "verdict": e.verdict,
            "share_lower": e.share_lower,
            "share_higher": e.share_higher,
        }
    return found


def code(names: Sequence[str]) -> str:
    """`a`, `b` and `c`."""
    return listed([f"`{name}`" for name in names])


def called(arm: Arm) -> str:
    """An arm's name in a sentence, marked where no capture covers it."""
    return standing.marked(f"`{arm.name}`", arm.validated)


def listed(ticked: Sequence[str]) -> str:
    """a, b and c."""
    return ticked[0] if len(ticked) == 1 else f"{', '.join(ticked[:-1])} and {ticked[-1]}"


def share(step: str) -> str:
    """grow_30 -> 30; nothing for a measuring point that is no share."""
    number = step.rpartition("_")[2]
    return number if number.isdigit() else ""


def moment(step: str) -> str:
    """grow_30 -> 30 %, and other measuring points by their names."""
    number = share(step)
    return f"{number} %" if number else step


def when(step: str) -> str:
    """grow_30 -> at 30 %."""
    number = share(step)
    return f"at {number} %" if number else f"at `{step}`"


def state_of(study: Measured, demand: str, metric: str) -> tuple[str, Numbers]:
    """One metric at the peak of a demand: every arm, from the lowest to the highest mean."""
    step, said = study.peak(demand), words(metric)
    numbers: Numbers = {}
    groups: dict[str, list[str]] = {}
    found = [(arm, study.estimate(demand, step, arm, metric)) for arm in study.facing(demand)]
    for arm, e in sorted(found, key=lambda item: np.nan_to_num(item[1].mean, nan=np.inf)):
        groups.setdefault(span(e), []).append(called(arm))
        numbers[f"{demand}.{step}.{arm.name}.{metric}"] = named(
            e, said.unit, f"{arm.name}, {step}: {said.label}"
        )
    told = "; ".join(f"{value} for {whom}" for value, whom in whose(groups, len(found)))
    return f"**{said.label}**, {said.unit}, {when(step)}: {told}.", numbers


def whose(groups: dict[str, list[str]], arms: int) -> Iterator[tuple[str, str]]:
    """(value, the arms that have it): by name; or all, or the others, where they are a crowd."""
    largest = max(groups, key=lambda value: len(groups[value]))
    for value, names in groups.items():
        if value == largest and len(names) > CROWD:
            whom = f"all {arms} arms" if len(names) == arms else f"the {len(names)} others"
            yield value, standing.marked(whom, not any(standing.MARK in name for name in names))
        else:
            yield value, listed(names)


def compared(
    study: Measured, demand: str, arm: Arm, other: Arm, metric: str
) -> tuple[str, Numbers]:
    """A paired difference at the peak, in a sentence."""
    step, said = study.peak(demand), words(metric)
    d = study.difference(demand, step, arm, other, metric)
    name = f"{demand}.{step}.{arm.name}-minus-{other.name}.{metric}"
    label = f"{arm.name} minus {other.name}, {step}: {said.label}"
    numbers = {name: named(d, said.unit, label)}
    what = f"**{said.label}** ({said.unit})"
    if not d.states:
        return f"{what}: one of the two has no value.", numbers
    if d.verdict == "equal":
        return f"{what}: the same in every one of {d.states} states.", numbers
    side = "lower" if d.mean < 0 else "higher"
    share = d.share_lower if d.mean < 0 else d.share_higher
    means = study.by_start(demand, step, arm, other, metric)
    alike = sum(mean * d.mean > 0 for mean in means.values())
    numbers[name]["start_states"] = {"of_this_sign": alike, "all": len(means)}
    sign = "+" if d.mean > 0 else ""
    told = (
        f"{what}: {sign}{span(d)}, {side} in {short(100 * share)} % of {d.states} states, and on "
        f"average in {alike} of the {len(means)} captured start states"
    )
    if d.verdict == "undetermined":
        return f"{told}: **undetermined**, the interval holds zero.", numbers
    good = "" if not said.better else "; better" if d.verdict == said.better else "; worse"
    return f"{told}{good}.", numbers


def cheaper(one: str, other: str, s: Sensitivity) -> str:
    """Whether one arm is cheaper than another over the whole cost table, or on what it depends.

    one, other: what they are called
    """
    share, ranked = 100 * s.cheaper, sorted(s.total, key=lambda f: -s.total[f])
    told = f"{one} is cheaper than {other} in {short(share)} % of the draws"
    first, second = ranked[:2]
    depends = (
        f"most on `{first}` (total index {short(s.total[first])}), then `{second}` "
        f"({short(s.total[second])})"
    )
    if SURE < share < 100 - SURE:
        told = f"**Undetermined**: {told}; it depends {depends}"
    else:
        told = f"**{'Yes' if share > 50 else 'No'}**: {told}; the ratio depends {depends}"
    flips = [f"`{factor}` passes {short(at)}" for factor, at in s.flips.items()]
    ends = f"it flips where {' or where '.join(flips)}" if flips else "no factor flips it alone"
    return f"{told}. All else at its best, {ends}."


def arm_of(study: Measured, name: str, demand: str) -> Arm | None:
    """The arm of this name that faces a demand of the study, if there is one."""
    return next((arm for arm in study.facing(demand) if arm.name == name), None)
