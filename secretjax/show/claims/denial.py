"""Who can deny secret memory to whom, and what stands idle to prevent it."""

from secretjax.show.claims.base import Claim, Column, Comparison

NOTEBOOK = "50_denial"
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
                Column("cma_pool+reservation", "refused_fault_share"),
                "lower",
                Column("cma_pool", "refused_fault_share"),
            ),
            Comparison(
                Column("cma_pool+reservation", "refused_mmap_share"),
                "higher",
                Column("cma_pool", "refused_mmap_share"),
            ),
            Comparison(
                Column("cma_pool+reservation", "stranded_mib"),
                "higher",
                Column("cma_pool", "stranded_mib"),
            ),
        ),
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
