"""The chunkers family: base.py and one file per component."""
