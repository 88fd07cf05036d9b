"""Who can deny secret memory to whom, and what stands idle to prevent it."""

from functools import partial

from secretjax.show.claims.base import Claim, Column, Comparison

NOTEBOOK = "50_denial"
KEPT, BARE = partial(Column, "pmd_pool+reservation"), partial(Column, "pmd_only")
FAILED = Column("pmd_only", "victim_failed", "adversary")

CLAIMS = (
    Claim(
        "H7",
        "Can one user deny a pool to all others, and does a reservation prevent it where a limit "
        "of each process does not?",
        "A fixed pool is a scarce resource that one task can drain; rlimit and memcg do not help "
        "(Michal Hocko, 26 and 28 January 2021)",
        NOTEBOOK,
        (
            Comparison(FAILED, "higher", 0.0),
            Comparison(Column("per_page+memlock_mm", "victim_failed", "adversary"), "higher", 0.0),
            Comparison(
                Column("pmd_pool+reservation", "victim_failed", "adversary"), "lower", FAILED
            ),
        ),
        "params/questions.yaml",
    ),
    Claim(
        "H8",
        "Does a reservation move refusals from the fault to mmap, at the price of idle memory?",
        "'would fail at the mmap time when the reservation fails. Not during the #PF time' (Michal "
        "Hocko, 28 January 2021)",
        NOTEBOOK,
        (
            Comparison(
                KEPT("refused_fault_share", "adversary"),
                "lower",
                BARE("refused_fault_share", "adversary"),
            ),
            Comparison(
                KEPT("refused_mmap_share", "adversary"),
                "higher",
                BARE("refused_mmap_share", "adversary"),
            ),
            Comparison(
                KEPT("stranded_mib", "adversary"), "higher", BARE("stranded_mib", "adversary")
            ),
        ),
        "params/questions.yaml",
    ),
    Claim(
        "H9",
        "Do one-page files strand almost a whole pageblock each in a pool of their own?",
        "One secret page in each of many files defeats a pool for each file (Peter Zijlstra, 25 "
        "and 29 September 2020)",
        NOTEBOOK,
        (
            Comparison(Column("cma_pool", "stranded_per_block", "small_files"), "higher", 500.0),
            Comparison(
                Column("cma_pool", "stranded_mib", "small_files"),
                "higher",
                Column("cma_pool+reservation", "stranded_mib", "small_files"),
            ),
        ),
    ),
)
