# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which conclusion flips, and at what value?
#
# A model has assumptions, and a conclusion is worth something if it survives them. Two kinds are
# asked here: the memory that a machine has, with the share of it that is secret; and the cost
# table, with the number of CPUs.

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %% [markdown]
# **Experiment.** Each comparison of two arms is made again in each start state and at each amount
# of secret memory. Sobol indices of the whole grid of pinned pages, amounts, start states and the
# states drawn from them say what a difference depends on. Then all costs are drawn at once, each
# from its range, with 1 to 256 CPUs and any of the start states, and Sobol indices say what the
# ratio of two arms' costs depends on.
#
# **What would change our mind.** A conclusion that holds everywhere may be quoted without a
# condition. One that flips has to be quoted with what it depends on.

# %%
study.checks()

# %% [markdown]
# ## Memory and amount

# %%
study.figure("flips")

# %%
study.figure("memory_sensitivity")

# %%
study.depends()

# %% [markdown]
# ## Costs and CPUs

# %%
study.figure("sensitivity")

# %%
study.cheaper()

# %% [markdown]
# ## Threats
#
# - Ranges are those of the cost table, and even on a logarithmic scale: a share of draws is no
#   probability.
# - Timing of background threads is drawn for each state and is part of every interval; notebook
#   10 shows how far it goes.
# - What no capture covers (several CPUs, pools of their own for each file) is not made truer by
#   being varied.
#
# ## Sources
#
# - A. Saltelli et al., Variance based sensitivity analysis of model output, Computer Physics
#   Communications 181, 2010; computed by SALib
# - costs as named in the table (notebook 70)
