"""The model's answers to what programs did on a real kernel, at the steps it must already get."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from secretjax import cases
from secretjax.predict import MODELLED, predict

FOLDER = Path(__file__).parents[2] / "params" / "kernel"
STATES = 64


def modelled(pattern: str) -> list[str]:
    """Names of the cases of kernels whose fallback is modelled; the others end in _k61."""
    paths = FOLDER.glob(f"{pattern}.predict.npz")
    names = sorted(path.name.removesuffix(".predict.npz") for path in paths)
    return [name for name in names if not name.partition("@")[0].endswith("_k61")]


@cache
def answered(name: str) -> dict[str, dict[str, np.ndarray]]:
    case = cases.read(FOLDER / f"{name}.predict.npz")
    assert case.start.settings["fallback"] == MODELLED
    return {s["step"]: s["metrics"] for s in predict(case, None, STATES, seed=1)}


def kernel(name: str) -> dict[str, dict[str, int]]:
    capture, _, part = name.partition("@")
    truth = json.loads((FOLDER / f"{capture}.truth.json").read_text())
    steps = next(c for c in truth["cases"] if c["case"] == part)["steps"]
    return {s["step"]: s["metrics"] for s in steps}


PAGE_BY_PAGE = ["b_512_s1", *modelled("a_*")]
POOLS = modelled("p[12]*")
# Under the heaviest load the kernel reclaims and tries again, which is not modelled yet.
AREAS = [name for name in modelled("d_*") if not name.endswith("@load_free50")]


def test_there_are_cases():
    assert len(PAGE_BY_PAGE) >= 10
    assert len(POOLS) >= 7
    assert len(AREAS) >= 14


@pytest.mark.parametrize("step", ["secret_5", "secret_10"])
@pytest.mark.parametrize("name", PAGE_BY_PAGE)
def test_splits_are_the_kernels_while_memory_is_not_tight(name, step):
    mine = answered(name)[step]["dm_2m_split"]
    assert len(mine) == STATES
    assert abs(mine.mean() - kernel(name)[step]["dm_2m_split"]) <= 1


@pytest.mark.parametrize("name", POOLS)
def test_pools_of_whole_blocks_split_nothing(name):
    for step, metrics in answered(name).items():
        if "dm_2m_split" in metrics:
            assert not metrics["dm_2m_split"].any(), step


@pytest.mark.parametrize("name", AREAS)
def test_a_cma_area_is_emptied_as_far_as_the_kernel_did(name):
    theirs = kernel(name)["filled"]
    mine = answered(name)["filled"]
    assert abs(mine["cma_blocks_ok"].mean() - theirs["cma_blocks_ok"]) <= 1
    room = max(100, 0.15 * theirs["pages_migrated"])
    assert abs(mine["pages_migrated"].mean() - theirs["pages_migrated"]) <= room
