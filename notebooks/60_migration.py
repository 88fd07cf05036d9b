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
# # Is migration worth it?
#
# The claim: secret pages could be migrated, "Map source, copy, unmap destination", perhaps
# through a mapping "somewhere else" (David Hildenbrand, 2 February 2021); then they would be as
# harmless to compaction as any page, at the price of being readable for a moment.

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %% [markdown]
# **Experiment.** Page by page with pages that stay, against page by page with pages that move, by
# either protocol where the study has both: through a temporary mapping that one CPU sees, or
# through the direct map. Moved secrets are counted, and how long they were readable follows from
# the cost table.
#
# **What would change our mind.** Migration is worth it if others get huge pages that they would
# not get otherwise, if the exposure is small, and if the direct map is not split further.

# %%
study.checks()

# %%
study.figure("migration")

# %%
study.answers("growth", "huge_share", "free_2m", "secret_copied", "dm_2m_split")

# %% [markdown]
# ## Do the claims hold?

# %%
study.claims("H12", "H13")

# %% [markdown]
# ## Pages that move against pages that stay

# %%
study.compare(
    "growth",
    "migratable",
    "per_page",
    "huge_share",
    "free_2m",
    "dm_2m_split",
    "packing",
    "migrate_failed",
    "cost_per_page",
)

# %% [markdown]
# ### Destinations in pageblocks that are split already

# %%
study.compare("growth", "move_grouped", "migratable", "dm_2m_split", "huge_share", "secret_copied")

# %% [markdown]
# ## Exposure
#
# A page that is moved is readable while it is copied: by one CPU through a temporary mapping, by
# every CPU until a flush has reached them all if it is put into the direct map.

# %%
study.figure("exposure")

# %%
study.answers("growth", "exposure_us", "exposure_direct_map_us", "stale_entries")

# %% [markdown]
# ## Moves of whole 2 MiB
#
# Nobody here asks for a pool's pageblock: compaction passes what is as large as a pageblock, and
# CMA areas hold none. Offlining memory would: these memory blocks nothing but pools keep, and so
# many moves of 2 MiB would free them.

# %%
study.answers("growth", "offline_blocked", "offline_pool", "offline_pool_moves")

# %% [markdown]
# ## Threats
#
# - No kernel migrates secret pages: both protocols are as written in the thread and in
#   mm/migrate.c, and no capture covers them.
# - Pages move only when compaction wants their pageblock; nobody here moves them for other ends.
# - Copy and flush times come from the cost table; the copy is an assumption there.
# - Stale entries of the temporary mapping are counted, not for how long they stay on their CPU.
# - No kernel moves whole pageblocks of a pool, and whether as many are free elsewhere is not asked.
#
# ## Sources
#
# - David Hildenbrand, same subject, 2 February 2021,
#   `6653288a-dd02-f9de-ef6a-e8d567d71d53@redhat.com`
# - mm/migrate.c, mm/secretmem.c (secretmem_migrate_folio) and arch/x86/kernel/alternative.c
#   (__text_poke, a temporary mapping) of Linux 6.12
