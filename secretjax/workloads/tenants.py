"""Several tenants whose files come and go: many live shortly, a few for long."""

from dataclasses import dataclass
from typing import ClassVar

from secretjax.errors import UserError
from secretjax.ledger import PROCESSES
from secretjax.workloads._files import Fleet, laid_out
from secretjax.workloads.base import Churn, Script


@dataclass(frozen=True)
class Tenants(Fleet):
    """`files` files arrive, each of a tenant drawn at random, each touched whole.

    Tenant k asks k + 1 times as often as tenant 0. A file has 1 to 2 * `pages` - 1 pages and goes
    just before a further arrival; which, is drawn geometrically: the `long`-th on average for one
    in `one_in_long`, else the `short`-th. Steps: start, files_<share>..., released.
    """

    name = "tenants"
    label = "tenants with short and long lives"
    source = (
        "Mike Rapoport, memfd_secret cover letters, 2020 and 2021: containers and libraries of "
        "different owners on one host; lifetimes as in Meta's fleet, most short and some long "
        "(Contiguitas, ISCA 2023)"
    )
    slot = 3
    least: ClassVar = dict.fromkeys(("files", "pages", "short", "long", "one_in_long"), 1)
    tenants: int = 4
    files: int = 96
    pages: int = 128
    short: int = 4
    long: int = 64
    one_in_long: int = 4

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.tenants <= PROCESSES:
            raise UserError(f"tenants: tenants: 1 to {PROCESSES} are modelled")

    def sizes(self, total: int) -> list[int]:
        return [2 * self.pages - 1] * self.files

    def write(self, script: Script, total: int, churn: Churn) -> None:
        rng, n = script.draws(), self.files
        often = [k + 1 for k in range(self.tenants)]
        whose = rng.choice(self.tenants, n, p=[k / sum(often) for k in often]).tolist()
        pages = rng.integers(1, 2 * self.pages, n).tolist()
        mean = rng.choice(
            [self.short, self.long], n, p=[1 - 1 / self.one_in_long, 1 / self.one_in_long]
        )
        lives = rng.geometric(1 / mean).tolist()
        files = self.opting(rng, laid_out(pages, whose, whose))
        marks = {max(n * share // 100, 1): share for share in (25, 50, 75, 100)}
        script.measure("start")
        for turn in self.arrivals(script, churn, files, lives):
            if turn in marks:
                script.measure(f"files_{marks[turn]}")
        script.measure("released")


WORKLOAD = Tenants
