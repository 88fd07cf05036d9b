"""Whether CMA bounds the damage."""

from functools import partial

from secretjax.show.claims.base import Claim, Column, Comparison

NOTEBOOK = "40_cma"
# At 20 % of memory, where the area of 30 % is no limit yet.
CMA, BUDDY = (partial(Column, arm, "whole_share") for arm in ("cma_pool", "pmd_only"))

CLAIMS = (
    Claim(
        "H5",
        "Does CMA back more of a demand with whole pageblocks than PMD_ORDER allocations, "
        "even when pages are pinned?",
        "CMA has a 'somewhat higher probability for high order allocation to succeed' (Mike "
        "Rapoport, 2 February 2021)",
        NOTEBOOK,
        (
            Comparison(CMA("growth", "grow_20"), "higher", BUDDY("growth", "grow_20")),
            Comparison(CMA("pins_low", "grow_20"), "higher", BUDDY("pins_low", "grow_20")),
            Comparison(CMA("pins_high", "grow_20"), "higher", BUDDY("pins_high", "grow_20")),
        ),
        "params/questions.yaml",
    ),
    Claim(
        "H6",
        "Does CMA keep the damage inside its area?",
        "CMA bounds fragmentation to its area (David Hildenbrand, 2 February 2021)",
        NOTEBOOK,
        (
            Comparison(
                Column("cma_pool", "polluted_blocks"),
                "lower",
                Column("per_page", "polluted_blocks"),
            ),
            Comparison(
                Column("cma_pool", "unmovable_pageblocks"),
                "lower",
                Column("per_page", "unmovable_pageblocks"),
            ),
            Comparison(
                Column("cma_pool", "dm_2m_split"), "lower", Column("per_page", "dm_2m_split")
            ),
        ),
    ),
)
