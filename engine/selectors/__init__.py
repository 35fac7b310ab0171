"""The selectors family: base.py and one file per component."""
