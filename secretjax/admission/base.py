"""What an admission rule is: it decides at mmap and at each fault who may have secret pages.

It wraps any proposal that it says it can wrap; refusal is data.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from secretjax.ledger import Counts
from secretjax.mm.state import Flag, Word


class Request(NamedTuple):
    """Who asks for how much, and what everybody has. Pages."""

    pages: Word  # of the file that is mapped; 1 at a fault
    grows: Flag  # at a fault: the file's own pool has to grow by a pageblock
    mine: Counts  # of the process
    users: Counts  # of all processes of its user
    held: Word  # by all, from the pool
    pool: Word  # that the pool has
    reserved: Word  # that it owes and nobody has touched
    promised: Word  # to each user from the start (`Admission.minimum`)
    total: Word  # managed by the zone


@dataclass(frozen=True)
class Admission:
    """Interface. A leaf is a frozen dataclass whose fields are its options.

    reserves   the proposal's pool is one for all and must hold what is promised (`owed`)
    kills      who is over the limit at a fault meets the OOM killer, else SIGBUS: the file asks
               no more and keeps what it has
    """

    name: ClassVar[str]
    label: ClassVar[str]
    source: ClassVar[str]
    slot: ClassVar[int]
    reserves: ClassVar[bool] = False
    kills: ClassVar[bool] = False

    def fits(self, proposal) -> bool:
        """Whether this rule can wrap that proposal."""
        return True

    def fill(self, total: int, users: int) -> int:
        """Pages that the pool gets before the demand of so many users, of `total` managed ones."""
        return 0

    def minimum(self, total: Word | int, users: Word | int) -> Word | int:
        """Pages promised to each of so many users before the demand, if the pool has them."""
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
        return asked.pages == asked.pages

    def charges(self, asked: Request) -> Flag:
        """A fault: whether the page may be charged."""
        return asked.pages == asked.pages
