"""The state of one zone, and the words of a command to it. Batching is the engine's business."""

from enum import IntEnum
from typing import NamedTuple

from jaxtyping import Array, Bool, Int32

Word = Int32[Array, ""]
Size = Word | int  # of a zone, known when a program is compiled or given to it
Flag = Bool[Array, ""]


class Op(IntEnum):
    """What may be asked of a zone."""

    NOTHING = 0
    ALLOC = 1  # a block of `order` for a requester of migratetype `type`
    FREE = 2  # give a block back, or an aligned part of one
    UNMAP = 3  # take a block in use out of the direct map (order 0, or a whole pageblock)
    MAP = 4  # put it back
    TAKE = 5  # empty a pageblock by migration and take it whole; contig.IN_AREA, cma.ONE_FURTHER
    NOTE = 6  # remember `page` under the handle `owner`
    GET = 7  # alloc_pages(): ALLOC behind the per-CPU lists and the watermarks
    PUT = 8  # __free_pages(): FREE behind the per-CPU lists
    WAIT = 9  # the task sleeps for `page` units of time
    COMPACT = 10  # write to /proc/sys/vm/compact_memory


class Phase(IntEnum):
    """Where a zone stands within a command. FETCH: ready for (the rest of) one.

    From EVACUATE on: seldom; from SHOW on: rare (see `machine.step`).
    """

    FETCH = 0
    SPLIT = 16  # halve the block in hand, upper half to its list
    MERGE = 17  # join the block in hand with its buddy, or put it on its list
    AGAIN = 18  # a pageblock-sized part of a larger block is in hand: free it
    WALK = 19  # over the free blocks of a pageblock, to move them to another list
    RELINK = 20  # put the free block just found at the tail of that list
    SECOND = 21  # count the second pageblock of an order-10 block handed out
    CUT = 22  # a part of a block is given back: halve the block until the part stands alone
    UNMAP_1G = 23  # direct map of a page to be unmapped, 1 GiB level
    UNMAP_2M = 24  # and 2 MiB level
    DRAIN = 25  # the oldest page of a per-CPU list goes to the buddy
    APPEND = 26  # a block of a refill goes to the tail of its per-CPU list
    GIVEN = 27  # a block was given back, and what that drained from the per-CPU lists
    EVACUATE = 28  # over the blocks in use of an isolated pageblock, to migrate them
    UNHOOK = 29  # the pageblock is empty: take it off its list
    UNDO = 30  # it cannot be emptied: give it back as it was
    FAILED = 31  # done; look for another, or say so
    FLUSH = 32  # the per-CPU lists are drained before a range is emptied
    KSWAPD = 33  # kswapd runs
    POLL = 34  # kcompactd wakes up
    RESUME = 35  # and gets the CPU again
    DIRECT = 36  # the task compacts for its own request
    RECLAIM = 37  # and reclaims
    BOUNDARY = 38  # compact_zone(): between two batches; compact_finished()
    SOURCE = 39  # isolate_migratepages(): is this pageblock one to empty?
    COLLECT = 40  # isolate_migratepages_block(): over its pages
    MOVE = 41  # migrate_pages(): over the pages collected
    SINK = 42  # isolate_freepages(): is this pageblock one to fill?
    ISOLATE = 43  # isolate_freepages_block(): over its free blocks
    HOOK = 44  # the free block just isolated becomes a target
    RELEASE = 45  # release_free_list(): targets that were not used
    COMPACTED = 46  # compact_zone() has returned
    CAPTURE = 47  # compaction_capture(): the block in hand goes to the task that compacts
    FIND = 49  # fast_find_migrateblock(): over a free list
    SEARCH = 50  # fast_isolate_freepages(): over a free list, from its tail
    SNATCH = 51  # and the block that it found
    TURN = 52  # move_freelist_head(), _tail(): the head of the list is taken out
    LINK = 53  # and put beside the block where the search ended
    MARK = 54  # migrate_pages(): a page has moved to its target
    EMPTIED = 55  # and when all have: over the pages left behind, to give them back
    RESET = 48  # __reset_isolation_suitable(): over the pageblocks
    RECOUNT = 56  # K511: the claim test of the part of a pageblock that the zone has
    HUNT = 57  # cma_alloc without alignment: over the area, for a range of which nothing is taken
    GRIP = 58  # its one or two pageblocks are isolated
    CARVE = 59  # over the free blocks of the emptied range, to take them
    HALVE = 60  # one crosses an end of it: its halves become free blocks
    LOOSE = 61  # its pageblocks get their type back
    SHOW = 64  # a secret page comes back into the direct map, to be copied
    HIDE = 65  # and leaves it again, as its destination cannot
    COUNTED = 66  # `Limits.collapse`: what was unmapped is counted,
    TABLED = 67  # and the table of the split kept
    BACK = 68  # what comes back into the direct map is counted
    WHOLE = 69  # has the 2 MiB entry a table that is of no use any more?
    COLLAPSE = 70  # then it becomes one again, and the table is given back
    SCAN = 71  # over the tables of split entries,
    ABSENT = 72  # and whether all pages are there


