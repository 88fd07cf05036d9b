"""The vmemmap of huge pages of hugetlb, if HVO had optimised them (hugetlb_free_vmemmap=on).

A huge page of 2 MiB has eight pages of struct pages. HVO copies the first, maps the other seven to
that copy and gives all eight old ones back; for this the 2 MiB entry of the vmemmap around them,
which stands for 128 MiB of memory, is split with a page table
(mm/hugetlb_vmemmap.c: __hugetlb_vmemmap_optimize_folio(), vmemmap_split_pmd(), Linux 6.12.117).

For the huge pages of `hugetlb_pages`, the control, and others' that are on no LRU list, at the
measuring point. The
kernel leaves an entry split when its last huge page is gone (vmemmap_restore_pte() puts pages back
only). Not modelled: where the pages given back lie, who gets them, and the seven that have to be
found before a huge page can be freed (hugetlb_vmemmap_restore_folio()).
"""

from secretjax.metrics.base import Metric
from secretjax.mm.reading import Reading

SAVED = 7  # pages of a huge page: HUGETLB_VMEMMAP_RESERVE_SIZE stays of 512 * sizeof(struct page)
SOURCE = "mm/hugetlb_vmemmap.c"


def saved(reading: Reading):
    """Pages given back, less the tables of the entries split."""
    return SAVED * reading.huge_pages[0] - reading.huge_pages[1]


METRICS = (
    Metric(
        "vmemmap_split",
        "2 MiB entries of the vmemmap that HVO has split for huge pages",
        "entries",
        "lower",
        f"{SOURCE}: vmemmap_split_pmd(); 64 bytes a struct page, so one entry for 128 MiB",
        lambda r: r.huge_pages[1],
        seen=False,
    ),
    Metric(
        "vmemmap_saved",
        "pages of the vmemmap that HVO has given back for huge pages, less page tables",
        "pages",
        "higher",
        f"{SOURCE}: hugetlb_vmemmap_optimize_folio()",
        saved,
        seen=False,
    ),
)
