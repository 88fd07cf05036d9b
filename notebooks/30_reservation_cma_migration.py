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
# # Reservation, CMA and migration side by side
#
# The claims. A pool that is not reserved is a scarce resource that one task can drain, and a failure at the
# fault is the worst place to fail (Michal Hocko, 26 January 2021). PMD_ORDER allocations with an order-0
# fallback do the job; without CMA they may drain high-order blocks; CMA bounds the damage (Mike
# Rapoport, 28 January 2021). A reservation is needed in either case, or secret pages that can be
# migrated, perhaps through a mapping elsewhere (David Hildenbrand, February 2021).
#
# **Experiment.** The same states and requests for every arm; after each step others ask for 8 huge pages.

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
study.figure("answer")

# %% [markdown]
# ## As secret memory grows
#
# Dashed lines are pools behind a reservation.

# %%
study.figure("growth")

# %%
study.answers("growth", "refused_mmap", "refused_fault", "dm_2m_split", "free_2m", "huge_ok", "migrated")

# %% [markdown]
# ## Paired differences to the baseline
#
# The baseline is the same demand as ordinary memory. An interval that crosses the line is undetermined.

# %%
study.figure("differences")

# %% [markdown]
# ## Many one-page files
#
# Key stores keep one page a file. A pool for each file strands almost a pageblock with each; a shared one
# does not.

# %%
study.figure("small_files")

# %%
study.answers("small_files", "stranded_pages", "fallback_pages", "refused", "dm_2m_split")

# %% [markdown]
# ## Exposure
#
# A secret page that is moved is readable while it is copied: by one CPU through a temporary mapping, by
# every CPU if it were put back into the direct map.

# %%
study.figure("exposure")

# %%
study.answers("growth", "secret_copied", "exposure_page_ns", "exposure_direct_map_page_ns", "cost_ns")

# %% [markdown]
# ## What it rests on
#
# Costs are applied to counted events, from this table; what has no source is marked an assumption.

# %%
study.costs()

# %% [markdown]
# ## Threats
#
# Compaction is not modelled yet: others get a huge page from a free block or by emptying one pageblock,
# as alloc_contig_pages() does, and a 2 MiB pool fails as soon as no free block is left, which makes the
# pools without CMA look worse than they are. The CMA area is made of pageblocks that hold nothing
# unmovable, where a real one would have kept it out since boot.
#
# ## Sources
#
# v16 of memfd_secret (linux-kselftest, 21 January 2021) and the answers to it; mm/cma.c;
# mm/hugetlb.c; costs as named in the table.
