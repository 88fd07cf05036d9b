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
# # What does memory look like that has been in use for a while?
#
# The captured machines ran for minutes. Servers run for weeks, and the direct map of one that is
# fragmented splits differently. Two published recipes age memory here: their requests are made
# beforehand from a seed and answered by the kernel's own free lists, so that what memory looks
# like afterwards is found, not put in. Each state is a start state like a captured one
# (`secretjax age --help`).

# %% tags=["parameters"]
params_file = "params/default.yaml"  # the study
results_dir = "results"  # where its results are

# %%
from secretjax.show import aged
from secretjax.show import notebook as nb

study = nb.open(params_file, results_dir)
aged.about(study)

# %% [markdown]
# ## Memory maps
#
# Captured start states of this study above, aged ones below. Blue pageblocks can be emptied by
# compaction; an orange one never can, however few unmovable pages it has.

# %%
study.figure("aged_maps")

# %% [markdown]
# ## A server in a fleet: `meta_like`
#
# Published: unmovable memory is a small part of memory, and a third of all pageblocks hold some of
# it. How much there is was put in; in how many pageblocks it lies was found, after two numbers (how
# far network buffers swell, and for how long they are back) were calibrated to it, once, without
# any secret memory.

# %%
aged.meta_answer(study)

# %%
study.figure("aged_unmovable")

# %%
aged.states(study)

# %% [markdown]
# ## LLFree's benchmark, and a control
#
# Nearly all memory is taken in single pages, a random half goes back; then single pages come and
# go at random. By itself this says little: any buddy that hands out small blocks first leaves
# alone what was never handed out. So the same requests go to an allocator in the manner of LLFree.
# It is a control in plain NumPy, not a kernel.

# %%
aged.llfree_answer(study)

# %%
study.figure("aged_llfree")

# %% [markdown]
# ## Not validated
#
# - No capture of a server of a fleet was at hand: two published figures are all that `meta_like`
#   is held against, and other histories lead to the same two. What comes and goes, and in which
#   parts, has no source.
# - Both recipes ask the buddy lists directly: no per-CPU lists, no kcompactd, no reclaim, no huge
#   pages while memory ages. What kcompactd would change is not measured.
# - The recipe for Meta's fleet was calibrated at one size of memory, 512 MiB; others may drift.
# - The published benchmark ran on another kernel and on far more memory (125 GiB).
#
# ## Sources
#
# Johannes Weiner, linux-mm, 18 April 2023; Contiguitas (ISCA 2023); LLFree (USENIX ATC 2023),
# `luhsra/linux-alloc-bench`, `luhsra/llfree-bench` and `luhsra/llfree-rs`. Each recipe names its
# own in `secretjax/ageing`.
