"""`python -m genlens` is the command `genlens`."""

from __future__ import annotations

from genlens.cli import main

if __name__ == "__main__":
    main()
