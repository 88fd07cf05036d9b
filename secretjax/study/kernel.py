"""The model compared with the captured kernel, case by case: what notebook 10 shows."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from secretjax import cases, engine
from secretjax.cases import PredictCase, ReplayCase
from secretjax.predict import MODELLED, open_questions, predict

# The tolerance of a figure: absolute, relative. It agrees when the mean is within the larger.
TOLERANCE = {
    "dm_2m_split": (3, 0.10), "unmovable_pageblocks": (2, 0.05), "free_plus_pcp": (0, 0.02),
    "free_2m": (5, 0.25), "thp_ok": (1, 0), "pages_migrated": (100, 0.15),
    "huge_before_compaction": (1, 0), "huge_total": (0, 0.05), "cma_blocks_ok": (1, 0),
    "total": (0, 0), "free": (0, 0), "rsvd": (0, 0), "surp": (0, 0), "overcommit": (0, 0),
}  # fmt: skip
REPLAY = ("case", "kernel", "modelled", "requests", "same_pfn", "lists", "lists_equal")
PREDICT = ("case", "scenario", "step", "metric", "kernel", "mean", "lo", "hi", "inside", "agrees", "states")


def compare(cases_dir: Path, states: int, seed: int, only: str = "*") -> tuple[pd.DataFrame, pd.DataFrame]:
    """(replay, predict) over all cases in a folder whose name matches the pattern `only`.

    replay    one row a case: requests, how many got the kernel's pfn, lists equal in their order
    predict   one row a case, step and metric: the kernel's value, the model's mean and 95 % range
    Cases of kernels whose fallback is not modelled have a row that says so.
    """
    replays = [replay_row(path) for path in sorted(cases_dir.glob(f"{only}.replay.npz"))]
    rows = []
    for path in sorted(cases_dir.glob(f"{only}.predict.npz")):
        rows += predict_rows(path, states, seed)
    return pd.DataFrame(replays, columns=list(REPLAY)), pd.DataFrame(rows, columns=list(PREDICT))


def replay_row(path: Path) -> dict:
    """One replay case."""
    case = cases.read(path)
    assert isinstance(case, ReplayCase)
    name = path.name.removesuffix(".replay.npz")
    row = dict.fromkeys(REPLAY, 0) | {"case": name, "kernel": case.start.settings["kernel"]}
    row["requests"] = int((case.requests[:, 0] == 0).sum())
    row["modelled"] = case.start.settings["fallback"] == MODELLED
    if not row["modelled"]:
        return row
    pfn, shots = engine.replay(case.start, case.requests)
    with np.load(path.with_name(f"{name}.replay.expected.npz"), allow_pickle=False) as kernel:
        row["same_pfn"] = int((pfn == kernel["request_pfn"]).sum())
        ends = kernel["list_off"]
        columns = [kernel[key] for key in ("list_pfn", "list_order", "list_mt")]
    for k, shot in enumerate(shots):
        want = by_list(np.stack([c[ends[k] : ends[k + 1]] for c in columns], 1))
        got = by_list(shot)
        row["lists"] += len(want.keys() | got.keys())
        row["lists_equal"] += sum(want.get(key) == got.get(key) for key in want.keys() | got.keys())
    return row


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
    name = path.name.removesuffix(".predict.npz")
    capture, _, part = name.partition("@")
    blank = dict.fromkeys(PREDICT) | {"case": name, "scenario": scenario(name)}
    if case.start.settings["fallback"] != MODELLED:
        return []
    truth = json.loads(path.with_name(f"{capture}.truth.json").read_text())
    kernel = next(c for c in truth["cases"] if c["case"] == part)
    runs = states if open_questions(case) else 1
    found = {s["step"]: s["metrics"] for s in predict(case, None, runs, seed)}
    rows = []
    for step in kernel["steps"]:
        for metric, value in step["metrics"].items():
            got = np.asarray(found[step["step"]][metric], np.float64)
            lo, hi = np.percentile(got, [2.5, 97.5])
            row = {"kernel": float(value), "mean": got.mean(), "lo": lo, "hi": hi}
            row |= {"step": step["step"], "metric": metric, "states": len(got)}
            row |= {"inside": bool(lo <= value <= hi), "agrees": agrees(metric, value, got)}
            rows.append(blank | row)
    return rows


def agrees(metric: str, kernel: float, model: np.ndarray) -> bool | None:
    """Within the tolerance, or inside a range that is not too wide; None: no tolerance is set."""
    if metric not in TOLERANCE:
        return None
    absolute, relative = TOLERANCE[metric]
    lo, hi = np.percentile(model, [2.5, 97.5])
    near = abs(model.mean() - kernel) <= max(absolute, relative * kernel)
    return bool(near or (lo <= kernel <= hi and hi - lo <= max(20, 0.6 * kernel)))
