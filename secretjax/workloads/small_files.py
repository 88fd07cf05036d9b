"""Many one-page files: keys of key stores, each in a file of its own."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

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
    least: ClassVar = {"files": 1, "pages_each": 1}
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
        shares = {max(self.files * share // 100, 1): share for share in (25, 50, 75, 100)}
        for first in range(0, self.files, ROUND):
            last = min(first + ROUND, self.files)
            file = np.array([[int(Do.OPEN), self.pages_each], [int(Do.GROW), self.pages_each]])
            done = first
            for mark in sorted(n for n in shares if first < n <= last):
                script.add(np.tile(file, (mark - done, 1)))
                if self.huge_pages:
                    script.do(Do.PROBE, self.huge_pages)
                script.measure(f"files_{shares[mark]}")
                done = mark
            script.add(np.tile(file, (last - done, 1)))
            script.add(churn.rows(self.churn_per_64_files))
        script.add(np.tile([int(Do.CLOSE), self.pages_each], (self.files, 1)))
        script.measure("released")


WORKLOAD = SmallFiles
