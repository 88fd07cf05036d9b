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
# # Does the model match the kernel?
#
# Read this before any other notebook. A real kernel was instrumented so that every block entering
# or leaving a free list is known. The model is given the start state and the requests, never the
# outcome.
#
# **Replay** is open loop: the kernel's own requests, and every page frame number (pfn) must be the
# kernel's. **Predict** is closed loop: only what programs did, and the model must end where the
# kernel ended. Everything here is computed from the run; nothing that misses is left out.

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import model_check as check
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
check.machine(study)

# %% [markdown]
# ## Replay: the same requests, the same pfns?
#
# Recorded buddy-level requests are fed to the model; every pfn is the model's own. A free list
# counts as equal only if it has the same blocks in the same order.

# %%
study.replay_answer()

# %%
study.figure("kernel_replay")

# %%
check.replay_table(study)

# %% [markdown]
# What the streams exercise, and what they do not:

# %%
check.replay_covers(study)

# %% [markdown]
# ## Predict: the same demand, the same end?
#
# From the same start state the model carries out the same operations under its own dynamics.

# %%
study.predict_answer()

# %%
check.tolerances(study)

# %% [markdown]
# Scenarios have very different numbers of figures, so look at each by itself:

# %%
check.by_scenario(study)

# %% [markdown]
# ### Secret memory grows page by page
#
# Black marks are the kernel, each dot is one state of the model. States differ in nothing but when
# background threads get the CPU. Where the kernel was run twice on the same demand, both runs are
# shown, each with the states that start where it started: the kernel does not repeat itself.

# %%
study.figure("kernel_splits")

# %%
check.by_step(study)

# %% [markdown]
# While free blocks of order 9 and 10 last, the splits are the kernel's. When they are gone, timing
# decides: whether kcompactd looks before the last block is gone, whether kswapd stops it, and
# whether a refill of the per-CPU lists that fails to claim a pageblock goes on stealing page by
# page. Outcomes lie on a few levels, not on a bell; a mean between two levels is no likely outcome.
# What the kernel's own second run would score by the same rule is the most that can be asked for:

# %%
check.repeated(study)

# %% [markdown]
#
# ### Secret pages that compaction cannot move
#
# Secret pages are on the unevictable LRU. Compaction isolates them in vain, unless
# `vm.compact_unevictable_allowed` says otherwise. Kernel and model, both ways:

# %%
check.unevictable(study)

# %% [markdown]
# ### What the fallback rule alone does
#
# When its own lists are empty the allocator falls back to foreign pageblocks. Linux 6.1 uses up the
# free pages of the pageblock it has chosen before it chooses another; 6.12.29 and later, where a
# pageblock cannot be claimed, takes the smallest block anywhere. The same recorded requests under
# the rules of three kernels: pageblocks in which UNMOVABLE requests got pages, and in brackets the
# blocks stolen from pageblocks that were not claimed. Each pageblock is a split once its pages
# leave the direct map one by one.

# %%
check.other_rules(study)

# %% [markdown]
# Closed loop, the same scenario and seed run on both kernels, whose memory states are each its
# own; splits of the direct map:

# %%
check.two_kernels(study)

# %% [markdown]
# ### Every metric of every scenario
#
# Splits, pageblock types, free memory, huge pages for others, migrations, CMA blocks, hugetlb
# counters.

# %%
study.figure("kernel_figures")

# %% [markdown]
# ## Every miss
#
# Metrics without a tolerance are not judged and so not in this list; they are in
# `kernel_predict.parquet` of the run folder with all the others.

# %%
check.misses(study)

# %% [markdown]
# ## Not validated by any capture
#
# More than one CPU, several zones or nodes, 1 GiB entries of the direct map, swap, memory cgroups,
# and the fallback rules of Linux 6.10 to 6.12.28. The costs in ns come from a table, not from these
# captures. Whatever rests on those is unvalidated.
#
# ## Sources
#
# `mm/page_alloc.c`, `mm/cma.c`, `mm/page_isolation.c`, `mm/hugetlb.c` and
# `arch/x86/mm/pat/set_memory.c` of the captured kernel; each rule names its function in
# `secretjax/mm`.
