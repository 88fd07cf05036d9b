"""A run folder with made-up numbers of the right shape and kind, for figures and notebooks.

The numbers are drawn from a fixed seed; nothing is simulated. `MadeUp` is a proposal that the
package does not have.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pyarrow as pa

from secretjax import metrics, proposals
from secretjax.machine.forecast import METRICS, Forecast
from secretjax.mm.load import load as load_zone
from secretjax.mm.words import Secret
from secretjax.proposals.base import Proposal
from secretjax.study import headline, kernel, params, runs, tables
from secretjax.study.costs import load
from secretjax.study.params import Arm, Params
from tests import expect

ROOT = Path(__file__).parents[1]
REAL = (
    "keep_mapped", "per_page", "pmd_pool", "pmd_pool+reservation",
    "cma_pool", "cma_pool+reservation", "migratable",
)  # fmt: skip
PAGES = 1 << 17
SHOWN = (("dm_2m_split", 10.0), ("free_2m", 40.0), ("unmovable_pageblocks", 70.0))
TEXT = """
name: fake
question: Does every figure hold what it is given?
seed: 3
starts: [a_512_s1, a_512_s3_frag2, b_512_s1]
states: {states}
ageing_events: 0
arms: [{arms}]
baseline: keep_mapped
demands:
  [{{kind: growth}}, {{kind: small_files, files: 1024}}, {{kind: adversary}}, {{kind: microvms}},
   {{kind: guests, arms: [{few}]}}, {{name: pins, kind: growth, pinned_percent: 1}}]
