"""What counted events cost: ns from a sourced table, applied after the simulation.

Total in ns, of the CPUs that ask for the work (for `low`, `best` and `high` of every entry):

    GRANTED x fault + ZEROED x zero_page                         mm/secretmem.c: secretmem_fault
  + (UNMAP_CALL + MAP_CALL) x set_direct_map + (SPLIT_1G + SPLIT_2M + COLLAPSED_2M) x split
                                     arch/x86/mm/pat/set_memory.c: __change_page_attr,
                                     __split_large_page; a collapse reads what a split writes
  + FLUSH x (flush + flush_receiver x (cpus - 1))                arch/x86/mm/tlb.c: flush_tlb_func
  + MIGRATED x migrate_page + MIGRATE_FAILED x migrate_failure   mm/migrate.c: migrate_pages_batch
  + WINDOW x window                            as arch/x86/kernel/alternative.c: __text_poke
  + (TAKEN + TAKE_FAILED) x take_range         mm/page_alloc.c: alloc_contig_range
  + (ALLOCATED + FREED) x buddy + CLAIMED x claim     mm/page_alloc.c: __rmqueue, __free_one_page

How an arm's kernel flushes and zeroes (`params.Kernel`) changes the counts before that:

flush    range: as above, the pages that were removed (mm/secretmem.c: flush_tlb_kernel_range()).
         full: each CPU loses its whole TLB and fills it again, + removals x tlb_refill x cpus; the
         removal of a whole pageblock does that anyway, and costs what it did under `range` (more
         pages than arch/x86/mm/tlb.c: tlb_single_page_flush_ceiling). lazy: a removal is not
         flushed, only splits and collapses are; stale entries live on, and what they show is not
         in the exposure (Will Deacon, on guest_memfd, 2025: then do not unmap at all)
zeroing  ZEROED counts pages handed out, and sources of moves. fault: no more. free: and each page
         given back (mm/secretmem.c: secretmem_free_folio()). destruction: instead whole pageblocks
         as a pool gives them back, in use or not (v16), and single pages as under `free`

IPIs: each flush of kernel mappings interrupts every other CPU (arch/x86/mm/tlb.c:
flush_tlb_kernel_range() and flush_tlb_all() use on_each_cpu()), so FLUSH x (cpus - 1).

Exposure in page-ns x CPUs: how long a secret page is readable while it is copied, and by how many
CPUs. Through a temporary mapping that is one CPU for copy_page. If the page is put back into the
direct map instead (COPIED_MAPPED), it is every CPU, for copy_page and until the flush has reached
them all (arch/x86/mm/pat/set_memory.c: set_direct_map_invalid_noflush; mm/migrate.c:
migrate_folio_move). A page counts once, though both its old and its new frame are readable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from jaxtyping import Float64
from pydantic import Field, model_validator

from secretjax.errors import UserError
from secretjax.mm.words import PAGEBLOCK_PAGES, Event
from secretjax.study.strict import Strict, checked, read

Bound = Literal["low", "best", "high"]
BOUNDS: tuple[Bound, ...] = get_args(Bound)
Flush = Literal["range", "full", "lazy"]
Zeroing = Literal["fault", "free", "destruction"]
Number = float | np.ndarray  # or one for each draw of a table (`study.sensitivity`)
Ns = Annotated[float, Field(ge=0, le=1e9)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]
# {metric: (label, unit)}
METRICS = {
    "cost_ns": ("cost of all counted work", "ns"),
    "ipis": ("interrupts of other CPUs for TLB flushes", "IPIs"),
    "exposure_page_ns": ("exposure by the protocol in use", "page-ns x CPUs"),
    "exposure_direct_map_page_ns": ("exposure if put into the direct map", "page-ns x CPUs"),
}


class Cost(Strict):
    """ns per unit; `low` to `high` is the range that conclusions have to survive."""

    unit: Text
    low: Ns
    best: Ns
    high: Ns
    source: Text
    standing: Literal["measured", "derived", "assumption"]

    @model_validator(mode="after")
    def _ordered(self) -> "Cost":
        if not self.low <= self.best <= self.high:
            raise ValueError("should have low <= best <= high")
        return self


class Entries(Strict):
    """The primitives; each is explained in the table itself."""

    fault: Cost
    zero_page: Cost
    copy_page: Cost
    window: Cost
    flush: Cost
    flush_receiver: Cost
    tlb_refill: Cost
    split: Cost
    set_direct_map: Cost
    buddy: Cost
    claim: Cost
    migrate_page: Cost
    migrate_failure: Cost
    take_range: Cost


class _Table(Strict):
    name: Text
    about: Text
    costs: Entries


@dataclass(frozen=True)
class Costs:
    """A cost table."""

    name: str
    about: str
    entries: Entries

    def ns(self, entry: str, bound: Bound) -> Number:
        """One number of the table."""
        return float(getattr(getattr(self.entries, entry), bound))

    def flush(self, cpus: int | np.ndarray, bound: Bound) -> Number:
        """ns until a flush has reached `cpus` CPUs, the one that asks included."""
        return self.ns("flush", bound) + self.ns("flush_receiver", bound) * (cpus - 1)

    def frame(self) -> pd.DataFrame:
        """The table as one: columns cost, unit, low, best, high, standing, source."""
        rows = self.entries.model_dump()
        frame = pd.DataFrame([{"cost": name, **row} for name, row in rows.items()])
        return frame[["cost", "unit", *BOUNDS, "standing", "source"]]


def load(path: Path) -> Costs:
    """The table in the YAML file `path`; a `UserError` says which entry is wrong and how."""
    table = checked(_Table, read(path), str(path))
    return Costs(table.name, table.about, table.costs)


def weights(
    table: Costs, cpus: int | np.ndarray, bound: Bound
) -> Float64[np.ndarray, "events ..."]:
    """ns per counted event, indexed by `Event`; a table of many draws at once gives them all."""
    ns = {
        Event.GRANTED: table.ns("fault", bound),
        Event.ZEROED: table.ns("zero_page", bound),
        Event.UNMAP_CALL: table.ns("set_direct_map", bound),
        Event.MAP_CALL: table.ns("set_direct_map", bound),
        Event.SPLIT_1G: table.ns("split", bound),
        Event.SPLIT_2M: table.ns("split", bound),
        Event.COLLAPSED_2M: table.ns("split", bound),
        Event.FLUSH: table.flush(cpus, bound),
        Event.MIGRATED: table.ns("migrate_page", bound),
        Event.MIGRATE_FAILED: table.ns("migrate_failure", bound),
        Event.WINDOW: table.ns("window", bound),
        Event.TAKEN: table.ns("take_range", bound),
        Event.TAKE_FAILED: table.ns("take_range", bound),
        Event.ALLOCATED: table.ns("buddy", bound),
        Event.FREED: table.ns("buddy", bound),
        Event.CLAIMED: table.ns("claim", bound),
    }
    every = np.broadcast_arrays(*[np.float64(ns.get(event, 0.0)) for event in Event])
    return np.stack(every)


def total(counts: np.ndarray, table: Costs, cpus: int, bound: Bound) -> np.ndarray:
    """ns for counters [..., events], indexed by `Event`; float64 [...]."""
    return np.asarray(counts.astype(np.float64) @ weights(table, cpus, bound))


def exposure(
    copied: np.ndarray,
    table: Costs,
    cpus: int,
    bound: Bound,
    window: Literal["temporary", "direct_map"] = "temporary",
) -> np.ndarray:
    """page-ns x CPUs in which secrets were readable, for numbers of secret pages copied.

    temporary    pages x copy x 1 CPU
    direct_map   pages x (copy + flush) x every CPU
    """
    ns = table.ns("copy_page", bound)
    seen = ns if window == "temporary" else (ns + table.flush(cpus, bound)) * cpus
    return copied.astype(np.float64) * seen


def exposed(
    copied: np.ndarray, mapped: np.ndarray, table: Costs, cpus: int, bound: Bound
) -> np.ndarray:
    """The same for pages copied of which `mapped` went through the direct map."""
    through_map = exposure(mapped, table, cpus, bound, "direct_map")
    return exposure(copied - mapped, table, cpus, bound) + through_map


class Ways(NamedTuple):
    """How the TLB is flushed, see `Flush`, and pages are cleared, see `Zeroing`."""

    flush: str = "range"
    zeroing: str = "fault"


def cleared_again(counts: np.ndarray, held: np.ndarray, zeroing: str) -> np.ndarray:
    """Pages zeroed beyond ZEROED, for counters [..., events]; held: pages in users' hands."""
    if zeroing == "free":
        return counts[..., Event.GRANTED] - held
    if zeroing == "destruction":
        blocks = counts[..., Event.BLOCK_MAPPED]
        singles = counts[..., Event.MAP_CALL] - blocks - counts[..., Event.SECRET_COPIED]
        return blocks * PAGEBLOCK_PAGES + singles
    return np.zeros_like(held)


