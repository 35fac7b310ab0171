"""The readers family: base.py and one file per component."""
