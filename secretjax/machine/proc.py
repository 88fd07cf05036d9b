"""Text files of /proc and /sys, as numbers. Formats: mm/vmstat.c, fs/proc/meminfo.c.

Everything is read below a root, "/" on a live machine. A file that cannot be read, or that does
not say what it should, raises one `UserError` sentence.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from secretjax.errors import UserError
from secretjax.mm.words import NR_PAGE_ORDERS, PAGEBLOCK_ORDER

TYPES = ("Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate")
CPU_FIELDS = ("count", "high", "high_min", "high_max", "batch")
# pagetypeinfo_showfree_print() stops counting a list there
MOST_COUNTED = 100_000
ZONE_LINE = re.compile(r"Node\s+(\d+), zone\s+(\w+)")
PAIR = re.compile(r"(\w[\w()]*):?\s+(\d+)")


@dataclass(frozen=True)
class ZoneInfo:
    """One zone of /proc/zoneinfo. Pages."""

    fields: dict[str, int]  # free, boost, min, low, high, spanned, present, managed, start_pfn, ...
    cpus: Int64[np.ndarray, "cpus 5"]  # by CPU_FIELDS; -1 where the kernel does not say


def text(root: Path, name: str) -> str:
    """The file's text. Raises `UserError` that names the file and the system's reason."""
    try:
        return (root / name).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(
            f"{root / name}: cannot be read ({error.strerror or error}); captures are made on "
            "Linux, with /proc mounted"
        ) from error


def pairs(root: Path, name: str) -> dict[str, int]:
    """`name value` lines: vmstat as counts, meminfo in kB."""
    found = {}
    for line in text(root, name).splitlines():
        match = PAIR.match(line)
        if match:
            found[match[1]] = int(match[2])
    return found


def zoneinfo(root: Path) -> dict[tuple[int, str], ZoneInfo]:
    """Populated zones by (node, zone), in the kernel's order."""
    name, found = "proc/zoneinfo", {}
    for part in re.split(r"(?m)^(?=Node )", text(root, name)):
        head = ZONE_LINE.match(part)
        if head is None:
            continue
        body, _, sets = part.partition("pagesets")
        fields = {m[1]: int(m[2]) for m in re.finditer(r"(?m)^\s+(?:pages )?(\w+)\s+(\d+)$", body)}
        fields |= {m[1]: int(m[2]) for m in re.finditer(r"(?m)^\s+(start_pfn):\s+(\d+)$", sets)}
        if not fields.get("present"):
            continue
        for key in ("free", "min", "low", "high", "spanned", "managed", "start_pfn"):
            if key not in fields:
                raise UserError(
                    f"{root / name}: node {head[1]}, zone {head[2]} has no '{key}'; this kernel's "
                    "zoneinfo is not known here, please report it with its version"
                )
        found[int(head[1]), head[2]] = ZoneInfo(fields, _cpus(sets))
    if not found:
        raise UserError(f"{root / name}: names no zone with pages; is it the file of a kernel?")
    return found


def _cpus(sets: str) -> np.ndarray:
    rows = []
    for one in re.split(r"(?m)^\s+cpu: \d+$", sets)[1:]:
        said = {m[1]: int(m[2]) for m in re.finditer(r"(?m)^\s+(\w+):\s+(\d+)$", one)}
        rows.append([said.get(key, -1) for key in CPU_FIELDS])
    return np.array(rows, np.int64).reshape(-1, len(CPU_FIELDS))


def buddyinfo(root: Path) -> dict[tuple[int, str], Int64[np.ndarray, " 11"]]:
    """Free blocks of each order, by (node, zone)."""
    found = {}
    for line in text(root, "proc/buddyinfo").splitlines():
        head = ZONE_LINE.match(line)
        if head:
            found[int(head[1]), head[2]] = _orders(root / "proc/buddyinfo", line[head.end() :])
    return found


