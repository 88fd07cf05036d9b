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
# # Start here
#
# How should Linux back memory that is removed from the kernel's direct map? In February 2021 the
# thread about `memfd_secret` (linux-kselftest, Mike Rapoport, Michal Hocko, James Bottomley, David
# Hildenbrand) had several answers and no numbers. This suite runs each answer on the same memory
# states, taken from a real kernel, and compares them state by state.
#
# Read on in this order: **10** does the model match the kernel; **20** what removing pages does to
# the direct map; **30** reservation, CMA and migration side by side.

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %% [markdown]
# ## The proposals
#
# One file each in `secretjax/proposals`; what a proposal does not model yet stands beside it.

# %%
study.plugins("proposals")

# %% [markdown]
# ## Admission
#
# Who may have secret memory, and how much, is an axis of its own: each rule wraps any pool.

# %%
study.plugins("admissions")

# %% [markdown]
# ## The demands

# %%
study.plugins("workloads")

# %% [markdown]
# ## The answer at a glance

# %%
study.figure("answer")

# %% [markdown]
# ## How it works, in five lines
#
# 1. A **start state** is one zone of a captured machine: free lists in list order, pageblock types, page classes, direct map.
# 2. The **model** hands out the pfns that Linux 6.12 would (notebook 10 shows the comparison); integers only, any batch gives the same bits.
# 3. Each **state** ages the start state by background work of its own, then faces the demand; every proposal faces the same states and requests.
# 4. **Events are counted**, and costs in ns applied afterwards from a table with sources.
# 5. Differences are **paired**, with 95 % intervals over the states.
#
# ## Your own question
#
# Copy `params/default.yaml`, change it, and run `secretjax run params/mine.yaml`; a misspelt key is an
# error with a suggestion. Open these notebooks with `secretjax lab`.
#
# ## Threats
#
# Until per-CPU lists, kswapd and compaction are in the model, results hold until memory gets tight:
# notebook 10 shows where that is. One zone, one CPU, no 1 GiB entries in the captures.
