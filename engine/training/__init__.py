"""Training recipes: one file each, driven by `triptych train`."""