class Sub(IntEnum):
    """A request that the kernel makes itself within a command."""

    NONE = 0
    TABLE = 1  # a page for the page table of a split
    TARGET = 2  # the destination of a migration
    SOURCE = 3  # give back what was migrated
    RETURN = 4  # give back a destination that could not be used
    SURPLUS = 5  # the smallest target that compaction did not use
    SPARE = 6  # give it back
    UNTABLE = 7  # give back the table of an entry that is whole again


class Run(IntEnum):
    """Who compacts, and why (struct compact_control)."""

    NONE = 0
    PROACTIVE = 1  # kcompactd, by its score
    ORDERED = 2  # kcompactd, for an order that kswapd asked for
    ASYNC = 3  # the task, MIGRATE_ASYNC
    SYNC_LIGHT = 4  # the task, MIGRATE_SYNC_LIGHT
    MANUAL = 5  # the task, by compact_memory: MIGRATE_SYNC


class Try(IntEnum):
    """How far the request in force has come (__alloc_pages_slowpath)."""

    FAST = 0
    SERVE = 1  # past the watermarks, its per-CPU list is filled
    BUDDY = 2  # past the watermarks, of an order that has no per-CPU list
    ASYNC = 3  # compacting, first priority
    RECLAIM = 4  # after it: reclaim
    SYNC_LIGHT = 5  # compacting, second priority
    LAST = 6  # after it: once more, then refused


class Bit(IntEnum):
    """Bits of `Registers.flags`."""

    BOOSTED = 1  # ZONE_BOOSTED_WATERMARK
    BELOW_HIGH = 2  # ZONE_BELOW_HIGH
    PREV_HIGH = 4  # PCPF_PREV_FREE_HIGH_ORDER
    FLUSH_SKIPS = 8  # zone->compact_blockskip_flush
    WHOLE = 16  # cc->whole_zone
    FINISH = 32  # cc->finish_pageblock
    ERROR = 64  # the batch held a page that could not be migrated
    ISOLATED = 1024  # there was a batch
    FOUND = 256  # the pageblock was found by a search of the free lists
    SNATCHED = 512  # the target was
    TRIED = 128  # isolate_freepages() was called for the target wanted


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
    GOT = 14  # a block left a per-CPU list for a requester
    PUT = 15  # and went back to one
    STALLED = 16
    KSWAPD = 17
    KCOMPACTD = 18
    UNMAPPED_BLOCK = 19
    MAPPED_BLOCK = 20
    COLLAPSED = 21


FULL = (1 << 31) - 1  # a counter stays there, see `Fault.COUNTER`


class Fault(IntEnum):
    """Bits of `Registers.fault`: the request, or the model, is wrong. The last is seen outside."""

    BAD_FREE = 1  # what is given back is not in use
    FREED_UNMAPPED = 2  # it is still absent from the direct map
    BAD_HANDLE = 4  # no such block: it was refused, or given back before
    COUNTER = 8  # more was counted, in all of `Tick`, than a counter holds


class Command(NamedTuple):
    """One command. `page` is a pfn, or with `handle` >= 0 an offset to that handle's block."""

    op: Word
    order: Word
    type: Word  # migratetype of the requester
    use: Word  # layout.Use bits and class of what is allocated
    handle: Word  # block addressed, -1: `page` is absolute
    owner: Word  # handle under which the answer is remembered, -1: it is not
    page: Word
    fresh: Word  # ALLOC: 1, first request of a refill: the mode that worked is forgotten.
    # FREE, MAP: 1, a handle of which nothing is known is no fault, the answer is -1; nothing is
    # known of it after the block was given back (a stream that gives back parts says 0)
    compact: Word  # GET: `words.DIRECT`, the task may itself reclaim and compact; `words.THP`: it
    # may, and does not wake kswapd; `NORETRY`: it may, but not with SYNC_LIGHT; `LIGHT`: it may
    # not, and does not wake kswapd; 0: it may not


