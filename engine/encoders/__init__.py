"""The encoders family: base.py and one file per component."""
