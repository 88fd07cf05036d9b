"""Programs on MAP_HUGETLB mappings, as the cases describe them, over the pool's counters."""

from dataclasses import dataclass

from secretjax.admission import _hugetlb as hugetlb
from secretjax.admission._hugetlb import Counters


@dataclass
class Mapping:
    """A mapping: its pages, those touched, and whether they were promised at mmap."""

    pages: int
    reserved: bool
    touched: int = 0


class Machine:
    """Counters and mappings of one process."""

    def __init__(self, blocks: int):
        self.least = blocks
        self.counters = Counters(buddy=blocks)
        self.maps: dict[str, Mapping] = {}
        self.children: dict[str, int] = {}  # pages that only a forked child still maps

    @property
    def counters(self) -> Counters:
        """The pool's counters; `least` is what `buddy` was when it was lowest."""
        return self._counters

    @counters.setter
    def counters(self, value: Counters) -> None:
        self._counters = value
        self.least = min(self.least, value.buddy)

    def do(self, op: dict) -> None:
        """One operation; what fails changes nothing, as mmap and touch do."""
        getattr(self, op["op"])(**{k: v for k, v in op.items() if k not in ("op", "step")})

    def set_nr_hugepages(self, pages: int) -> None:
        self.counters = hugetlb.set_nr_hugepages(self.counters, pages)

    def set_nr_overcommit_hugepages(self, pages: int) -> None:
        self.counters = hugetlb.replace(self.counters, overcommit=pages)

    def nothing(self) -> None:
        """Counters are read."""

    def mmap(self, map: str, pages: int, shared: bool, noreserve: bool) -> None:
        after = self.counters if noreserve else hugetlb.reserve(self.counters, pages)
        if after is not None:
            self.counters = after
            self.maps[map] = Mapping(pages, not noreserve)

    def touch_first(self, map: str, pages: int) -> None:
        if map not in self.maps:
            return
        mapping = self.maps[map]
        while mapping.touched < min(pages, mapping.pages):
            after = hugetlb.fault(self.counters, mapping.reserved)
            if after is None:
                return
            self.counters, mapping.touched = after, mapping.touched + 1

    def munmap(self, map: str) -> None:
        mapping = self.maps.pop(map, None)
        if mapping is None:
            return
        for _ in range(mapping.touched):
            self.counters = hugetlb.free(self.counters)
        if mapping.reserved:
            self.counters = hugetlb.unreserve(self.counters, mapping.pages - mapping.touched)

    def fork_child_writes_first_then_exits(self, map: str, pages: int) -> None:
        """The child has no reservation: it copies while pages last, and gives them back."""
        if map not in self.maps:
            return
        got = self._copies(pages)
        for _ in range(got):
            self.counters = hugetlb.free(self.counters)

    def fork_child_waits_parent_writes_first(self, map: str, pages: int) -> None:
        """The parent copies; when no page is left it takes the child's mapping away instead."""
        if map in self.maps:
            self.children[map] = self.children.get(map, 0) + self._copies(pages)

    def child_exits(self, map: str) -> None:
        for _ in range(self.children.pop(map, 0)):
            self.counters = hugetlb.free(self.counters)

    def _copies(self, pages: int) -> int:
        for done in range(pages):
            after = hugetlb.fault(self.counters, reserved=False)
            if after is None:
                return done
            self.counters = after
        return pages

    def shown(self) -> dict[str, int]:
        """What /proc/meminfo and /proc/sys/vm show."""
        c = self.counters
        names = {"total": c.nr, "free": c.free, "rsvd": c.resv, "surp": c.surplus}
        return names | {"overcommit": c.overcommit}
