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
# Read this before any other notebook. The captured kernel is Linux 6.12.117 in a virtual machine with
# one CPU and one zone of 512 MiB to 1 GiB, instrumented so that every block entering or leaving a free
# list is known. The model is given the start state and the requests, never the outcome.

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %% [markdown]
# ## Replay: the same requests, the same pfns?
#
# Recorded buddy-level requests are fed to the model; every pfn is the model's own. A free list counts as
# equal only if it has the same blocks in the same order.

# %%
study.replay_answer()

# %%
study.replay_table()

# %% [markdown]
# What these streams exercise: allocation and expansion, freeing and merging with the tail rule, claims of
# whole pageblocks. Claims by moving and steals after failed claims are rare in them; they are checked
# against an independent plain-Python allocator on random streams (`tests/unit/test_machine.py`).
#
# ## Predict: the same demand, the same end?
#
# From the same start state the model carries out the same operations under its own dynamics. Crosses are
# the kernel, dots the model; circles mark what is outside the tolerance.

# %%
study.predict_answer()

# %%
study.figure("kernel_splits")

# %% [markdown]
# While free blocks of order 9 and 10 last, the splits are the kernel's. When they are gone, three things
# decide that the model does not have yet: per-CPU lists that hide freed pages, kswapd woken by the
# watermark boost, and kcompactd, proactive or for order 9.
#
# ## Every figure
#
# All metrics of all cases: splits, pageblock types, free memory, huge pages for others, migrations, CMA
# blocks, hugetlb counters.

# %%
study.figure("kernel_figures")

# %% [markdown]
# ## Every miss
#
# Nothing is left out. Most have the reason given above; `free_pages` and `migrate_failed` have no
# tolerance and are not judged.

# %%
study.misses()

# %% [markdown]
# ## Not validated by any capture
#
# More than one CPU, several zones or nodes, 1 GiB entries of the direct map, swap, memory cgroups,
# kernels before 6.12.29 (their fallback differs). Whatever rests on those is unvalidated.
#
# ## Sources
#
# `mm/page_alloc.c`, `mm/cma.c`, `mm/page_isolation.c`, `mm/hugetlb.c`, `arch/x86/mm/pat/set_memory.c` of
# Linux 6.12.117; each rule names its function in `secretjax/mm`.
