"""What migratable secret pages give to others, and what they expose."""

from secretjax.show.claims.base import Claim, Column, Comparison

NOTEBOOK = "60_migration"

CLAIMS = (
    Claim(
        "H12",
        "Do migratable secret pages give huge pages back to others, and are fewer of them moved, "
        "each seen for a moment, than there are?",
        "'Map source, copy, unmap destination', perhaps through a mapping 'somewhere else' (David "
        "Hildenbrand, 2 February 2021)",
        NOTEBOOK,
        (
            Comparison(
                Column("migratable", "huge_share"), "higher", Column("per_page", "huge_share")
            ),
            Comparison(
                Column("migratable", "secret_copied"), "lower", Column("migratable", "granted")
            ),
        ),
    ),
    Claim(
        "H13",
        "Does migrating single pages split the direct map further, and do destinations in split "
        "pageblocks prevent that?",
        "Single pages as destinations would scatter the direct map again (Mike Rapoport, of "
        "migration, in the same discussion)",
        NOTEBOOK,
        (
            Comparison(
                Column("migratable", "dm_2m_split"), "higher", Column("per_page", "dm_2m_split")
            ),
            Comparison(
                Column("move_grouped", "dm_2m_split"), "lower", Column("migratable", "dm_2m_split")
            ),
        ),
        "params/questions.yaml",
    ),
)
