"""The feedback family: base.py, what lexical and vector feedback share, and one file per component."""
