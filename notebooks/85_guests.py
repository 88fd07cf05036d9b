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
# # Guests and fleets of microVMs
#
# The claims:
#
# - Not a concern "as long as the feature has to be explicitly enabled" (David Hildenbrand, 2
#   February 2021, about secret memory).
# - Nobody's claim, but why it is asked again: guests take most of their host's memory, and with
#   guest_memfd all of that would leave the direct map.

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %% [markdown]
# **Experiment.** Guests take a large share of a host's memory, some end and others come; a fleet
# of microVMs arrives one after the other; tenants opt in to secret memory, all of them or a
# quarter. `params/questions.yaml` and `params/denial.yaml` have the demands.
#
# **What would change our mind.** A proposal suits hosts if as many guests run under it as without
# it, and if what it does to the direct map does not grow faster than its use.

# %%
study.checks()

# %% [markdown]
# ## Whole guests

# %%
study.figure("guests")

# %%
study.answers("guests", "density", "refused_fault_share", "dm_2m_split", "huge_share", "migrated")

# %% [markdown]
# ## A fleet of microVMs

# %%
study.figure("microvms")

# %%
study.answers("microvms", "density", "refused_fault_share", "dm_2m_split", "stranded_mib")

# %% [markdown]
# ## If few opt in

# %%
study.claims("H15")

# %%
study.summary("few_opt_in", "secret_mib", "dm_2m_split", "free_2m")

# %%
study.summary("tenants", "secret_mib", "dm_2m_split", "free_2m")

# %% [markdown]
# ## Threats
#
# - No capture has guests; the allocator, the direct map and compaction under them are those that
#   notebook 10 compares.
# - The hosts are small: the start states have 512 MiB, and a guest a few percent of that. What is
#   a share of memory carries over to larger ones, what is a number of pageblocks does not.
# - Guests touch all their memory in order, and nothing shares pages between them.
#
# ## Sources
#
# - David Hildenbrand, same subject, 2 February 2021,
#   `6653288a-dd02-f9de-ef6a-e8d567d71d53@redhat.com`
# - virt/kvm/guest_memfd.c and mm/secretmem.c of Linux 6.12; guest_memfd without direct map, v9,
#   linux-mm, 14 January 2026
