"""A bounded amount of real secret memory, and whether the model foresaw what it did.

What a probe splits in the direct map stays split until the machine is started again (entries
collapse only for set_memory_rox(), since 6.15: arch/x86/mm/pat/set_memory.c). So it says so first,
and does nothing unless told yes.
"""

import errno
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secretjax.errors import UserError
from secretjax.files import replacing
from secretjax.machine import forecast, proc
from secretjax.machine.capture import capture
from secretjax.machine.seen import Capture
from secretjax.machine.system import ABSENT, System
from secretjax.mm.words import PAGEBLOCK_ORDER, PAGEBLOCK_PAGES

MIB_PAGES = 256
MOST_MIB = 1024
SPARE = 4  # available memory, as a multiple of what is mapped, below which it is short
FORMAT = "secretjax-probe/1"
WARNING = (
    "this maps {mib} MiB of memfd_secret memory; entries of the direct map that this splits stay "
    "split until the machine is started again"
)


@dataclass(frozen=True)
class Probe:
    """What was measured. ns: median of a page's first touch, by kind of memory."""

    mib: int
    splits_2m: int
    splits_1g: int
    blocks: int  # 2 MiB blocks that hold a secret page; -1: page frames are hidden
    blocks_least: int
    ns: dict[str, float]
    split_before: int  # entries split since boot, of either size, before


def refuse(mib: int, yes: bool, root: Path, system: System) -> None:
    """`UserError`, one sentence, unless the probe may go on; nothing is changed.

    It may not: without yes, where the amount is out of bounds, where memfd_secret is off, where
    memory is short, or where this process may not lock as much.
    """
    if not yes:
        raise UserError(f"nothing was done: {WARNING.format(mib=mib)}; give --yes if that may be")
    if not 1 <= mib <= MOST_MIB:
        raise UserError(f"{mib} MiB were asked for, 1 to {MOST_MIB} may be probed; change --mib")
    try:
        system.close(system.memfd_secret())
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise UserError(
                "memfd_secret is off here: the kernel lacks it (before 5.14, or without "
                "CONFIG_SECRETMEM) or was booted with secretmem.enable=0; boot with "
                "secretmem.enable=1"
            ) from error
        raise UserError(
            f"memfd_secret failed ({error.strerror}); a sandbox may forbid it: probe outside"
        ) from error
    available = proc.pairs(root, "proc/meminfo").get("MemAvailable", 0) // 1024
    if available < SPARE * mib:
        raise UserError(
            f"memory is short: {available} MiB are available, {SPARE} times the {mib} MiB of the "
            "probe are wanted; give a smaller --mib"
        )
    limit = system.locked_limit()
    if 0 <= limit < mib << 20:
        raise UserError(
            f"this process may lock {limit >> 20} MiB (RLIMIT_MEMLOCK), secret memory of {mib} MiB "
            "counts as locked; raise `ulimit -l`, run as root or give a smaller --mib"
        )


def measure(mib: int, root: Path, system: System) -> tuple[Probe, Capture]:
    """Maps anonymous, memfd and secret memory in turn, touches each page once, and frees it.

    The capture is made just before the secret memory, with what the other two left behind.
    """
    pages = mib * MIB_PAGES
    ns = {
        "anonymous": touched(pages, None, system)[0],
        "memfd": touched(pages, system.memfd, system)[0],
    }
    seen, before = capture(root), splits(root)
    ns["memfd_secret"], (after, frames) = touched(
        pages, system.memfd_secret, system, lambda m: (splits(root), system.pfns(m, pages))
    )
    hidden = (frames == ABSENT).any()
    probe = Probe(
        mib=mib,
        splits_2m=after[0] - before[0],
        splits_1g=after[1] - before[1],
        blocks=-1 if hidden else len(np.unique(frames >> PAGEBLOCK_ORDER)),
        blocks_least=-(-pages // PAGEBLOCK_PAGES),
        ns=ns,
        split_before=sum(before),
    )
    return probe, seen


def touched(
    pages: int,
    make: Callable[[], int] | None,
    system: System,
    look: Callable[[Any], Any] = lambda memory: None,
) -> tuple[float, Any]:
    """Median ns of a page's first touch, and what `look` sees then. make: the file; None: none."""
    with ExitStack() as freed:
        fd = -1
        if make is not None:
            fd = make()
            freed.callback(system.close, fd)
        memory = system.map(fd, pages)
        freed.callback(memory.close)
        return float(np.median(system.touch(memory, pages))), look(memory)


def splits(root: Path) -> tuple[int, int]:
    """Entries of 2 MiB and of 1 GiB split since boot. `UserError` where they are not counted."""
    said = proc.pairs(root, "proc/vmstat")
    names = ("direct_map_level2_splits", "direct_map_level3_splits")
    if any(name not in said for name in names):
        raise UserError(
            f"{root / 'proc/vmstat'}: has no {names[0]}; splits are counted on x86-64 since 5.13"
        )
    return said[names[0]], said[names[1]]


def run(
    mib: int, yes: bool, root: Path = Path("/"), system: System | None = None
) -> tuple[Probe, Capture]:
    """The probe, and the capture before it. Raises `UserError` if it must not be, see `refuse`."""
    system = system or System()
    refuse(mib, yes, root, system)
    splits(root)
    return measure(mib, root, system)


def compare(found: Probe, before: Capture, states: int, seed: int) -> list[str]:
    """The probe beside the model's prediction from the capture taken just before, in sentences."""
    told = told_of(found)
    if before.first(found.mib * MIB_PAGES).page_class is None:
        return [*told, "no prediction: the capture before it was made without root"]
    pages = {f"{found.mib} MiB": found.mib * MIB_PAGES}
    predicted = forecast.forecast(before, states=states, seed=seed, names=["per_page"], pages=pages)
    guess = predicted.values["per_page"]
    told += [predicted.note] if predicted.note else []
    for what, name, have in (
        ("2 MiB", "dm_2m_split", found.splits_2m),
        ("1 GiB", "dm_1g_split", found.splits_1g),
    ):
        mean, low, high = forecast.interval(guess[name][:, 0])
        verdict = "inside" if low <= have <= high else "outside"
        told.append(
            f"entries of {what} split: {have}, predicted {mean:.1f} [{low:.1f}, {high:.1f}] over "
            f"{states} states: {verdict} the 95 % interval"
        )
    return told


def told_of(found: Probe) -> list[str]:
    """What was measured, in sentences."""
    times = ", ".join(f"{kind} {ns / 1000:.2f} us" for kind, ns in found.ns.items())
    told = [f"{found.mib} MiB of each kind were mapped, touched and freed; a page took {times}"]
    if found.blocks >= 0:
        told.append(
            f"the secret pages lay in {found.blocks} blocks of 2 MiB, {found.blocks_least} is least"
        )
    else:
        told.append("page frames are hidden from this user, so blocks were not counted")
    if found.split_before:
        told.append(
            f"{found.split_before} entries had been split since boot, by a probe or otherwise: "
            "reuse of them is expected, and predicted"
        )
    return told


def write(path: Path, found: Probe, told: list[str]) -> None:
    """The result as JSON."""
    with replacing(path) as temporary:
        record = {"format": FORMAT, "probe": asdict(found), "told": told}
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
