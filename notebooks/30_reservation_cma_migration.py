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
# The claims, all under '[PATCH v16 07/11] secretmem: use PMD-size pages to amortize direct map
# fragmentation':
#
# 1. A shared pool without reservation can be drained by one task, and then a page fault fails; a
#    reservation "would fail at the mmap time when the reservation fails. Not during the #PF time"
#    (Michal Hocko, 26 and 28 January 2021).
# 2. PMD_ORDER allocations "with a fallback to order 0 will do the job" (Mike Rapoport, 2 February
#    2021).
# 3. Without CMA "it's possible to drain high order free blocks"; CMA limits secret memory to its
#    area, with a "somewhat higher probability for high order allocation to succeed" (the same
#    mail).
# 4. "[...] we would also need some kind of reservation mechanism in either scenario (CMA vs. no
#    CMA)", or secret pages that can be migrated: "Map source, copy, unmap destination", perhaps
#    through a mapping "somewhere else" (David Hildenbrand, 2 February 2021).
# 5. One secret page in each of many files defeats a pool that each file has to itself (Peter
#    Zijlstra, 25 and 29 September 2020, on v6).

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %% [markdown]
# **Experiment.** Every arm faces the same states and requests. Secret memory grows step by step
# in large files while others go on working; after each step others ask for huge pages; at the end
# all is given back. A second demand opens many files of one page.
#
# **What would change our mind.** A reservation is worth it if refusals move from the fault to
# mmap and little memory stands idle for it. CMA is worth it if direct map and huge pages of
# others stay whole and the migrations are affordable. Migratable pages are worth it if others get
# huge pages that they would not get otherwise, at little exposure.

# %%
study.checks()

# %% [markdown]
# ## As secret memory grows
#
# Hollow markers and broken lines are further arms of a proposal: behind an admission rule, or with
# other options.

# %%
study.figure("growth")

# %%
study.answers(
    "growth", "refused_mmap_share", "refused_fault_share", "dm_2m_split", "huge_share", "migrated"
)

# %% [markdown]
# ## Against the baseline
#
# The baseline is the same demand as ordinary memory that stays mapped.

# %%
study.figure("differences")

# %% [markdown]
# ## Claim by claim
#
# ### A reservation moves the failure from the fault to mmap
#
# Whoever is refused at mmap has no secret memory, and splits nothing either: read the first line
# of each comparison with the others.

# %%
study.compare(
    "growth", "pmd_pool+reservation", "pmd_pool",
    "secret_mib", "refused_mmap_share", "refused_fault_share", "dm_2m_split", "huge_share",
    "stranded_mib",
)

# %%
study.compare(
    "growth", "cma_pool+reservation", "cma_pool",
    "secret_mib", "refused_mmap_share", "refused_fault_share", "huge_share", "migrated",
    "stranded_mib",
)

# %% [markdown]
# ### PMD_ORDER with a fallback to order 0 does the job

# %%
study.answers("growth", "fallback_share")

# %%
study.compare(
    "growth", "pmd_pool", "per_page",
    "dm_2m_split", "polluted_blocks", "free_2m", "huge_share", "cost_per_page",
)

# %% [markdown]
# ### CMA bounds the damage

# %%
study.compare(
    "growth", "cma_pool", "pmd_pool",
    "dm_2m_split", "polluted_blocks", "refused_fault_share", "huge_share", "migrated",
    "cost_per_page",
)

# %% [markdown]
# ### Secret pages that can be migrated are less special

# %%
study.compare(
    "growth", "migratable", "per_page",
    "huge_share", "free_2m", "dm_2m_split", "migrated", "cost_per_page",
)

# %% [markdown]
# A secret page that is moved is readable while it is copied: by one CPU through a temporary
# mapping, by every CPU if it were put back into the direct map for the copy.

# %%
study.figure("exposure")

# %%
study.answers("growth", "secret_copied", "exposure_us", "exposure_direct_map_us")

# %% [markdown]
# ### Many one-page files defeat a pool of their own
#
# Key stores keep one page or a few in a file. A pool that each file has to itself strands almost
# a pageblock with each; the reservation shares one pool.

# %%
study.figure("small_files")

# %%
study.answers(
    "small_files", "refused_fault_share", "refused_mmap_share", "stranded_mib", "fallback_share"
)

# %%
study.compare(
    "small_files", "pmd_pool", "per_page", "dm_2m_split", "free_2m", "huge_share", "cost_per_page"
)

# %% [markdown]
# ## What it costs
#
# Costs are applied to counted events, from this table; what has no source is marked an
# assumption. The bars of the figure are the range that a conclusion has to survive.

# %%
study.figure("cost")

# %%
study.costs()

# %% [markdown]
# ## All arms, all numbers
#
# Means at the peak with 95 % intervals over the states; a number alone is the same in every
# state.

# %%
study.summary(
    "growth", "secret_mib", "refused_mmap_share", "refused_fault_share", "dm_2m_split",
    "free_2m", "huge_share", "stranded_mib", "migrated", "exposure_us", "cost_per_page",
)

# %%
study.summary(
    "small_files", "secret_mib", "refused_mmap_share", "refused_fault_share", "dm_2m_split",
    "free_2m", "huge_share", "stranded_mib", "migrated", "exposure_us", "cost_per_page",
)

# %% [markdown]
# ## Threats
#
# - **The intervals speak of the chance in ageing and demand, not of other machines.** States are
#   resampled within their captured start state; how many of the start states agree stands in each
#   comparison.
# - **Timing.** Compaction, direct and by kcompactd, is that of the captured kernel on one CPU. On
#   more CPUs kcompactd does not share one with the task, and the per-CPU lists that hide what it
#   frees are not the task's own. This is the assumption that most likely flips a conclusion.
# - Reclaim finds nothing to take: no swap, no clean page cache.
# - The CMA area is made of pageblocks that hold nothing unmovable; a real one would have kept
#   such pages out since boot, but pinned pages would get in, and here there are none.
# - A refused user goes away. Real ones fall back to ordinary memory without saying so, or are
#   killed.
# - One CPU's lists: what many CPUs do to each other's per-CPU lists is not in it; the flush cost
#   is.
#
# ## Sources
#
# - Mike Rapoport, [PATCH v16 07/11] secretmem: use PMD-size pages to amortize direct map
#   fragmentation, linux-mm and linux-kselftest, 21 January 2021,
#   `20210121122723.3446-8-rppt@kernel.org`
# - Michal Hocko, Re: the same, 26 January 2021, `20210126114657.GL827@dhcp22.suse.cz`, and 28
#   January 2021, `YBK1kqL7JA7NePBQ@dhcp22.suse.cz`
# - Mike Rapoport, Re: the same, 2 February 2021, `20210202124857.GN242749@kernel.org`
# - David Hildenbrand, Re: the same, 2 February 2021,
#   `6653288a-dd02-f9de-ef6a-e8d567d71d53@redhat.com`
# - Peter Zijlstra, Re: [PATCH v6 5/6] mm: secretmem: use PMD-size pages to amortize direct map
#   fragmentation, 25 September 2020, `20200925074125.GQ2628@hirez.programming.kicks-ass.net`, and
#   29 September 2020, `20200929141216.GO2628@hirez.programming.kicks-ass.net`
# - mm/cma.c, mm/hugetlb.c, mm/migrate.c and mm/secretmem.c of Linux 6.12; costs as named in the
#   table