def refills(counts: np.ndarray, flush: str) -> np.ndarray:
    """Flushes that cost every CPU its TLB where `range` would have spared it."""
    ranges = counts[..., Event.UNMAP_CALL] - counts[..., Event.BLOCK_UNMAPPED]
    return ranges if flush == "full" else np.zeros_like(ranges)


def in_ways(counts: np.ndarray, held: np.ndarray, ways: Ways) -> np.ndarray:
    """The counters as these ways of flushing and zeroing leave them."""
    counts = counts.copy()
    counts[..., Event.ZEROED] += cleared_again(counts, held, ways.zeroing)
    if ways.flush == "lazy":
        counts[..., Event.FLUSH] -= counts[..., Event.UNMAP_CALL]
    return counts


def spent(
    counts: np.ndarray, held: np.ndarray, table: Costs, cpus: int, bound: Bound, ways: Ways
) -> np.ndarray:
    """`total` of counters [..., events] under these ways; held: pages in users' hands."""
    refilled = refills(counts, ways.flush) * float(cpus) * table.ns("tlb_refill", bound)
    return total(in_ways(counts, held, ways), table, cpus, bound) + refilled


def interrupts(counts: np.ndarray, cpus: int) -> np.ndarray:
    """Interrupts of other CPUs for the TLB flushes of counters [..., events], see `in_ways`."""
    return counts[..., Event.FLUSH] * (cpus - 1.0)


