"""What the published run says of each state is what the model computes now, to the last page.

The tests of `test_predict` allow a spread, as the kernel's own threads have one; this one does not.
A change that is meant to move these values comes with a new published run and a `MODEL:` line.
"""

from pathlib import Path

import pytest

from secretjax.study import kernel, runs

ROOT = Path(__file__).parents[2]
(PUBLISHED,) = (ROOT / "results" / "published").glob("*/*/kernel_predict.parquet")
STATES = 4  # the first of those that were published
CASES = sorted((ROOT / "params" / "kernel").glob("*.predict.npz"))


@pytest.fixture(scope="module")
def published():
    run = PUBLISHED.parent
    values = runs.kernel(run)[1].set_index(["case", "step", "metric"])["values"]
    return runs.read_json(run / "params.json")["seed"], values


def test_every_published_case_is_there(published):
    assert [kernel.stem(path) for path in CASES] == sorted(published[1].index.unique("case"))


@pytest.mark.parametrize("path", CASES, ids=kernel.stem)
def test_each_state_is_as_published(path, published):
    seed, told = published
    found = kernel.compare(path, STATES, seed).to_pandas()
    assert len(found) == len(told[kernel.stem(path)])
    for row in found.itertuples():
        assert list(row.values) == list(told[row.case, row.step, row.metric][:STATES]), row.metric
