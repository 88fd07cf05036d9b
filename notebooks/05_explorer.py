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
# # What happens in memory?
#
# The claims are about means over many states; this is one state, page by page.

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
study.describe()

# %% [markdown]
# **Experiment.** One of the study's states is run again, and its memory is kept at each measuring
# point.
#
# **What would change our mind.** Nothing here: a picture of one state is no evidence, it shows what
# the numbers count.
#
# ## Page by page

# %%
study.memory_map("per_page")

# %% [markdown]
# ## A pool

# %%
study.memory_map("pmd_pool")

# %% [markdown]
# ## As it happens
#
# The same state under both, stopped at every percent of memory; others ask for no huge pages here.

# %%
study.memory_film("per_page", "pmd_pool")

# %% [markdown]
# ## By hand
#
# In JupyterLab: choose arm and state, move through the demand, click on a page. The first look at
# an arm takes as long as the model takes to be compiled for it. `explorer.picked` is the page
# clicked on, `explorer.zone` all of the state.

# %%
explorer = study.explorer()
explorer

# %%
explorer.picked

# %% [markdown]
# ## Threats
#
# - One state of one seed: others look different, and notebook 20 shows how much.
# - A pool that a file has to itself is drawn as secret whole, touched or not.
#
# ## Sources
#
# As in the other notebooks; what a page is follows from mm/page_alloc.c and mm/secretmem.c of Linux
# 6.12.
