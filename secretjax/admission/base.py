"""What an admission rule is: it decides at mmap and at each fault who may have secret pages.

It wraps any proposal that it says it can wrap; refusal is data.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from secretjax import ledger as book
from secretjax.ledger import Column, Ledger
from secretjax.mm.state import Flag, Word


class Request(NamedTuple):
    """Who asks for how much, and what everybody has. Pages."""

    pages: Word  # of the file that is mapped; 1 at a fault
    grows: Flag  # at a fault: the file's own pool has to grow by a pageblock
    process: Word  # row of the ledger
    ledger: Ledger
    held: Word  # by all
    reserved: Word  # promised to all and not yet handed out
    total: Word  # managed by the zone

    def mine(self, column: Column) -> Word:
        """A count of the process."""
        return book.of_process(self.ledger, self.process, column)

    def users(self, column: Column) -> Word:
        """A count of all processes of its user."""
        return book.of_user(self.ledger, self.process, column)


@dataclass(frozen=True)
class Admission:
    """Interface. A leaf is a frozen dataclass whose fields are its options.

    reserves   pages are promised at mmap, and the proposal's pool must hold them (`When.RESERVE`)
    kills      who is over the limit at a fault is killed, its file ends; else SIGBUS: it asks no
               more and keeps what it has
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

    def maps(self, asked: Request) -> Flag:
        """mmap: whether the file may be mapped."""
        return asked.pages == asked.pages

    def charges(self, asked: Request) -> Flag:
        """A fault: whether the page may be charged."""
        return asked.pages == asked.pages
