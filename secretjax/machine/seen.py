"""What a stock kernel shows of a machine, zone by zone, and the file that keeps it.

Format "secretjax-capture/1", npz without pickles:

format         that name
about          JSON: kernel, relative (1: pfns do not say where in memory), settings (as in a case),
               direct_map {"4k", "2M", "1G": entries}, counters (of vmstat and meminfo, see
               `capture.COUNTERS`), secretmem ("on", "off" or "unknown"), missing (files)
zones          JSON, a row a zone: node, zone, fields (`cases.ZONE_FIELDS`), free, present, cpus
               (rows of `proc.CPU_FIELDS`), buddy_free [11], buddy_after [11], type_free [6][11]
               or null, type_blocks [6] or null
page_class_K   uint8, of zone K from its first page on, place in page_classes; if the page map was
               read
dm_level_K     uint8, of zone K by 2 MiB: 0 not mapped, 1 4 KiB entries, 2 one of 2 MiB, 3 within
               one of 1 GiB; if debugfs shows it
page_classes   names of the classes
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from secretjax.cases import CLASSES, ZONE_FIELDS
from secretjax.cases.archive import Archive, in_range
from secretjax.cases.start import checked_settings
from secretjax.errors import UserError
from secretjax.files import replacing
from secretjax.machine.proc import CPU_FIELDS
from secretjax.mm.words import NR_PAGE_ORDERS, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES

FORMAT = "secretjax-capture/1"
REMEDY = "capture the machine again"
MOST_PAGES = 1 << 28  # of a zone: 1 TiB
MOST_ALL = 1 << 30  # of all zones
MOST_PFN = 1 << 40
PIECE = 1 << 13  # regions counted at once
LEVELS = ("4k", "2M", "1G")
ZONES = ("Normal", "DMA32", "DMA")  # where secret memory comes from, in this order
ABOUT = {
    "kernel": str, "relative": bool, "settings": dict, "direct_map": dict, "counters": dict,
    "secretmem": str, "missing": list,
}  # fmt: skip
ROW = {
    "node": int, "zone": str, "fields": dict, "free": int, "present": int, "cpus": list,
    "buddy_free": list, "buddy_after": list, "type_free": list, "type_blocks": list,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class ZoneSeen:
    """One zone. Pages are 4 KiB; None: it could not be read."""

    node: int
    name: str  # as the kernel says: DMA, DMA32, Normal, Movable
    fields: dict[str, int]  # by ZONE_FIELDS; pcp_*: -1, see `cpus`
    free: int  # as zoneinfo said
    present: int
    cpus: Int64[np.ndarray, "cpus 5"]  # by CPU_FIELDS, -1 unknown
    buddy_free: Int64[np.ndarray, " 11"]  # blocks of each order (buddyinfo), before all else
    buddy_after: Int64[np.ndarray, " 11"]  # and after the page map was read
    type_free: Int64[np.ndarray, "6 11"] | None  # by type and order; 100,000: that many or more
    type_blocks: Int64[np.ndarray, " 6"] | None  # pageblocks of each type
    page_class: UInt8[np.ndarray, " pages"] | None  # place in CLASSES, from start_pfn on
    dm_level: UInt8[np.ndarray, " regions"] | None  # by 2 MiB, from the one that holds start_pfn

    @property
    def title(self) -> str:
        """For people."""
        return f"node {self.node}, zone {self.name}"

    @property
    def first_region(self) -> int:
        """2 MiB region of the first page."""
        return self.fields["start_pfn"] >> PAGEBLOCK_ORDER

    @property
    def regions(self) -> int:
        """2 MiB regions that the zone touches."""
        return -(-self.fields["end_pfn"] // PAGEBLOCK_PAGES) - self.first_region

    @cached_property
    def by_region(self) -> Int64[np.ndarray, "regions classes"]:
        """Pages of each class in each 2 MiB region."""
        assert self.page_class is not None
        found = np.zeros((self.regions, len(CLASSES)), np.int64)
        before = self.fields["start_pfn"] % PAGEBLOCK_PAGES
        for at in range(0, self.regions, PIECE):
            low, high = (max(r * PAGEBLOCK_PAGES - before, 0) for r in (at, at + PIECE))
            classes = self.page_class[low:high]
            place = (np.arange(low, low + len(classes)) + before) // PAGEBLOCK_PAGES - at
            counts = np.bincount(place * len(CLASSES) + classes)
            found[at : at + PIECE].reshape(-1)[: len(counts)] = counts
        return found

    def per_region(self, *names: str) -> Int64[np.ndarray, " regions"]:
        """Pages of these classes in each 2 MiB region."""
        return self.by_region[:, [CLASSES.index(name) for name in names]].sum(1)

    def counted(self) -> Bool[np.ndarray, " regions"]:
        """Which pageblocks pagetypeinfo counts: not holes, nor memory that is not set up yet.

        The latter shows as pageblocks without any flag; the last of them are left out until the
        numbers agree.
        """
        assert self.type_blocks is not None
        there = self.per_region("nopage") < self.by_region.sum(1)
        surplus = int(there.sum()) - int(self.type_blocks.sum())
        if surplus > 0:
            there[np.flatnonzero(self.blank())[::-1][:surplus]] = False
        return there

    def blank(self) -> Bool[np.ndarray, " regions"]:
        """Which pageblocks hold pages, none of them with a flag."""
        own = self.per_region("kernel_other")
        return (own > 0) & (own + self.per_region("nopage") == self.by_region.sum(1))

    def in_class(self, *names: str) -> np.ndarray:
        """Which pages are of one of these classes."""
        assert self.page_class is not None
        return np.isin(self.page_class, [CLASSES.index(name) for name in names])


@dataclass(frozen=True, eq=False)
class Capture:
    """A machine at one moment."""

    kernel: str
    settings: dict  # as in a case
    zones: tuple[ZoneSeen, ...]
    direct_map: dict[str, int]  # entries by level
    counters: dict[str, int]
    secretmem: str = "unknown"  # whether memfd_secret is on, off or unknown
    missing: tuple[str, ...] = ()  # files that could not be read
    relative: bool = False

    def first(self, pages: int) -> ZoneSeen:
        """The zone that so many secret pages come from.

        They are GFP_HIGHUSER (mm/secretmem.c), so from the highest zone below Movable that has them
        above its low mark (mm/page_alloc.c: get_page_from_freelist); of several nodes' the largest,
        and the largest of all where no zone has as many.
        """
        allowed = [zone for zone in self.zones if zone.name in ZONES] or self.zones
        roomy = [zone for zone in allowed if zone.free - zone.fields["low"] >= pages]
        of_name = ([zone for zone in roomy if zone.name == name] for name in ZONES)
        return max(next(filter(None, of_name), allowed), key=lambda zone: zone.fields["managed"])


def write(path: str | Path, capture: Capture) -> None:
    """The capture's file, whole or not at all, for its owner only (mode 0600)."""
    arrays: dict[str, Any] = {"page_classes": np.array(CLASSES)}
    rows = []
    for k, zone in enumerate(capture.zones):
        for name in ("page_class", "dm_level"):
            array = getattr(zone, name)
            if array is not None:
                arrays[f"{name}_{k}"] = array
        plain = {key: _plain(getattr(zone, key)) for key in ROW if key != "zone"}
        rows.append(plain | {"zone": zone.name})
    about = {key: getattr(capture, key) for key in ABOUT} | {"missing": list(capture.missing)}
    with replacing(path) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "wb") as file:
            np.savez_compressed(
                file,
                format=np.array(FORMAT),
                about=np.array(json.dumps(about)),
                zones=np.array(json.dumps(rows)),
                **arrays,
            )


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray) else value


