"""The answer at a glance: every arm on every criterion, at the peak of growth."""

import matplotlib.pyplot as plt
import numpy as np

from secretjax.show import style
from secretjax.show.answer import plain

CRITERIA = (
    ("dm_2m_split", "2 MiB entries\nsplit", 1, "lower"),
    ("refused_mmap", "refused at mmap,\nMiB", 4 / 1024, "lower"),
    ("refused_fault", "refused at fault,\nMiB", 4 / 1024, "lower"),
    ("free_2m", "free 2 MiB\nblocks", 1, "higher"),
    ("huge_ok", "huge pages\nothers got", 1, "higher"),
    ("stranded_pages", "stranded,\nMiB", 4 / 1024, "lower"),
    ("migrated", "pages\nmigrated", 1, "lower"),
    ("exposure_page_ns", "exposure,\npage-us x CPUs", 1e-3, "lower"),
)


def draw(study):
    """Every arm on every criterion when secret memory is at its peak."""
    style.apply()
    peak, arms = study.peak("growth"), study.arms
    means = np.array([
        [study.estimate("growth", peak, arm, metric).mean * scale for metric, _, scale, _ in CRITERIA] for arm in arms
    ])
    low, span = means.min(0), np.ptp(means, axis=0)
    worse = np.divide(means - low, span, out=np.zeros_like(means), where=span > 0)
    for column, (*_, better) in enumerate(CRITERIA):
        worse[:, column] = 1 - worse[:, column] if better == "higher" and span[column] > 0 else worse[:, column]
    figure, axis = plt.subplots(figsize=(11.5, 0.52 * len(arms) + 1.3), layout="constrained")
    axis.imshow(worse, cmap="cividis_r", vmin=-0.25, vmax=1.6, aspect="auto")
    for row in range(len(arms)):
        for column in range(len(CRITERIA)):
            value = means[row, column]
            dark = worse[row, column] > 0.72
            text = plain(round(value)) if abs(value) >= 10 else plain(round(value, 1))
            axis.text(column, row, text, ha="center", va="center", fontsize=10, color="white" if dark else "#111111")
    axis.set_xticks(range(len(CRITERIA)), [name for _, name, _, _ in CRITERIA], fontsize=9)
    axis.xaxis.tick_top()
    axis.set_yticks(range(len(arms)), [style.label(a.proposal, a.admission) for a in arms], fontsize=10)
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    axis.set_xticks(np.arange(-0.5, len(CRITERIA)), minor=True)
    axis.set_yticks(np.arange(-0.5, len(arms)), minor=True)
    axis.grid(which="minor", color="white", linewidth=2, visible=True)
    axis.tick_params(which="minor", length=0)
    share = peak.partition("_")[2]
    style.caption(figure, f"Means when secret memory is to be {share} % of memory; darker is worse within a column. {study.rests_on('growth')}")
    return figure


FIGURE = draw
