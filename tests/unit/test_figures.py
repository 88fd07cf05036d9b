"""Figures hold what they were given: the data handed to the axes, and the words around it."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from secretjax import admission, proposals
from secretjax.show import figures, notebook, standing, style
from secretjax.show.figures import _dots, _panels, exposure
from secretjax.show.measured import words
from secretjax.show.sentences import short
from secretjax.study.statistics import Estimate
from tests import fake_run

NAMES = list(figures.table())
OF_KERNEL = [name for name in NAMES if name.startswith("kernel")]
OF_AGED = [name for name in NAMES if name.startswith("aged")]
OF_PAIRS = ["flips", "memory_sensitivity", "sensitivity"]  # of arms that the thread compared
OF_ARMS = [name for name in NAMES if name not in OF_KERNEL + OF_AGED + OF_PAIRS]
OF_POOLS = ["pins"]
PANELS: dict[str, str] = dict.fromkeys(("growth", "direct_map", "high_order", "cma"), "growth")
PANELS["small_files"] = "small_files"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study with a made-up proposal: nothing in the figures may know the others."""
    known = {**proposals.table(), "made_up": fake_run.MadeUp}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proposals, "table", lambda: known)
        arms = (*fake_run.REAL, "made_up")
        yield notebook.open(*fake_run.make(tmp_path_factory.mktemp("run"), arms))


@pytest.fixture(scope="module")
def drawn(study):
    """{name: figure}, each drawn once."""
    made = {}
    for name, draw in figures.table().items():
        made[name] = draw(study)
        style.plt.close("all")
    return made


def texts(figure):
    """Every text that is in the figure."""
    return [t.get_text() for t in figure.findobj(Text) if isinstance(t, Text) and t.get_text()]


def visible(figure):
    return [axis for axis in figure.axes if axis.get_visible()]


def mean(study, demand, step, arm, metric):
    return study.at(demand, step, arm, metric).mean()


@pytest.mark.parametrize("name", [name for name in OF_ARMS if name not in OF_POOLS])
def test_a_proposal_that_nobody_made_is_in_every_figure(name, drawn):
    assert any("made up" in text for text in texts(drawn[name]))


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_says_what_it_is_and_what_it_rests_on(name, study, drawn):
    assert len(figures.table()[name].__doc__.split()) > 4
    if name != "kernel_replay":
        assert any(
            f"Run {study.run.run_id}" in text.replace("\n", " ") for text in texts(drawn[name])
        )
    for axis in visible(drawn[name]):
        assert axis.get_title(loc="left") or axis.get_xlabel(), f"{name}: a panel without words"


@pytest.mark.parametrize("name", PANELS)
def test_panels_show_the_means_of_every_arm_at_every_step(name, study, drawn):
    demand = PANELS[name]
    module = pytest.importorskip(f"secretjax.show.figures.{name}")
    steps = [s for s in study.demand_steps(demand) if s != "released"]
    for axis, (metric, title) in zip(visible(drawn[name]), module.METRICS, strict=True):
        assert axis.get_title(loc="left") == title
        assert axis.get_ylabel() == words(metric).unit
        lines = {line.get_label(): line.get_ydata() for line in axis.get_lines()}
        for arm in study.arms:
            want = [study.estimate(demand, s, arm, metric).mean for s in steps]
            np.testing.assert_array_equal(lines[style.label(arm)], want)
        want = [study.estimate(demand, "released", arm, metric).mean for arm in study.arms]
        off = [ln.get_ydata()[0] for ln in axis.get_lines() if len(ln.get_ydata()) == 1]
        np.testing.assert_array_equal(off, want)


def test_a_panel_of_zeros_stands_on_the_ground(study):
    zeros = np.zeros((study.params.states, len(study.demand_steps("growth"))))
    _, axis = style.plt.subplots()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "_estimates", {})
        patch.setattr(study, "array", lambda *_: zeros)
        _panels.draw_lines(study, axis, "growth", "take_failed", study.arms)
    assert axis.get_ylim() == (-0.06, 1.06)
    style.plt.close("all")


def test_panels_stand_at_the_share_of_memory():
    assert [_panels.position(s) for s in ("start", "grow_5", "files_100", "released")] == [
        0.0, 5.0, 100.0, None,
    ]  # fmt: skip


def test_the_answer_has_a_dot_and_a_number_for_each_arm_and_criterion(study, drawn):
    from secretjax.show.figures.answer import CRITERIA

    peak = study.peak("growth")
    for axis, (metric, _) in zip(visible(drawn["answer"]), CRITERIA, strict=True):
        dots = [line for line in axis.get_lines() if line.get_linestyle() == "None"]
        want = [mean(study, "growth", peak, arm, metric) for arm in study.arms]
        np.testing.assert_allclose([dot.get_xdata()[0] for dot in dots], want)
        assert [text.get_text() for text in axis.texts] == [short(v) for v in want]
    better = [axis.get_xlabel().splitlines()[-1] for axis in visible(drawn["answer"])]
    assert [b.startswith("better") for b in better] == [
        words(metric).better == "higher" for metric, _ in CRITERIA
    ]


