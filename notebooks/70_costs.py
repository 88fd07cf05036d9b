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
# # What does it cost?
#
# The claims:
#
# - PMD-size pages "amortize direct map fragmentation" (v16).
# - "[...] the direct map fragmentation is not a major problem", but "we cannot prove negative"
#   (Mike Rapoport, 2 February 2021).

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %% [markdown]
# **Experiment.** Every event that costs something is counted; the cost table turns counts into ns
# afterwards, with a range for each entry. A flush interrupts every CPU, so the same counts are
# looked at for other numbers of CPUs.
#
# **What would change our mind.** If page by page cost the same as a pool even on many CPUs, its
# flushes would be no argument.

# %%
study.checks()

# %%
study.figure("cost")

# %%
study.figure("cost_by_cpus")

# %%
study.answers("growth", "cost_per_page", "flush_per_page", "ipis", "table_pages")

# %% [markdown]
# ## Do the claims hold?

# %%
study.claims("H16", "H17")

# %% [markdown]
# ## Pools against page by page

# %%
study.compare("growth", "pmd_pool", "per_page", "cost_per_page", "flush_per_page")

# %%
study.compare("growth", "cma_pool", "per_page", "cost_per_page", "flush_per_page", "migrated")

# %% [markdown]
# ## What smaller entries cost those who read memory
#
# The model counts entries, it does not run programs. What others measured goes in either
# direction, so no proposal can be told from another by that.

# %%
study.published()

# %%
study.answers("growth", "dm_entries", "dm_4k_share")

# %% [markdown]
# ### The control: a fragmented vmemmap
#
# The thread compares a direct map in pieces with the vmemmap that HVO leaves in pieces for huge
# pages, which is accepted. `params/proposals.yaml` has the arm `hugetlb_pages`.

# %%
study.answers("growth", "vmemmap_split", "vmemmap_saved")

# %% [markdown]
# ## The table

# %%
study.costs()

# %% [markdown]
# ## Threats
#
# - The captures have one CPU; numbers for more follow from counted flushes and the table alone.
# - Costs come from other people's machines; an assumption says so in the table. Notebook 80 draws
#   all of them at once.
# - Contention is in none of it: neither of the zone lock, nor of those who wait for a flush.
#
# ## Sources
#
# - Measurements by others as named in their table
# - Mike Rapoport, Re: [PATCH v16 07/11] secretmem: use PMD-size pages to amortize direct map
#   fragmentation, linux-mm and linux-kselftest, 2 February 2021,
#   `20210202124857.GN242749@kernel.org`
# - Mike Rapoport, [PATCH v16 07/11] secretmem: use PMD-size pages to amortize direct map
#   fragmentation, 21 January 2021, `20210121122723.3446-8-rppt@kernel.org`
# - arch/x86/mm/tlb.c and arch/x86/mm/pat/set_memory.c of Linux 6.12; costs as named in the table
