"""The model's answers to the recorded runs of a real kernel: every pfn, every list in its order."""

from pathlib import Path

import numpy as np
import pytest

from secretjax.replay import replay
from tests import expect

FOLDER = Path(__file__).parents[2] / "params" / "kernel"
REPLAYS = sorted(p.name.split(".")[0] for p in FOLDER.glob("*.replay.npz"))


def test_there_are_cases():
    assert len(REPLAYS) >= 30


@pytest.mark.parametrize("name", REPLAYS)
def test_every_request_gets_the_kernels_pfn_and_every_list_its_order(name):
    case = expect.replay(FOLDER / f"{name}.replay.npz")
    pfn, shots, _ = replay(case.start, case.requests)
    with np.load(FOLDER / f"{name}.replay.expected.npz", allow_pickle=False) as kernel:
        np.testing.assert_array_equal(pfn, kernel["request_pfn"])
        offsets = kernel["list_off"]
        rows = np.stack([kernel["list_pfn"], kernel["list_order"], kernel["list_mt"]], 1).astype(
            np.int64
        )
    assert len(shots) == len(offsets) - 1 == len(case.snapshots)
    for k, shot in enumerate(shots):
        np.testing.assert_array_equal(shot, rows[offsets[k] : offsets[k + 1]])
