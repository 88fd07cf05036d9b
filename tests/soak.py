"""Hours of events on many states: does memory stay flat, and every invariant hold?

    python -m tests.soak --minutes 60

gives the arms of a study equal parts of the time. All states of an arm take in and give back secret
memory beside background work, again and again, without ever being made anew. After each round all
fault bits and the resident memory are looked at, and some states as a whole (`mm.validate`); at the
end a state that has gone the same way alone must have the same bits.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import jax
import numpy as np
import psutil

from secretjax import engine, runners
from secretjax.mm.validate import validate
from secretjax.native.run import Block, Native
from secretjax.study import params
from secretjax.study.arms import Arm
from secretjax.study.points import given
from secretjax.workloads.base import Churn, Script, Workload

ROOT = Path(__file__).parents[1]
WARM = 2 * Churn.WINDOW  # events until as many blocks come as go
GROWS = 1.02  # resident memory, from the second round on: more is a leak
MIB = 1 << 20


@dataclass(frozen=True)
class Round:
    """A demand of one process as a script that ends where it begins."""

    demand: Workload

    def __getattr__(self, name: str):
        return getattr(self.demand, name)

    def events(self, total: int) -> int:
        return self.demand.events(total) + WARM

    def write(self, script: Script, total: int, churn: Churn) -> None:
        script.add(churn.rows(WARM))
        script.measure("begins")
        first, stops = churn.at, list(script.stops)
        script.turn_to(0, self.secret(total), 0, 0)
        self.demand.write(script, total, churn)
        period = 2 * max(len(churn.pfn), 1)
        script.add(churn.rows((first - churn.at) % period))
        script.stops[:] = stops
        script.measure("ends")


class Soak:
    """The states of an arm, all in memory."""

    def __init__(self, study: params.Params, arm: Arm, numbers: range):
        def prepared(starts, demand, proposal, admission, *, seed, ageing_events):
            whole = cast(Workload, Round(demand))
            return engine.prepared(starts, whole, proposal, admission, seed, ageing_events)

        self.common = given(prepared, study, arm, study.demands[0])()
        self.pages = engine.pages_of(self.common.bases[0])
        rule = self.common.admission.program()
        runner = runners.of_arm(self.common.proposal, rule, self.pages)
        assert isinstance(runner, Native), "the soak is one of native code"
        self.block, self.lanes = Block(runner, len(numbers)), range(len(numbers))
        rows = np.zeros((len(numbers), 2), np.int32)
        for lane, number in enumerate(numbers):
            task = self.common.task(number)
            one = partial(jax.tree.map, lambda x: np.asarray(x)[None])
            self.block.place(lane, one(task.zone), one(task.own), task.table[None])
            rows[lane] = [row for _, row in task.stops]
        self.begins, self.ends = rows.T
        self._go(self.begins)

    def _go(self, stops: np.ndarray) -> None:
        self.block.stop(self.lanes, stops.tolist())
        self.block.go(self.lanes)

    def round(self) -> None:
        """Once more from the row where a round begins."""
        self.block.rows[:, self.block.native.layout.words["own.pc"]] = self.begins
        self._go(self.ends)

    def wrong(self, lanes: Iterator[int] | np.ndarray) -> list[str]:
        """Faults of all states, broken invariants and secret pages left in some of them."""
        zones, own = self.block.zones(), self.block.own()
        found = [f"state {k}: fault {f}" for k, f in enumerate(engine.faults(zones)) if f]
        for k in lanes:
            one = jax.tree.map(lambda x, k=k: np.asarray(x[k]), zones)
            found += [f"state {k}: {what}" for what in validate(one, self.pages)]
            if (held := int(own.own.held[k])) != 0:
                found.append(f"state {k}: {held} secret pages are left")
        return found

    def digest(self, lane: int) -> bytes:
        zones = jax.tree.map(lambda x: np.asarray(x[lane : lane + 1]), self.block.zones())
        return np.asarray(engine.digest(zones)).tobytes()


def soak(study: params.Params, arm: Arm, states: int, seconds: float, looked: int) -> list[str]:
    """What went wrong in so many seconds of rounds; it tells how it goes."""
    soaked, rng = Soak(study, arm, range(states)), np.random.default_rng(study.seed)
    resident, spent, wrong = list[int](), 0.0, list[str]()
    while (spent < seconds or len(resident) < 2) and not wrong:
        begin = time.monotonic()
        soaked.round()
        spent += time.monotonic() - begin
        wrong = soaked.wrong(rng.choice(states, min(looked, states), replace=False))
        resident.append(psutil.Process().memory_info().rss)
        told = f"round {len(resident)}, {spent:.0f} s of events, {resident[-1] / MIB:.0f} MiB"
        print(f"{arm.name}: {told}", flush=True)
    if max(resident[1:]) > GROWS * resident[1]:
        wrong.append(f"memory grew from {resident[1] / MIB:.0f} to {max(resident) / MIB:.0f} MiB")
    number = int(rng.integers(states))
    alone = Soak(study, arm, range(number, number + 1))
    for _ in resident:
        alone.round()
    if alone.digest(0) != soaked.digest(number):
        wrong.append(f"state {number} alone has other bits after {len(resident)} rounds")
    print(
        "\n".join(told := [f"{arm.name}: {what}" for what in wrong or ["nothing wrong"]]),
        flush=True,
    )
    return told if wrong else []


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--params", type=Path, default=ROOT / "params" / "default.yaml")
    parser.add_argument("--minutes", type=float, default=60, help="of events, for all arms")
    parser.add_argument("--states", type=int, default=1024, help="at a time")
    parser.add_argument("--looked", type=int, default=8, help="states seen whole after a round")
    asked = parser.parse_args()
    study = params.load(asked.params)
    seconds = 60 * asked.minutes / len(study.arms)
    wrong = [
        what for arm in study.arms for what in soak(study, arm, asked.states, seconds, asked.looked)
    ]
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
