"""Start states: one zone of a kernel at one moment."""

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Integer

from secretjax.cases.archive import MOST_PAGES, REMAKE, Archive, in_range, overlap
from secretjax.errors import UserError, suggestion
from secretjax.mm.words import MAX_PAGE_ORDER, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES

FORMAT = "secretjax-case/1"
ZONE_FIELDS = (
    "start_pfn", "end_pfn", "managed", "min", "low", "high", "boost", "highatomic",
    "pcp_count", "pcp_high", "pcp_high_min", "pcp_high_max", "pcp_batch", "pcp_alloc_factor",
    "pcp_free_count",
)  # fmt: skip
CLASSES = (
    "kernel_other", "free_buddy", "free_pcp", "reserved", "nopage", "slab", "pgtable", "hugetlb",
    "thp", "unevictable", "anon_lru", "file_lru", "compound_other", "user_nolru", "outside_zone",
)  # fmt: skip
# prep_move_freepages_block() counts what is on an LRU list as movable, secret pages too.
MOVABLE_CLASSES = ("thp", "unevictable", "anon_lru", "file_lru")
FREE_CLASSES = ("free_buddy", "free_pcp")
LARGEST = (1 << 31) - 1
Rules = Literal["K511", "K610", "K612y"]
Mapped = Literal["unevictable", "inaccessible"]
Collapsing = Literal["never", "free", "scan"]
Entry = Literal["4K", "2M", "1G"]
FALLBACKS: tuple[str, ...] = get_args(Rules)
ENTRIES: dict[str, int] = {"4K": 1, "2M": 2, "1G": 3}  # size of the direct map's entries: its level
ARRAYS = (
    "format", "zone_meta", "list_pfn", "list_order", "list_mt", "list_kind", "block_pfn",
    "block_mt", "page_class", "page_classes", "dm_pfn", "dm_level", "dm_nonpresent", "settings",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class StartState:
    """One zone as a kernel had it. Pages are 4 KiB, pageblocks 512 pages, pfns absolute."""

    name: str
    zone: dict[str, int]  # by ZONE_FIELDS; pages, except the last two; pcp_*: -1 if unknown
    list_pfn: Integer[np.ndarray, " listed"]  # free blocks in list order, head first
    list_order: Integer[np.ndarray, " listed"]
    list_mt: Integer[np.ndarray, " listed"]  # of the list; kind 1, order 9: 1 = movable
    list_kind: Integer[np.ndarray, " listed"]  # 0: on a buddy list, 1: on a per-CPU list
    block_pfn: Integer[np.ndarray, " pageblocks"]  # any page of each pageblock, ascending
    block_mt: Integer[np.ndarray, " pageblocks"]
    page_class: Integer[np.ndarray, " end_pfn"]  # index is the pfn; value: place in page_classes
    page_classes: tuple[str, ...]
    dm_pfn: Integer[np.ndarray, " regions"]  # direct map by 2 MiB, from pfn 0
    dm_level: Integer[np.ndarray, " regions"]  # 1: 4 KiB entries, 2: one of 2 MiB, 3: part of 1 GiB
    dm_nonpresent: Integer[np.ndarray, " regions"]  # 4 KiB entries that are not present
    settings: dict

    def under(self, rules: str) -> "StartState":
        """The same memory under another kernel's rules, one of FALLBACKS.

        Raises `UserError` where those rules could not have led to these lists.
        """
        state = replace(self, settings=self.settings | {"fallback": rules})
        try:
            _check_types(state)
        except UserError as e:
            raise UserError(f"{self.name}: cannot be run under the rules {rules}: {e}") from e
        return state

    def with_entries(self, size: str) -> "StartState":
        """The same memory with a direct map all of whose entries have this size, of ENTRIES.

        Nothing is split yet, whatever the case says. 4K, as on arm64 with rodata=full: no entry
        can be split (arch/arm64/mm/pageattr.c: can_set_direct_map()).
        """
        whole = 1 << MAX_PAGE_ORDER
        pfn = np.arange(0, -(-self.zone["end_pfn"] // whole) * whole, PAGEBLOCK_PAGES)
        level = np.full_like(pfn, ENTRIES[size])
        return replace(self, dm_pfn=pfn, dm_level=level, dm_nonpresent=np.zeros_like(pfn))

    def on(self, kernel) -> "StartState":
        """The same memory on a kernel of this kind: an object with the fields of `params.Kernel`.

        Raises `UserError` where its rules could not have led to these lists.
        """
        state = self.under(kernel.rules) if kernel.rules else self
        state = state.with_entries(kernel.entries) if kernel.entries else state
        own = {"mapping": kernel.mapping, "collapse": kernel.collapse}
        return replace(state, settings=state.settings | own)

    def movable_pages(self) -> Bool[np.ndarray, " end_pfn"]:
        """Pages in use that claiming counts as movable (mm/page_alloc.c)."""
        movable = np.array([name in MOVABLE_CLASSES for name in self.page_classes])
        return movable[self.page_class] & ~self.listed(self.list_kind >= 0)

    def free_pages(self) -> Bool[np.ndarray, " end_pfn"]:
        """Pages on the buddy lists; those on per-CPU lists count as in use."""
        return self.listed(self.list_kind == 0)

    def listed(self, which: np.ndarray) -> np.ndarray:
        edges = np.zeros(self.zone["end_pfn"] + 1, np.int32)
        first = self.list_pfn[which]
        np.add.at(edges, first, 1)
        np.add.at(edges, first + (1 << self.list_order[which]), -1)
        return np.cumsum(edges[:-1], dtype=np.int32) > 0


def read_start(archive: Archive, name: str) -> StartState:
    """The start state that every case begins with."""
    if "format" not in archive.names:
        raise UserError(f"holds no array 'format', so it is not a case; {REMAKE}")
    found = archive.text("format")
    if found != FORMAT:
        raise UserError(f"its format is {found[:60]!r}, '{FORMAT}' is read; {REMAKE}")
    zone = _zone(archive.integers("zone_meta", len(ZONE_FIELDS)))
    end = zone["end_pfn"]
    listed = archive.integers("list_pfn", None, most=end)
    first_block = zone["start_pfn"] >> PAGEBLOCK_ORDER
    regions = -(-end // PAGEBLOCK_PAGES)
    blocks = regions - first_block
    state = StartState(
        name=name,
        zone=zone,
        list_pfn=listed,
        **{
            f"list_{k}": archive.integers(f"list_{k}", len(listed)) for k in ("order", "mt", "kind")
        },
        block_pfn=archive.integers("block_pfn", blocks),
        block_mt=archive.integers("block_mt", blocks),
        page_class=archive.bytes("page_class", end),
        page_classes=archive.strings("page_classes", 255),
        **{f"dm_{k}": archive.integers(f"dm_{k}", regions) for k in ("pfn", "level", "nonpresent")},
        settings=checked_settings(archive.json("settings"), zone),
    )
    _check_classes(state)
    _check_lists(state)
    _check_regions(state)
    return state


def _zone(values: np.ndarray) -> dict[str, int]:
    zone: dict[str, int] = dict(zip(ZONE_FIELDS, values.tolist(), strict=True))
    known = ZONE_FIELDS.index("pcp_count")
    in_range("zone_meta", values[:known], 0, LARGEST)
    in_range("zone_meta[8:]", values[known:], -1, LARGEST)
    start, end = zone["start_pfn"], zone["end_pfn"]
    if not 1 <= start < end <= MOST_PAGES:
        raise UserError(
            f"the zone spans pfns {start} to {end}; zones that begin after pfn 0 and end by pfn "
            f"{MOST_PAGES} can be modelled: use a smaller machine"
        )
    if not 1 <= zone["managed"] <= end - start:
        raise UserError(
            f"{zone['managed']} pages are managed, the zone spans {end - start}; {REMAKE}"
        )
    if not zone["min"] <= zone["low"] <= zone["high"]:
        raise UserError(f"the watermarks min, low, high are not ascending in zone_meta; {REMAKE}")
    return zone


def _check_classes(state: StartState) -> None:
    for name in state.page_classes:
        if name not in CLASSES:
            raise UserError(f"page_classes holds {name!r}; {suggestion(name, CLASSES)}")
    if len(set(state.page_classes)) < len(state.page_classes):
        raise UserError(f"page_classes names a class twice; {REMAKE}")
    in_range("page_class", state.page_class, 0, len(state.page_classes) - 1)


def _check_lists(state: StartState) -> None:
    zone, pfn, order, mt = state.zone, state.list_pfn, state.list_order, state.list_mt
    in_range("list_order", order, 0, MAX_PAGE_ORDER)
    in_range("list_mt", mt, 0, 5)
    in_range("list_kind", state.list_kind, 0, 1)
    in_range("list_pfn", pfn, zone["start_pfn"], zone["end_pfn"] - 1)
    size = 1 << order.astype(np.int64)
    in_range("list_pfn + size", pfn + size, 0, zone["end_pfn"])
    odd = np.flatnonzero(pfn & (size - 1))
    if len(odd):
        raise UserError(
            f"the free block at pfn {pfn[odd[0]]} has order {order[odd[0]]}, a block begins at a "
            f"multiple of its size; {REMAKE}"
        )
    twice = overlap(pfn, size)
    if twice is not None:
        raise UserError(f"the page at pfn {pfn[twice]} is in two free blocks; {REMAKE}")
    in_range("block_mt", state.block_mt, 0, 5)
    _check_types(state)
    _check_free(state)


def _check_types(state: StartState) -> None:
    """Since 6.10 a free block is on the list of its pageblock's type; before, it need not be."""
    first_block = state.zone["start_pfn"] >> PAGEBLOCK_ORDER
    blocks = first_block + np.arange(len(state.block_pfn))
    if (state.block_pfn >> PAGEBLOCK_ORDER != blocks).any():
        raise UserError(f"block_pfn does not name every pageblock of the zone in order; {REMAKE}")
    if state.settings["fallback"] == "K511":
        return
    buddy = state.list_kind == 0
    pfn = state.list_pfn[buddy]
    last = pfn + (1 << state.list_order[buddy].astype(np.int64)) - 1
    for page in (pfn, last):
        types = state.block_mt[(page >> PAGEBLOCK_ORDER) - first_block]
        wrong = np.flatnonzero(types != state.list_mt[buddy])
        if len(wrong):
            at = wrong[0]
            raise UserError(
                f"the free block at pfn {pfn[at]} is on a list of type {state.list_mt[buddy][at]} "
                f"in a pageblock of type {types[at]}, this kernel keeps them equal; {REMAKE}"
            )


def _check_free(state: StartState) -> None:
    """Classes are read a little later than lists, so a few pages may differ."""
    free_class = np.array([name in FREE_CLASSES for name in state.page_classes])
    listed = state.listed(state.list_kind >= 0)
    said_used = int((listed & ~free_class[state.page_class]).sum())
    if said_used > 64 + int(listed.sum()) // 10:
        raise UserError(
            f"{said_used} of {int(listed.sum())} pages on free lists have a class of pages in use, "
            f"at most a tenth may (lists are read before classes); {REMAKE}"
        )


def _check_regions(state: StartState) -> None:
    in_range("dm_level", state.dm_level, 1, 2)
    in_range("dm_nonpresent", state.dm_nonpresent, 0, PAGEBLOCK_PAGES)
    if (state.dm_pfn != PAGEBLOCK_PAGES * np.arange(len(state.dm_pfn))).any():
        raise UserError(f"dm_pfn does not name every 2 MiB from pfn 0 in order; {REMAKE}")


def _one_of(*names: str):
    return lambda v: isinstance(v, str) and v in names, " or ".join(names)


def _whole(low: int, high: int):
    return lambda v: type(v) is int and low <= v <= high, f"a whole number {low} to {high}"


def _is_sysctl(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(v, str) and re.fullmatch(r"-?\d{1,18}", v) for v in value.values()
    )


def checked_settings(found: object, zone: dict[str, int], remedy: str = REMAKE) -> dict:
    """The settings of a case. Raises `UserError` that names the first one that cannot be."""

    def is_area(value: object) -> bool:
        if value is None:
            return True
        if not isinstance(value, dict) or value.keys() != {"base_pfn", "pages"}:
            return False
        base, pages = value["base_pfn"], value["pages"]
        if type(base) is not int or type(pages) is not int or pages < 1:
            return False
        aligned = base % PAGEBLOCK_PAGES == 0 and pages % PAGEBLOCK_PAGES == 0
        return aligned and zone["start_pfn"] <= base and base + pages <= zone["end_pfn"]

    known = {
        "kernel": (lambda v: isinstance(v, str) and 0 < len(v) <= 64, "a version"),
        "fallback": _one_of(*FALLBACKS),
        "cpus": _whole(1, 1 << 16),
        "thp": _one_of("always", "madvise", "never"),
        "khugepaged": _one_of("on", "off"),
        "compact_unevictable_allowed": _whole(0, 1),
        "sysctl": (_is_sysctl, "names with numbers as text"),
        "secret_pool": _one_of("none", "buddy_2m", "cma"),
        "cma": (is_area, "null, or base_pfn and pages of whole pageblocks within the zone"),
        "total_pages": _whole(1, zone["end_pfn"]),
    }
    if not isinstance(found, dict):
        raise UserError(f"settings is no JSON object; {remedy}")
    for key in found:
        if key not in known:
            raise UserError(f"settings holds '{key[:60]}'; {suggestion(key, known)}")
    for key, (allowed, words) in known.items():
        if key not in found:
            raise UserError(f"settings lacks '{key}' ({words}); {remedy}")
        if not allowed(found[key]):
            raise UserError(
                f"settings: '{key}' is {str(found[key])[:60]!r}, allowed is {words}; {remedy}"
            )
    return found
