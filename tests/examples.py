"""On how many examples a property is tried."""

from __future__ import annotations

import os


def examples(few: int) -> int:
    """`few` in the suite; `SHORTLIST_EXAMPLES` in a deep run, of one file or of all."""
    return int(os.environ.get("SHORTLIST_EXAMPLES", few))
