"""The expanders family: base.py and one file per component."""
