"""P5: a pool grown from a CMA area."""

from dataclasses import dataclass
from typing import ClassVar

from secretjax.mm.contig import IN_AREA
from secretjax.mm.load import with_cma_area
from secretjax.mm.state import Op
from secretjax.mm.words import Migratetype
from secretjax.proposals._pool import Pool
from secretjax.proposals.base import command

ALL = 1 << 20


@dataclass(frozen=True)
class CmaPool(Pool):
    """A pool of 2 MiB blocks taken from a CMA area: emptied by migration, never by fallback.

    As in v16 each file has its own pool (option `shared`: one for all), grown by cma_alloc() of
    512 pages, first fit; blocks go back to the area when the file ends. The area bounds it: when
    no block of it can be emptied, the request is refused. A start state without a CMA area gets
    one of `area_percent` of memory made of its MOVABLE pageblocks that hold nothing unmovable,
    from the top of memory down: where a real area, reserved at boot, would never have held any.
    They lie in whole ranges of `align_mib` (v16: 2 MiB, or 1 GiB where twice the area is more than
    that). With 0 % no area was asked for at boot, and every memfd_secret() fails (-ENOMEM).

    Not modelled: retries, charging of whole blocks to a cgroup.
    """

    name = "cma_pool"
    label = "CMA pool (v16)"
    source = "Mike Rapoport, v16 of memfd_secret, linux-kselftest, 21 Jan 2021; mm/cma.c"
    slot = 4
    captures = ("p2*", "d_*")
    captured: ClassVar = {"shared": True, "fallback": False, "keep_idle": True}
    pool = True
    area_percent: int = 30
    align_mib: int = 2

    def __post_init__(self):
        if self.align_mib < 2 or self.align_mib & (self.align_mib - 1):
            raise ValueError(f"align_mib: found {self.align_mib}, allowed are 2, 4, 8 and so on")
        if not 0 <= self.area_percent <= 100:
            raise ValueError(f"area_percent: found {self.area_percent}, allowed are 0 to 100")

    @property
    def opens(self):
        return self.area_percent > 0

    def prepare(self, start):
        if not self.opens or (start.block_mt == Migratetype.CMA).any():
            return start
        pages = start.zone["managed"] * self.area_percent // 100
        return with_cma_area(start, pages, self.align_mib * 256)

    def grow(self, ask, use, owner):
        return command(Op.TAKE, ALL, -1, use, owner=owner, page=IN_AREA)


PROPOSAL = CmaPool
