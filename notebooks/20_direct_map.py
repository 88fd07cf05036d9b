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
# # What does removing pages do to the direct map?
#
# Said in the thread: fragmenting the direct map is not a major problem, and page by page would be fine, but
# that cannot be proved (Mike Rapoport, January 2021); one file a page shatters everything (Peter
# Zijlstra); fine if it is opt-in (David Hildenbrand).
#
# **Experiment.** Secret memory grows to a share of memory in files touched in order, then goes. A page
# removed on its own splits the 2 MiB entry around it, each split takes a page-table page, and entries are
# never put together again. A whole pageblock leaves in one call, without a split.

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %%
study.checks()

# %%
study.figure("direct_map")

# %% [markdown]
# The third panel is the packing: pageblocks that hold secret pages over the least possible number. One
# means that the allocator, which groups by migratetype, has already packed as well as a pool would.

# %%
study.answers("growth", "dm_2m_split", "dm_4k_pages", "secret_scatter", "table_pages")

# %% [markdown]
# ## How much do the states differ?
#
# Each dot is one memory state; colours are the captured states that they were aged from. What a proposal
# does depends more on the state of memory than on chance.

# %%
study.figure("split_distribution")

# %% [markdown]
# ## Threats
#
# At 20 % and more of a fragmented machine the model splits more than the kernel (notebook 10): without
# compaction it runs out of whole blocks earlier. Up to 10 %, and on fresh memory, it is the kernel's.
#
# ## Sources
#
# mm/secretmem.c; arch/x86/mm/pat/set_memory.c; mm/page_alloc.c. Thread: 'mm: introduce memfd_secret
# system call', linux-kselftest, January and February 2021.
