"""`python -m mgsv` is `mgsv`."""

from mgsv.cli import main

raise SystemExit(main())
