"""A fleet of microVMs: small guests that come and go, more and more of them."""

from dataclasses import dataclass
from typing import ClassVar

from secretjax.errors import UserError
from secretjax.ledger import PROCESSES
from secretjax.workloads._files import Fleet, laid_out
from secretjax.workloads.base import Churn, Script


@dataclass(frozen=True)
class Microvms(Fleet):
    """`vms` microVMs arrive; each has `permille_each` of memory, one file, a user of its own.

    Each is touched whole and ends just before a further arrival; which, is drawn geometrically, the
    `life`-th on average, so that life x permille_each of memory is wanted at a time once the fleet
    is full.
    `density` is how many ran before the first refusal. Steps: start, vms_<share>..., released.
    """

    name = "microvms"
    label = "a fleet of microVMs"
    source = (
        "Firecracker, NSDI 2020: thousands of short-lived microVMs on a host, memory is what "
        "bounds them; secret hiding for guest memory, kvm list, 2024 and 2025"
    )
    slot = 5
    least: ClassVar = {"permille_each": 1, "life": 1}
    vms: int = 96
    permille_each: int = 10
    life: int = 40
    churn_per_64_pages: int = 4

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.vms <= PROCESSES:
            raise UserError(f"microvms: vms: 1 to {PROCESSES} are modelled")

    def sizes(self, total: int) -> list[int]:
        return [max(total * self.permille_each // 1000, 1)] * self.vms

    def write(self, script: Script, total: int, churn: Churn) -> None:
        number = list(range(self.vms))
        fleet = laid_out(self.sizes(total), number, number)
        lives = script.draws().geometric(1 / self.life, self.vms).tolist()
        fleet = self.opting(script.draws(), fleet)
        marks = {max(self.vms * share // 100, 1): share for share in (25, 50, 75, 100)}
        script.measure("start")
        for turn in self.arrivals(script, churn, fleet, lives):
            if turn in marks:
                script.measure(f"vms_{marks[turn]}")
        script.measure("released")


WORKLOAD = Microvms
