"""Words of the kernel, as numbers (include/linux/mmzone.h of Linux 6.12, x86-64, 4 KiB pages)."""

from enum import IntEnum

MAX_PAGE_ORDER = 10
NR_PAGE_ORDERS = 11
PAGEBLOCK_ORDER = 9
PAGEBLOCK_PAGES = 1 << PAGEBLOCK_ORDER
GIGABYTE_BLOCKS = 512
COSTLY_ORDER = 3  # PAGE_ALLOC_COSTLY_ORDER
CLUSTER = 32  # COMPACT_CLUSTER_MAX
# What a request may do (Command.compact): GFP_KERNEL and alike; vma_thp_gfp_mask() with madvise;
# GFP_KERNEL | __GFP_NORETRY; GFP_TRANSHUGE_LIGHT, which neither reclaims nor wakes kswapd
DIRECT, THP, NORETRY, LIGHT = 1, 2, 3, 4
PCP_LISTS = 14  # NR_PCP_LISTS: 3 types of orders 0-3, order 9 not movable, order 9 movable
PCP_SCALE_MAX = 5  # CONFIG_PCP_BATCH_SCALE_MAX


class Fallback(IntEnum):
    """Which kernel's rules serve a request whose own lists are empty (__rmqueue and below)."""

    K511 = 0  # Linux 5.0 to 6.9
    K610 = 1  # 6.10 to 6.12.28
    K612y = 2  # 6.12.29 and later


class Collapse(IntEnum):
    """When a 2 MiB entry of the direct map that was split becomes one again (mm/collapse.py)."""

    NEVER = 0
    FREE = 1  # with the last of its pages that comes back
    SCAN = 2  # when a scan finds all of them there


class Secret(IntEnum):
    """Bits of `state.Limits.secret`: what migration does with secret pages; 0: isolated in vain."""

    MOVES = 1  # they are migrated: through a temporary mapping of one CPU,
    INACCESSIBLE = 2  # AS_INACCESSIBLE: compaction does not even isolate them
    DIRECT_MAP = 4  # with MOVES: or by putting them back into the direct map
    GROUPED = 8  # with MOVES: only into pageblocks whose 2 MiB entry is split already


class Migratetype(IntEnum):
    """Types of pageblocks and free lists.

    Two are ours: POOL, pages that a proposal's pool holds, and TARGET, free pages that compaction
    has isolated to move others into (struct compact_control: freepages).
    """

    UNMOVABLE = 0
    MOVABLE = 1
    RECLAIMABLE = 2
    HIGHATOMIC = 3
    CMA = 4
    ISOLATE = 5
    POOL = 6
    TARGET = 7


class Event(IntEnum):
    """What is counted, as it happens. Costs in ns are applied to these counts afterwards."""

    ALLOCATED = 0  # blocks that left the buddy for a requester
    FREED = 1  # blocks that came back
    CLAIMED = 2  # fallback: a pageblock was taken over
    STOLEN = 3  # fallback: a block was taken from a foreign list, the pageblock keeps its type
    SPLIT_1G = 4  # direct map: 1 GiB entries split (vmstat direct_map_level3_splits)
    SPLIT_2M = 5  # direct map: 2 MiB entries split (vmstat direct_map_level2_splits)
    UNMAP_CALL = 6  # set_direct_map_invalid_noflush and its multi-page form
    MAP_CALL = 7  # set_direct_map_default_noflush
    FLUSH = 8  # TLB flushes on every CPU, those of splits included
    ZEROED = 9  # pages zeroed for users of secret memory
    MIGRATED = 10  # pages moved (vmstat pgmigrate_success)
    MIGRATE_FAILED = 11  # pages that could not be (vmstat pgmigrate_fail)
    SECRET_COPIED = 12  # of MIGRATED, secret pages: each copied through a mapping made for it
    TAKEN = 13  # contiguous ranges taken (cma_alloc, alloc_contig_range)
    TAKE_FAILED = 14  # ranges that could not be emptied (-EBUSY)
    GRANTED = 15  # secret pages handed to users
    FALLBACK = 16  # of GRANTED, single pages handed out because the pool could not grow
    REFUSED_MMAP = 17  # pages refused at mmap time (by admission)
    REFUSED_FAULT = 18  # pages refused at fault time
    HUGE_TRIED = 19  # huge pages that others asked for
    HUGE_OK = 20  # and got
    COMPACT_STALL = 21  # requests that compacted memory themselves (vmstat compact_stall)
    KSWAPD_RUN = 22  # kswapd woke and went back to sleep (vmstat pageoutrun)
    KCOMPACTD_RUN = 23  # compactions by kcompactd, proactive or for an order
    OOM_FAULT = 24  # faults that were refused with VM_FAULT_OOM
    SIGBUS_FAULT = 25  # and with VM_FAULT_SIGBUS
    WINDOW = 26  # pages that one CPU mapped for itself, to copy or to zero them
    COPIED_MAPPED = 27  # of SECRET_COPIED, through the direct map
    COLLAPSED_2M = 28  # 2 MiB entries made whole again (vmstat direct_map_level2_collapses)
    BLOCK_UNMAPPED = 29  # of UNMAP_CALL, of whole pageblocks
    BLOCK_MAPPED = 30  # of MAP_CALL, of whole pageblocks
    REFUSED_OPEN = 31  # pages of files that memfd_secret() did not create
