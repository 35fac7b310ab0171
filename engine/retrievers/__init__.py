"""The retrievers family: base.py and one file per component."""
