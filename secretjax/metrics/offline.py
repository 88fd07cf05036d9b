"""Memory that cannot be taken offline (memory hotplug), in memory blocks of 128 MiB.

Only pages of the zone at hand are looked at; huge pages of hugetlb count as pages that stay. Larger
machines have memory blocks of up to 2 GiB (arch/x86/mm/init_64.c: probe_memory_block_size()), where
one page that stays costs more.
"""

from secretjax.metrics.base import Metric

UNIT = "memory blocks of 128 MiB"

METRICS = (
    Metric(
        "offline_refused",
        "memory blocks that cannot be offlined, said at once",
        UNIT,
        "lower",
        "mm/page_isolation.c: has_unmovable_pages(): CMA, or in use and on no LRU list",
        lambda r: r.offline[0],
    ),
    Metric(
        "offline_endless",
        "memory blocks whose offlining is tried until a signal ends it",
        UNIT,
        "lower",
        "mm/memory_hotplug.c: offline_pages(): on an LRU list, but cannot be migrated",
        lambda r: r.offline[1],
    ),
    Metric(
        "offline_blocked",
        "memory blocks that cannot be offlined, for either reason",
        UNIT,
        "lower",
        "mm/memory_hotplug.c: offline_pages()",
        lambda r: r.offline.sum(),
    ),
    Metric(
        "offline_pool",
        "of them, those that pools alone keep: to be offlined if whole 2 MiB moved",
        UNIT,
        None,
        "David Hildenbrand, thread of February 2021: migration of PMDs; no kernel has it",
        lambda r: r.offline_pool[0],
        seen=False,
    ),
    Metric(
        "offline_pool_moves",
        "moves of 2 MiB that this takes, each to a free pageblock elsewhere",
        "pageblocks",
        "lower",
        "each copies 512 pages: one call of set_direct_map and one flush, no entry split",
        lambda r: r.offline_pool[1],
        seen=False,
    ),
)
