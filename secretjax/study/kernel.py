"""The model compared with the captured kernel, case by case: what notebook 10 shows."""

import json
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pandas as pd

from secretjax import cases, engine
from secretjax.cases import PredictCase, ReplayCase, StartState
from secretjax.predict import MODELLED, predict

# The tolerance of a figure: absolute, relative. It agrees when the mean is within the larger.
TOLERANCE = {
    "dm_2m_split": (3, 0.10), "unmovable_pageblocks": (2, 0.05), "free_plus_pcp": (0, 0.02),
    "free_2m": (5, 0.25), "thp_ok": (1, 0), "pages_migrated": (100, 0.15),
    "huge_before_compaction": (1, 0), "huge_total": (0, 0.05), "cma_blocks_ok": (1, 0),
    "total": (0, 0), "free": (0, 0), "rsvd": (0, 0), "surp": (0, 0), "overcommit": (0, 0),
}  # fmt: skip
REPLAY = (
    "case", "kernel", "fallback", "modelled", "pages", "cpus", "requests", "same_pfn",
    "snapshots", "lists", "lists_equal", "frees", "claims", "claims_by_moving", "steals",
)  # fmt: skip
PREDICT = (
    "case", "scenario", "fallback", "modelled", "pages", "cpus", "step", "metric",
    "kernel", "mean", "low", "high", "states", "inside", "agrees", "lacks",
)  # fmt: skip
# What the model lacks where its figures miss, by scenario.
TIGHT = "kswapd, kcompactd, direct compaction, per-CPU lists"
LACKS = {
    "a": TIGHT, "b": TIGHT, "c": "compaction when a pool of huge pages grows",
    "d": "reclaim and retries near the watermarks", "e": "direct compaction, per-CPU lists",
    "p1": "direct compaction when the pool grows", "p2": "kcompactd",
}  # fmt: skip


