"""What an admission rule is: it decides at mmap and at each fault who may have secret pages.

It wraps any proposal that it says it can wrap; refusal is data.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from jaxtyping import Array, Bool, Int32

from secretjax import ledger as book
from secretjax.ledger import Column, Ledger
from secretjax.mm.state import Flag, Word


class Request(NamedTuple):
    """Who asks for how much, and what everybody has. Pages."""

    pages: Word  # of the file that is mapped; 1 at a fault
    grows: Flag  # at a fault: the file's own pool has to grow by a pageblock
    process: Word  # row of the ledger, and that of its user
    user: Word
    ledger: Ledger
    held: Word  # by all, from the pool
    pool: Word  # that the pool has
    reserved: Word  # that it owes and nobody has touched
    promised: Word  # to each user from the start (`Admission.minimum`)
    total: Word  # managed by the zone

    def mine(self, column: Column) -> Word:
        """A count of the process."""
        return book.at(self.ledger.process, self.process, column)

    def users(self, column: Column) -> Word:
        """A count of all processes of its user."""
        return book.at(self.ledger.user, self.user, column)


@dataclass(frozen=True)
class Admission:
    """Interface. A leaf is a frozen dataclass whose fields are its options.

    reserves   the proposal's pool is one for all and must hold what is promised (`reserved`)
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

    def minimum(self, total: Word) -> Word | int:
        """Pages promised to each user before the demand, if the pool could be filled."""
        return 0

    def reserved(
        self, users: Int32[Array, "users columns"], present: Bool[Array, " users"], promised: Word
    ) -> Word:
        """Pages that the pool owes and that nobody has touched; only of a rule that `reserves`.

        present: those of the demand; promised: to each of them from the start.
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
