"""The state of one zone, and the words of a command to it. Batching is the engine's business."""

from enum import IntEnum
from typing import NamedTuple

from jaxtyping import Array, Bool, Int32

Word = Int32[Array, ""]
Flag = Bool[Array, ""]


class Op(IntEnum):
    """What may be asked of a zone."""

    NOTHING = 0
    ALLOC = 1  # a block of `order` for a requester of migratetype `type`
    FREE = 2  # give a block back, or an aligned part of one
    UNMAP = 3  # take a block in use out of the direct map (order 0, or a whole pageblock)
    MAP = 4  # put it back
    NOTE = 6  # remember `page` under the handle `owner`
    TAKE = 5  # empty a pageblock by migration and take it whole; `contig.ANYWHERE` and IN_AREA


class Phase(IntEnum):
    """Where a zone stands within a command. FETCH: ready for (the rest of) one."""

    FETCH = 0
    SPLIT = 8  # halve the block in hand, upper half to its list
    MERGE = 9  # join the block in hand with its buddy, or put it on its list
    AGAIN = 10  # a pageblock-sized part of a larger block is in hand: free it
    WALK = 11  # over the free blocks of a pageblock, to move them to another list
    RELINK = 12  # put the free block just found at the tail of that list
    SECOND = 13  # count the second pageblock of an order-10 block handed out
    CUT = 14  # a part of a block is given back: halve the block until the part stands alone
    UNMAP_1G = 15  # direct map of a page to be unmapped, 1 GiB level
    UNMAP_2M = 16  # and 2 MiB level
    EVACUATE = 17  # over the blocks in use of an isolated pageblock, to migrate them
    UNHOOK = 18  # the pageblock is empty: take it off its list
    UNDO = 19  # it cannot be emptied: give it back as it was
    FAILED = 20  # done; look for another, or say so


class Sub(IntEnum):
    """A request that the kernel makes itself within a command."""

    NONE = 0
    TABLE = 1  # a page for the page table of a split
    TARGET = 2  # the destination of a migration
    SOURCE = 3  # give back what was migrated
    RETURN = 4  # give back a destination that could not be used


class Tick(IntEnum):
    """What a step counts: at most one of these. `words.Event` is read off them."""

    OWN = 0
    STOLEN = 1
    CLAIMED_WHOLE = 2
    CLAIMED_PART = 3
    FREED = 4
    SPLIT_1G = 5
    UNMAPPED = 6
    UNMAPPED_SPLIT = 7
    MAPPED = 8
    MIGRATED = 9
    MIGRATED_SECRET = 10
    MIGRATE_FAILED = 11
    TAKEN = 12
    TAKE_FAILED = 13


class Fault(IntEnum):
    """Bits of `Registers.fault`: the request, or the model, is wrong."""

    BAD_FREE = 1  # what is given back is not in use
    FREED_UNMAPPED = 2  # it is still absent from the direct map
    BAD_HANDLE = 4  # no such block: it was refused, or given back before


class Command(NamedTuple):
    """One command. `page` is a pfn, or with `handle` >= 0 an offset to that handle's block."""

    op: Word
    order: Word
    type: Word  # migratetype of the requester; TAKE: MOVABLE if secret pages may be moved
    use: Word  # layout.Use bits and class of what is allocated
    handle: Word  # block addressed, -1: `page` is absolute
    owner: Word  # handle under which the answer is remembered, -1: it is not
    page: Word
    fresh: Word  # ALLOC: 1, first request of a refill: the mode that worked is forgotten.
    # FREE, MAP: 1, a handle of which nothing is known is no fault, the answer is -1; nothing is
    # known of it after the block was given back (a stream that gives back parts says 0)


class Registers(NamedTuple):
    """What a zone remembers from step to step besides its arrays."""

    phase: Word
    page: Word  # block in hand: first page,
    order: Word  # order
    type: Word  # and list type
    limit: Word  # claim: look below this order
    mode: Word  # of a refill: 0 normal, 1 CMA, 2 steal (mm/page_alloc.c: enum rmqueue_mode)
    again: Word  # second half still to be freed, -1 none
    cursor: Word  # WALK: next page,
    leaving: Word  # type of the lists that are left
    back: Word  # and phase that follows
    sub: Word  # the kernel's own request: `Sub`,
    sub_order: Word  # its order,
    sub_use: Word  # use
    sub_owner: Word  # and owner
    after: Word  # phase that follows a page-table page
    table: Word  # 1: it is in hand
    target: Word  # destination of a migration that is to be unmapped, -1 none
    start: Word  # TAKE: first page of the pageblock,
    spot: Word  # next page to look at,
    home: Word  # type of the pageblock before it was isolated
    tries: Word  # and pageblocks that could not be emptied
    lists01: Word  # which lists are not empty: 11 bits a migratetype, two types a word
    lists23: Word
    lists45: Word
    lists6: Word
    free: Word  # NR_FREE_PAGES
    free_cma: Word  # NR_FREE_CMA_PAGES
    giants: Word  # 1 GiB entries of the direct map
    fault: Word


class Writes(NamedTuple):
    """What a step decided to write; the next step does, before it reads.

    An index out of range: nothing is written.
    """

    cell0: Word
    word0: Word
    cell1: Word
    word1: Word
    cell2: Word
    word2: Word
    cell3: Word
    word3: Word
    block: Word
    block_word: Word
    handle: Word
    handle_word: Word
    tick: Word
    amount: Word


class Zone(NamedTuple):
    """One zone. `link`: rows of two words, flat; see mm/layout.py."""

    link: Int32[Array, " cells"]
    block: Int32[Array, " blocks"]
    handle: Int32[Array, " handles"]
    ticks: Int32[Array, " ticks"]
    now: Registers
    writes: Writes
