"""The model compared with the captured kernel, case by case: what notebook 10 shows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from secretjax import cases, engine
from secretjax.cases import PredictCase, ReplayCase, StartState
from secretjax.cases.replay import Request
from secretjax.cases.start import FALLBACKS
from secretjax.errors import UserError
from secretjax.mm.words import PAGEBLOCK_ORDER, Migratetype
from secretjax.predict import predict
from secretjax.replay import replay
from secretjax.study.params import stem
from secretjax.study.tables import PREDICT, REPLAY

COUNTS = REPLAY.names.index("steals") + 1  # columns from here on are for some streams only
# The tolerance of a figure: absolute, relative. It agrees when the mean is within the larger.
TOLERANCE = {
    "dm_2m_split": (3, 0.10), "unmovable_pageblocks": (2, 0.05), "free_plus_pcp": (0, 0.02),
    "free_2m": (5, 0.25), "thp_ok": (1, 0), "pages_migrated": (100, 0.15),
    "huge_before_compaction": (1, 0), "huge_total": (0, 0.05), "cma_blocks_ok": (1, 0),
    "total": (0, 0), "free": (0, 0), "rsvd": (0, 0), "surp": (0, 0), "overcommit": (0, 0),
}  # fmt: skip
# Why a figure misses, by scenario, where the kernel is outside the model's range.
APART = {
    "a": "memory is tight: compaction frees other pageblocks, or at another time",
    "b": "nothing known", "c": "compaction when a pool of huge pages grows",
    "d": "reclaim and retries near the watermarks, pages that are in use for a moment",
    "e": "the last pageblocks that compaction gets: it looks at them in another order",
    "p1": "compaction for the pool's pageblocks: it looks at them in another order",
    "p2": "pages that are in use for a moment",
}  # fmt: skip
WIDE = "timing: the kernel is inside the model's range, which is wider than the rule allows"
CHURN = "; the lab's background objects are pages here"


def compare(path: Path, states: int, seed: int, lanes: int = engine.LANES) -> pa.Table:
    """One case, so many states at a time: rows as in `REPLAY` or `PREDICT`.

    replay    one row: allocations requested and how many got the kernel's pfn; over all
              snapshots the lists, and how many are equal in their order; frees, pageblocks claimed
              (of them by moving their free blocks) and blocks stolen on the way; pages of the zone;
              `blocks_RULES`, `steals_RULES`: see `under_every_rule`
    predict   one row a step and metric: the kernel's value, the model's mean and the 2.5 and
              97.5 percentiles of its states; `inside` that range; `values`: that of each state;
              `agrees` by `TOLERANCE`, null where it has none; `reason`: why it does not
    Raises `UserError` for a damaged case.
    """
    if is_replay(path):
        return pa.Table.from_pylist([replay_row(path)], REPLAY)
    return pa.Table.from_pylist(predict_rows(path, states, seed, lanes), PREDICT)


def is_replay(path: Path) -> bool:
    """Whether the case is a recorded stream, else one to predict."""
    return path.name.endswith(".replay.npz")


def replay_row(path: Path) -> dict:
    """One replay case."""
    case = cases.read(path)
    assert isinstance(case, ReplayCase)
    name = stem(path)
    counts, others = REPLAY.names[:COUNTS], REPLAY.names[COUNTS:]
    row: dict[str, Any] = {**dict.fromkeys(counts, 0), **dict.fromkeys(others)}
    row |= about(case.start) | {"case": name}
    row["kernel"] = case.start.settings["kernel"]
    row["requests"] = int((case.requests[:, 0] == 0).sum())
    row["frees"] = int((case.requests[:, 0] == 1).sum())
    row["snapshots"] = len(case.snapshots)
    pfn, shots, ticks = replay(case.start, case.requests)
    row["claims"] = ticks["CLAIMED_WHOLE"] + ticks["CLAIMED_PART"]
    row["claims_by_moving"] = ticks["CLAIMED_PART"]
    row["steals"] = ticks["STOLEN"]
    if row["steals"] or row["claims_by_moving"]:
        row |= under_every_rule(case, pfn, ticks)
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


def under_every_rule(case: ReplayCase, pfn: np.ndarray, ticks: dict[str, int]) -> dict[str, int]:
    """What the rules of other kernels do with the same requests.

    pfn, ticks: the answer to the case under its own rules.
    blocks_RULES    pageblocks in which requests for UNMOVABLE pages got some
    steals_RULES    blocks stolen from a pageblock that could not be claimed
    Without those rules that this stream cannot be run under: a request that they refuse is given
    back later, or the lists at the start are not theirs.
    """
    asked = case.requests[case.requests[:, 0] == Request.ALLOC]
    unmovable = asked[:, 2] == Migratetype.UNMOVABLE
    found, own = {}, (pfn, ticks)
    for rules in FALLBACKS:
        try:
            if rules == case.start.settings["fallback"]:
                pfn, ticks = own
            else:
                pfn, _, ticks = replay(case.start.under(rules), case.requests)
        except UserError:
            continue
        got = pfn[unmovable & (pfn >= 0)]
        found[f"blocks_{rules}"] = len(np.unique(got >> PAGEBLOCK_ORDER))
        found[f"steals_{rules}"] = ticks["STOLEN"]
    return found


def about(start: StartState) -> dict:
    """What a row says of the captured machine."""
    settings, zone = start.settings, start.zone
    return {
        "fallback": settings["fallback"],
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


def predict_rows(path: Path, states: int, seed: int, lanes: int) -> list[dict]:
    """All figures of one predict case."""
    case = cases.read(path)
    assert isinstance(case, PredictCase)
    name = stem(path)
    capture, _, part = name.partition("@")
    blank = dict.fromkeys(PREDICT.names) | about(case.start) | {"case": name}
    family = scenario(name)
    blank |= {"scenario": family, "states": 0}
    truth = json.loads(path.with_name(f"{capture}.truth.json").read_text())
    kernel = next(c for c in truth["cases"] if c["case"] == part)
    churn = any(op.get("churn_per_64_pages") for op in case.ops)
    apart = APART[family] + (CHURN if churn else "")
    found = {s["step"]: s["metrics"] for s in predict(case, None, states, seed, lanes=lanes)}
    rows = []
    for step in kernel["steps"]:
        for metric, value in step["metrics"].items():
            got = np.asarray(found[step["step"]][metric])
            low, high = np.percentile(got, [2.5, 97.5])
            row = {"step": step["step"], "metric": metric, "kernel": float(value)}
            row |= {"mean": float(got.mean()), "low": float(low), "high": float(high)}
            row["states"] = len(got)
            row |= {"inside": bool(low <= value <= high), "agrees": agrees(metric, value, got)}
            if row["agrees"] is False:
                row["reason"] = WIDE if row["inside"] else apart
            row["values"] = got.astype(np.int64).tolist()
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
