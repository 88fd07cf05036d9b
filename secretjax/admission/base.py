"""What an admission rule is: it decides at mmap and at each fault who may have secret pages.

It wraps any proposal that it says it can wrap; refusal is data.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from secretjax.ledger import Counts
from secretjax.mm.state import Flag, Size, Word

NO_LIMIT = (1 << 31) - 1


class Limits(NamedTuple):
    """Numbers of a rule, in pages."""

    mm: Word | int = NO_LIMIT  # mapped by one process, touched or not: at mmap
    mapped: Word | int = NO_LIMIT  # by a user, touched or not: at mmap
    held: Word | int = NO_LIMIT  # touched by a user: at a fault
    charged: Word | int = NO_LIMIT  # charged to a user: at a fault
    pool: Word | int = NO_LIMIT  # of the pool of a rule that `reserves`
    least: Word | int = 0  # promised to each user before the demand, if the pool has them


class Request(NamedTuple):
    """Who asks for how much, and what everybody has. Pages."""

    pages: Word  # of the file that is mapped; 1 at a fault
    charged: Size  # at a fault, pageblocks of the file's own pool whole: 0 within one
    mine: Counts  # of the process
    users: Counts  # of all processes of its user
    held: Word  # by all, from the pool
    pool: Word  # that the pool has
    reserved: Word  # that it owes and nobody has touched
    promised: Word  # to each user from the start (`Limits.least`, or 0)
    limits: Limits


@dataclass(frozen=True)
class Admission:
    """Interface. A leaf is a frozen dataclass whose fields are its options.

    reserves   the proposal's pool is one for all and must hold what is promised (`owed`)
    kills      who is over the limit at a fault meets the OOM killer, else SIGBUS: the file asks
               no more and keeps what it has
    captures   patterns of the names of the captured cases in which it was in force
    """

    name: ClassVar[str]
    label: ClassVar[str]
    source: ClassVar[str]
    slot: ClassVar[int]
    reserves: ClassVar[bool] = False
    kills: ClassVar[bool] = False
    captures: ClassVar[tuple[str, ...]] = ()

    def fits(self, proposal) -> bool:
        """Whether this rule can wrap that proposal."""
        return True

    def limits(self, total: int, users: int) -> Limits:
        """Its numbers for so many users of `total` managed pages; data to a compiled program."""
        return Limits()

    def program(self) -> "Admission":
        """What is compiled: alike for rules that differ in `limits` and `fill` alone."""
        return self

    def fill(self, total: int, users: int) -> int:
        """Pages that the pool gets before the demand of so many users, of `total` managed ones."""
        return 0

    def owed(self, held: Word, mapped: Word, promised: Word) -> Word:
        """Pages that the pool owes to a user and that he has not touched.

        Of a rule that `reserves`. promised: from the start; any shape.
        """
        raise NotImplementedError

    def more(self, asked: Request) -> Word | int:
        """mmap: pages that the pool owes from then on; only of a rule that `reserves`."""
        raise NotImplementedError

    def owes(self, asked: Request) -> Flag:
        """A fault: whether the page is one that the pool owes; only of a rule that `reserves`."""
        raise NotImplementedError

    def maps(self, asked: Request) -> Flag:
        """mmap: whether the file may be mapped."""
        mine, users, limits = asked.mine, asked.users, asked.limits
        own = mine.held + mine.mapped + asked.pages <= limits.mm
        return own & (users.held + users.mapped + asked.pages <= limits.mapped)

    def charges(self, asked: Request) -> Flag:
        """A fault: whether the page may be charged."""
        users, limits = asked.users, asked.limits
        held = users.held + asked.pages <= limits.held
        return held & (users.charged + asked.charged <= limits.charged)


@dataclass(frozen=True)
class Limited(Admission):
    """Interface of a rule that is all in its limits: such rules share compiled programs."""

    def program(self):
        return Killing() if self.kills else Limited()


class Killing(Limited):
    """Those that kill."""

    kills = True
