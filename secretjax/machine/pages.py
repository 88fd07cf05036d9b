"""/proc/kpageflags: what each page is used for, and the free blocks rebuilt from that.

fs/proc/page.c: stable_page_flags() gives a u64 a page. Since 4.6 KPF_BUDDY is set on every page of
a free block, not only its head (`is_free_buddy_page`), and a page on a per-CPU list has no flag at
all, as a page that the kernel itself uses. Free buddies always merge (mm/page_alloc.c:
__free_one_page), so the free blocks are the largest aligned blocks of free pages.
"""

import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64

from secretjax.cases import CLASSES
from secretjax.errors import UserError
from secretjax.mm.words import MAX_PAGE_ORDER

CHUNK = 1 << 17  # pages read at once: 1 MiB of flags
PIECE = 1 << 22  # pages looked at once: whole blocks of the largest order
# include/uapi/linux/kernel-page-flags.h, include/linux/kernel-page-flags.h
BITS = {
    "LRU": 5, "SLAB": 7, "BUDDY": 10, "MMAP": 11, "ANON": 12, "COMPOUND_HEAD": 15,
    "COMPOUND_TAIL": 16, "HUGE": 17, "UNEVICTABLE": 18, "HWPOISON": 19, "NOPAGE": 20, "THP": 22,
    "OFFLINE": 23, "ZERO_PAGE": 24, "PGTABLE": 26, "RESERVED": 32,
}  # fmt: skip
# A page is of the last of these classes of which it has a flag; of none: kernel_other.
RULES = (
    ("compound_other", ("COMPOUND_HEAD", "COMPOUND_TAIL")),
    ("user_nolru", ("MMAP", "ANON")),
    ("file_lru", ("LRU",)),
    ("unevictable", ("UNEVICTABLE",)),
    ("pgtable", ("PGTABLE",)),
    ("slab", ("SLAB",)),
    ("thp", ("THP",)),
    ("compound_other", ("ZERO_PAGE",)),
    ("hugetlb", ("HUGE",)),
    ("reserved", ("RESERVED", "OFFLINE", "HWPOISON")),
    ("free_buddy", ("BUDDY",)),
    ("nopage", ("NOPAGE",)),
)


def mask(*names: str) -> np.uint64:
    """Flags as one word."""
    return np.uint64(sum(1 << BITS[name] for name in names))


def classify(flags: UInt64[np.ndarray, " pages"]) -> UInt8[np.ndarray, " pages"]:
    """The class of each page, as a place in `cases.CLASSES`."""
    found = np.full(len(flags), CLASSES.index("kernel_other"), np.uint8)
    for name, bits in RULES:
        found[(flags & mask(*bits)) != 0] = CLASSES.index(name)
    anon = (found == CLASSES.index("file_lru")) & ((flags & mask("ANON")) != 0)
    found[anon] = CLASSES.index("anon_lru")
    return found


def read_flags(path: Path, start: int, end: int) -> Iterator[UInt64[np.ndarray, " chunk"]]:
    """The flags of the pages start..end in chunks; fewer pages where the file ends before."""
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(8 * start)
            left = end - start
            while left > 0:
                raw = file.read(8 * min(left, CHUNK))
                if len(raw) < 8:
                    return
                yield np.frombuffer(raw[: len(raw) & -8], np.uint64)
                left -= len(raw) // 8
    except OSError as error:
        who = "; run it as root" if error.errno in (errno.EACCES, errno.EPERM) else ""
        raise UserError(f"{path}: cannot be read ({error.strerror}){who}") from error


def classes(path: Path, start: int, end: int) -> UInt8[np.ndarray, " pages"]:
    """The class of each page of start..end: one byte a page, whatever the machine's size.

    Pages beyond the end of the file are `nopage`. Raises `UserError` if it cannot be read.
    """
    found = np.full(end - start, CLASSES.index("nopage"), np.uint8)
    at = 0
    for flags in read_flags(path, start, end):
        found[at : at + len(flags)] = classify(flags)
        at += len(flags)
    return found


def free_blocks(
    free: Bool[np.ndarray, " pages"], start: int
) -> tuple[Int64[np.ndarray, " blocks"], Int64[np.ndarray, " blocks"]]:
    """(pfn, order) of the largest aligned blocks of free pages, by address.

    free: of each page from pfn `start` on.
    """
    size = 1 << MAX_PAGE_ORDER
    before = start % size
    level = np.zeros(-(-(before + len(free)) // size) * size, bool)
    level[before : before + len(free)] = free
    pfns, orders = [], []
    for order in range(MAX_PAGE_ORDER + 1):
        if order < MAX_PAGE_ORDER:
            above = level[0::2] & level[1::2]
            alone = level & ~np.repeat(above, 2)
        else:
            above = alone = level
        at = np.flatnonzero(alone)
        pfns.append(start - before + (at << order))
        orders.append(np.full(len(at), order))
        level = above
    pfn, order = np.concatenate(pfns), np.concatenate(orders)
    by_address = np.argsort(pfn, kind="stable")
    return pfn[by_address].astype(np.int64), order[by_address].astype(np.int64)


def free_counts(page_class: UInt8[np.ndarray, " pages"], start: int) -> Int64[np.ndarray, " 11"]:
    """Free blocks of each order, as `free_blocks` would find them, in bounded memory."""
    found, free = np.zeros(MAX_PAGE_ORDER + 1, np.int64), CLASSES.index("free_buddy")
    at = 0
    while at < len(page_class):
        # pieces end where no block can go on
        size = PIECE - (start + at) % PIECE
        _, order = free_blocks(page_class[at : at + size] == free, start + at)
        found += np.bincount(order, minlength=MAX_PAGE_ORDER + 1)
        at += size
    return found
