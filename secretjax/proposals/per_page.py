"""P1: what was merged."""

from dataclasses import dataclass

import jax.numpy as jnp

from secretjax.proposals import _page
from secretjax.proposals.base import Proposal, Result, Turn, When, choose_command


@dataclass(frozen=True)
class PerPage(Proposal):
    """Order-0 pages, UNMOVABLE (GFP_HIGHUSER), each taken out of the direct map on its own.

    As merged in 5.14: a fault allocates, removes the page from the direct map (which may split a
    large entry, with a page-table page from the same buddy) and flushes; the file's end puts it
    back and zeroes it. Secret pages sit on the unevictable LRU list: they count as movable when a
    pageblock is claimed although they never move (mm/page_alloc.c, prep_move_freepages_block()).

    Not modelled: accounting of locked memory, THP for the page cache.
    """

    name = "per_page"
    label = "page by page"
    source = "mm/secretmem.c; Mike Rapoport, 'page by page' of v17, linux-kselftest, 8 Feb 2021"
    slot = 1
    captures = ("a_*", "b_*", "f_secret*")

    def command(self, own, ask):
        fault = ask.when == When.FAULT
        cases = [(fault & when, c) for when, c in _page.fault_command(own.stage, ask)]
        release = ask.when == When.RELEASE
        cases += [(release & when, c) for when, c in _page.release_command(own.stage, ask)]
        return choose_command(cases)

    def advance(self, own, ask, answer):
        turn = _page.fault_advance(own, answer)
        release = ask.when == When.RELEASE
        shown = (own.stage == _page.GET) & (answer >= 0)
        result = jnp.where(release & shown, int(Result.ON), int(Result.DONE))
        result = jnp.where(ask.when == When.FAULT, turn.result, result)
        return Turn(turn.own._replace(stage=jnp.where(release, _page.GIVE, turn.own.stage)), result)


PROPOSAL = PerPage
