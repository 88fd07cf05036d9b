"""The scalar peer does the engine's work: the kernel's pfns and lists."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from secretjax.bench import peer
from tests import expect

FOLDER = Path(__file__).parents[2] / "params" / "kernel"
CASES = (
    "f_mixed_s1", "f_steal_s1", "f_compact_s1", "f_anonfrag_s1", "f_secretfrag_s1", "f_secret_s1",
    "f_anon_s1", "f_pipe_s1",
)  # fmt: skip
compiled = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler on this machine")


@compiled
@pytest.mark.parametrize("name", CASES)
def test_every_pfn_and_the_last_lists_are_the_kernels(name):
    case = expect.replay(FOLDER / f"{name}.replay.npz")
    asked, last = case.requests[:, 0] != 2, np.flatnonzero(case.requests[:, 0] == 2)[-1]
    whole, part = peer.Peer(case.start), peer.Peer(case.start)
    part.answer(case.requests[:last][asked[:last]])
    with np.load(FOLDER / f"{name}.replay.expected.npz", allow_pickle=False) as kernel:
        np.testing.assert_array_equal(whole.answer(case.requests[asked]), kernel["request_pfn"])
        shot = slice(*kernel["list_off"][-2:])
        rows = [kernel[key][shot] for key in ("list_pfn", "list_order", "list_mt")]
    np.testing.assert_array_equal(part.lists(), np.stack(rows, 1))
