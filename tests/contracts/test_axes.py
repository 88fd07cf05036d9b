"""What every proposal must keep on each kind of kernel that an arm can run on (`params.Kernel`)."""

import numpy as np
import pytest

from secretjax import admission, engine, proposals, workloads
from secretjax.study.arms import Kernel
from tests.contracts.test_proposals import DEMANDS, STATES, machines
from tests.contracts.test_proposals import looked_at as watched

KERNELS = {
    "free": Kernel(collapse="free"),
    "scan": Kernel(collapse="scan"),
    "giant": Kernel(entries="1G", collapse="free"),
    "small": Kernel(entries="4K"),
    "inaccessible": Kernel(mapping="inaccessible"),
}
CASES = [
    *[("per_page", kernel) for kernel in KERNELS],
    *[(name, "free") for name in ("pmd_pool", "cma_pool", "unmapped_blocks", "migratable")],
    ("migratable", "scan"),
    ("keep_mapped", "free"),
]
REST = 50_000  # page faults: kcompactd wakes in every state
_ran: dict = {}


def run(proposal: str, kernel: str, **options):
    """Outcome of growth and a rest, and what `validate` says at each measuring point."""
    key = (proposal, kernel, *sorted(options.items()))
    if key not in _ran:
        demand = workloads.make("growth", **DEMANDS["growth"], rest=REST)
        arms = proposals.make(proposal), admission.make("none")
        starts = [start.on(KERNELS[kernel]) for start in machines()]
        more = {"states": STATES, "seed": 5, "ageing_events": 300} | options
        _ran[key] = watched(lambda: engine.simulate(starts, demand, *arms, **more))
    return _ran[key]


@pytest.mark.parametrize(("proposal", "kernel"), CASES)
class TestEveryKernel:
    def test_memory_stays_sound_at_every_measuring_point(self, proposal, kernel):
        assert run(proposal, kernel)[1] == []

    def test_every_page_asked_for_is_granted_or_refused(self, proposal, kernel):
        value = run(proposal, kernel)[0].values
        assert (value["granted"] + value["refused"])[:, -1].tolist() == [6400] * STATES
        assert value["granted"][:, 1].max() > 0

    def test_no_page_is_lost_nor_left_out_of_the_direct_map(self, proposal, kernel):
        value = run(proposal, kernel)[0].values
        free = value["free_pages"] + value["pcp_pages"]
        shared = getattr(proposals.make(proposal), "shared", False)
        every = free + value["used_pages"] + value["stranded_pages"] * shared
        assert np.ptp(every, axis=1).max() == 0
        hides = proposals.table()[proposal].hides
        hidden = hides * (value["secret_pages"] + value["stranded_pages"])
        np.testing.assert_array_equal(value["nonpresent"], hidden + 0 * value["nonpresent"])

    def test_entries_are_those_that_were_split_and_not_collapsed(self, proposal, kernel):
        value = run(proposal, kernel)[0].values
        split = value["dm_2m_split"] - value["collapsed_2m"]
        before = value["dm_4k_pages"][:, :1]
        np.testing.assert_array_equal(value["dm_4k_pages"], before + 512 * split)
        np.testing.assert_array_equal(value["table_pages"], split + value["dm_1g_split"])
        flushes = value["unmap_call"] + value["dm_1g_split"] + value["dm_2m_split"]
        np.testing.assert_array_equal(value["flush"], flushes + value["collapsed_2m"])
        if "collapse" not in KERNELS[kernel].model_fields_set:
            assert not value["collapsed_2m"].any()


def test_collapse_on_free_leaves_no_entry_split_when_all_secrets_are_gone():
    for kernel in ("free", "giant"):
        value = run("per_page", kernel)[0].values
        assert value["dm_2m_split"][:, -2].min() > 0
        assert (value["collapsed_2m"] == value["dm_2m_split"])[:, -1].all(), kernel
        assert (value["table_pages"] == value["dm_1g_split"])[:, -1].all(), kernel
    assert (run("per_page", "giant")[0].values["dm_1g_split"][:, -1] == 1).all()


def test_a_scan_collapses_later_what_free_collapses_at_once():
    free, scan = (run("per_page", kernel)[0].values for kernel in ("free", "scan"))
    assert (scan["collapsed_2m"] <= free["collapsed_2m"]).all()
    np.testing.assert_array_equal(scan["collapsed_2m"][:, -1], free["collapsed_2m"][:, -1])
    assert (scan["collapsed_2m"][:, -1] > 0).all()


def test_with_4k_entries_nothing_is_split_and_no_table_paid_for():
    value = run("per_page", "small")[0].values
    assert value["unmap_call"].max() > 0
    for name in ("dm_2m_split", "dm_1g_split", "table_pages", "dm_2m_entries"):
        assert not value[name].any(), name
    assert (value["dm_4k_pages"] == 32 * 512).all()
    np.testing.assert_array_equal(value["flush"], value["unmap_call"])


def test_the_batch_does_not_matter():
    whole, parts = run("migratable", "free")[0], run("migratable", "free", lanes=1)[0]
    np.testing.assert_array_equal(whole.digests, parts.digests)
    for name in whole.values:
        np.testing.assert_array_equal(whole.values[name], parts.values[name])
