"""A capture of the machine this runs on, from what a stock kernel shows."""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from secretjax.cases import CLASSES, ZONE_FIELDS
from secretjax.errors import UserError
from secretjax.machine import pages, proc
from secretjax.machine.seen import LEVELS, Capture, ZoneSeen
from secretjax.mm.words import GIGABYTE_BLOCKS, PAGEBLOCK_ORDER

COUNTERS = (  # of vmstat, then of meminfo in kB; those that the kernel has
    "nr_free_pages", "direct_map_level2_splits", "direct_map_level3_splits",
    "direct_map_level2_collapses", "direct_map_level3_collapses", "pgmigrate_success",
    "compact_stall", "thp_fault_alloc", "thp_fault_fallback",
    "MemTotal", "MemFree", "MemAvailable", "DirectMap4k", "DirectMap2M", "DirectMap1G",
)  # fmt: skip
ENTRY_KB = {"4k": 4, "2M": 2048, "1G": 1 << 20}
SYSCTLS = (
    "min_free_kbytes", "compaction_proactiveness", "extfrag_threshold", "watermark_boost_factor",
    "watermark_scale_factor",
)  # fmt: skip
# mm/compaction.c: sysctl_compaction_proactiveness; mm/page_alloc.c: watermark_boost_factor
DEFAULTS = {"compaction_proactiveness": 20, "watermark_boost_factor": 15000}
GIGABYTE_PAGES = GIGABYTE_BLOCKS << PAGEBLOCK_ORDER


