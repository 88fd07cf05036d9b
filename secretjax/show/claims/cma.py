"""Whether CMA bounds the damage."""

from secretjax.show.claims.base import Claim, Column, Comparison

NOTEBOOK = "40_cma"

CLAIMS = (
    Claim(
        "H5",
        "Does CMA back more of a demand with whole pageblocks than PMD_ORDER allocations, "
        "even when pages are pinned?",
        "CMA has a 'somewhat higher probability for high order allocation to succeed' (Mike "
        "Rapoport, 2 February 2021)",
        NOTEBOOK,
        (
            Comparison(
                Column("cma_pool", "whole_share"), "higher", Column("pmd_pool", "whole_share")
            ),
            Comparison(
                Column("cma_pool", "whole_share", "pins_low"),
                "higher",
                Column("pmd_pool", "whole_share", "pins_low"),
            ),
            Comparison(
                Column("cma_pool", "whole_share", "pins_high"),
                "higher",
                Column("pmd_pool", "whole_share", "pins_high"),
            ),
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
