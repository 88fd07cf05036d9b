"""Paired differences to the baseline at the peak of the demand."""

import matplotlib.pyplot as plt

from secretjax.show import style

METRICS = ("dm_2m_split", "refused", "free_2m", "huge_ok", "stranded_pages", "migrated", "cost_ns", "exposure_page_ns")


def draw(study):
    """Paired differences to the baseline, with intervals, at the peak of growth."""
    style.apply()
    arms = [a for a in study.arms if a.name != study.params.baseline]
    figure, axes = plt.subplots(2, 4, figsize=(15, 5.2), sharey=True, layout="constrained")
    for axis, metric in zip(axes.flat, METRICS, strict=True):
        label, unit = study.words(metric)
        for row, arm in enumerate(reversed(arms)):
            found = study.difference("growth", study.peak("growth"), arm, metric)
            looks = style.looks(arm.proposal, arm.admission)
            axis.plot([found.low, found.high], [row, row], color=looks["color"], lw=3, solid_capstyle="round", alpha=0.5)
            axis.plot(found.mean, row, marker=looks["marker"], color=looks["color"], ms=7, mew=1.4, mfc=looks["markerfacecolor"])
        axis.axvline(0, color="#333333", lw=1)
        axis.set_yticks(range(len(arms)), [style.label(a.proposal, a.admission) for a in reversed(arms)])
        axis.set(title=label, xlabel=unit)
        axis.title.set_fontsize(9)
        axis.ticklabel_format(axis="x", style="sci", scilimits=(-3, 5))
        axis.grid(axis="y", visible=False)
    base = study.params.arm(study.params.baseline)
    name = style.label(base.proposal, base.admission)
    style.caption(figure, f"Difference to '{name}', state by state. {study.rests_on('growth')}")
    return figure


FIGURE = draw