def is_capture(path: str | Path) -> bool:
    """Whether the file says that it is a capture. Raises `UserError` for a file that is no npz."""
    with _named(path), Archive(path, REMEDY) as archive:
        return "format" in archive.names and archive.text("format").startswith("secretjax-capture")


def read(path: str | Path) -> Capture:
    """A checked capture. Raises `UserError`, one sentence, for a file that is not one."""
    with _named(path), Archive(path, REMEDY) as archive:
        found = archive.text("format")
        if found != FORMAT:
            raise UserError(f"its format is {found[:60]!r}, '{FORMAT}' is read; {REMEDY}")
        about = archive.json("about")
        _check_fields("about", about, ABOUT)
        _check_numbers("about: direct_map", about["direct_map"], LEVELS)
        _check_numbers("about: counters", about["counters"], about["counters"].keys())
        rows = archive.json("zones")
        if not isinstance(rows, list) or not 1 <= len(rows) <= 1024:
            raise UserError(f"zones is no JSON list of 1 to 1024 zones; {REMEDY}")
        names = archive.strings("page_classes", 255)
        if names != CLASSES:
            raise UserError(f"its page_classes are not those of this version; {REMEDY}")
        zones = tuple(_zones(archive, rows))
        fields = zones[0].fields
        checked_settings(about["settings"] | {"total_pages": 1}, fields, REMEDY)
        texts = [about["kernel"], about["secretmem"], *about["missing"]]
        if not all(isinstance(text, str) and len(text) < 200 for text in texts):
            raise UserError(f"about holds names that are none; {REMEDY}")
        return Capture(**about | {"missing": tuple(about["missing"]), "zones": zones})


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Puts the path in front of a sentence."""
    try:
        yield
    except UserError as error:
        text = f"{path}: {error}"
        raise UserError("".join(c if c.isprintable() else "?" for c in text)) from error


def _check_fields(where: str, found: object, fields: dict[str, type]) -> None:
    if not isinstance(found, dict) or found.keys() != fields.keys():
        raise UserError(f"{where} does not hold {', '.join(fields)} and nothing else; {REMEDY}")
    for key, kind in fields.items():
        optional = key in ("type_free", "type_blocks") and found[key] is None
        if not optional and type(found[key]) is not kind:
            raise UserError(f"{where}: '{key}' is no {kind.__name__}; {REMEDY}")


def _check_numbers(where: str, found: dict, keys) -> None:
    good = found.keys() == set(keys)
    if not good or not all(type(v) is int and abs(v) < 1 << 60 for v in found.values()):
        raise UserError(f"{where} should hold whole numbers for {', '.join(keys)}; {REMEDY}")


def _zones(archive: Archive, rows: list[Any]) -> Iterator[ZoneSeen]:
    """Each zone; how many pages they have together is known before anything is unpacked."""
    pages = 0
    for k, row in enumerate(rows):
        where = f"zones[{k}]"
        _check_fields(where, row, ROW)
        _check_numbers(f"{where}: fields", row["fields"], ZONE_FIELDS)
        start, end = row["fields"]["start_pfn"], row["fields"]["end_pfn"]
        if not 0 <= start < end <= MOST_PFN or end - start > MOST_PAGES:
            raise UserError(f"{where} spans pfns {start} to {end}, at most 1 TiB is read; {REMEDY}")
        pages += end - start
    if pages > MOST_ALL:
        raise UserError(f"its zones have {pages} pages, at most {MOST_ALL} are read; {REMEDY}")
    for k, row in enumerate(rows):
        yield _zone(archive, f"zones[{k}]", k, row)


def _zone(archive: Archive, where: str, k: int, row: dict[str, Any]) -> ZoneSeen:
    fields = {key: row["fields"][key] for key in ZONE_FIELDS}
    start, end = fields["start_pfn"], fields["end_pfn"]
    if not 0 <= fields["managed"] <= end - start or not re.fullmatch(r"\w{1,32}", row["zone"]):
        raise UserError(f"{where}: its name or its managed pages cannot be; {REMEDY}")
    shapes: dict[str, tuple[int | None, ...]] = {
        "cpus": (None, len(CPU_FIELDS)),
        "buddy_free": (NR_PAGE_ORDERS,),
        "buddy_after": (NR_PAGE_ORDERS,),
        "type_free": (6, NR_PAGE_ORDERS),
        "type_blocks": (6,),
    }
    arrays: dict[str, Any] = {
        key: _integers(f"{where}: {key}", row[key], shape) for key, shape in shapes.items()
    }
    regions = -(-end // PAGEBLOCK_PAGES) - (start >> PAGEBLOCK_ORDER)
    pages = {"page_class": (end - start, len(CLASSES) - 1), "dm_level": (regions, 3)}
    for name, (length, most) in pages.items():
        key = f"{name}_{k}"
        arrays[name] = archive.bytes(key, length) if key in archive.names else None
        if arrays[name] is not None:
            in_range(key, arrays[name], 0, most, REMEDY)
    plain = {key: row[key] for key in ("node", "free", "present")}
    _check_numbers(where, plain, plain.keys())
    return ZoneSeen(name=row["zone"], fields=fields, **plain, **arrays)


def _integers(where: str, found: list | None, shape: tuple[int | None, ...]) -> np.ndarray | None:
    """A list of lists as int64; -1 is the least."""
    if found is None:
        return None
    try:
        array = np.array(found)
    except ValueError:
        array = np.zeros(0)
    if array.size == 0 and shape[0] is None:
        return np.zeros((0, *(n or 0 for n in shape[1:])), np.int64)
    fits = len(array.shape) == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.kind != "i" or array.min() < -1 or array.max() > 1 << 40:
        raise UserError(f"{where} does not hold whole numbers in {shape}; {REMEDY}")
    return array.astype(np.int64)
