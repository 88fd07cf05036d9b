"""P0: the baseline."""

from dataclasses import dataclass

import jax.numpy as jnp

from secretjax.mm.state import Op
from secretjax.proposals.base import Proposal, Result, Turn, When, choose_command, command, one_page


@dataclass(frozen=True)
class KeepMapped(Proposal):
    """The same demand as ordinary anonymous memory: movable pages that stay in the direct map.

    Not modelled: huge pages for the demand itself, swap, reclaim.
    """

    name = "keep_mapped"
    label = "kept mapped (baseline)"
    source = "no proposal: anonymous memory, mm/memory.c, do_anonymous_page()"
    slot = 0
    captures = ("f_anon*",)
    hides = False

    def command(self, own, ask):
        return choose_command([
            (ask.when == When.FAULT, one_page(ask, movable=True, secret=False)),
            (ask.when == When.RELEASE, command(Op.PUT, handle=ask.handle)),
        ])  # fmt: skip

    def advance(self, own, ask, answer):
        refused = (ask.when == When.FAULT) & (answer < 0)
        return Turn(own, jnp.where(refused, int(Result.REFUSED), int(Result.DONE)))


PROPOSAL = KeepMapped
