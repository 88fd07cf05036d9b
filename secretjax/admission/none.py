"""No rule: everybody gets pages until there are none."""

from dataclasses import dataclass

from secretjax.admission.base import Limited


@dataclass(frozen=True)
class Nobody(Limited):
    """Every mmap succeeds; who comes too late is refused at the fault.

    Not modelled: nothing, it is the absence of a rule.
    """

    name = "none"
    label = "no admission"
    source = "v16 of memfd_secret, 21 Jan 2021, before any limit"
    slot = 0
    captures = ("a_*", "b_*", "p1*", "p2*", "d_*")  # up to 30 % of memory, no limit met


ADMISSION = Nobody
