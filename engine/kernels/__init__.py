"""Arrays in, arrays out: the formulas that components share."""
