"""How a zone is laid out in memory: one row of two words a page, one word a pageblock.

As the kernel's `struct page` is a union, so is a row: while the page heads a free block it is a
list node, while it heads a block in use it says what the block is. Rows inside a block are 0.

row, word 0, list node   next row (23 bits) | order (4) | where (2): BUDDY, PCP or POOL
row, word 1, list node   previous row
row, word 0, in use      `Use` bits (23 bits) | order (4) | where 0
row, word 1, in use      handle of the owner, -1 if nobody will ask for it
Behind the pages follow the heads of the lists: circular, so that ends are no special case.

pageblock word   migratetype (3) | 2 MiB mapping split | zone edge | taken | free (10) | LRU (10) |
                 compaction skips it
Behind the pageblocks follows one word for each GiB: 1 while it is mapped by one entry. Where split
entries can become whole again (`Limits.collapse`), two words a pageblock follow: how many of its
pages are absent, and 1 + the page that holds the table of its entry, 0: it was not split in this
run.
"""

from enum import IntEnum

import jax.numpy as jnp

from secretjax.mm.state import Size
from secretjax.mm.words import (
    COSTLY_ORDER,
    GIGABYTE_BLOCKS,
    NR_PAGE_ORDERS,
    PAGEBLOCK_ORDER,
    Migratetype,
)

ORDER_SHIFT = 23
WHERE_SHIFT = ORDER_SHIFT + 4
NODE = (1 << ORDER_SHIFT) - 1  # mask of `next`, and of the Use bits
LIST_TYPES = 8
PCP_TYPES = 3  # MIGRATE_PCPTYPES
LOW_ORDER_LISTS = PCP_TYPES * (COSTLY_ORDER + 1)
HEADS = 128  # rows behind the pages; the first 102 are heads: free lists, then per-CPU lists
MAX_PAGES = (1 << ORDER_SHIFT) - HEADS


def giants(blocks: Size) -> Size:
    """GiBs that so many pageblocks reach into."""
    return -(-blocks // GIGABYTE_BLOCKS)


def absent_at(pages: Size, page):
    """Index of the word that counts the absent pages of this page's pageblock."""
    blocks = pages >> PAGEBLOCK_ORDER
    return blocks + giants(blocks) + (page >> PAGEBLOCK_ORDER)


def table_at(pages: Size, page):
    """Index of the word that names the table of its entry."""
    return absent_at(pages, page) + (pages >> PAGEBLOCK_ORDER)


class Where(IntEnum):
    """On which kind of list a free block is. PCP: any that the buddy does not see."""

    NONE = 0
    BUDDY = 1
    PCP = 2
    POOL = 3


class Use(IntEnum):
    """Bits of a block in use. CLASS is the shift of the page class (4 bits)."""

    USED = 1
    LRU = 2  # counts as movable when a pageblock is claimed
    SECRET = 4  # held by a user of secret memory
    UNMAPPED = 8  # absent from the direct map
    FIXED = 16  # cannot be migrated although on an LRU list
    POOL = 32  # of a pool's pageblock
    TABLE = 64  # page table of the direct map
    RANGE = 1 << 12  # taken by cma_alloc, wherever it begins
    MOVED = 128  # its content is elsewhere: given back when the batch has been migrated


IN_POOL = Use.POOL | Use.UNMAPPED  # goes to the pool's lists, which hold no page that is mapped

CLASS_SHIFT = 8

TYPE = 7
SPLIT = 1 << 3
EDGE = 1 << 4
TAKEN = 1 << 5
FREE_SHIFT = 6
LRU_SHIFT = 16
SKIP = 1 << 26
COUNT = 1023


def code(where, order):
    """Order and list kind as they stand in a row, above `next`."""
    return (where << 4) | order


def head(pages, migratetype, order):
    """Row of the head of the free list (migratetype, order)."""
    return pages + migratetype * NR_PAGE_ORDERS + order


def pcp_index(order, migratetype):
    """order_to_pindex(): number of the per-CPU list."""
    huge = LOW_ORDER_LISTS + (migratetype == Migratetype.MOVABLE)
    return jnp.where(order > COSTLY_ORDER, huge, PCP_TYPES * order + migratetype)


def pcp_order(index):
    """pindex_to_order()."""
    return jnp.where(index >= LOW_ORDER_LISTS, PAGEBLOCK_ORDER, index // PCP_TYPES)


def pcp_head(pages, index):
    """Row of the head of a per-CPU list."""
    return pages + LIST_TYPES * NR_PAGE_ORDERS + index