def test_differences_are_paired_with_the_baseline_and_leave_it_out(study, drawn):
    from secretjax.show.figures.differences import METRICS

    peak, base = study.peak("growth"), study.params.arm("keep_mapped")
    others = [arm for arm in study.arms if arm.name != "keep_mapped"]
    for axis, (metric, _) in zip(visible(drawn["differences"]), METRICS, strict=True):
        dots = [line for line in axis.get_lines() if line.get_linestyle() == "None"]
        want = [
            np.mean(study.at("growth", peak, a, metric) - study.at("growth", peak, base, metric))
            for a in others
        ]
        np.testing.assert_allclose([dot.get_xdata()[0] for dot in dots], want, atol=1e-9)
    names = [t.get_text() for t in drawn["differences"].axes[0].get_yticklabels()]
    assert names == [style.label(arm) for arm in others]


def test_intervals_are_drawn_from_end_to_end(study, drawn):
    from secretjax.show.figures.answer import CRITERIA

    column = [metric for metric, _ in CRITERIA].index("dm_2m_split")
    arm = study.params.arm("per_page")
    found = study.estimate("growth", study.peak("growth"), arm, "dm_2m_split")
    assert found.low < found.mean < found.high
    ends = [tuple(ln.get_xdata()) for ln in drawn["answer"].axes[column].get_lines()]
    assert (found.low, found.high) in ends


def test_the_distribution_shows_every_state(study, drawn):
    per_page = study.at("growth", study.peak("growth"), study.params.arm("per_page"), "dm_2m_split")
    axis = next(
        a for a in drawn["split_distribution"].axes if a.get_title(loc="left") == "page by page"
    )
    offsets = axis.collections[0].get_offsets()
    np.testing.assert_array_equal(offsets[:, 1], per_page)
    starts = [list(study.params.starts).index(s) for s in study.starts("growth")]
    np.testing.assert_array_equal(np.round(offsets[:, 0]), starts)


def lines_of(axis):
    """{label: y data} of the arms' lines."""
    return {line.get_label(): line.get_ydata() for line in axis.get_lines()}


def test_only_what_moves_and_what_it_is_held_against_is_in_the_figure_of_migration(study, drawn):
    shown = set(lines_of(drawn["migration"].axes[0])) & {style.label(a) for a in study.arms}
    names = {"keep_mapped", "per_page", "migratable", "made_up"}
    assert shown == {style.label(study.params.arm(n)) for n in names}


def test_steps_after_growing_stand_apart_one_by_one(study, drawn):
    axis = drawn["guests"].axes[0]
    assert [t.get_text() for t in axis.get_xticklabels()] == ["0", "30", "60", "turned", "released"]
    places = axis.get_xticks()
    assert (np.diff(places) > 0).all() and places[-1] < axis.get_xlim()[1]


def test_pins_are_in_the_order_of_their_number(study, drawn):
    from secretjax.show.figures.pins import METRICS

    for axis, (metric, _) in zip(drawn["pins"].axes, METRICS, strict=True):
        assert [t.get_text() for t in axis.get_xticklabels()] == ["0", "1"]
        arm = study.params.arm("pmd_pool")
        want = [mean(study, d, study.peak(d), arm, metric) for d in ("growth", "pins")]
        np.testing.assert_allclose(lines_of(axis)[style.label(arm)], want)


def test_costs_by_cpus_are_those_of_a_study_with_so_many(study, drawn):
    from secretjax.show.figures.cost_by_cpus import CPUS

    step, axis = study.peak("growth"), drawn["cost_by_cpus"].axes[0]
    here = CPUS.index(study.params.cpus)
    for arm in study.arms:
        shown = lines_of(axis)[style.label(arm)]
        assert shown[here] == pytest.approx(mean(study, "growth", step, arm, "cost_per_page"))
    table, arm = study.run.costs(), study.params.arm("per_page")
    shown = lines_of(axis)[style.label(arm)]
    flushes = mean(study, "growth", step, arm, "flush_per_page")
    more = flushes * (256 - 1) * table.ns("flush_receiver", "best") / 1000
    assert shown[-1] - shown[0] == pytest.approx(more, rel=1e-3)


def test_only_pools_grant_from_whole_pageblocks(study):
    step = study.peak("growth")
    for name, pool in (("per_page", False), ("keep_mapped", False), ("cma_pool", True)):
        arm = study.params.arm(name)
        share = study.at("growth", step, arm, "whole_share")
        assert np.isnan(share).all() != pool
        if pool:
            whole, single, no = (
                study.at("growth", step, arm, m) for m in ("granted", "fallback_pages", "refused")
            )
            np.testing.assert_allclose(share, 100 * (whole - single) / (whole + no))


