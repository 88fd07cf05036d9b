"""What it costs, and whom."""

from secretjax.show.claims.base import Claim, Column, Comparison

NOTEBOOK = "70_costs"

CLAIMS = (
    Claim(
        "H15",
        "Does the damage grow no faster than the share of users who opt in?",
        "No concern 'as long as the feature has to be explicitly enabled' (David Hildenbrand, 2 "
        "February 2021)",
        "85_guests",
        (
            Comparison(
                Column("per_page", "dm_2m_split", "tenants"),
                "lower",
                Column("per_page", "dm_2m_split", "few_opt_in", times=4.0),
            ),
        ),
        "params/questions.yaml",
    ),
    Claim(
        "H16",
        "Is the cost of reaching data through smaller entries within noise for every proposal?",
        "'direct map fragmentation is not a major problem', but 'we cannot prove negative' (Mike "
        "Rapoport, 2 February 2021)",
        NOTEBOOK,
        (Comparison(Column("cma_pool", "dm_entries"), "higher", Column("per_page", "dm_entries")),),
        open="the model counts entries of the direct map, not the time that a TLB miss takes; "
        "published measurements (notebook 70) go in either direction, and none is by proposal",
    ),
    Claim(
        "H17",
        "Does removing whole pageblocks save nearly all TLB flushes of page by page?",
        "From the source: a flush of kernel mappings interrupts every CPU (arch/x86/mm/tlb.c: "
        "flush_tlb_kernel_range), and v16 flushes once for 512 pages",
        NOTEBOOK,
        (
            Comparison(
                Column("cma_pool", "flush_per_page"),
                "lower",
                Column("per_page", "flush_per_page", times=0.01),
            ),
            Comparison(
                Column("pmd_pool", "flush_per_page"),
                "lower",
                Column("per_page", "flush_per_page", times=0.5),
            ),
        ),
    ),
)
