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
# # Is CMA's edge real?
#
# The claims:
#
# - CMA limits secret memory to its area, with a "somewhat higher probability for high order
#   allocation to succeed" (Mike Rapoport, 2 February 2021).
# - CMA keeps the damage in its area (David Hildenbrand, 2 February 2021).
# - Against it: pages that are pinned cannot be moved out of the area.

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %% [markdown]
# **Experiment.** A pool that grows from a CMA area, which is emptied by migrating what others
# keep in it, against a pool that asks the page allocator for PMD_ORDER. The same demand is
# repeated with a share of all anonymous pages pinned, which pages being drawn for each state;
# `params/questions.yaml` has those demands.
#
# **What would change our mind.** CMA is worth its area if more of a demand gets whole pageblocks
# than without it, if that survives pinned pages, and if nothing outside of the area changes.

# %%
study.checks()

# %%
study.figure("cma")

# %%
study.answers("growth", "whole_share", "migrated", "take_failed", "polluted_blocks")

# %% [markdown]
# ## Do the claims hold?

# %%
study.claims("H5", "H6")

# %% [markdown]
# ## When pages are pinned
#
# A pinned page costs the area a pageblock for as long as it is pinned.

# %%
study.figure("pins")

# %%
study.answers("pins_high", "whole_share", "refused_fault_share", "huge_share", "take_failed")

# %% [markdown]
# ## Against the PMD_ORDER pool

# %%
study.compare(
    "growth",
    "cma_pool",
    "pmd_pool",
    "whole_share",
    "secret_mib",
    "dm_2m_split",
    "huge_share",
    "migrated",
    "cost_per_page",
)

# %% [markdown]
# ## Threats
#
# - The area of a start state without one is made of MOVABLE pageblocks that hold nothing
#   unmovable; one reserved at boot would be contiguous, which nothing here asks for.
# - Pinned pages are drawn evenly over all anonymous pages. Long-term pins are moved out of a CMA
#   area first (FOLL_LONGTERM); those here stand for short ones that last for the whole demand.
# - After -EBUSY the next pageblock of the area is tried, as cma_alloc() does where an alignment of
#   2 MiB is asked for; without one it goes on one page further, which loses less to a pinned page.
#
# ## Sources
#
# - Mike Rapoport, Re: [PATCH v16 07/11] secretmem: use PMD-size pages to amortize direct map
#   fragmentation, linux-mm and linux-kselftest, 2 February 2021,
#   `20210202124857.GN242749@kernel.org`
# - David Hildenbrand, same subject, 2 February 2021,
#   `6653288a-dd02-f9de-ef6a-e8d567d71d53@redhat.com`
# - Mike Rapoport, [PATCH v16 07/11] secretmem: use PMD-size pages to amortize direct map
#   fragmentation, 21 January 2021, `20210121122723.3446-8-rppt@kernel.org`
# - mm/cma.c, mm/page_alloc.c (alloc_contig_range) and mm/page_isolation.c of Linux 6.12
