"""`python -m app` is the same as `triptych`."""

from app.cli import main

main()
