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
# How should Linux back memory that is removed from the kernel's direct map? The thread about
# `memfd_secret` in January and February 2021 (linux-mm, linux-kselftest and other lists: Mike
# Rapoport, Michal Hocko, David Hildenbrand, James Bottomley) had several answers and few numbers.
# This suite runs each answer on the same memory states, taken from a real kernel, and compares
# them state by state.
#
# Read on in this order: **10** does the model match the kernel; **20** what removing pages does
# to the direct map; **30** reservation, CMA and migration side by side; **35** to **85** one
# question each; **95** which proposal wins where; **90** your own machine.

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %% [markdown]
# ## Does the model match the kernel?
#
# None of what follows is worth more than the model. Notebook 10 shows every recorded stream and
# every miss.

# %%
study.replay_answer()

# %%
study.predict_answer()

# %% [markdown]
# ## The answer at a glance
#
# Every arm on every criterion when secret memory is at its peak. An arm is a proposal, alone or
# behind an admission rule. The number stands beside its dot; the arrow under each panel says
# which way is better.

# %%
study.figure("answer")

# %% [markdown]
# No arm is best everywhere.
#
# ## The claims, and whether they hold
#
# Each claim, of the thread or from the kernel's source, is put as a question; the answer is yes if
# every test of it comes out as claimed, in part if some do, undetermined if an interval holds zero.
# The notebook named beside it has the tests. What this study lacks, `params/questions.yaml` has.

# %%
study.verdicts()

# %% [markdown]
# ## The proposals
#
# How secret pages are obtained, kept and given back: one file each in `secretjax/proposals`. What
# a proposal does not model yet stands beside it.

# %%
study.plugins("proposals")

# %% [markdown]
# ## The admission rules
#
# Who may have secret memory, and how much, is an axis of its own: a rule wraps any pool.

# %%
study.plugins("admissions")

# %% [markdown]
# ## The demands
#
# What users ask for. Every arm faces the same requests in the same states.

# %%
study.plugins("workloads")

# %% [markdown]
# ## How it works
#
# 1. A **start state** is one zone of a captured machine: free lists in list order, pageblock
#    types, page classes, direct map.
# 2. The **model** hands out the page frames that Linux 6.12 would. Integers only: a seed gives
#    the same bits in any batch.
# 3. Each **state** ages its start state by background work of its own, then faces the demand.
# 4. **Events are counted**; costs in ns are applied afterwards, from a table in which every line
#    has a source.
# 5. Differences are **paired**, state by state, with 95 % bootstrap intervals over the states. An
#    interval that holds zero is called undetermined.
#
# ## How to read the notebooks
#
# Each begins with a claim as it was made in the thread, then the experiment, the figure, the
# answer in sentences that are made from the numbers, and what could make it wrong. Every quoted
# number is in the run folder by name: `numbers.json` and `figures/numbers/`.
#
# ## Your own question
#
# Copy `params/default.yaml`, change it, and give `secretjax run params/mine.yaml`; a misspelt key
# is an error with a suggestion. All notebooks are run on it. To look around by hand, `secretjax
# lab` opens them, with `params_file` in the second cell set to your file.
#
# ## Threats
#
# - Where memory is tight the timing of kswapd and kcompactd decides, in the kernel as in the model:
#   ask for the spread over the states, not for the mean alone. Notebook 10 shows both.
# - Reclaim finds nothing to take (no swap, no clean page cache), as on the captured machines.
# - One zone, one CPU, x86-64 with 4 KiB pages, no 1 GiB entries in the captured direct maps.
# - A cost in ns is somebody else's measurement, or an assumption that says so.
#
# ## Sources
#
# The thread: '[PATCH v16 07/11] secretmem: use PMD-size pages to amortize direct map
# fragmentation', Mike Rapoport, 21 January 2021, and the answers to it; each proposal names its
# own in the table above.
