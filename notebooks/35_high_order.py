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
# # Who pays in high-order memory?
#
# The claims:
#
# - PMD_ORDER allocations "with a fallback to order 0 will do the job" (Mike Rapoport, 2 February
#   2021).
# - Without CMA "it's possible to drain high order free blocks" (the same mail).
# - Secret pages cannot be moved, and yet they are on an LRU list, where compaction finds them.

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %% [markdown]
# **Experiment.** Secret memory grows step by step; after each step others ask for huge pages, one
# after the other, and give them back. A pool's pageblocks come out of the same free blocks of
# order 9 and 10 that those huge pages come from; single pages come out of smaller ones, until
# there are none.
#
# **What would change our mind.** If others got as many huge pages under a pool as under page by
# page, draining would be no argument against it.

# %%
study.checks()

# %%
study.figure("high_order")

# %%
study.answers(
    "growth", "huge_share", "free_2m", "fallback_share", "compact_stall", "migrate_failed"
)

# %% [markdown]
# ## Do the claims hold?

# %%
study.claims("H3", "H4", "H10")

# %% [markdown]
# ## Pool against page by page

# %%
study.compare("growth", "pmd_pool", "per_page", "huge_share", "free_2m", "drained_2m", "migrated")

# %% [markdown]
# ### The pool on the page allocator's own lists

# %%
study.compare(
    "growth", "unmapped_blocks", "pmd_pool", "huge_share", "free_2m", "refused_fault_share"
)

# %% [markdown]
# ## Threats
#
# - Others' huge pages are asked for after each step and given back; users who keep theirs would
#   find less, and compaction would find more to move.
# - Reclaim finds nothing to take, as on the captured machines: with a page cache, pools and huge
#   pages would both be got by dropping it.
# - One CPU: the per-CPU lists that hide freed blocks are those of the task that asks.
#
# ## Sources
#
# - Mike Rapoport, Re: [PATCH v16 07/11] secretmem: use PMD-size pages to amortize direct map
#   fragmentation, linux-mm and linux-kselftest, 2 February 2021,
#   `20210202124857.GN242749@kernel.org`
# - mm/page_alloc.c, mm/compaction.c, mm/secretmem.c of Linux 6.12
