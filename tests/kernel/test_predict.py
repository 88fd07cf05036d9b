"""The model's answers to what programs did on a real kernel, at the steps it must already get."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from secretjax.predict import predict
from tests import expect

FOLDER = Path(__file__).parents[2] / "params" / "kernel"


def named(pattern: str) -> list[str]:
    """Names of the cases of Linux 6.12; those of 6.1 end in _k61."""
    paths = FOLDER.glob(f"{pattern}.predict.npz")
    names = sorted(path.name.removesuffix(".predict.npz") for path in paths)
    return [name for name in names if not name.partition("@")[0].endswith("_k61")]


@cache
def answered(name: str, states: int, last: str | None = None) -> dict[str, dict[str, np.ndarray]]:
    """Metrics by step, up to the step `last`."""
    case = expect.predict(FOLDER / f"{name}.predict.npz")
    if last:
        end = max(k for k, op in enumerate(case.ops) if op.get("step") == last)
        case = replace(case, ops=case.ops[: end + 1])
    return {s["step"]: s["metrics"] for s in predict(case, None, states, seed=1)}


def kernel(name: str) -> dict[str, dict[str, int]]:
    capture, _, part = name.partition("@")
    truth = json.loads((FOLDER / f"{capture}.truth.json").read_text())
    steps = next(c for c in truth["cases"] if c["case"] == part)["steps"]
    return {s["step"]: s["metrics"] for s in steps}


CALM = [*named("a_512*"), "a_1024_s7"]
POOLS = named("p[12]*_s1*")
AREAS = named("d_*")


def test_there_are_cases():
    assert len(CALM) >= 5
    assert len(POOLS) >= 4
    assert len(AREAS) >= 15


@pytest.mark.parametrize("step", ["secret_5", "secret_10"])
@pytest.mark.parametrize("name", CALM)
def test_while_memory_is_not_tight_the_kernels_figures_come_out(name, step):
    mine, theirs = answered(name, 4, "secret_10")[step], kernel(name)[step]
    churns = "churn" in name  # the lab's own background work is drawn, not known
    assert abs(mine["dm_2m_split"].mean() - theirs["dm_2m_split"]) <= (3 if churns else 1)
    assert abs(mine["unmovable_pageblocks"].mean() - theirs["unmovable_pageblocks"]) <= 1
    assert abs(mine["thp_ok"].mean() - theirs["thp_ok"]) <= 0
    for metric in ("free_pages", "free_plus_pcp"):
        room = 1000 if churns else 100
        assert abs(mine[metric].mean() - theirs[metric]) <= room, metric


def test_on_fresh_memory_all_steps_are_the_kernels():
    mine = answered("b_512_s1", 4)
    for step, theirs in kernel("b_512_s1").items():
        assert abs(mine[step]["dm_2m_split"] - theirs["dm_2m_split"]).max() <= 1
        assert abs(mine[step]["free_pages"] - theirs["free_pages"]).max() <= 90
        for metric in ("unmovable_pageblocks", "free_2m", "pages_migrated", "thp_ok"):
            assert (mine[step][metric] == theirs[metric]).all(), (step, metric)


def test_when_memory_gets_tight_the_kernel_is_among_the_states():
    mine, theirs = answered("a_512_s1", 32), kernel("a_512_s1")
    for step in ("secret_20", "secret_30"):
        splits = mine[step]["dm_2m_split"]
        assert splits.min() <= theirs[step]["dm_2m_split"] <= splits.max()
        assert abs(np.median(splits) - theirs[step]["dm_2m_split"]) <= 12
        room = 0.02 * theirs[step]["free_plus_pcp"]
        assert abs(mine[step]["free_plus_pcp"].mean() - theirs[step]["free_plus_pcp"]) <= room
    tight = mine["secret_20"]
    assert tight["pages_migrated"].min() > 0
    # that number has levels (where a run was cut off, or ended), what is free has not
    assert len(np.unique(tight["pages_migrated"])) >= 8, "timing makes states differ"
    assert len(np.unique(tight["free_pages"])) > 16, "timing makes states differ"


@pytest.mark.parametrize("name", ["e_512_frag0_s1", "e_512_frag1_s1", "e_512_frag2_s2"])
def test_huge_pages_come_out_of_fragmented_memory_as_the_kernel_gets_them(name):
    mine, theirs = answered(name, 4)["drained"], kernel(name)["drained"]
    before = mine["huge_before_compaction"].mean()
    assert abs(before - theirs["huge_before_compaction"]) <= 1
    assert abs(mine["huge_total"].mean() - theirs["huge_total"]) <= 0.05 * theirs["huge_total"]


@pytest.mark.parametrize("name", POOLS)
def test_pools_of_whole_blocks_split_nothing(name):
    for step, metrics in answered(name, 4).items():
        if "dm_2m_split" in metrics:
            assert not metrics["dm_2m_split"].any(), step


@pytest.mark.parametrize("name", AREAS)
def test_a_cma_area_is_emptied_as_far_as_the_kernel_did(name):
    theirs = kernel(name)["filled"]
    pinned = "pin" in name and not name.endswith("_unpinned")  # which pages were is drawn
    mine = answered(name, 32 if pinned else 4)["filled"]
    for metric, room in (("cma_blocks_ok", 1), ("pages_migrated", 100)):
        room = max(room, 0.15 * theirs[metric]) if metric == "pages_migrated" else room
        low, high = (f(mine[metric]) for f in ((np.min, np.max) if pinned else (np.mean, np.mean)))
        assert low - room <= theirs[metric] <= high + room, metric
