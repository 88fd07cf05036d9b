"""Few large files: secret memory grows step by step and is given back."""

from dataclasses import dataclass

import numpy as np

from secretjax.mm.background import FAULT
from secretjax.mm.state import Op
from secretjax.workloads.base import BATCH, Churn, Do, Script, Workload, ascending

MOST_REST = 1_000_000


@dataclass(frozen=True)
class Growth(Workload):
    """One file a step, touched in order, until secret memory is `percents` of the machine.

    After each 64 pages others do `churn_per_64_pages` background events; after each step they ask
    for `huge_pages` huge pages, one after the other, and give them back. At the end all files go
    in the order of their creation, and for the time of `rest` page faults nobody does anything.
    `pinned_percent` of all anonymous pages are held by somebody (get_user_pages()) and never move.
    Steps: start, grow_<percent>..., released.
    """

    name = "growth"
    label = "few large files"
    source = "the captured runs: secret memory in steps to 5, 10, 20 and 30 % of memory"
    slot = 0
    captures = ("a_*", "b_*", "p1*", "p2*")
    percents: tuple[int, ...] = (5, 10, 20, 30)
    churn_per_64_pages: int = 16
    huge_pages: int = 8
    rest: int = 0
    pinned_percent: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        ascending(self.percents)
        if not 0 <= self.rest <= MOST_REST:
            raise ValueError(f"rest: found {self.rest}, allowed are 0 to {MOST_REST} page faults")
        if not 0 <= self.pinned_percent <= 100:
            raise ValueError(f"pinned_percent: found {self.pinned_percent}, allowed are 0 to 100")

    def pinned(self, anonymous):
        return round(anonymous * self.pinned_percent / 100)

    def sizes(self, total: int) -> list[int]:
        """Pages of each file."""
        goals = [total * p // 100 for p in self.percents]
        return [b - a for a, b in zip([0, *goals], goals, strict=False)]

    def secret(self, total: int) -> int:
        return sum(self.sizes(total))

    def events(self, total: int) -> int:
        return (self.secret(total) // BATCH + len(self.percents)) * self.churn_per_64_pages

    def write(self, script: Script, total: int, churn: Churn) -> None:
        script.measure("start")
        for percent, pages in zip(self.percents, self.sizes(total), strict=True):
            script.do(Do.OPEN, pages)
            script.add(churn.during(pages, self.churn_per_64_pages))
            if self.huge_pages:
                script.do(Do.PROBE, self.huge_pages)
            script.measure(f"grow_{percent}")
        for pages in self.sizes(total):
            script.do(Do.CLOSE, pages)
        if self.rest:
            script.add(np.array([[int(Op.WAIT), FAULT * self.rest]]))
        script.measure("released")


WORKLOAD = Growth
