"""Quality: what lists would have been worth on real data, who will engage told from who will not, and a known truth.

Each section is a module of its own.

`QUICK=1` searches less and deals people once.
"""

from __future__ import annotations

from benchmarks import quality_deskdrop, quality_journey, quality_shoppers, quality_world
from benchmarks.table import QUICK, finish


def main() -> None:
    """Measure, print, write."""
    trials, times = (1, 1) if QUICK else (3, 3)
    found = quality_deskdrop.rows(quick=QUICK) + quality_world.rows(quick=QUICK)
    finish("quality", found + quality_journey.rows(trials, times) + quality_shoppers.rows(trials, times))


if __name__ == "__main__":
    main()
