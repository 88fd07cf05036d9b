"""What page by page does to the direct map."""

from secretjax.show.claims.base import Claim, Column, Comparison

NOTEBOOK = "20_direct_map"
SPLITS = Column("per_page", "dm_2m_split")

CLAIMS = (
    Claim(
        "H1",
        "Does page by page split far more of the direct map than a pool, ever less as it grows?",
        "v16 means to 'amortize direct map fragmentation' (21 January 2021), which for its author "
        "is 'not a major problem' (Mike Rapoport, 2 February 2021)",
        NOTEBOOK,
        (
            Comparison(SPLITS, "higher", Column("pmd_pool", "dm_2m_split")),
            Comparison(SPLITS, "higher", Column("cma_pool", "dm_2m_split")),
            Comparison(
                Column("per_page", "splits_now"),
                "lower",
                Column("per_page", "splits_now", step="first"),
            ),
        ),
    ),
    Claim(
        "H2",
        "Does grouping by migratetype keep page by page tight, less so in fragmented memory?",
        "'[...] the direct map fragmentation is not a major problem', page by page would do (Mike "
        "Rapoport, 2 February 2021); secret pages are UNMOVABLE, and the allocator groups those",
        NOTEBOOK,
        (
            # a tenth of the worst, one split for each of 512 pages
            Comparison(Column("per_page", "splits_per_block"), "lower", 51.2),
            Comparison(
                Column("per_page", "packing", starts="a_*"),
                "higher",
                Column("per_page", "packing", starts="b_*"),
            ),
        ),
    ),
    Claim(
        "H11",
        "Did the fallback of Linux 6.12.29 make page by page spread less than that of 5.0 to 6.9?",
        "From the source: __rmqueue_fallback() of 6.1 tries the largest block only, "
        "__rmqueue_claim() and __rmqueue_steal() of 6.12.29 every order (mm/page_alloc.c)",
        NOTEBOOK,
        (
            Comparison(
                Column("per_page@K612y", "dm_2m_split"),
                "lower",
                Column("per_page@K511", "dm_2m_split"),
            ),
            Comparison(
                Column("per_page@K612y", "packing"), "lower", Column("per_page@K511", "packing")
            ),
        ),
        "params/questions.yaml",
    ),
    Claim(
        "H14",
        "Is the damage permanent, and would putting entries together again when free undo it?",
        "From the source: Linux before 6.15 never collapses split entries of the direct map "
        "(arch/x86/mm/pat/set_memory.c)",
        NOTEBOOK,
        (
            Comparison(
                Column("per_page", "dm_4k_share", step="last"),
                "higher",
                Column("per_page", "dm_4k_share", step="first"),
            ),
            Comparison(
                Column("per_page@collapse-free", "dm_4k_share", step="last"),
                "lower",
                Column("per_page", "dm_4k_share", step="last"),
            ),
        ),
        "params/questions.yaml",
    ),
    Claim(
        "H18",
        "Do the page tables of the splits pollute memory by themselves, if little?",
        "From the source: each split takes an unmovable page (arch/x86/mm/pat/set_memory.c: "
        "split_large_page)",
        NOTEBOOK,
        (
            Comparison(
                Column("per_page", "table_pages"), "higher", Column("cma_pool", "table_pages")
            ),
            # of 0.195 at most: one table for 512 pages, where every entry is split
            Comparison(Column("per_page", "table_share"), "lower", 0.1),
        ),
    ),
)