def apply(
    samples: pd.DataFrame, table: Costs, cpus: int, ways: Mapping[str, Ways] = MappingProxyType({})
) -> pd.DataFrame:
    """The costs of tidy samples, one row per state and step for each of `METRICS`.

    samples  columns as in samples.parquet, with a metric per event, in lower case
    ways     {arm: how its kernel flushes and zeroes}; `Ways()` of any other
    Returns the same columns without `value`, with low, best and high in float64.
    Raises `UserError` if an event that costs something is not among the metrics.
    """
    names = [event.name.lower() for event in Event]
    counted = samples[samples["metric"].isin(names)]
    keys = [c for c in samples.columns if c not in ("metric", "value")]
    wide = counted.pivot(index=keys, columns="metric", values="value")
    costly = {names[i] for i in np.flatnonzero(weights(table, cpus, "best"))}
    missing = sorted(costly - set(wide.columns))
    if missing:
        raise UserError(f"samples: no metric {', '.join(missing)}, so costs cannot be computed")
    wide = wide.reindex(columns=names, fill_value=0)
    counts = wide.to_numpy(np.int64, copy=True)
    arms = wide.index.to_frame(index=False)["arm"].to_numpy()
    asked = any(way.zeroing == "free" for way in ways.values())
    held = _held(samples, wide.index) if asked else np.zeros(len(counts), np.int64)
    spans = {b: total(counts, table, cpus, b) for b in BOUNDS}
    for arm, way in ways.items():
        at = arms == arm
        for b in BOUNDS:
            spans[b][at] = spent(counts[at], held[at], table, cpus, b, way)
        counts[at] = in_ways(counts[at], held[at], way)
    copied, mapped = counts[:, Event.SECRET_COPIED], counts[:, Event.COPIED_MAPPED]
    columns = {
        "cost_ns": list(spans.values()),
        "ipis": [interrupts(counts, cpus)] * len(BOUNDS),
        "exposure_page_ns": [exposed(copied, mapped, table, cpus, b) for b in BOUNDS],
        "exposure_direct_map_page_ns": [
            exposure(copied, table, cpus, b, "direct_map") for b in BOUNDS
        ],
    }
    index = wide.index.to_frame(index=False)
    parts = [
        index.assign(metric=metric, **dict(zip(BOUNDS, values, strict=True)))
        for metric, values in columns.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _held(samples: pd.DataFrame, index: pd.MultiIndex) -> np.ndarray:
    """Int64: secret pages in users' hands, in the order of `index`."""
    found = samples[samples["metric"] == "secret_pages"].set_index(list(index.names))["value"]
    if len(found) < len(index):
        raise UserError("samples: no metric secret_pages, so zeroing cannot be computed")
    return found.reindex(index).to_numpy(np.int64)
