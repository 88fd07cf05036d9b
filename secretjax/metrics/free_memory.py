"""Free memory, and how much of it is in pieces large enough: indices as the kernel prints them."""

from typing import cast

import jax.numpy as jnp
from jaxtyping import Array, Int32

from secretjax.metrics.base import Metric
from secretjax.mm.reading import Reading
from secretjax.mm.state import Word
from secretjax.mm.words import NR_PAGE_ORDERS, PAGEBLOCK_ORDER, Migratetype

HUGE = PAGEBLOCK_ORDER


def blocks(reading: Reading) -> Int32[Array, " orders"]:
    """Free blocks by order, of all migratetypes (free_area.nr_free)."""
    return reading.free_blocks.sum(0, dtype=jnp.int32)


def pages(nr_free: Int32[Array, " orders"]) -> Word:
    """Pages in free blocks."""
    return (nr_free << jnp.arange(NR_PAGE_ORDERS, dtype=jnp.int32)).sum(dtype=jnp.int32)


def suitable(nr_free: Int32[Array, " orders"], order: int) -> Word:
    """Free blocks of `order` that could be cut from the free blocks (fill_contig_page_info)."""
    up = jnp.arange(NR_PAGE_ORDERS, dtype=jnp.int32) - order
    return jnp.where(up >= 0, nr_free << jnp.maximum(up, 0), 0).sum(dtype=jnp.int32)


def scaled(part: Word, factor: int, whole: Word) -> Word:
    """part * factor // whole for 0 <= part <= whole < 2^31 and factor <= 1000, in 32 bits.

    By doubling and adding, reduced after each, so that nothing overflows; 0 where `whole` is 0.
    """
    safe = jnp.maximum(whole, 1)
    quotient, rest = jnp.zeros_like(part), jnp.zeros_like(part).astype(jnp.uint32)
    for bit in range(factor.bit_length() - 1, -1, -1):
        more = jnp.where((factor >> bit) & 1 == 1, part, 0).astype(jnp.uint32)
        quotient = 2 * quotient
        for added in (rest, more):
            rest = rest + added
            fits = rest >= safe.astype(jnp.uint32)
            rest = jnp.where(fits, rest - safe.astype(jnp.uint32), rest)
            quotient = quotient + fits
    return jnp.where(whole > 0, quotient, 0)


def unusable_index(nr_free: Int32[Array, " orders"], order: int) -> Word:
    """0: all free memory serves `order`; 1000: none does, or none is free (unusable_free_index)."""
    free = pages(nr_free)
    lost = free - (suitable(nr_free, order) << order)
    return jnp.where(free == 0, 1000, scaled(lost, 1000, free))


def extfrag(nr_free: Int32[Array, " orders"], order: int) -> Word:
    """The same in percent, 0 when nothing is free (extfrag_for_order)."""
    free = pages(nr_free)
    return scaled(free - (suitable(nr_free, order) << order), 100, free)


def fragmentation_index(nr_free: Int32[Array, " orders"], order: int) -> Word:
    """-1000: a block of `order` is free; towards 0 lack of memory, towards 1000 fragmentation.

    __fragmentation_index(): two nested divisions, each rounding down. Unit 1/1000.
    """
    count = nr_free.sum(dtype=jnp.int32)
    free = pages(nr_free)
    whole, rest = free >> order, free & ((1 << order) - 1)
    thousand = 1000 + whole * 1000 + ((rest * 1000) >> order)
    index = 1000 - thousand // jnp.maximum(count, 1)
    index = jnp.where(suitable(nr_free, order) > 0, -1000, index)
    return jnp.where(count == 0, 0, index)


def reachable(reading: Reading, migratetype: Migratetype) -> Int32[Array, " orders"]:
    """Free blocks that a requester of this type can get at, from whichever list."""
    types = [Migratetype.UNMOVABLE, Migratetype.MOVABLE, Migratetype.RECLAIMABLE]
    if migratetype == Migratetype.MOVABLE:
        types.append(Migratetype.CMA)
    return cast(Array, sum(reading.free_blocks[t] for t in types))


def whole(reading: Reading) -> Word:
    """Free memory in blocks of order 9 and 10, as 2 MiB blocks."""
    return suitable(blocks(reading), HUGE)


def contiguity(reading: Reading) -> Word:
    """Share of free memory in such blocks, of 1000; 1000 when nothing is free."""
    free = pages(blocks(reading))
    return jnp.where(free == 0, 1000, scaled(whole(reading) << HUGE, 1000, free))


VMSTAT = "mm/vmstat.c"
METRICS = (
    Metric(
        "pcp_pages",
        "pages on per-CPU lists",
        "pages",
        None,
        "struct per_cpu_pages: count",
        lambda r: r.pcp_pages,
    ),
    Metric(
        "free_pages", "free memory", "pages", None, "/proc/buddyinfo", lambda r: pages(blocks(r))
    ),
    Metric(
        "free_2m",
        "free memory in blocks of order 9 and 10",
        "2 MiB blocks",
        "higher",
        "/proc/buddyinfo",
        whole,
    ),
    Metric(
        "drained_2m",
        "free 2 MiB blocks lost since the first measuring point",
        "2 MiB blocks",
        "lower",
        "Mike Rapoport, 2 Feb 2021: a pool of PMD_ORDER pages may drain high-order blocks",
        lambda r: -whole(r),
        counter=True,
    ),
    Metric(
        "contiguity_2m",
        "free memory that is in free blocks of order 9 and 10",
        "of 1000",
        "higher",
        "Contiguitas (ISCA 2023): contiguity availability",
        contiguity,
    ),
    Metric(
        "unusable_index_9",
        "unusable free space index, order 9",
        "of 1000",
        "lower",
        f"{VMSTAT}: unusable_free_index()",
        lambda r: unusable_index(blocks(r), HUGE),
    ),
    Metric(
        "fragmentation_index_9",
        "fragmentation index, order 9",
        "of 1000",
        None,
        f"{VMSTAT}: __fragmentation_index()",
        lambda r: fragmentation_index(blocks(r), HUGE),
    ),
    Metric(
        "extfrag_9",
        "external fragmentation, order 9",
        "%",
        "lower",
        f"{VMSTAT}: extfrag_for_order()",
        lambda r: extfrag(blocks(r), HUGE),
    ),
    Metric(
        "unusable_index_9_unmovable",
        "unusable index, order 9, for unmovable requests",
        "of 1000",
        "lower",
        "as unusable_free_index(), lists that the requester can use: CMA left out",
        lambda r: unusable_index(reachable(r, Migratetype.UNMOVABLE), HUGE),
    ),
    Metric(
        "free_cma_pages",
        "free memory in CMA pageblocks",
        "pages",
        None,
        "NR_FREE_CMA_PAGES",
        lambda r: pages(r.free_blocks[Migratetype.CMA]),
    ),
)
