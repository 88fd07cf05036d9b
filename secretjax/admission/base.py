"""What an admission rule is: it decides at mmap whether a file may have its pages.

It wraps any proposal that it says it can wrap; refusal is data.
"""

from dataclasses import dataclass
from typing import ClassVar

from secretjax.mm.state import Flag, Word


@dataclass(frozen=True)
class Admission:
    """Interface. A leaf is a frozen dataclass whose fields are its options.

    reserves   pages are promised at mmap, and the proposal's pool must hold them (`When.RESERVE`)
    """

    name: ClassVar[str]
    label: ClassVar[str]
    source: ClassVar[str]
    slot: ClassVar[int]
    reserves: ClassVar[bool] = False

    def fits(self, proposal) -> bool:
        """Whether this rule can wrap that proposal."""
        return True

    def allowed(self, *, pages: Word, held: Word, reserved: Word, total: int) -> Flag:
        """Whether a file of `pages` more pages may be mapped; `total`: the zone's managed pages."""
        raise NotImplementedError