cpus: 8
costs: costs/x86_64.yaml
kernel_states: {kernel_states}
ageing: {ageing}
"""
AGEING = "[{recipe: meta_like, pages: 65536, states: 3}, {recipe: llfree, pages: 65536, states: 2}]"


@dataclass(frozen=True)
class MadeUp(Proposal):
    """A proposal that nobody made. Not modelled: anything."""

    name = "made_up"
    label = "made up"
    source = "nobody"
    slot = 8
    pool = False
    moves = True

    @property
    def secret(self) -> int:
        return int(Secret.MOVES)


def rises(rng: np.random.Generator, states: int, at: tuple[float, ...], noise: float) -> np.ndarray:
    """Counts [states, len(at)] that never fall, about `at`, the states differing by `noise`."""
    own = rng.normal(1, noise, (states, 1))
    return np.maximum.accumulate(np.clip(np.round(np.array(at) * own), 0, None), 1).astype(np.int64)


def values(arm: Arm, steps: tuple[str, ...], states: int, seed: int) -> dict[str, np.ndarray]:
    """Every metric [states, steps] of an arm."""
    rng = np.random.default_rng(seed)
    pool, reserved = "pool" in arm.proposal, arm.admission != "none"
    apart = arm.proposal in ("per_page", "migratable", "made_up")
    share = np.linspace(0, 0.3, len(steps) - 1)
    want = np.append(share, share[-1]) * PAGES
    zero = np.zeros((states, len(steps)), np.int64)
    found = dict.fromkeys(metrics.table(), zero)
    refused = np.clip(want - 0.22 * PAGES, 0, None) if pool else 0 * want
    refused = np.minimum(rises(rng, states, tuple(refused), 0.2), want.astype(np.int64))
    granted = want.astype(np.int64) - refused
    curve = (0.0, *np.linspace(60, 220, len(steps) - 2), 220.0)
    torn = apart + 0.3 * (pool and not reserved)
    splits = rises(rng, states, tuple(c * torn for c in curve), 0.1)
    moved = rises(rng, states, tuple(want / 50), 0.2)
    here = granted.copy()
    here[:, -1] = 0
    tried = np.append(np.arange(len(steps) - 1) * 8, (len(steps) - 2) * 8) + zero
    found |= {
        "granted": granted,
        "refused": refused,
        "refused_open": zero,
        "refused_mmap": refused if reserved else zero,
        "refused_fault": zero if reserved else refused,
        "dm_2m_split": splits,
        "split_2m": splits,
        "table_pages": splits,
        "dm_4k_pages": 1536 + 512 * splits,
        "dm_2m_entries": 253 - np.minimum(splits, 250),
        "secret_pages": here,
        "secret_blocks": here // 400,
        "secret_scatter": np.where(here > 0, 1000 + 900 * apart, 0) + zero,
        "free_2m": 90 - rises(rng, states, tuple(40 * w / PAGES * (1 + pool) for w in want), 0.2),
        "unmovable_pageblocks": 50 + splits // 4,
        "polluted_blocks": 10 + splits // 3,
        "huge_tried": tried,
        "huge_ok": tried - rises(rng, states, tuple(tried[0] * (0.1 + 0.3 * pool)), 0.2),
        "pool_pages": np.where(here > 0, here, 0) * pool + zero,
        "stranded_pages": np.where(here > 0, 300 * pool, 0) + zero,
        "fallback_pages": granted // 5 if pool and not reserved else zero,
        "migrated": rises(rng, states, tuple(want / 4 * ("cma" in arm.proposal or apart)), 0.1),
        "flush": granted * apart + granted // 512,
        "secret_copied": moved if arm.proposal in ("migratable", "made_up") else zero,
        "zeroed": granted,
        "allocated": granted,
    }  # fmt: skip
    return {name: np.asarray(array, np.int64) for name, array in found.items()}


def forecast(seen, zone=None, **options) -> Forecast:
    """What `machine.forecast` would say of a captured machine."""
    rng = np.random.default_rng(9)
    found = {
        name: {m: rng.integers(0, 1 + 50 * bool(slot), (4, 2)) for m in METRICS}
        for name, slot in ((n, p.slot) for n, p in proposals.table().items())
    }
    pages = {"16 MiB": 4096, "64 MiB": 16384}
    for values in found.values():
        values["granted"] = np.tile(list(pages.values()), (4, 1))
    return Forecast(seen.first(pages["64 MiB"]).title, pages, found, 4, 3)


def watched(study, arm, demand, state):
    """The state as it starts, at each measuring point: nothing has happened."""
    start = expect.start(study.params.start_files()[study.starts(demand.name)[state]])
    zone = jax.tree.map(np.asarray, load_zone(start))
    return dict.fromkeys(study.demand_steps(demand.name), zone)


def demand_steps(kind: str) -> tuple[str, ...]:
    """Measuring points of a demand."""
    between = {
        "growth": ("grow_5", "grow_10", "grow_20", "grow_30"),
        "small_files": ("files_25", "files_50", "files_75", "files_100"),
        "adversary": ("attacked", "asked"),
        "guests": ("guests_30", "guests_60", "turned"),
        "microvms": ("vms_25", "vms_50", "vms_75", "vms_100"),
    }
    return ("start", *between[kind], "released")


def samples(study: Params) -> pa.Table:
    """All points in one table."""
    parts = []
    for number, (arm, demand) in enumerate(study.points()):
        steps = demand_steps(demand.kind)
        names = {"arm": arm.name, "proposal": arm.proposal, "admission": arm.admission}
        start = tuple(study.starts[i % len(study.starts)] for i in range(study.states))
        numbers = values(arm, steps, study.states, number)
        parts.append(tables.samples(names | {"demand": demand.name}, start, steps, numbers))
    return pa.concat_tables(parts)


def compared() -> tuple[pa.Table, pa.Table]:
    """A replay and a predict table: most agree, from two kernels."""
    sizes = {"pages": PAGES, "cpus": 1, "fallback": "K612y"}
    replay = [
        dict.fromkeys(tables.REPLAY.names, 0) | sizes | {
            "case": name, "kernel": "6.12", "requests": 1000 * n, "same_pfn": 1000 * n - (n == 3),
            "snapshots": 4, "lists": 70, "lists_equal": 70 - (n == 3), "frees": 900, "claims": n,
        }
        for n, name in enumerate(("f_anon_s1", "f_file_s1", "f_steal_s1"), 1)
    ]  # fmt: skip
    older = {"fallback": "K511", "kernel": "6.1"}
    replay.append(replay[0] | older | {"case": "f_anon_s1_k61"})
    rng = np.random.default_rng(5)
    predict = []
    blank = dict.fromkeys(tables.PREDICT.names) | sizes | {"states": 8}
    for case in ("a_512_s1", "a_1024_s7", "a_1024_s7_unev0", "b_512_s1", "p1a_512_s1"):
        for metric, scale in SHOWN:
            for step in (5, 10, 20, 30):
                truth = round(scale + step * rng.uniform(1, 3))
                mean = truth + (60.0 if step == 30 and case[0] == "a" else 0.5)
                agrees = abs(mean - truth) < 5
                predict.append(
                    blank | {
                        "case": case, "scenario": kernel.scenario(case), "step": f"secret_{step}",
                        "metric": metric, "kernel": float(truth), "mean": mean, "low": mean - 3,
                        "high": mean + 3, "inside": agrees, "agrees": agrees,
                        "reason": None if agrees else "kswapd",
                        "values": [round(mean) + k for k in (-3, -1, -1, 0, 0, 1, 1, 3)],
                    }
                )  # fmt: skip
    predict += [row | {"case": "a_512_s1_k61", "fallback": "K511"} for row in predict[:12]]
    return (
        pa.Table.from_pylist(replay, tables.REPLAY),
        pa.Table.from_pylist(predict, tables.PREDICT),
    )


def aged_rows() -> pa.Table:
    """Aged and captured states of 128 pageblocks, and a control."""
    rng, rows = np.random.default_rng(8), []

    def add(recipe, state, name, metric, values):
        found = {"recipe": recipe, "state": state, "name": name, "metric": metric}
        rows.append(found | {"values": [int(v) for v in values]})

    kinds = {"captured": ("a_512_s1", "b_512_s1"), "meta_like": "012", "llfree": "01"}
    for recipe, names in kinds.items():
        for state, name in enumerate(names):
            name = name if recipe == "captured" else f"{recipe}_1_{name}"
            stays = rng.integers(0, 40, 128) * (rng.random(128) < 0.34)
            free = rng.integers(0, 100, 128)
            free[:6], stays[:6] = 512, 0
            share = 1000 * int(stays.sum()) // 65536
            numbers = {"pages": 65536, "free_pages": free.sum(), "free_2m": 6 + state}
            numbers |= {"huge_free": 150, "unusable_index_9": 850, "fragmentation_index_9": -1000}
            numbers |= {"unmovable": share, "unmovable_blocks": 1000 * (stays > 0).sum() // 128}
            for metric, value in numbers.items():
                add(recipe, state, name, metric, [value])
            maps = {"free": free, "stays": stays, "movable": 512 - free - stays}
            for metric, values in (maps | {"label": rng.integers(0, 3, 128)}).items():
                add(recipe, state, name, metric, values)
    for recipe, huge in (("llfree", [15] * 101), ("control", np.linspace(15, 94, 101))):
        for state in range(2):
            add(recipe, state, f"{recipe}_1_{state}", "looks_free_pages", [51200] * 101)
            add(recipe, state, f"{recipe}_1_{state}", "looks_free_2m", huge)
    return pa.Table.from_pylist(rows, tables.AGED)


def make(
    folder: Path, arms: tuple[str, ...] = REAL, *, states: int = 24, with_kernel: bool = True
) -> tuple[Path, Path]:
    """(params file, run folder) of a study of these arms, as if it had been run."""
    file = folder / "fake.yaml"
    count = 8 if with_kernel else 0
    text = TEXT.format(
        arms=", ".join(arms), few=", ".join(arms[2:]), states=states, kernel_states=count,
        ageing=AGEING if with_kernel else "[]",
    )  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    study = params.load(file)
    run = folder / "results" / study.name / "0123456789ab"
    for part in ("points", "figures", "notebooks", "log"):
        (run / part).mkdir(parents=True)
    runs.write_json(run / "params.json", study.resolve())
    table = samples(study)
    costs = load(study.costs_file())
    runs.write_json(run / "numbers.json", headline.numbers(study, table.to_pandas(), costs))
    if with_kernel:
        for rows, name in zip(compared(), runs.KERNEL_FILES, strict=True):
            tables.write(rows, run / name)
        tables.write(aged_rows(), run / runs.AGEING_FILE)
    tables.write(table, run / "samples.parquet")
    return file, run
