"""The kernel: one zone, its free lists in list order, its pageblocks and its direct map."""