class Limits(NamedTuple):
    """What does not change while a zone runs. Time is in units of a hundredth of a page fault."""

    fallback: Word  # `words.Fallback`
    first: Word  # pfn of the first page,
    end: Word  # and behind the last one
    min: Word  # watermarks
    low: Word
    high: Word
    boost: Word  # most that claims may add to them
    batch: Word  # per-CPU lists: pages of a refill, 0: there are no such lists
    high_min: Word
    high_max: Word
    unevictable: Word  # vm.compact_unevictable_allowed
    secret: Word  # `words.Secret`
    score_high: Word  # proactive compaction starts above, 1000: never
    score_low: Word  # and ends
    period: Word  # least that half a second lasts: time between two looks at the score
    kswapd: Word  # most time until kswapd, woken, gets the CPU
    collapse: Word  # `words.Collapse`


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
    back: Word  # and phase that follows
    claimed: Word  # 1: the block in hand gives its pageblocks the requester's type
    sub: Word  # the kernel's own request: `Sub`,
    sub_order: Word  # its order,
    sub_use: Word  # use
    sub_owner: Word  # and owner
    after: Word  # phase that follows a page-table page
    table: Word  # 1 + its page while it is in hand, else 0
    target: Word  # destination of a migration that is to be unmapped, -1 none
    start: Word  # TAKE: first page of the pageblock (HOOK: place in one),
    area: Word  # next one to try,
    spot: Word  # next page to look at,
    home: Word  # type of the pageblock before it was isolated
    tries: Word  # and pageblocks that could not be emptied
    lists01: Word  # which lists are not empty: 11 bits a migratetype, two types a word
    lists23: Word
    lists45: Word
    lists67: Word
    free: Word  # NR_FREE_PAGES
    free_cma: Word  # NR_FREE_CMA_PAGES
    free_atomic: Word  # zone->nr_free_highatomic
    free_blocks: Word  # on the buddy lists, of any order
    free_huge: Word  # of them of pageblock size or larger, in pageblocks
    giants: Word  # 1 GiB entries of the direct map
    fault: Word
    attempt: Word  # `Try` of the command's request
    inner: Word  # and of the kernel's own
    flags: Word  # `Bit`
    pcp_full: Word  # per-CPU lists: which are not empty,
    pcp_count: Word  # pages on them,
    pcp_high: Word  # as in struct per_cpu_pages,
    alloc_factor: Word
    free_count: Word
    refill: Word  # blocks still to be drawn from the buddy
    drain: Word  # pages still to be given back to it,
    drain_list: Word  # from this list on,
    drain_back: Word  # and phase that follows, -1 nothing is drained
    boost: Word  # watermark_boost
    kswapd: Word  # time until kswapd runs, -1: it sleeps
    kswapd_order: Word  # order that it was woken for
    failures: Word  # its runs in vain
    want: Word  # order that kcompactd was asked for
    poll: Word  # time until kcompactd looks again
    pace: Word  # what half a second lasts now
    slice: Word  # time until the CPU changes hands
    random: Word  # state of a xorshift generator
    waited: Word  # WAIT: time that is over
    considered: Word  # deferral of compaction: struct zone, compact_considered,
    shift: Word  # compact_defer_shift,
    failed_order: Word  # compact_order_failed
    cached_async: Word  # compact_cached_migrate_pfn
    cached_sync: Word
    cached_free: Word  # compact_cached_free_pfn
    init_migrate: Word
    run: Word  # `Run` in progress, kcompactd's while it waits for the CPU
    busy: Word  # 1: its phases are being executed
    run_order: Word
    run_type: Word
    source: Word  # migration scanner: next page
    sink: Word  # free scanner: next page
    last: Word  # last_migrated_pfn, -1 none
    batch: Word  # pages isolated and not yet migrated,
    moved: Word  # migrated and not yet given back
    have: Word  # pages on the target lists
    stride: Word  # of the free scanner
    init_free: Word  # compact_init_free_pfn
    node: Word  # searches: place in a free list, -1 begins
    scan_order: Word  # its order
    scanned: Word  # blocks looked at,
    limit_left: Word  # at most,
    goal: Word  # FIND: pages below are good
    high_pfn: Word  # SEARCH: best fair block, -1 none
    highest: Word  # highest pageblock seen
    search_order: Word  # order that worked last
    fails: Word  # fast_search_fail
    fast_start: Word  # fast_start_pfn
    score: Word  # before a proactive run
    result: Word  # how compact_zone() ended
    capture: Word  # block captured by the task that compacts, -1 none yet, -2 no one waits
    kept_run: Word  # kcompactd's own, while the task compacts
    kept_order: Word
    kept_source: Word
    kept_sink: Word
    kept_last: Word
    kept_whole: Word
    stalls: Word  # requests that compacted
    scan: Word  # for entries to collapse: next pageblock to look at, -1 none is going on


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
    cell4: Word
    word4: Word
    cell5: Word
    word5: Word
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
    limits: Limits
    now: Registers
    writes: Writes
