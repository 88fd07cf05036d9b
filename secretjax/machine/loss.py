"""What each inference costs: predictions from drawn start states against the exact one.

For start states of the lab, whose truth is known. A part of a start state is drawn, the rest known;
then all parts are drawn. The table of all visible cases is kept beside this file; it is made again
with `python -m secretjax.machine.loss`, which takes some minutes.
"""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from secretjax import cases
from secretjax.cases import PredictCase
from secretjax.errors import UserError
from secretjax.files import replacing
from secretjax.machine import infer, lab
from secretjax.predict import predict

TABLE = Path(__file__).with_name("loss.csv")
FIELDS = ("case", "step", "drawn", "exact", "inferred", "low", "high", "states")
STEPS = ("secret_5", "secret_10")
METRIC = "dm_2m_split"
BAR = 0.10  # the share of the exact prediction that an inferred one should stay within
ALL = "all"
STATES = 32  # of the table


def rows(case: PredictCase, states: int, seed: int, choices=(*infer.PARTS, ALL)) -> Iterator[dict]:
    """Rows by FIELDS: splits of 2 MiB entries, mean over states, at each of STEPS.

    drawn: the part that was drawn, or "all" (lists only before 6.10, see `infer`). low, high: 2.5
    and 97.5 percentiles of the states.
    """
    case = shortened(case)
    seen = lab.shown(case.start)
    exact = _splits(predict(case, None, states, seed))
    for choice in choices:
        if choice == "lists" and case.start.settings["fallback"] != "K511":
            continue  # they follow the types of pageblocks
        parts = infer.PARTS if choice == ALL else (choice,)
        starts = [
            infer.start_state(seen, seen.zones[0], seed, k, case.start, parts)
            for k in range(states)
        ]
        found = _splits(predict(case, None, states, seed, starts))
        for step in STEPS:
            low, high = np.percentile(found[step], [2.5, 97.5])
            yield {
                "case": case.start.name, "step": step, "drawn": choice,
                "exact": float(exact[step].mean()), "inferred": float(found[step].mean()),
                "low": float(low), "high": float(high), "states": states,
            }  # fmt: skip


def shortened(case: PredictCase) -> PredictCase:
    """The case up to the last of STEPS."""
    last = [k for k, op in enumerate(case.ops) if op.get("step") == STEPS[-1]]
    if not last:
        raise UserError(f"{case.start.name}: has no step '{STEPS[-1]}'; name a case of a_* or b_*")
    return replace(case, ops=case.ops[: last[0] + 1])


def _splits(answer: list[dict]) -> dict[str, np.ndarray]:
    return {s["step"]: s["metrics"][METRIC] for s in answer if METRIC in s["metrics"]}


def table() -> list[dict]:
    """The committed table; numbers as numbers."""
    with open(TABLE, encoding="ascii", newline="") as file:
        return [row | {key: float(row[key]) for key in FIELDS[3:]} for row in csv.DictReader(file)]


def write(folder: Path, states: int, seed: int) -> None:
    """The table, from all cases a_* and b_* in a folder."""
    files = sorted(folder.glob("[ab]_*.predict.npz"))
    if not files:
        raise UserError(f"{folder}: no case a_* or b_*; name the folder of the project's cases")
    with replacing(TABLE) as temporary, open(temporary, "w", encoding="ascii", newline="") as out:
        writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
        writer.writeheader()
        for file in files:
            case = cases.read(file)
            assert isinstance(case, PredictCase)
            for row in rows(case, states, seed):
                writer.writerow({k: round(v, 2) if type(v) is float else v for k, v in row.items()})
            out.flush()


if __name__ == "__main__":
    write(Path("params/kernel"), STATES, 1)
