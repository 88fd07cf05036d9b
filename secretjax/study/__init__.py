"""A study: its params, its points, its run folder, its notebooks; what is done is kept."""
