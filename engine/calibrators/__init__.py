"""The calibrators family: base.py and one file per component."""
