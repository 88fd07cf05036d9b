"""A small study with an engine that answers at once."""

from functools import partial

import pytest

from secretjax.study import sweep
from tests import study_fakes


@pytest.fixture
def calls(monkeypatch):
    """The simulations asked for."""
    made: list[str] = []
    study_fakes.install(partial(monkeypatch.setattr, raising=False), calls=made, frozen=True)
    return made


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A study run in one go: (its params file, its run folder)."""
    with pytest.MonkeyPatch.context() as patch:
        study_fakes.install(partial(patch.setattr, raising=False), frozen=True)
        folder = tmp_path_factory.mktemp("reference")
        file = study_fakes.make_study(folder)
        return file, sweep.run(file, [], 2, folder / "results")
