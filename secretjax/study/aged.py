"""Aged memory beside captured memory: what notebook 15 shows, from recipes through the engine."""

from collections.abc import Iterator

import pyarrow as pa

from secretjax import ageing, cases, engine
from secretjax.ageing import control
from secretjax.ageing.portrait import Portrait, portrait
from secretjax.ageing.run import age, starts_of
from secretjax.study.params import Ageing, Params
from secretjax.study.tables import AGED

MAPS = ("free", "stays", "movable", "label")
LOOKS = ("looks_free_pages", "looks_free_2m")
CAPTURED, CONTROL = "captured", "control"
CONTROL_PAGES = 1 << 20  # at least: with less memory one tree of the control is a large part of it


def aged(item: Ageing, seed: int, lanes: int = engine.LANES) -> pa.Table:
    """Rows as in `AGED` of the states of one recipe, and of the control where it has one.

    lanes: states at a time.

    metric   a number of `ageing.portrait.numbers` (values: one), a map of its `Portrait` (one a
             pageblock), or, over the looks of the recipe, `looks_free_pages` and `looks_free_2m`
    state    its number: its randomness is (seed, state)
    """
    recipe, found = ageing.make(item.recipe), []
    for block in age(recipe, item.pages, item.states, seed, lanes):
        for lane, start in enumerate(starts_of(recipe, block, seed)):
            number = block.numbers[lane]
            found += _rows(item.recipe, number, start.name, portrait(start))
            looks = zip(LOOKS, (block.free[lane], block.huge[lane]), strict=True)
            found += [_row(item.recipe, number, start.name, *look) for look in looks]
    if isinstance(recipe, ageing.LLFree):
        pages = max(item.pages, CONTROL_PAGES)
        for state in range(item.states):
            looks = zip(LOOKS, control.run(recipe, pages, seed, state), strict=True)
            found += [_row(CONTROL, state, CONTROL, *look) for look in looks]
    return pa.Table.from_pylist(found, AGED)


def captured(study: Params) -> pa.Table:
    """The same of the study's own start states."""
    found = []
    for state, (name, file) in enumerate(study.start_files().items()):
        case = cases.read(file)
        found += _rows(CAPTURED, state, name, portrait(cases.start_of(case)))
    return pa.Table.from_pylist(found, AGED)


def _rows(recipe: str, state: int, name: str, found: Portrait) -> Iterator[dict]:
    for metric, value in found.numbers.items():
        yield _row(recipe, state, name, metric, [value])
    for metric in MAPS:
        yield _row(recipe, state, name, metric, getattr(found, metric))


def _row(recipe: str, state: int, name: str, metric: str, values) -> dict:
    row = {"recipe": recipe, "state": state, "name": name, "metric": metric}
    return row | {"values": [int(value) for value in values]}
