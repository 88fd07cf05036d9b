"""What a claim is, and how a run's numbers judge it.

A claim is a question that is answered "yes" if what was said holds. It names the comparisons that
would have to come out, each over all states; a comparison whose interval holds zero says nothing.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np

from secretjax.show import sentences
from secretjax.show.measured import Measured, words
from secretjax.study import statistics
from secretjax.study.params import Arm
from secretjax.study.statistics import Difference, Estimate

Side = Literal["lower", "higher"]
Verdict = Literal["yes", "no", "in part", "undetermined", "not asked"]


@dataclass(frozen=True)
class Column:
    """One number a state: a metric of an arm at a measuring point of a demand.

    step    "peak": the last before all is given back; "first": the first after the start; "last";
            or the name of one
    starts  pattern of the start states looked at
    times   factor that it is multiplied by
    """

    arm: str
    metric: str
    demand: str = "growth"
    step: str = "peak"
    starts: str = "*"
    times: float = 1.0

    def point(self, study: Measured) -> str:
        """The measuring point by name."""
        steps, places = study.demand_steps(self.demand), {"peak": -2, "first": 1, "last": -1}
        return steps[places[self.step]] if self.step in places else self.step

    def missing(self, study: Measured) -> str:
        """What of it the study lacks, in words; nothing if it is there."""
        if not study.demand_steps(self.demand):
            return f"no demand `{self.demand}`"
        if self.point(study) not in study.demand_steps(self.demand):
            return f"no step `{self.step}` of `{self.demand}`"
        if sentences.arm_of(study, self.arm, self.demand) is None:
            of = "" if self.demand == "growth" else f" under `{self.demand}`"
            return f"no arm `{self.arm}`{of}"
        return "" if self.rows(study).any() else f"no start state like `{self.starts}`"

    def owner(self, study: Measured) -> Arm:
        """The study's arm."""
        found = sentences.arm_of(study, self.arm, self.demand)
        assert found is not None
        return found

    def rows(self, study: Measured) -> np.ndarray:
        """bool [states]: which are looked at."""
        return np.array([fnmatchcase(s, self.starts) for s in study.starts(self.demand)])

    def values(self, study: Measured) -> np.ndarray:
        """float64 [states], NaN where nothing is said or the state is not looked at."""
        found = study.at(self.demand, self.point(study), self.owner(study), self.metric)
        return np.where(self.rows(study), self.times * found, np.nan)

    def named(self, study: Measured) -> str:
        """Its name among quoted numbers."""
        starts = "" if self.starts == "*" else f"@{self.starts}"
        times = "" if self.times == 1 else f"{self.times:g}x"
        return f"{times}{self.demand}{starts}.{self.point(study)}.{self.arm}.{self.metric}"

    def told(self, study: Measured) -> str:
        """How it is called in a sentence."""
        said = f"{sentences.called(self.owner(study))} {sentences.when(self.point(study))}"
        said += f" of `{self.demand}`" if self.demand != "growth" else ""
        said += f" from `{self.starts}`" if self.starts != "*" else ""
        return said if self.times == 1 else f"{self.times:g} times {said}"


@dataclass(frozen=True)
class Weighed:
    """What a comparison says: of the claim, in words, in numbers.

    holds   True, False, or None where it says nothing
    asked   False: the study lacks what it needs
    """

    holds: bool | None
    text: str
    numbers: sentences.Numbers
    asked: bool = True


@dataclass(frozen=True)
class Comparison:
    """`one` is `side` than `other`: another column, state by state, or a number.

    Columns of different start states are not paired: the interval is that of two means.
    """

    one: Column
    side: Side
    other: Column | float

    def weigh(self, study: Measured) -> Weighed:
        """Judges itself by the run."""
        sides = [side for side in (self.one, self.other) if isinstance(side, Column)]
        lacking = [text for side in sides if (text := side.missing(study))]
        if lacking:
            return Weighed(None, f"{' and '.join(dict.fromkeys(lacking))} in this study", {}, False)
        d = self._difference(study)
        said = words(self.one.metric)
        against = self.other.named(study) if isinstance(self.other, Column) else f"{self.other:g}"
        name = f"{self.one.named(study)}-minus-{against}"
        numbers = {name: sentences.named(d, said.unit, f"{name}, claimed to be {self.side}")}
        holds = None if d.verdict == "undetermined" else d.verdict == self.side
        what = f"{said.label} ({said.unit}), {self.one.told(study)}"
        return Weighed(holds, f"{what}: {self._told(study, d)} over {d.states} states", numbers)

    def _told(self, study: Measured, d: Difference) -> str:
        """What was found, in words."""
        if not isinstance(self.other, Column):
            mean, low, high = (n + self.other for n in (d.mean, d.low, d.high))
            value = Estimate(mean, low, high, d.states)
            return f"{sentences.span(value)}, tested is {self.side} than {self.other:g},"
        against = self.other.told(study)
        if self.other.metric != self.one.metric:
            against = f"{words(self.other.metric).label}, {against}"
        if d.verdict == "undetermined":
            return f"{sentences.span(d)} against {against}, undetermined"
        side = "the same as" if d.verdict == "equal" else f"{d.verdict} than"
        sign = "+" if d.mean > 0 else ""
        return f"{side} {against}, {sign}{sentences.span(d)}"

    def _difference(self, study: Measured) -> Difference:
        one = self.one.values(study)
        starts = study.starts(self.one.demand)
        if not isinstance(self.other, Column):
            other = np.full_like(one, float(self.other))
        else:
            other = self.other.values(study)
            if self.other.starts != self.one.starts:
                a, b = ~np.isnan(one), ~np.isnan(other)
                of = study.starts(self.other.demand)
                return statistics.apart(one[a], starts[a], other[b], of[b])
        said = ~np.isnan(one + other)
        if not said.any():
            return Difference(np.nan, np.nan, np.nan, 0, np.nan, 0.0, 0.0, "undetermined")
        return statistics.paired(one[said], other[said], starts[said])


@dataclass(frozen=True)
class Claim:
    """Something that was said, as a question, and the tests that answer it with yes.

    said      the claim and who made it; from the source, if nobody said it
    notebook  stem of the notebook that goes into it
    params    params file whose study has all that the tests need
    open      why it stays undetermined whatever the numbers say; then the tests only inform
    """

    id: str
    question: str
    said: str
    notebook: str
    tests: tuple[Comparison, ...]
    params: str = "params/default.yaml"
    open: str = ""

    def weigh(self, study: Measured) -> tuple[Verdict, list[Weighed]]:
        """The answer, and what each test says."""
        found = [test.weigh(study) for test in self.tests]
        held = [w.holds for w in found]
        if not all(w.asked for w in found):
            return "not asked", found
        if self.open or None in held:
            return "undetermined", found
        return ("yes" if all(held) else "in part" if any(held) else "no"), found


def said(claim: Claim, verdict: Verdict, found: list[Weighed]) -> str:
    """The reason of a verdict, or its first test, in a sentence."""
    if verdict == "not asked":
        lacking = next(w.text for w in found if not w.asked)
        return f"{lacking}; `{claim.params}` has it"
    if claim.open:
        return claim.open
    chosen = {"yes": True, "no": False, "in part": False, "undetermined": None}[verdict]
    return next(w.text for w in found if w.holds is chosen)
