"""Demands of several processes: how the lives of their files become rows of a script."""

from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from secretjax.workloads.base import Churn, Do, Script, Workload, rounds


class File(NamedTuple):
    """A file: its first page's handle, its pages, whose it is."""

    handle: int
    pages: int
    process: int
    user: int


def laid_out(pages: list[int], process: list[int], user: list[int]) -> list[File]:
    """Files in this order; the pages of each process have handles next to each other."""
    order = sorted(range(len(pages)), key=lambda k: process[k])
    first = dict(zip(order, accumulate([0, *(pages[k] for k in order)]), strict=False))
    return [File(first[k], pages[k], process[k], user[k]) for k in range(len(pages))]


def opens(script: Script, file: File) -> None:
    """It is mapped."""
    script.turn_to(*file)
    script.do(Do.OPEN, file.pages)


def closes(script: Script, file: File) -> None:
    """It ends, touched or not, refused or not."""
    script.turn_to(*file)
    script.do(Do.CLOSE, file.pages)


@dataclass(frozen=True)
class Files(Workload):
    """Interface of a demand of files that are touched whole, with background work meanwhile."""

    churn_per_64_pages: int = 16

    def sizes(self, total: int) -> list[int]:
        """Of each file, or the most that it may have; `total` are managed by the zone."""
        raise NotImplementedError

    def secret(self, total: int) -> int:
        return sum(self.sizes(total))

    def events(self, total: int) -> int:
        return sum(map(rounds, self.sizes(total))) * self.churn_per_64_pages

    def begins(self, script: Script, file: File, churn: Churn) -> None:
        """A file is mapped and touched from its first page to its last."""
        opens(script, file)
        script.add(churn.during(file.pages, self.churn_per_64_pages))

    def arrivals(self, script: Script, churn: Churn, files: list[File], lives: list[int]):
        """Files come one after the other and go after so many further arrivals.

        Yields after each, with how many have come.
        """
        open_files: list[tuple[int, File]] = []
        for turn, (file, life) in enumerate(zip(files, lives, strict=True)):
            for end, old in [one for one in open_files if one[0] <= turn]:
                closes(script, old)
                open_files.remove((end, old))
            self.begins(script, file, churn)
            open_files.append((turn + life, file))
            yield turn + 1
        for _, old in open_files:
            closes(script, old)
