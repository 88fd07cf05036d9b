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
# # Denial, limits and reservation
#
# The claims:
#
# 1. A shared pool is a scarce resource, so one user can deny it to all others; a limit for each
#    process or a memory cgroup is too coarse to prevent it (Michal Hocko, 26 and 28 January 2021).
# 2. A limit of each process (mm->locked_vm, checked at mmap) is none for a user, who has as many
#    processes as he likes; the accounting of September 2026 counts each user's touched pages.
# 3. A reservation fails at mmap and never at the fault; what it promises and nobody touches is
#    lost to all others (Michal Hocko, David Hildenbrand, January and February 2021).

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %% [markdown]
# **Experiment.** An adversary's processes map and touch what they may have, then a victim, another
# user, asks. Every arm faces the same states and requests; `params/denial.yaml` has the demands,
# a study without them shows nothing here.
#
# **What would change our mind.** A rule is worth it if the victim gets its pages whatever the
# adversary does, and little memory stands idle for it.

# %%
study.checks()

# %% [markdown]
# ## An adversary, then a victim

# %%
study.figure("denial")

# %%
study.answers("adversary", "victim_failed", "largest_share", "stranded_mib", "oom_kills")

# %% [markdown]
# ### Do the claims hold?

# %%
study.claims("H7", "H8", "H9")

# %% [markdown]
# ### Against no rule
#
# #### A limit of each process, which lets the victim's own pages in

# %%
study.compare(
    "adversary", "per_page+memlock_mm", "per_page", "victim_failed", "secret_mib", "dm_2m_split"
)

# %% [markdown]
# #### The same limit of each user

# %%
study.compare(
    "adversary", "per_page+memlock_user", "per_page", "victim_failed", "secret_mib", "dm_2m_split"
)

# %% [markdown]
# #### A reservation

# %%
study.compare(
    "adversary",
    "pmd_pool+reservation",
    "pmd_pool",
    "victim_failed",
    "refused_mmap_share",
    "refused_fault_share",
    "stranded_mib",
)

# %% [markdown]
# ## The adversary is many users, or never touches what it maps

# %%
study.summary("many_users", "victim_failed", "largest_share", "secret_mib", "oom_kills")

# %%
study.summary("idle", "victim_failed", "promised_pages", "stranded_mib")

# %% [markdown]
# ## Tenants that come and go

# %%
study.summary(
    "tenants",
    "fairness",
    "refused_open_share",
    "refused_mmap_share",
    "refused_fault_share",
    "oom_kills",
)

# %% [markdown]
# ### Few of them opt in to secret memory

# %%
study.summary("few_opt_in", "secret_mib", "dm_2m_split", "free_2m")

# %% [markdown]
# ## Not validated
#
# - No capture has several users, a memory cgroup, a reservation of single pages or guests: only the
#   allocator, the direct map and the pools below them are compared with a kernel (notebook 10).
# - hugetlb's counters are compared with a kernel's (the c cases), those of the reservation follow
#   them in pages of 4 KiB.
# - The OOM killer here sees secret memory only; a real one counts all memory of a process.
#
# ## Sources
#
# - Michal Hocko, Re: [PATCH v16 07/11] secretmem: use PMD-size pages to amortize direct map
#   fragmentation, 26 January 2021, `20210126114657.GL827@dhcp22.suse.cz`, and 28 January 2021,
#   `YBK1kqL7JA7NePBQ@dhcp22.suse.cz`
# - David Hildenbrand, Re: the same, 2 February 2021,
#   `6653288a-dd02-f9de-ef6a-e8d567d71d53@redhat.com`
# - mm/secretmem.c, mm/hugetlb.c, mm/memcontrol.c and mm/oom_kill.c of Linux 6.12
