"""The rewriters family: base.py and one file per component."""
