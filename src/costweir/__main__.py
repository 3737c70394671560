"""`python -m costweir` is the same as `costweir`."""

from __future__ import annotations

from costweir.cli import main

if __name__ == "__main__":
    main()
