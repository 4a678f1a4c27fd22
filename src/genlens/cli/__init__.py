"""The command `genlens`: a thin shell over the library (parse, call, print).

Modules of this package import nothing heavy; the library is imported inside the commands, so `genlens --help` answers
at once.
"""

from __future__ import annotations

from genlens.cli.app import app as app
from genlens.cli.app import main as main
