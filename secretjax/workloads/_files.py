"""Files of several processes: how their lives become rows of a script."""

from itertools import accumulate
from typing import NamedTuple

import numpy as np

from secretjax.workloads.base import Churn, Do, Script

BATCH = 64  # pages touched between two rounds of background work


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


def grows(script: Script, file: File, churn: Churn, events: int) -> None:
    """Then touched from its first page to its last, with background events after each 64 pages."""
    batches = np.minimum(BATCH, file.pages - np.arange(0, file.pages, BATCH))
    script.add(churn.between(np.stack([np.full_like(batches, int(Do.GROW)), batches], 1), events))


def closes(script: Script, file: File) -> None:
    """It ends, touched or not, refused or not."""
    script.turn_to(*file)
    script.do(Do.CLOSE, file.pages)


def rounds(pages: int) -> int:
    """Rounds of background work that `grows` holds."""
    return -(-pages // BATCH)


def arrivals(script: Script, churn: Churn, files: list[File], lives: list[int], events: int):
    """Files come one after the other and go after so many further arrivals; yields after each."""
    open_files: list[tuple[int, File]] = []
    for turn, (file, life) in enumerate(zip(files, lives, strict=True)):
        for end, old in [one for one in open_files if one[0] <= turn]:
            closes(script, old)
            open_files.remove((end, old))
        opens(script, file)
        grows(script, file, churn, events)
        open_files.append((turn + life, file))
        yield turn + 1
    for _, old in open_files:
        closes(script, old)
