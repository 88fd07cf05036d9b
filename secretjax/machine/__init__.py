"""The machine this runs on, as a stock kernel shows it; the start states it may be in."""
