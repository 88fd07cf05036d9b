"""Aged start states: memory that has been in use for a while, by published recipes.

A recipe writes requests, made beforehand from (seed, number of the state); the exact engine
answers them, so its free lists decide what the memory looks like. What comes out is a start state
as a capture gives one.

llfree      the fragmentation benchmark of LLFree: random single pages come and go
meta_like   a server: file cache, anonymous memory, slab and network buffers, until unmovable
            memory sits where Meta's fleet has it

`control` is no kernel: an allocator in the manner of LLFree, against which the first is judged.
"""

from secretjax.ageing.base import Plan, Recipe
from secretjax.ageing.llfree import LLFree
from secretjax.ageing.meta_like import MetaLike
from secretjax.errors import UserError, suggestion

RECIPES: dict[str, type[Recipe]] = {recipe.name: recipe for recipe in (LLFree, MetaLike)}

__all__ = ["RECIPES", "Plan", "Recipe", "make"]


def make(name: str, **options) -> Recipe:
    """The recipe `name` with these options; `UserError` if there is none."""
    if name not in RECIPES:
        raise UserError(f"no ageing recipe named '{name}'; {suggestion(name, RECIPES)}")
    return RECIPES[name](**options)
