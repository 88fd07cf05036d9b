"""Demands of several processes: how the lives of their files become rows of a script."""

from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, cast

import numpy as np

from secretjax.errors import UserError
from secretjax.mm.words import Migratetype
from secretjax.workloads.base import BATCH, GIVE, Churn, Do, Script, Workload, rounds, take


class File(NamedTuple):
    """A file: its first page's handle, its pages, whose it is."""

    handle: int
    pages: int
    process: int
    user: int
    secret: bool = True  # else as much anonymous memory


def laid_out(pages: list[int], process: list[int], user: list[int]) -> list[File]:
    """Files in this order; the pages of each process have handles next to each other."""
    order = sorted(range(len(pages)), key=lambda k: process[k])
    first = dict(zip(order, accumulate([0, *(pages[k] for k in order)]), strict=False))
    return [File(first[k], pages[k], process[k], user[k]) for k in range(len(pages))]


def turns_to(script: Script, file: File) -> None:
    """What follows is about that file."""
    script.turn_to(file.handle, file.pages, file.process, file.user)


def opens(script: Script, file: File) -> None:
    """It is mapped."""
    turns_to(script, file)
    script.do(Do.OPEN, file.pages)


def anonymous(file: File, word: int) -> np.ndarray:
    """Rows with this word, one for each page of a file that is not secret."""
    handles = file.handle + np.arange(file.pages)
    return np.stack([np.full_like(handles, word), handles], 1)


def closes(script: Script, file: File) -> None:
    """It ends, touched or not, refused or not."""
    if file.secret:
        turns_to(script, file)
        script.do(Do.CLOSE, file.pages)
    else:
        script.add(anonymous(file, GIVE))


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
        if file.secret:
            opens(script, file)
            script.add(churn.during(file.pages, self.churn_per_64_pages))
            return
        touched = anonymous(file, take(int(Migratetype.MOVABLE)))
        for first in range(0, file.pages, BATCH):
            script.add(touched[first : first + BATCH])
            script.add(churn.rows(self.churn_per_64_pages))

    def arrivals(self, script: Script, churn: Churn, files: list[File], lives: list[int]):
        """Files come one after the other and go just before their so-manieth further arrival.

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


@dataclass(frozen=True)
class Fleet(Files):
    """Interface of a demand of users who may opt in to secret memory, or not.

    users_percent, hosts_percent: so many opt in, drawn for each state. A user who does not, and
    every user of a host that does not, has the same memory as ordinary anonymous pages.
    """

    users_percent: int = 100
    hosts_percent: int = 100

    def __post_init__(self):
        super().__post_init__()
        for name in ("users_percent", "hosts_percent"):
            if not 0 <= getattr(self, name) <= 100:
                raise UserError(f"{self.name}: {name}: 0 to 100")

    def opting(self, rng: np.random.Generator, files: list[File]) -> list[File]:
        """The files, secret or not."""
        if self.users_percent == self.hosts_percent == 100:
            return files
        # all else is drawn as without
        rng = np.random.Generator(cast(np.random.Philox, rng.bit_generator).jumped())
        host = rng.integers(100) < self.hosts_percent
        users = sorted({file.user for file in files})
        opts = rng.integers(0, 100, len(users)) < self.users_percent
        who = {user for user, does in zip(users, opts.tolist(), strict=True) if host and does}
        return [file._replace(secret=file.user in who) for file in files]