def compare(
    cases_dir: Path,
    states: int,
    seed: int,
    only: tuple[str, ...] = ("*",),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(replay, predict) over the cases in a folder whose name matches one of the patterns `only`.

    replay    one row a case: allocations requested and how many got the kernel's pfn; over all
              snapshots the lists, and how many are equal in their order; frees, pageblocks claimed
              (of them by moving their free blocks) and blocks stolen on the way; pages of the zone
    predict   one row a case, step and metric: the kernel's value, the model's mean and the 2.5 and
              97.5 percentiles of its states;
              `inside` that range; `agrees` by `TOLERANCE`, None where it has none; `lacks`: what
              the model has not got that the kernel used there
    A case of a kernel whose fallback is not modelled has one row, with `modelled` false.
    progress: called with the cases done and their number. Raises `UserError` for a damaged case.
    """
    found = [*cases_dir.glob("*.replay.npz"), *cases_dir.glob("*.predict.npz")]
    chosen = [path for path in sorted(found) if any(fnmatch(stem(path), p) for p in only)]
    replays, rows = [], []
    for done, path in enumerate(chosen, 1):
        if path.name.endswith(".replay.npz"):
            replays.append(replay_row(path))
        else:
            rows += predict_rows(path, states, seed)
        if progress:
            progress(done, len(chosen))
    predicted = pd.DataFrame(rows, columns=list(PREDICT))
    for key in ("inside", "agrees"):
        predicted[key] = predicted[key].astype("boolean")
    return pd.DataFrame(replays, columns=list(REPLAY)), predicted


def stem(path: Path) -> str:
    """The name of a case, without what tells its kind."""
    return path.name.removesuffix(".npz").removesuffix(".replay").removesuffix(".predict")


def replay_row(path: Path) -> dict:
    """One replay case."""
    case = cases.read(path)
    assert isinstance(case, ReplayCase)
    name = stem(path)
    row = dict.fromkeys(REPLAY, 0) | about(case.start) | {"case": name}
    row["kernel"] = case.start.settings["kernel"]
    row["requests"] = int((case.requests[:, 0] == 0).sum())
    row["frees"] = int((case.requests[:, 0] == 1).sum())
    row["snapshots"] = len(case.snapshots)
    if not row["modelled"]:
        return row
    pfn, shots, ticks = engine.replay_counted(case.start, case.requests)
    row["claims"] = ticks["CLAIMED_WHOLE"] + ticks["CLAIMED_PART"]
    row["claims_by_moving"] = ticks["CLAIMED_PART"]
    row["steals"] = ticks["STOLEN"]
    with np.load(path.with_name(f"{name}.replay.expected.npz"), allow_pickle=False) as kernel:
        row["same_pfn"] = int((pfn == kernel["request_pfn"]).sum())
        ends = kernel["list_off"]
        columns = [kernel[key] for key in ("list_pfn", "list_order", "list_mt")]
    for k, shot in enumerate(shots):
        want = by_list(np.stack([c[ends[k] : ends[k + 1]] for c in columns], 1))
        got = by_list(shot)
        keys = want.keys() | got.keys()
        row["lists"] += len(keys)
        row["lists_equal"] += sum(want.get(key) == got.get(key) for key in keys)
    return row


def about(start: StartState) -> dict:
    """What a row says of the captured machine."""
    settings, zone = start.settings, start.zone
    return {
        "fallback": settings["fallback"],
        "modelled": settings["fallback"] == MODELLED,
        "pages": zone["end_pfn"] - zone["start_pfn"],
        "cpus": settings["cpus"],
    }


def by_list(rows: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """{(order, migratetype): pfns} of rows (pfn, order, migratetype)."""
    found: dict[tuple[int, int], list[int]] = {}
    for pfn, order, mt in rows.tolist():
        found.setdefault((order, mt), []).append(pfn)
    return found


def scenario(name: str) -> str:
    """The family of a case: a, b, c, d, e, p1, p2."""
    return name[:2] if name.startswith("p") else name[0]


def predict_rows(path: Path, states: int, seed: int) -> list[dict]:
    """All figures of one predict case."""
    case = cases.read(path)
    assert isinstance(case, PredictCase)
    name = stem(path)
    capture, _, part = name.partition("@")
    blank = dict.fromkeys(PREDICT) | about(case.start) | {"case": name}
    blank |= {"scenario": scenario(name), "states": 0}
    if not blank["modelled"]:
        return [blank]
    truth = json.loads(path.with_name(f"{capture}.truth.json").read_text())
    kernel = next(c for c in truth["cases"] if c["case"] == part)
    lacks = LACKS[blank["scenario"]]
    if any(op.get("churn_per_64_pages") for op in case.ops):
        lacks += ", churn between secret pages"
    found = {s["step"]: s["metrics"] for s in predict(case, None, states, seed)}
    rows = []
    for step in kernel["steps"]:
        for metric, value in step["metrics"].items():
            got = np.asarray(found[step["step"]][metric], np.float64)
            low, high = np.percentile(got, [2.5, 97.5])
            row = {"step": step["step"], "metric": metric, "kernel": float(value)}
            row |= {"mean": got.mean(), "low": low, "high": high, "states": len(got)}
            row |= {"inside": bool(low <= value <= high), "agrees": agrees(metric, value, got)}
            row["lacks"] = lacks if row["agrees"] is False else None
            rows.append(blank | row)
    return rows


def agrees(metric: str, kernel: float | int, model: np.ndarray) -> bool | None:
    """Within the tolerance, or inside a range that is not too wide; None: no tolerance is set."""
    if metric not in TOLERANCE:
        return None
    absolute, relative = TOLERANCE[metric]
    lo, hi = np.percentile(model, [2.5, 97.5])
    near = abs(model.mean() - kernel) <= max(absolute, relative * kernel)
    return bool(near or (lo <= kernel <= hi and hi - lo <= max(20, 0.6 * kernel)))
