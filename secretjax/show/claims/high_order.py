"""What is left of high-order memory for others."""

from secretjax.show.claims.base import Claim, Column, Comparison

NOTEBOOK = "35_high_order"

CLAIMS = (
    Claim(
        "H3",
        "Does a pool of PMD_ORDER with a fallback to order 0 get 95 % of its pages in pageblocks?",
        "PMD_ORDER 'with a fallback to order 0 will do the job' (Mike Rapoport, 2 February 2021)",
        NOTEBOOK,
        (
            Comparison(Column("pmd_pool", "fallback_share", step="first"), "lower", 5.0),
            Comparison(Column("pmd_pool", "fallback_share"), "lower", 5.0),
        ),
    ),
    Claim(
        "H4",
        "Do pools without CMA take other users' huge pages?",
        "Without CMA 'it's possible to drain high order free blocks' (Mike Rapoport, 2 February "
        "2021)",
        NOTEBOOK,
        (
            Comparison(Column("pmd_pool", "huge_share"), "lower", Column("cma_pool", "huge_share")),
            Comparison(Column("pmd_pool", "huge_share"), "lower", Column("per_page", "huge_share")),
        ),
    ),
    Claim(
        "H10",
        "Do secret pages that compaction isolates in vain cost moves, and leave pages that stay in "
        "movable pageblocks?",
        "From the source: compaction isolates pages of the unevictable LRU, and secret ones refuse "
        "to move (mm/compaction.c; mm/secretmem.c: secretmem_migrate_folio)",
        NOTEBOOK,
        (
            Comparison(
                Column("per_page", "migrate_failed"),
                "higher",
                Column("per_page@mapping-inaccessible", "migrate_failed"),
            ),
            Comparison(
                Column("per_page", "polluted_blocks"),
                "higher",
                Column("per_page@mapping-inaccessible", "polluted_blocks"),
            ),
        ),
        "params/questions.yaml",
    ),
)
