"""Quality on real data: how well who will engage is told from who will not, each section a module of its own.

`QUICK=1` searches less and deals people once.
"""

from __future__ import annotations

from benchmarks import quality_journey, quality_shoppers
from benchmarks.table import QUICK, finish


def main() -> None:
    """Measure, print, write."""
    trials, times = (1, 1) if QUICK else (3, 3)
    finish("quality", quality_journey.rows(trials, times) + quality_shoppers.rows(trials, times))


if __name__ == "__main__":
    main()
