"""Does CMA keep the damage inside its area?"""

from secretjax.show.figures._panels import panels

METRICS = (
    ("polluted_blocks", "Movable blocks with pages that stay"),
    ("unmovable_pageblocks", "UNMOVABLE pageblocks"),
    ("secret_misplaced", "Secret pages in others' pageblocks"),
    ("migrated", "Pages migrated, so far"),
    ("take_failed", "Pageblocks of the area in vain, so far"),
    ("offline_blocked", "Memory blocks that cannot go offline"),
)


def draw(study):
    """What grows outside of the area, and what emptying it takes."""
    return panels(study, "growth", METRICS, "secret memory, % of memory")


FIGURE = draw
