"""Counters of what happened, under the names that the cost table uses (`words.Event`)."""

import jax.numpy as jnp

from secretjax.metrics.base import Metric
from secretjax.mm.words import Event

NAMES = {Event.FALLBACK: "fallback_pages"}
UNSEEN = {Event.SPLIT_1G}
PAGES, BLOCKS, CALLS = "pages", "blocks", "calls"
ABOUT = {
    Event.ALLOCATED: ("blocks handed out by the buddy", BLOCKS, None, "mm_page_alloc_zone_locked"),
    Event.FREED: ("blocks given back to the buddy", BLOCKS, None, "mm_page_pcpu_drain"),
    Event.CLAIMED: (
        "pageblocks claimed by another type",
        "pageblocks",
        "lower",
        "mm_page_alloc_extfrag",
    ),
    Event.STOLEN: (
        "blocks stolen from foreign pageblocks",
        BLOCKS,
        "lower",
        "mm_page_alloc_extfrag",
    ),
    Event.SPLIT_1G: ("1 GiB entries split", "entries", "lower", "direct_map_level3_splits"),
    Event.SPLIT_2M: ("2 MiB entries split", "entries", "lower", "direct_map_level2_splits"),
    Event.UNMAP_CALL: (
        "removals from the direct map",
        CALLS,
        "lower",
        "set_direct_map_invalid_noflush()",
    ),
    Event.MAP_CALL: (
        "returns to the direct map",
        CALLS,
        "lower",
        "set_direct_map_default_noflush()",
    ),
    Event.FLUSH: (
        "TLB flushes on every CPU",
        CALLS,
        "lower",
        "flush_tlb_kernel_range(), flush_tlb_all()",
    ),
    Event.ZEROED: ("pages zeroed", PAGES, "lower", "__GFP_ZERO"),
    Event.MIGRATED: ("pages migrated", PAGES, "lower", "vmstat pgmigrate_success"),
    Event.MIGRATE_FAILED: ("migrations that failed", PAGES, "lower", "vmstat pgmigrate_fail"),
    Event.SECRET_COPIED: (
        "secret pages moved",
        PAGES,
        "lower",
        "copied through a mapping made for it",
    ),
    Event.COPIED_MAPPED: (
        "secret pages moved through the direct map",
        PAGES,
        "lower",
        "David Hildenbrand, February 2021: map, copy, unmap",
    ),
    Event.TAKEN: ("contiguous ranges taken", "pageblocks", None, "alloc_contig_range()"),
    Event.TAKE_FAILED: (
        "contiguous ranges that could not be emptied",
        "pageblocks",
        "lower",
        "-EBUSY",
    ),
    Event.GRANTED: ("secret pages handed to users", PAGES, "higher", "secretmem_fault()"),
    Event.FALLBACK: (
        "single pages because the pool could not grow",
        PAGES,
        "lower",
        "order-0 fallback",
    ),
    Event.REFUSED_OPEN: ("pages refused at open", PAGES, "lower", "-ENOMEM"),
    Event.REFUSED_MMAP: ("pages refused at mmap", PAGES, "lower", "-ENOMEM, -EAGAIN"),
    Event.REFUSED_FAULT: ("pages refused at the fault", PAGES, "lower", "VM_FAULT_OOM, SIGBUS"),
    Event.HUGE_TRIED: (
        "huge pages that others asked for",
        "2 MiB blocks",
        None,
        "thp_fault_alloc + thp_fault_fallback",
    ),
    Event.HUGE_OK: ("huge pages that others got", "2 MiB blocks", "higher", "thp_fault_alloc"),
    Event.COMPACT_STALL: (
        "requests that compacted memory themselves",
        CALLS,
        "lower",
        "vmstat compact_stall",
    ),
    Event.KSWAPD_RUN: ("times that kswapd ran", CALLS, None, "vmstat pageoutrun"),
    Event.KCOMPACTD_RUN: ("times that kcompactd compacted", CALLS, None, "mm_compaction_begin"),
    Event.OOM_FAULT: (
        "faults refused that call the OOM killer",
        "faults",
        "lower",
        "VM_FAULT_OOM, pagefault_out_of_memory()",
    ),
    Event.SIGBUS_FAULT: ("faults refused with SIGBUS", "faults", "lower", "VM_FAULT_SIGBUS"),
    Event.WINDOW: (
        "temporary mappings of one CPU",
        PAGES,
        None,
        "as arch/x86/kernel/alternative.c: __text_poke; mermap: Brendan Jackman, 2026",
    ),
    Event.COLLAPSED_2M: (
        "2 MiB entries made whole again",
        "entries",
        None,
        "direct_map_level2_collapses (Linux 6.15)",
    ),
    Event.BLOCK_UNMAPPED: (
        "of the removals, those of whole pageblocks",
        CALLS,
        None,
        "v16 of memfd_secret: set_direct_map_invalid_noflush() of 512 pages",
    ),
    Event.BLOCK_MAPPED: (
        "of the returns, those of whole pageblocks",
        CALLS,
        None,
        "v16 of memfd_secret: set_direct_map_default_noflush() of 512 pages",
    ),
}


def metric(event: Event) -> Metric:
    """The metric of a counter."""
    label, unit, better, source = ABOUT[event]
    return Metric(
        NAMES.get(event, event.name.lower()),
        label,
        unit,
        better,
        source,
        lambda r: r.events[event],
        counter=True,
        seen=event not in UNSEEN,
    )


REFUSED = (Event.REFUSED_OPEN, Event.REFUSED_MMAP, Event.REFUSED_FAULT)
METRICS = (
    Metric(
        "huge_easy",
        "huge pages that others got before a request had to compact",
        "2 MiB blocks",
        "higher",
        "thp_fault_alloc until compact_stall",
        lambda r: r.huge_easy,
    ),
    *(metric(event) for event in Event),
    Metric(
        "refused",
        "secret pages refused, at open, at mmap or at the fault",
        PAGES,
        "lower",
        "-ENOMEM, SIGBUS, OOM",
        lambda r: jnp.stack([r.events[event] for event in REFUSED]).sum(),
        counter=True,
    ),
    Metric(
        "stale_entries",
        "entries that temporary mappings left in one CPU's TLB",
        "entries",
        "lower",
        "mermap (Brendan Jackman, 2026): no flush at the unmap, but before reuse; a copy maps two",
        lambda r: (
            r.events[Event.WINDOW] + r.events[Event.SECRET_COPIED] - r.events[Event.COPIED_MAPPED]
        ),
        counter=True,
        seen=False,
    ),
)
