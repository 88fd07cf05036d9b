"""A hypervisor backs whole guests: most of memory leaves the direct map."""

from dataclasses import dataclass
from typing import ClassVar

from secretjax.errors import UserError
from secretjax.ledger import PROCESSES
from secretjax.workloads._files import Fleet, closes, laid_out
from secretjax.workloads.base import Churn, Do, Script, ascending


@dataclass(frozen=True)
class Guests(Fleet):
    """Guests of `percent_each` of memory arrive one after the other, up to the last of `percents`.

    A guest is one file of a process and a user of its own, touched whole when it starts, as
    guest_memfd is when a confidential guest is built. Then `turnover` of them end, every other one
    from the first on, and as many new ones start. After each step others ask for `huge_pages` huge
    pages and give them back. Steps: start, guests_<percent>..., turned, released.
    """

    name = "guests"
    label = "whole guests"
    source = (
        "guest_memfd without direct map, linux-mm and kvm lists, 2024 to 2026: all memory of a "
        "guest leaves the host's direct map"
    )
    slot = 4
    least: ClassVar = {"percent_each": 1}
    percents: tuple[int, ...] = (30, 60, 90)
    percent_each: int = 10
    turnover: int = 2
    churn_per_64_pages: int = 4
    huge_pages: int = 8

    def __post_init__(self):
        super().__post_init__()
        ascending(self.percents)
        if any(percent % self.percent_each for percent in self.percents):
            raise ValueError("percents: whole guests of percent_each are allowed")
        if self.number() + self.turnover > PROCESSES or 2 * self.turnover > self.number():
            raise UserError(f"guests: {PROCESSES} are modelled; at most half of them may turn over")

    def number(self) -> int:
        """Guests at the same time."""
        return self.percents[-1] // self.percent_each

    def sizes(self, total: int) -> list[int]:
        """Of each guest, those that come later too."""
        return [total * self.percent_each // 100] * (self.number() + self.turnover)

    def write(self, script: Script, total: int, churn: Churn) -> None:
        pages = self.sizes(total)
        number = list(range(len(pages)))
        guests = self.opting(script.draws(), laid_out(pages, number, number))
        first, late = guests[: self.number()], guests[self.number() :]
        marks = {percent // self.percent_each: percent for percent in self.percents}
        script.measure("start")
        for count, guest in enumerate(first, start=1):
            self.begins(script, guest, churn)
            if count in marks:
                self.look(script, f"guests_{marks[count]}")
        gone = first[: 2 * self.turnover : 2]
        for guest in gone:
            closes(script, guest)
        for guest in late:
            self.begins(script, guest, churn)
        self.look(script, "turned")
        for guest in (*(g for g in first if g not in gone), *late):
            closes(script, guest)
        script.measure("released")

    def look(self, script: Script, step: str) -> None:
        """Others try for huge pages, then all is measured."""
        if self.huge_pages:
            script.do(Do.PROBE, self.huge_pages)
        script.measure(step)


WORKLOAD = Guests
