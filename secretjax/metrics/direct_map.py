"""The direct map: entries by size, what is absent from it, what splitting cost."""

from secretjax.metrics.base import Metric
from secretjax.mm.words import Event

MEMINFO = "/proc/meminfo"


def count(event: Event):
    """Reads a counter."""
    return lambda r: r.events[event]


METRICS = (
    Metric(
        "dm_2m_split",
        "2 MiB entries of the direct map split",
        "entries",
        "lower",
        "vmstat direct_map_level2_splits",
        count(Event.SPLIT_2M),
        counter=True,
    ),
    Metric(
        "dm_1g_split",
        "1 GiB entries of the direct map split",
        "entries",
        "lower",
        "vmstat direct_map_level3_splits",
        count(Event.SPLIT_1G),
        counter=True,
        seen=False,
    ),
    Metric(
        "table_pages",
        "page-table pages for splits",
        "pages",
        "lower",
        "arch/x86/mm/pat/set_memory.c: split_large_page()",
        lambda r: (
            r.events[Event.SPLIT_2M] + r.events[Event.SPLIT_1G] - r.events[Event.COLLAPSED_2M]
        ),
        counter=True,
    ),
    Metric(
        "dm_4k_pages",
        "memory mapped by 4 KiB entries",
        "pages",
        "lower",
        f"{MEMINFO} DirectMap4k",
        lambda r: r.entries[0],
    ),
    Metric(
        "dm_2m_entries",
        "2 MiB entries of the direct map",
        "entries",
        "higher",
        f"{MEMINFO} DirectMap2M",
        lambda r: r.entries[1],
    ),
    Metric(
        "dm_1g_entries",
        "1 GiB entries of the direct map",
        "entries",
        "higher",
        f"{MEMINFO} DirectMap1G",
        lambda r: r.entries[2],
        seen=False,
    ),
    Metric(
        "dm_entries",
        "entries that cover all memory",
        "entries",
        "lower",
        "TLB-entry proxy: one entry a mapping",
        lambda r: r.entries.sum(),
    ),
    Metric(
        "nonpresent",
        "pages absent from the direct map",
        "pages",
        None,
        "set_direct_map_invalid_noflush()",
        lambda r: r.nonpresent,
    ),
)