def test_costs_follow_how_an_arm_flushes_and_zeroes(tmp_path):
    arms = ("keep_mapped", "per_page", "per_page@flush-full", "per_page@zeroing-free")
    own = notebook.open(*fake_run.make(tmp_path, arms, states=4, with_kernel=False))
    said = {k: v["value"] for k, v in own.run.numbers.items() if k.endswith(".cost_ns")}
    for arm in own.arms:
        name = f"growth.{own.peak('growth')}.{arm.name}.cost_ns"
        assert mean(own, "growth", own.peak("growth"), arm, "cost_ns") == pytest.approx(
            said[name], rel=1e-5
        )


def test_interrupts_are_those_of_the_flushes_and_no_exposure(tmp_path):
    arms = ("keep_mapped", "per_page", "per_page@flush-lazy", "migratable")
    own = notebook.open(*fake_run.make(tmp_path, arms, states=4, with_kernel=False))
    step, others = own.peak("growth"), own.params.cpus - 1
    for arm in own.arms:
        found = {m: mean(own, "growth", step, arm, m) for m in ("flush", "unmap_call", "ipis")}
        spared = found["unmap_call"] if arm.flush == "lazy" else 0
        assert found["ipis"] == pytest.approx((found["flush"] - spared) * others)
    assert mean(own, "growth", step, own.params.arm("per_page"), "ipis") > 0


def with_values(study, monkeypatch, step, metric, values):
    """`study.at` answers these numbers for these arms."""
    plain = type(study).at

    def at(self, demand, where, arm, asked, *rest, **more):
        if (where, asked) == (step, metric) and arm.name in values:
            return values[arm.name]
        return plain(self, demand, where, arm, asked, *rest, **more)

    monkeypatch.setattr(type(study), "at", at)


def test_an_arm_wins_if_no_other_beats_it(study, monkeypatch):
    from secretjax.show.figures.decision_map import winners

    noise = np.random.default_rng(1).normal(0, 1, study.params.states)
    values = {"per_page": noise, "pmd_pool": noise + 5, "cma_pool": noise, "migratable": -noise}
    arms = [study.params.arm(name) for name in values]
    start = study.starts("growth")[0]
    for metric, want in (
        ("dm_2m_split", {"per_page", "cma_pool", "migratable"}),  # lower is better
        ("free_2m", {"pmd_pool"}),
    ):
        with_values(study, monkeypatch, "grow_10", metric, values)
        assert {a.name for a in winners(study, arms, metric, "grow_10", start)} == want


