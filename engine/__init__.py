"""The search engine of Triptych: documents in, rankings and traces out. Knows nothing of the user interface."""

__version__ = "0.1.0"
