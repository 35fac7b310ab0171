"""Model families: base.py and one file per family."""
