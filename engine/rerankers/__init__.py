"""The rerankers family: base.py and one file per component."""
