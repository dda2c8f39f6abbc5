"""What a log says to who knows the laws of the simulated world: the benchmark's yardstick."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from benchmarks.quality_world_laws import Told, expected
from pipeline.simulation import world
from pipeline.simulation.catalogue import CATEGORIES

START = datetime(2026, 6, 1, tzinfo=UTC)
WEIGHTS = {"click": 0.2, "read": 0.5, "purchase": 1.0}


def told(rows: list[tuple[int, int, int, str, float | None]]) -> Told:
    """Rows of person, content, minute, event and dwell, in any order."""
    person, content, minute, event, dwell = (list(column) for column in zip(*rows, strict=True))
    log = pa.table(
        {
            "ts": pa.array([START + timedelta(minutes=one) for one in minute], pa.timestamp("us", "UTC")),
            "event": event,
            "position": pa.array([1 if one == "impression" else None for one in event], pa.int32()),
            "dwell_seconds": pa.array(dwell, pa.float64()),
        }
    )
    return Told.of(log, np.array(person), np.array(content))


def test_an_impression_is_clicked_if_a_click_comes_before_the_next() -> None:
    """By the same person on the same content; and who clicked it before sees it again."""
    rows = [(0, 5, minute, "impression", None) for minute in (0, 10, 20)]
    rows += [(1, 5, 11, "click", None), (0, 4, 11, "click", None), (0, 5, 12, "click", None), (-1, 5, 1, "click", None)]
    found = told([*rows, (0, 5, 13, "view", 40.0), (0, 5, 14, "share", None)])
    mine = found.impression & (found.person == 0) & (found.content == 5)
    assert found.clicked[mine].tolist() == [False, True, False]
    assert found.again[mine].tolist() == [False, False, True]
    assert found.dwell.max() == 40
    assert len(found.person) == 7


def test_who_clicks_a_category_is_expected_to_like_it() -> None:
    """Nobody is told from nobody; one who clicked all of a category and nothing else is, in it alone; as she is shown
    more, the more surely.
    """
    whole = world.build(days=2, people=20, content=48, seed=3, start_us=int(START.timestamp()) * 1_000_000)
    category, every = whole.catalogue.category, np.arange(48)
    seen = [(0, int(i), int(i), "impression", None) for i in every]
    seen += [(0, int(i), int(i), "click", None) for i in every if category[i] == 0]
    found = expected(whole, told(seen), 2, every, np.array([False, False]), WEIGHTS)
    more = expected(
        whole, told([*seen, *((0, i, 60 + m, e, d) for _, i, m, e, d in seen)]), 1, every, np.zeros(1, bool), WEIGHTS
    )
    ratio, sure = found[0] / found[1], more[0] / found[1]
    others = [np.mean(ratio[category == c]) for c in range(1, len(CATEGORIES))]
    assert ratio[category == 0].min() > 2
    assert max(others) < 1
    assert sure[category == 0].mean() > 1.1 * ratio[category == 0].mean()
