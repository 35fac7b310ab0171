"""The fusers family: base.py and one file per component."""