def pagetypeinfo(root: Path) -> dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]:
    """(free blocks [6, 11] by type and order, pageblocks [6] by type), by (node, zone).

    A list of MOST_COUNTED blocks may be longer: the kernel stops counting there.
    """
    path, order, free, blocks = root / "proc/pagetypeinfo", PAGEBLOCK_ORDER, {}, {}
    columns: list[int] = []
    for line in text(root, "proc/pagetypeinfo").splitlines():
        head = ZONE_LINE.match(line)
        if line.startswith("Page block order:"):
            (order,) = _numbers(path, line.partition(":")[2], 1)
        elif line.startswith("Number of "):  # of blocks; with page_owner=on of mixed ones after it
            said = line.partition("blocks type")[2].split()
            columns = [TYPES.index(t) for t in said if t in TYPES]
        elif head and ", type" in line:
            name, _, rest = line.partition(", type")[2].strip().partition(" ")
            table = free.setdefault(
                (int(head[1]), head[2]), np.zeros((6, NR_PAGE_ORDERS), np.int64)
            )
            if name in TYPES:
                table[TYPES.index(name)] = _orders(path, rest.replace(">", " "))
        elif head and columns:
            row = np.zeros(6, np.int64)
            row[columns] = _numbers(path, line[head.end() :], len(columns))
            blocks[int(head[1]), head[2]] = row
    if order != PAGEBLOCK_ORDER or not blocks:
        raise UserError(
            f"{path}: pageblocks of order {order}, {len(blocks)} zones; only order "
            f"{PAGEBLOCK_ORDER} (2 MiB, x86-64) is modelled"
        )
    return {key: (free[key], blocks[key]) for key in free if key in blocks}


def _orders(path: Path, numbers: str) -> np.ndarray:
    found = numbers.split()
    if len(found) != NR_PAGE_ORDERS or not all(re.fullmatch(r"[0-9]{1,18}", n) for n in found):
        raise UserError(
            f"{path}: free blocks of {len(found)} orders, {NR_PAGE_ORDERS} are modelled (x86-64, "
            "pages of 4 KiB); capture another machine"
        )
    return np.array(found, np.int64)


def _numbers(path: Path, said: str, count: int) -> list[int]:
    """The first `count` whole numbers of what a line says."""
    found = said.split()[:count]
    if len(found) < count or not all(re.fullmatch(r"[0-9]{1,18}", n) for n in found):
        raise UserError(
            f"{path}: found '{said.strip()[:60]}', but {count} whole numbers are expected there; "
            "capture another machine"
        )
    return [int(n) for n in found]


def chosen(root: Path, name: str) -> str:
    """The word in brackets of a file such as transparent_hugepage/enabled; '' where it is not."""
    try:
        found = re.search(r"\[(\w+)\]", text(root, name))
    except UserError:
        return ""
    return found[1] if found else ""


def number(root: Path, name: str, default: int) -> int:
    """The one whole number of a file; the default where it is not."""
    try:
        said = text(root, name).strip()
    except UserError:
        return default
    return int(said) if re.fullmatch(r"-?\d{1,18}", said) else default


def kernel_mapping(root: Path) -> list[tuple[int, int, str]] | None:
    """Leaf entries of the direct map, (first pfn, pages, level) with level pte, pmd or pud.

    From debugfs (CONFIG_PTDUMP_DEBUGFS, arch/x86/mm/dump_pagetables.c); None where it is not.
    Entries of one level that follow each other come as one. Addresses count from where the map
    begins, so that nothing is learnt of where it lies.
    """
    try:
        said = text(root, "sys/kernel/debug/page_tables/kernel")
    except UserError:
        return None
    part = said.partition("Low Kernel Mapping ]---")[2].partition("---[")[0]
    if not part.strip():
        return None
    line = re.compile(r"0x([0-9a-f]{16})-0x([0-9a-f]{16})\s+\S+\s+(.*?)(pte|pmd|pud)$")
    found = [m for m in map(line.match, part.splitlines()) if m]
    # It begins at some GiB (arch/x86/mm/kaslr.c: kernel_randomize_memory()).
    first = int(found[0][1], 16) & -(1 << 30) if found else 0
    return [
        ((int(m[1], 16) - first) >> 12, (int(m[2], 16) - int(m[1], 16)) >> 12, m[4])
        for m in found
        if m[3].strip()
    ]


def memory_ranges(root: Path) -> list[tuple[int, int]]:
    """(first pfn, end pfn) of System RAM in /proc/iomem; none where addresses are hidden."""
    try:
        said = text(root, "proc/iomem")
    except UserError:
        return []
    found = re.findall(r"(?m)^([0-9a-f]+)-([0-9a-f]+) : System RAM", said)
    ranges = [(int(low, 16) >> 12, (int(high, 16) + 1) >> 12) for low, high in found]
    return [(low, high) for low, high in ranges if high > low]
