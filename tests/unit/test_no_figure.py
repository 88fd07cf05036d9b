"""A study that has less than a figure shows: no figure, and never a failure."""

import pytest

from secretjax.show import figures, notebook, style
from tests import expect, fake_run


@pytest.mark.parametrize("name", figures.table())
def test_where_only_the_baseline_faces_growth_no_figure_fails(name, tmp_path):
    made = fake_run.make(tmp_path, ("keep_mapped",), states=3, with_kernel=False)
    figures.table()[name](notebook.open(*made))
    style.plt.close("all")


def test_a_figure_of_what_the_study_has_not_is_none(tmp_path):
    file, run = fake_run.make(tmp_path, ("keep_mapped", "per_page"), states=3, with_kernel=False)
    small = notebook.open(file, run)
    assert figures.table()["exposure"](small) is None
    small._steps.pop("small_files")
    assert figures.table()["small_files"](small) is None
    assert "nothing to show" in expect.said(small.figure("kernel_splits"))
