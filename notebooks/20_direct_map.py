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
# The claims:
#
# - "[...] the direct map fragmentation is not a major problem", page by page would do, but "we
#   cannot prove negative" (Mike Rapoport, 2 February 2021).
# - Not a concern "as long as the feature has to be explicitly enabled" (David Hildenbrand, the
#   same day).
# - A pool for each file does not help: single pages in many files "shatter the directmap into 4k"
#   (Peter Zijlstra, 29 September 2020). Notebook 30 has that demand.

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %% [markdown]
# **Experiment.** Secret memory grows in files that are touched in order, while others go on
# working, and then goes. A page that is removed on its own splits the 2 MiB entry around it; each
# split takes a page-table page; entries are never put together again, as in Linux before 6.15. A
# whole pageblock leaves in one call, without a split.
#
# **What would change our mind.** If splits were as many as secret pages, page by page would be
# out of the question; if they were as few as the pageblocks that the secret pages need, no pool
# would be needed.

# %%
study.checks()

# %%
study.figure("direct_map")

# %% [markdown]
# *Splits per 2 MiB of secret memory*: one means that every split was needed, since secret pages
# fill the block; the worst possible is one for each page. *Packing*: pageblocks that hold secret
# pages over the least possible number; one is as tight as a pool.

# %%
study.answers(
    "growth", "dm_2m_split", "splits_per_block", "packing", "dm_4k_share", "table_pages", "flush"
)

# %% [markdown]
# ## Do the claims hold?

# %%
study.claims("H1", "H2", "H11", "H14", "H18")

# %% [markdown]
# ## Is a pool needed?
#
# Page by page against the pool, state by state.

# %%
study.compare("growth", "per_page", "pmd_pool", "dm_2m_split", "packing", "flush")

# %% [markdown]
# ## How much do the states differ?
#
# A mean over states from different machines may describe none of them. Each dot below is one
# state.

# %%
study.figure("split_distribution")

# %% [markdown]
# What page by page does depends more on the memory it starts from than on chance: on fresh memory
# the allocator packs by itself, since it groups pages by migratetype; in fragmented memory it
# fills the holes of existing unmovable pageblocks first, and when no whole block is left it takes
# single pages everywhere.

# %% [markdown]
# ## Is it the fallback rule?
#
# The thread argued about the allocator of Linux 5.11. Since 6.12.29 a refill that cannot claim a
# pageblock goes on stealing the smallest blocks, wherever they are, until it ends (notebook 10 has
# the recorded requests of one kernel under the rules of the others). The same states, page by page,
# under the rules of each kernel:

# %%
study.compare_rules("growth", "dm_2m_split", "stolen", "unmovable_pageblocks")

# %% [markdown]
# ## Threats
#
# - When memory gets tight splits depend on when kcompactd runs: states from the same start end far
#   apart, as the kernel's own runs do (notebook 10, the last steps of the fragmented captures).
# - A split is counted, not what it does to a TLB: no cost of running with small entries is in the
#   table.
# - No 1 GiB entries in the captured direct maps, so their splits are not exercised.
#
# ## Sources
#
# - Mike Rapoport, Re: [PATCH v16 07/11] secretmem: use PMD-size pages to amortize direct map
#   fragmentation, linux-mm and linux-kselftest, 2 February 2021,
#   `20210202124857.GN242749@kernel.org`
# - David Hildenbrand, same subject, 2 February 2021,
#   `6653288a-dd02-f9de-ef6a-e8d567d71d53@redhat.com`
# - Peter Zijlstra, Re: [PATCH v6 5/6] mm: secretmem: use PMD-size pages to amortize direct map
#   fragmentation, linux-kselftest, 29 September 2020,
#   `20200929141216.GO2628@hirez.programming.kicks-ass.net`
# - mm/secretmem.c, mm/page_alloc.c and arch/x86/mm/pat/set_memory.c of Linux 6.12
