"""The family of index structures: base.py and one file per component."""
