"""An adversary takes what each of its processes may have; then a victim asks."""

from dataclasses import dataclass
from typing import ClassVar

from secretjax.errors import UserError
from secretjax.ledger import PROCESSES, VICTIM
from secretjax.workloads._files import File, Files, closes, opens
from secretjax.workloads.base import Churn, Script


@dataclass(frozen=True)
class Adversary(Files):
    """`processes` processes of one user map and touch `files_each` files each, together
    `percent_each` of memory; then a victim, another user, maps and touches `victim_percent`.

    `users`: each process is a user of its own. `idle`: the adversary maps and never touches, which
    costs it nothing and strands what was promised. Steps: start, attacked, asked, released.
    """

    name = "adversary"
    label = "an adversary, then a victim"
    source = (
        "Michal Hocko, linux-kselftest, January 2021: whoever comes first can deny a fixed pool to "
        "all others; David Hildenbrand, February 2021: a limit for each process is none for a user"
    )
    slot = 2
    least: ClassVar = {"files_each": 1, "victim_percent": 1}
    processes: int = 8
    percent_each: int = 5
    files_each: int = 8
    users: bool = False
    idle: bool = False
    victim_percent: int = 5

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.processes < PROCESSES:
            raise UserError(f"adversary: processes: 1 to {PROCESSES - 1} are modelled")

    def files(self, total: int) -> list[File]:
        """The adversary's, then the victim's."""
        pages = max(total * self.percent_each // 100 // self.files_each, 1)
        owners = [k // self.files_each for k in range(self.processes * self.files_each)]
        users = owners if self.users else [0] * len(owners)
        of = zip(owners, users, strict=True)
        files = [File(k * pages, pages, *who) for k, who in enumerate(of)]
        asked = max(total * self.victim_percent // 100, 1)
        return [*files, File(len(files) * pages, asked, VICTIM, VICTIM)]

    def sizes(self, total: int) -> list[int]:
        return [file.pages for file in self.files(total)]

    def write(self, script: Script, total: int, churn: Churn) -> None:
        script.measure("start")
        *attack, victim = self.files(total)
        for file in attack:
            if self.idle:
                opens(script, file)
            else:
                self.begins(script, file, churn)
        script.measure("attacked")
        self.begins(script, victim, churn)
        script.measure("asked")
        for file in (*attack, victim):
            closes(script, file)
        script.measure("released")


WORKLOAD = Adversary
