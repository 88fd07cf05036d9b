"""Many one-page files: keys of key stores, each in a file of its own."""

from dataclasses import dataclass

from secretjax.workloads.base import Churn, Do, Script, Workload

ROUND = 64


@dataclass(frozen=True)
class SmallFiles(Workload):
    """`files` files of `pages_each` pages, opened and touched one after the other.

    After each 64 files others do `churn_per_64_files` background events. The files stay open until
    all are there, then go in the order of their creation. Steps: start, files_<share>..., released.
    """

    name = "small_files"
    label = "many one-page files"
    source = (
        "Peter Zijlstra, linux-kselftest: a fork bomb of single-page files; key stores such as "
        "firedancer's keyguard (pull request 9883) keep one or a few pages a file"
    )
    slot = 1
    files: int = 4096
    pages_each: int = 1
    churn_per_64_files: int = 16
    huge_pages: int = 8

    def secret(self, total: int) -> int:
        return self.files * self.pages_each

    def events(self, total: int) -> int:
        return (self.files // ROUND + 4) * self.churn_per_64_files

    def write(self, script: Script, total: int, churn: Churn) -> None:
        script.measure("start")
        shares = {self.files * share // 100: share for share in (25, 50, 75, 100)}
        for number in range(1, self.files + 1):
            script.do(Do.OPEN, self.pages_each)
            script.do(Do.GROW, self.pages_each)
            if number % ROUND == 0 and self.churn_per_64_files:
                script.add(churn.rows(self.churn_per_64_files))
            if number in shares:
                if self.huge_pages:
                    script.do(Do.PROBE, self.huge_pages)
                script.measure(f"files_{shares[number]}")
        for _ in range(self.files):
            script.do(Do.CLOSE, self.pages_each)
        script.measure("released")


WORKLOAD = SmallFiles
