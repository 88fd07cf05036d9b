"""A fleet of microVMs: small guests that come and go, more and more of them."""

from dataclasses import dataclass

from secretjax.errors import UserError
from secretjax.ledger import PROCESSES
from secretjax.workloads._files import arrivals, laid_out, rounds
from secretjax.workloads.base import Churn, Script, Workload


@dataclass(frozen=True)
class Microvms(Workload):
    """`vms` microVMs arrive; each has `permille_each` of memory, one file, a user of its own.

    Each is touched whole and ends after a number of further arrivals drawn geometrically, `life`
    on average, so that life x permille_each of memory is wanted at a time once the fleet is full.
    `density` is how many ran before the first refusal. Steps: start, vms_<share>..., released.
    """

    name = "microvms"
    label = "a fleet of microVMs"
    source = (
        "Firecracker, NSDI 2020: thousands of short-lived microVMs on a host, memory is what "
        "bounds them; secret hiding for guest memory, kvm list, 2024 and 2025"
    )
    slot = 5
    vms: int = 96
    permille_each: int = 10
    life: int = 40
    churn_per_64_pages: int = 4

    def __post_init__(self):
        if not 1 <= self.vms <= PROCESSES:
            raise UserError(f"microvms: vms: 1 to {PROCESSES} are modelled")

    def pages(self, total: int) -> int:
        """Of each microVM."""
        return max(total * self.permille_each // 1000, 1)

    def secret(self, total: int) -> int:
        return self.vms * self.pages(total)

    def events(self, total: int) -> int:
        return self.vms * rounds(self.pages(total)) * self.churn_per_64_pages

    def write(self, script: Script, total: int, churn: Churn) -> None:
        number = list(range(self.vms))
        fleet = laid_out([self.pages(total)] * self.vms, number, number)
        lives = script.rng.geometric(1 / self.life, self.vms).tolist()
        marks = {max(self.vms * share // 100, 1): share for share in (25, 50, 75, 100)}
        script.measure("start")
        for turn in arrivals(script, churn, fleet, lives, self.churn_per_64_pages):
            if turn in marks:
                script.measure(f"vms_{marks[turn]}")
        script.measure("released")


WORKLOAD = Microvms
