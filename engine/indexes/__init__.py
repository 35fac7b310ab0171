"""The indexes family: base.py and one file per component."""
