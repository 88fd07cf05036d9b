"""How much the states differ: splits by start state."""

import matplotlib.pyplot as plt
import seaborn as sns

from secretjax.show import style
from secretjax.show.figures._panels import step_label


def draw(study):
    """Splits of page-by-page memory in every state, by start state."""
    style.apply()
    samples = study.samples
    mine = samples[(samples["demand"] == "growth") & (samples["metric"] == "dm_2m_split")]
    arms = [a for a in study.arms if a.proposal in ("per_page", "migratable", "pmd_pool") and a.admission == "none"]
    steps = [s for s in study.steps("growth") if s not in ("start", "released")]
    figure, axes = plt.subplots(1, len(arms), figsize=(4.1 * len(arms), 3.4), sharey=True, squeeze=False, layout="constrained")
    for axis, arm in zip(axes.flat, arms, strict=True):
        part = mine[(mine["arm"] == arm.name) & mine["step"].isin(steps)]
        part = part.assign(step=part["step"].map(step_label), start=part["start"].astype(str))
        sns.stripplot(
            part, x="step", y="value", hue="start", order=[step_label(s) for s in steps], ax=axis, dodge=True,
            size=2.6, alpha=0.55, jitter=0.25, palette="colorblind", legend=arm is arms[0],
        )  # fmt: skip
        axis.set(title=style.label(arm.proposal, arm.admission), xlabel="secret memory, share of memory")
        axis.set_ylabel("2 MiB entries split")
    legend = axes.flat[0].legend(title="start state (captured)", fontsize=8, title_fontsize=8, markerscale=2)
    legend._legend_box.align = "left"
    style.caption(figure, f"Each dot is one state. {study.rests_on('growth')}")
    return figure


FIGURE = draw