def test_a_conclusion_is_better_or_worse_by_its_metric(study, monkeypatch):
    from secretjax.show.conclusions import VERDICTS, Conclusion, verdict

    pair = study.params.arm("pmd_pool"), study.params.arm("per_page")
    base, start = np.arange(study.params.states, dtype=float), study.starts("growth")[0]
    both = np.where(np.arange(len(base)) % 4 < 2, 1.0, -1.0)
    for metric, change, want in (
        ("dm_2m_split", -1.0, "better"), ("dm_2m_split", 1.0, "worse"), ("free_2m", 1.0, "better"),
        ("free_2m", 0.0, "equal"), ("free_2m", both, "undetermined"),
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            numbers = {"pmd_pool": base + change, "per_page": base}
            with_values(study, patch, "grow_10", metric, numbers)
            one = Conclusion(*pair, metric)
            assert VERDICTS[verdict(study, one, "growth", "grow_10", start)] == want


def test_an_arm_looks_in_dots_as_it_does_everywhere(study, monkeypatch):
    twin = study.params.arm("pmd_pool").model_copy(update={"name": "twin"})
    arms = [*study.arms, twin]
    monkeypatch.setattr(study, "arms", arms)
    found = lambda arm, metric: Estimate(1.0, 0.5, 1.5, 3)  # noqa: E731
    drawn = _dots.dots(study, [twin], (("free_2m", "Free"),), found, columns=1)
    (dot,) = [line for line in drawn.axes[0].get_lines() if line.get_linestyle() == "None"]
    assert dot.get_markerfacecolor() == style.looks(arms)["twin"]["markerfacecolor"] == style.WHITE
    style.plt.close(drawn)


def test_maps_of_memory_are_shown_of_every_captured_state(study, monkeypatch):
    rows = study.aged
    more = [rows[rows["name"] == "a_512_s1"].assign(name=n, state=n) for n in (2, 3)]
    more = [part.assign(name=f"c_{n}") for n, part in zip((2, 3), more, strict=True)]
    monkeypatch.setitem(study.__dict__, "aged", pd.concat([rows, *more], ignore_index=True))
    drawn = figures.table()["aged_maps"](study)
    told = [axis.get_title(loc="left").partition(":")[0] for axis in visible(drawn)]
    assert told[:4] == ["a_512_s1", "b_512_s1", "c_2", "c_3"]
    style.plt.close(drawn)


def test_the_front_is_what_nothing_beats_on_both():
    from secretjax.show.figures.pareto import front

    points = [(1, 9), (2, 5), (3, 5), (4, 1), (5, 8)]
    assert front(points, [1, 1]) == [0, 1, 3]
    assert front(points, [1, -1]) == [0]
    assert front([(1, 1), (1, 1)], [1, 1]) == [0, 1]


def test_exposure_is_that_of_the_cost_table(study, drawn):
    arm = study.params.arm("migratable")
    copied = study.at("growth", study.peak("growth"), arm, "secret_copied").mean()
    dots = [ln for ln in drawn["exposure"].axes[0].get_lines() if ln.get_linestyle() == "None"]
    ns = study.run.costs().ns("copy_page", "best")
    assert dots[0].get_xdata()[0] == pytest.approx(copied * ns / 1000)


@pytest.mark.parametrize(
    "options, told",
    [
        ({}, ["temporary mapping, one CPU", "if put into the direct map, every CPU"]),
        ({"window": "direct_map"}, ["put into the direct map, every CPU"]),
        ({"mode": "never_map"}, []),
    ],
)
def test_exposure_is_told_of_the_protocol_that_an_arm_has(study, options, told):
    arm = study.params.arm("migratable").model_copy(update={"options": options})
    assert [words for _, words in exposure.protocols(arm)] == told


@pytest.mark.parametrize("name", NAMES)
def test_the_same_data_give_the_same_bytes(name, study):
    before = np.random.get_state(legacy=False)["state"]["key"].tolist()
    folder, found = study.run.figures_dir, []
    for _ in range(2):
        study.figure(name)
        found.append([(folder / f"{name}.{kind}").read_bytes() for kind in ("svg", "png")])
    assert found[0] == found[1]
    assert b"<dc:date>" not in found[0][0]
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before


def test_arms_can_be_told_apart_in_grey(study):
    looks = style.looks(study.arms).values()
    signs = {(look["marker"], look["markerfacecolor"] == style.WHITE) for look in looks}
    assert len(signs) == len(study.arms)
    slots = [p.slot for p in proposals.table().values()]
    assert len(set(slots)) == len(slots)
    assert len({m for m, _ in zip(style.MARKERS, style.COLOURS, strict=True)}) == len(style.COLOURS)
    assert len({to_hex(c) for c in style.COLOURS}) == len(style.COLOURS)
    assert len(admission.table()) <= len(style.DASHES)


def test_arms_that_differ_in_options_only_are_told_apart(study):
    arm = study.params.arm("pmd_pool")
    twin = arm.model_copy(update={"name": "pmd_pool_shared"})
    behind = arm.model_copy(update={"name": "behind", "admission": "reservation"})
    looks = style.looks([arm, twin, behind])
    assert len({str(look["linestyle"]) for look in looks.values()}) == 3
    assert (style.label(arm), style.label(twin)) == (
        proposals.table()["pmd_pool"].label + standing.MARK,
        "pmd_pool_shared" + standing.MARK,
    )


def test_an_arm_says_what_its_kernel_has_of_its_own_and_that_no_capture_covers_it(study):
    arm = study.params.arm("per_page")
    words = proposals.table()["per_page"].label
    for kernel, named, said in (
        ({"rules": "K511"}, "per_page@K511", f"{words}, K511"),
        ({"collapse": "free"}, "per_page@collapse-free", f"{words}, collapse free{standing.MARK}"),
        ({"entries": "1G"}, "mine", f"mine{standing.MARK}"),
    ):
        assert style.label(arm.model_copy(update=kernel | {"name": named})) == said


@pytest.mark.parametrize("name", OF_ARMS)
def test_arms_that_no_capture_covers_are_marked_and_the_mark_is_explained(name, study, drawn):
    if drawn[name] is None:
        pytest.skip("the made-up study has no such demand")
    told = [line.replace("\n", " ") for line in texts(drawn[name])]
    for arm in study.arms:
        words = style.label(arm).removesuffix(standing.MARK)
        shown = [line for line in told if line.startswith(words) and len(line) <= len(words) + 1]
        assert all(line.endswith(standing.MARK) != arm.validated for line in shown)
    assert any(line.endswith(f"{standing.NOTE}.") for line in told)


def test_a_figure_of_covered_arms_alone_has_no_mark(tmp_path):
    made = fake_run.make(tmp_path, ("keep_mapped", "per_page"), states=3, with_kernel=False)
    figure = figures.table()["answer"](notebook.open(*made))
    assert not any(standing.MARK in text for text in texts(figure))
    style.plt.close(figure)
