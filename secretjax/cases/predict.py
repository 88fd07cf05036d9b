"""Predict cases: operations of programs, and the answers to them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secretjax.cases.archive import REMAKE, Archive
from secretjax.cases.start import StartState
from secretjax.errors import UserError, suggestion
from secretjax.files import replacing

MOST_OPS = 1 << 14
LARGEST = (1 << 31) - 1


@dataclass(frozen=True, eq=False)
class PredictCase:
    """What programs did, one operation after the other, beginning at a start state."""

    start: StartState
    ops: tuple[dict, ...]


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _is_size(value: object) -> bool:
    return type(value) is int and 1 <= value <= LARGEST


def _is_short(value: object) -> bool:
    return type(value) is int and 1 <= value < 1 << 15


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 64


def _is_bounds(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(map(_is_count, value))
        and value[0] <= value[1]
    )


COUNT = _is_count, "a whole number from 0"
SIZE = _is_size, "a whole number from 1"
SHORT = _is_short, "a whole number from 1 to 32767"
FLAG = _is_flag, "true or false"
NEW = (lambda value: value is True), "true: pages of a file that is there are not modelled"
HUGE = (lambda value: value == 512), "512: one huge page at a time"
NAME = _is_name, "a name"
BOUNDS = _is_bounds, "two whole numbers, the lower first"

HUGE_MAP = {"map": NAME, "pages": COUNT}
OPS = {
    "secret_grow": {
        "pages": COUNT,
        "new_file": NEW,
        "stop_if_free_below": COUNT,
        "churn_per_64_pages": COUNT,
        "churn_keeps_free_between": BOUNDS,
    },
    "thp_probe": {"huge_pages": SIZE},
    "secret_free_all": {},
    "pool_shrink": {},
    "compact_memory": {},
    "cma_take": {
        "pages": HUGE,
        "rounds": SHORT,
        "stop_after_failures_in_a_row": SIZE,
        "stop_if_free_below": COUNT,
        "pinned_anonymous_pages": COUNT,
    },
    "grow_nr_hugepages": {"by": SHORT, "stop_after_steps_without_gain": SHORT},
    "set_nr_hugepages": {"pages": COUNT},
    "set_nr_overcommit_hugepages": {"pages": COUNT},
    "mmap": {**HUGE_MAP, "shared": FLAG, "noreserve": FLAG},
    "touch_first": HUGE_MAP,
    "munmap": {"map": NAME},
    "fork_child_writes_first_then_exits": HUGE_MAP,
    "fork_child_waits_parent_writes_first": HUGE_MAP,
    "child_exits": {"map": NAME},
    "nothing": {},
}


def read_predict(archive: Archive, start: StartState) -> PredictCase:
    """The rest of a predict case."""
    ops = archive.json("ops")
    if not isinstance(ops, list) or len(ops) > MOST_OPS:
        raise UserError(f"ops is no JSON list of at most {MOST_OPS} operations; {REMAKE}")
    for i, op in enumerate(ops):
        _check_op(f"ops[{i}]", op)
    _check_maps(ops)
    return PredictCase(start, tuple(ops))


def _check_op(where: str, op: object) -> None:
    if not isinstance(op, dict) or not isinstance(op.get("op"), str):
        raise UserError(f"{where} is no JSON object that names its 'op'; {suggestion('', OPS)}")
    kind = op["op"]
    if kind not in OPS:
        raise UserError(f"{where}: unknown operation {kind[:60]!r}; {suggestion(kind, OPS)}")
    fields = OPS[kind]
    for key in op.keys() - fields.keys() - {"op", "step"}:
        known = suggestion(key, [*fields, "step"])
        raise UserError(f"{where} ({kind}): unknown field {key[:60]!r}; {known}")
    if "step" in op:
        fields = {**fields, "step": NAME}
    for key, (allowed, words) in fields.items():
        if key not in op:
            raise UserError(f"{where} ({kind}) lacks '{key}' ({words}); add it")
        if not allowed(op[key]):
            found = str(op[key])[:60]
            raise UserError(
                f"{where} ({kind}): '{key}' is {found!r}, allowed is {words}; change it"
            )


def _check_maps(ops: list[dict]) -> None:
    mapped = set()
    for i, op in enumerate(ops):
        if op["op"] == "mmap":
            mapped.add(op["map"])
        elif "map" in op and op["map"] not in mapped:
            raise UserError(
                f"ops[{i}] ({op['op']}) is about map {op['map']!r}, which no mmap before it made; "
                f"{suggestion(op['map'], mapped) if mapped else 'add one before it'}"
            )


def write_predict(path: str | Path, steps: Sequence[Mapping[str, Any]]) -> None:
    """The answer to a predict case.

    `steps`: {"step": name, "metrics": {name: one whole number per state}} in order.
    """
    answer = [
        {"step": s["step"], "metrics": {k: np.asarray(v).tolist() for k, v in s["metrics"].items()}}
        for s in steps
    ]
    with replacing(path) as temporary:
        text = json.dumps({"steps": answer}, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
