"""`python -m app` is the same as `triptych`."""

from app.cli.main import main

main()
