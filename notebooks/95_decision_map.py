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
# # Which proposal, when?
#
# No arm is best on every criterion (notebook 00). So which wins on which one, in which memory, at
# which amount of secret memory, and what is given up for it?

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %% [markdown]
# **Experiment.** The study's arms on each criterion, in each start state and at each step of
# growth. An arm wins if no other beats it: if its paired difference to the arm with the best mean
# holds zero.
#
# **What would change our mind.** An arm that wins on all criteria of a kind of user would settle
# it for that user. An arm that never wins is not needed.

# %%
study.checks()

# %%
study.figure("decision_map")

# %%
study.wins()

# %% [markdown]
# ## What is given up for what

# %%
study.figure("pareto")

# %% [markdown]
# ## By what one cares about
#
# - *The direct map*: splits and the flushes that they take.
# - *Other users*: free 2 MiB blocks and the huge pages that others got; pages migrated are work
#   that they pay for.
# - *The user of secret memory*: what was refused at mmap and at the fault, and what a page costs.
# - *The threat model*: exposure when pages move; whoever cannot accept any has to leave migration
#   out.

# %% [markdown]
# ## Every claim, and its answer

# %%
study.verdicts()

# %% [markdown]
# ## Threats
#
# - Criteria are not weighed against each other: that is the reader's business.
# - A cell rests on the states of one start state only, and the many cells are not corrected for
#   their number.
# - Means over states are compared; an arm that is bad rarely and badly may still win.
#
# ## Sources
#
# As in the notebooks before; the claims name theirs.
