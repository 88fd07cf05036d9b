"""The pages on the per-CPU lists of one CPU: drawn among the pages without a flag.

zoneinfo says how many pages each CPU's lists hold; which they are is not shown, nor of which type.
A pageblock of which no page has a flag may be a huge page there (mm/page_alloc.c:
pcp_allowed_order), single pages that a refill took from a whole block, or the kernel's own: the
first is assumed where huge pages have been used since boot and the lists have room for all of them.
"""

from dataclasses import replace

import numpy as np

from secretjax.cases import CLASSES, StartState
from secretjax.machine.proc import CPU_FIELDS
from secretjax.machine.seen import Capture, ZoneSeen
from secretjax.mm.words import PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, Migratetype

OWN, FREE = CLASSES.index("kernel_other"), CLASSES.index("free_buddy")


def added(rng, seen: Capture, zone: ZoneSeen, drawn: StartState, known: StartState | None):
    """The start state with the per-CPU lists of one CPU, drawn; or those that are known.

    As many pages without a flag as that CPU has: its part of the pageblocks that may be huge pages,
    then single ones. The other CPUs' pages stay in use.
    """
    if known is not None:
        mine = known.list_kind == 1
        columns = {k: getattr(known, k)[mine] for k in ("list_pfn", "list_order", "list_mt")}
        own = {k: v for k, v in known.zone.items() if k.startswith("pcp_")}
    else:
        number = int(rng.integers(max(len(zone.cpus), 1)))
        said = zone.cpus[number].tolist() if len(zone.cpus) else [0] * len(CPU_FIELDS)
        own = {f"pcp_{key}": value for key, value in zip(CPU_FIELDS, said, strict=True)}
        columns = pages(rng, drawn, zone, number, huge(seen, zone))
        own["pcp_count"] = int((1 << columns["list_order"]).sum())
    both = {k: np.concatenate([getattr(drawn, k), v]) for k, v in columns.items()}
    kind = np.concatenate([drawn.list_kind, np.ones(len(columns["list_pfn"]), np.int64)])
    classes = drawn.page_class.copy()
    for pfn, order in zip(columns["list_pfn"], columns["list_order"], strict=True):
        classes[pfn : pfn + (1 << int(order))] = CLASSES.index("free_pcp")
    return replace(drawn, list_kind=kind, zone=drawn.zone | own, page_class=classes, **both)


def pages(rng, drawn: StartState, zone: ZoneSeen, number: int, huge) -> dict[str, np.ndarray]:
    """Columns of the pages on the lists of CPU `number`, in list order, see `added`.

    huge: of each pageblock, whether it may be a huge page on such a list.
    """
    count = max(int(zone.cpus[number, 0]), 0) if len(zone.cpus) else 0
    first = drawn.zone["start_pfn"] >> PAGEBLOCK_ORDER
    blocks = np.flatnonzero(huge & (drawn.block_mt != Migratetype.UNMOVABLE))
    held = cpus_share(rng, blocks, zone.cpus[:, 0], number) if len(zone.cpus) else blocks[:0]
    single, kinds = singles(rng, drawn, zone, blocks, count - len(held) * PAGEBLOCK_PAGES)
    orders = np.repeat([PAGEBLOCK_ORDER, 0], [len(held), len(single)])
    return {
        "list_pfn": np.concatenate([(held + first) * PAGEBLOCK_PAGES, single]),
        "list_order": orders,
        "list_mt": np.concatenate([np.full(len(held), int(Migratetype.MOVABLE)), kinds]),
    }


def huge(seen: Capture, zone: ZoneSeen) -> np.ndarray:
    """Which pageblocks may be huge pages on per-CPU lists; none if these cannot hold as many."""
    found = zone.counted() & (zone.per_region("kernel_other") == PAGEBLOCK_PAGES)
    room = int((np.maximum(zone.cpus[:, 0], 0) // PAGEBLOCK_PAGES).sum())
    used = seen.counters.get("thp_fault_alloc", 0) > 0
    return found if used and found.sum() <= room else np.zeros_like(found)


def cpus_share(rng, blocks: np.ndarray, counts: np.ndarray, number: int) -> np.ndarray:
    """Those of the huge pages that this CPU holds: each lies with a CPU that has room, drawn."""
    room = np.repeat(np.arange(len(counts)), np.maximum(counts, 0) // PAGEBLOCK_PAGES)
    return blocks[rng.permutation(room)[: len(blocks)] == number]


def singles(rng, drawn: StartState, zone: ZoneSeen, other: np.ndarray, count: int):
    """(pfns, types) of so many single pages; pageblocks `other` are left out.

    First those in MOVABLE and RECLAIMABLE pageblocks, where the kernel has hardly any of its own.
    Then runs of them that end at a free block: a refill takes the lower part of a block, the rest
    stays free (mm/page_alloc.c: expand); long runs are likely to come before short ones.
    """
    classes, first = drawn.page_class, drawn.zone["start_pfn"] >> PAGEBLOCK_ORDER
    there = zone.counted()
    there[other] = False
    blank = np.flatnonzero(classes == OWN)
    blank = blank[there[(blank >> PAGEBLOCK_ORDER) - first]]
    kind = drawn.block_mt[(blank >> PAGEBLOCK_ORDER) - first]
    run = np.cumsum(np.diff(blank, prepend=-2) != 1) - 1  # number of the run of each page
    length = np.bincount(run, minlength=1)
    last = blank[np.cumsum(length) - 1] if len(blank) else blank
    after = classes[np.minimum(last + 1, len(classes) - 1)] == FREE
    late = (rng.exponential(size=len(length)) / np.maximum(length, 1))[run]
    kernels = np.isin(kind, [Migratetype.UNMOVABLE, Migratetype.HIGHATOMIC])
    order = np.lexsort((blank, late, ~after[run], kernels))[: max(count, 0)]
    of = np.where(kind > Migratetype.RECLAIMABLE, int(Migratetype.MOVABLE), kind)[order]
    return blank[order], of
