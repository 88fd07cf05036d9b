"""What captures cover is said by the proposal, and agrees with what the captured kernels ran."""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

from secretjax import admission, proposals, workloads
from secretjax.predict import POOL_OF_LAB
from secretjax.proposals.pmd_pool import PmdPool
from secretjax.show import catalogue, standing
from secretjax.study.params import Arm
from tests import expect

KERNEL = Path(__file__).parents[2] / "params" / "kernel"
# no captured kernel had them
UNSEEN = {
    "split_1g", "dm_1g_split", "dm_1g_entries", "stale_entries", "offline_pool",
    "offline_pool_moves", "vmemmap_split", "vmemmap_saved",
}  # fmt: skip
UNCOVERED = {"fixed_pool", "hugetlb_pages", "migratable", "unmapped_blocks"}


def names(kind: str) -> dict[str, Path]:
    suffix = f".{kind}.npz"
    return {f.name.removesuffix(suffix): f for f in KERNEL.glob(f"*{suffix}")}


def secret_cases() -> dict[str, str]:
    """{captured case in which secret memory grew: the proposal that its kernel ran}."""
    found = {}
    for name, file in names("predict").items():
        case = expect.predict(file)
        if any(op["op"] == "secret_grow" for op in case.ops):
            found[name] = POOL_OF_LAB[case.start.settings["secret_pool"]][0]
    return found


def covers(proposal, case: str) -> bool:
    return any(fnmatch(case, pattern) for pattern in proposal.captures)


@pytest.mark.parametrize("name, options", POOL_OF_LAB.values())
def test_what_the_captured_kernels_ran_is_validated(name, options):
    assert proposals.make(name, **options).validated


def test_each_capture_of_secret_memory_is_named_by_the_proposal_that_ran_and_by_no_other():
    found = secret_cases()
    assert len(found) > 15 and set(found.values()) == {"per_page", "pmd_pool", "cma_pool"}
    for case, ran in found.items():
        assert [n for n, p in proposals.table().items() if covers(p, case)] == [ran], case


def test_every_pattern_names_a_capture():
    known = [*names("predict"), *names("replay")]
    tables = (proposals.table(), admission.table(), workloads.table())
    for plugin in (one for table in tables for one in table.values()):
        for pattern in plugin.captures:
            assert any(fnmatch(case, pattern) for case in known), pattern


def test_captures_that_grow_secret_memory_are_of_that_demand_without_a_rule():
    for plugin in (admission.table()["none"], workloads.table()["growth"]):
        assert all(covers(plugin, case) for case in secret_cases() if not case.startswith("d_"))


@pytest.mark.parametrize(
    "kind, covered",
    [("admissions", {"none"}), ("workloads", {"growth"}), ("metrics", None), ("figures", None)],
)
def test_lists_say_what_no_capture_covers(kind, covered):
    said = {entry.name: entry.standing for entry in catalogue.entries(kind)}
    open_ = {name for name, text in said.items() if text == "Not validated against a kernel."}
    if kind == "metrics":
        assert open_ == UNSEEN
    elif kind == "figures":
        assert not any(said.values())
    else:
        assert set(said) - open_ == covered
        assert all(said[name].startswith("Validated against a kernel, cases") for name in covered)


def test_interrupts_and_what_no_capture_shows_are_marked_wherever_they_are_called():
    assert standing.measure("interrupts", "ipis").endswith(standing.MARK)
    assert standing.measure("splits", "dm_1g_split").endswith(standing.MARK)
    assert standing.measure("splits", "dm_2m_split") == "splits"


def test_what_no_captured_kernel_had_is_not_validated():
    bare = {name for name, proposal in proposals.table().items() if not proposal.captures}
    assert bare == UNCOVERED


@pytest.mark.parametrize(
    "name, options",
    [
        ("pmd_pool", {}),
        ("pmd_pool", {"shared": True, "fallback": False}),
        ("pmd_pool", {"shared": True, "fallback": False, "keep_idle": True, "flags": "light"}),
        ("cma_pool", {}),
        ("cma_pool", {"shared": True}),
    ],
)
def test_other_options_than_the_captured_ones_are_not(name, options):
    assert not proposals.make(name, **options).validated


def test_being_covered_is_not_inherited():
    @dataclass(frozen=True)
    class Mine(PmdPool):
        """Not modelled: anything."""

    assert Mine.captures == () and PmdPool.captures
    assert not Mine(shared=True, fallback=False, keep_idle=True).validated


@pytest.mark.parametrize(
    "more, validated",
    [
        ({}, True),
        ({"rules": "K511"}, True),
        ({"admission": "memlock_mm"}, False),
        ({"entries": "1G"}, False),
        ({"flush": "full"}, False),
    ],
)
def test_an_arm_is_covered_alone_and_on_a_kernel_as_captured(more, validated):
    assert Arm(name="mine", proposal="per_page", **more).validated == validated


def test_it_is_said_in_a_sentence():
    said = {name: standing.sentence(p) for name, p in proposals.table().items()}
    assert said["per_page"] == "Validated against a kernel, cases `a_*`, `b_*`, `f_secret*`."
    assert said["migratable"] == "Not validated against a kernel."
    assert said["pmd_pool"] == (
        "Not validated against a kernel, except with `shared: true`, `fallback: false`, "
        "`keep_idle: true` (cases `p1*`)."
    )
    assert standing.cpus(1) == "1 CPU" and standing.cpus(8) == f"8 CPUs{standing.MARK}"
