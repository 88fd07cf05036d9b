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
# # What would each proposal do on your machine?
#
# `secretjax capture` reads what a stock kernel shows of its memory. The newest capture in the
# folder `machines/` beside the params file is used here; without one, a captured start state of
# the study stands in, seen as a stock kernel would have shown it.

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import yours

study = yours.open(params_file, results_dir)
study.machine()

# %% [markdown]
# ## What the kernel said twice
#
# Two files that count the same must agree, as far as a running system lets them. What does not
# agree is a reason to capture again, or to doubt what follows.

# %%
study.agreement()

# %% [markdown]
# ## Every proposal on this machine
#
# All face the same demand from the same states. A stock kernel does not show the order of free
# lists, the type of each pageblock, the list of each free block, which pages are on per-CPU lists,
# nor which entries of the direct map are split. These are drawn for each state, so that all totals
# that it does show hold; the spread of the dots is what is not known.

# %%
study.figure("your_machine")

# %%
study.answer()

# %% [markdown]
# ## What the drawing costs
#
# On start states of the lab the truth is known. One part at a time is drawn and the others known,
# then all are drawn: mean splits of 2 MiB entries, page by page, beside those from the exact start
# state.

# %%
study.inferred_answer()

# %%
study.inferred()

# %% [markdown]
# ## The probe
#
# Real secret memory on this machine, and whether the model foresaw what it did.

# %%
study.probe()

# %% [markdown]
# ## Not validated
#
# Four machines were probed for the first time since their boot (two CPUs, entries of 1 GiB); the
# model was mended after each. Two missed. The third met both intervals from the capture just before
# it, not from one eleven minutes older; the fourth missed the 2 MiB entries by one from a capture
# before it, and both from its own; README has the numbers. Which pageblocks are UNMOVABLE is drawn,
# and the wrong ones among them lie in any GiB: so splits of 1 GiB entries are predicted too high
# where free memory is in small pieces.
#
# The lab's machines have one CPU, one zone and no 1 GiB entries. On others the per-CPU lists of
# one CPU take part, which one is drawn; a demand meets one zone only, the one that secret memory
# comes from, and never goes on to another; memory that is being compacted or reclaimed at the
# moment of the capture is not seen as such. Nobody else does anything while secret memory grows
# here.
#
# ## Sources
#
# `fs/proc/page.c`, `mm/vmstat.c`, `mm/show_mem.c`, `arch/x86/mm/pat/set_memory.c`,
# `arch/x86/mm/dump_pagetables.c` and `mm/secretmem.c`; each rule names its function in
# `secretjax/machine`.