def capture(root: str | Path = "/", relative: bool = False) -> Capture:
    """The machine whose /proc and /sys are below `root`.

    relative: pfns of each zone begin in the first or second GiB, so that they do not say where in
    memory the zone lies. What only root may read is left out with its name in `missing`.
    Raises `UserError` if what everybody may read cannot be read or understood.
    """
    root = Path(root)
    infos, totals = proc.zoneinfo(root), proc.buddyinfo(root)
    counters = proc.pairs(root, "proc/vmstat") | proc.pairs(root, "proc/meminfo")
    counters = {name: counters[name] for name in COUNTERS if name in counters}
    missing = []
    try:
        types = proc.pagetypeinfo(root)
    except UserError:
        if os.access(root / "proc/pagetypeinfo", os.R_OK):
            raise
        types = {}
        missing.append("proc/pagetypeinfo")
    mapping = proc.kernel_mapping(root)
    zones = []
    for (node, name), info in infos.items():
        if (node, name) not in totals:
            raise UserError(
                f"{root / 'proc/buddyinfo'}: has no line for node {node}, zone {name} of zoneinfo; "
                "capture again (memory may have come or gone), or report it"
            )
        free, blocks = types.get((node, name), (None, None))
        zone = ZoneSeen(
            node=node, name=name, fields=fields(info), free=info.fields["free"],
            present=info.fields["present"], cpus=info.cpus, buddy_free=totals[node, name],
            buddy_after=totals[node, name], type_free=free, type_blocks=blocks, page_class=None,
            dm_level=None,
        )  # fmt: skip
        zones.append(with_pages(zone, root, mapping, missing))
    after = proc.buddyinfo(root)
    zones = [replace(z, buddy_after=after.get((z.node, z.name), z.buddy_after)) for z in zones]
    kernel = proc.text(root, "proc/sys/kernel/osrelease").strip()[:64]
    return Capture(
        kernel=kernel,
        settings=settings(root, kernel),
        zones=tuple(map(moved, zones) if relative else zones),
        direct_map={lv: counters.get(f"DirectMap{lv}", 0) // ENTRY_KB[lv] for lv in LEVELS},
        counters=counters,
        secretmem=secretmem(root),
        missing=tuple(missing),
        relative=relative,
    )


def fields(info: proc.ZoneInfo) -> dict[str, int]:
    """A zone's numbers under the names of a case (`cases.ZONE_FIELDS`), per-CPU lists apart."""
    said = info.fields
    known = {key: said[key] for key in ("start_pfn", "managed", "min", "low", "high")}
    known |= {"end_pfn": said["start_pfn"] + said["spanned"], "boost": said.get("boost", 0)}
    known |= {"highatomic": 0}  # not shown, and not read: the model counts free blocks of that type
    return dict.fromkeys(ZONE_FIELDS, -1) | known


def with_pages(zone: ZoneSeen, root: Path, mapping, missing: list[str]) -> ZoneSeen:
    """The zone with the classes of its pages and, if known, the levels of the direct map."""
    start, end = zone.fields["start_pfn"], zone.fields["end_pfn"]
    if mapping is not None:
        zone = replace(zone, dm_level=levels(mapping, zone.first_region, zone.regions))
    if "proc/kpageflags" in missing:
        return zone
    try:
        found = pages.classes(root / "proc/kpageflags", start, end)
    except UserError:
        if os.access(root / "proc/kpageflags", os.R_OK):
            raise
        missing.append("proc/kpageflags")
        return zone
    # Some kernels show a hole as pages without flags.
    hole = np.ones(end - start, bool)
    for low, high in proc.memory_ranges(root):
        hole[max(low - start, 0) : max(high - start, 0)] = False
    if not hole.all():
        found[hole & (found == CLASSES.index("kernel_other"))] = CLASSES.index("nopage")
    return replace(zone, page_class=found)


def levels(mapping: list[tuple[int, int, str]], first: int, count: int) -> np.ndarray:
    """Level of each 2 MiB region first..first+count, see `seen`: 0 not mapped, 1, 2, 3."""
    found = np.zeros(count, np.uint8)
    for pfn, size, entry in mapping:
        low = max((pfn >> PAGEBLOCK_ORDER) - first, 0)
        high = max(-(-(pfn + size) // (1 << PAGEBLOCK_ORDER)) - first, 0)
        found[low:high] = {"pte": 1, "pmd": 2, "pud": 3}[entry]
    return found


def base(start: int) -> int:
    """What may be taken off the pfns of a zone that begins at `start`.

    Whole GiB, so that blocks and entries of the direct map stay aligned; the first page stays
    behind pfn 0.
    """
    return (start - 1) // GIGABYTE_PAGES * GIGABYTE_PAGES if start else 0


def moved(zone: ZoneSeen) -> ZoneSeen:
    """The zone with relative pfns."""
    less = base(zone.fields["start_pfn"])
    ends = {key: zone.fields[key] - less for key in ("start_pfn", "end_pfn")}
    return replace(zone, fields=zone.fields | ends)


def fallback(kernel: str) -> str:
    """Which rules this kernel's fallbacks follow, by its version (`mm.words.Fallback`).

    An unreadable version is taken as the newest. Patches that a distribution carried back, other
    than that to 6.12.29, are not known.
    """
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", kernel)
    parts = found.groups() if found else ("99", "0", "0")
    version = tuple(int(n or 0) for n in parts)
    if version < (6, 10, 0):
        return "K511"
    hygiene = version < (6, 12, 29) or (6, 13, 0) <= version < (6, 15, 0)
    return "K610" if hygiene else "K612y"


def settings(root: Path, kernel: str) -> dict:
    """The settings of a case, without total_pages (which is a zone's)."""
    sysctl = {n: proc.number(root, f"proc/sys/vm/{n}", DEFAULTS.get(n, -1)) for n in SYSCTLS}
    thp = proc.chosen(root, "sys/kernel/mm/transparent_hugepage/enabled") or "never"
    cpus = proc.text(root, "proc/stat") if (root / "proc/stat").exists() else ""
    unevictable = proc.number(root, "proc/sys/vm/compact_unevictable_allowed", 1)
    return {
        "kernel": kernel,
        "fallback": fallback(kernel),
        "cpus": max(len(re.findall(r"(?m)^cpu\d", cpus)), 1),
        "thp": thp if thp in ("always", "madvise", "never") else "never",
        "khugepaged": "off" if thp == "never" else "on",
        "compact_unevictable_allowed": int(unevictable != 0),
        "sysctl": {name: str(value) for name, value in sysctl.items() if value >= 0},
        "secret_pool": "none",
        "cma": None,
    }


def secretmem(root: Path) -> str:
    """Whether memfd_secret is on: secretmem.enable, which is on by default since 6.5."""
    try:
        said = proc.text(root, "sys/module/secretmem/parameters/enable")
        return "on" if said.strip() in ("Y", "1") else "off"
    except UserError:
        return "unknown"
