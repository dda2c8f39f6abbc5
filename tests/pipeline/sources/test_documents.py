"""Rows of documents: of what is said again and again only the news is handed over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipeline.sources.documents import Rows

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def links(*times: datetime | None) -> list[int]:
    """Of one link seen at these times the row numbers that are handed over."""
    rows = Rows("export.jsonl", ["links"])
    for number, ts in enumerate(times, start=1):
        rows.add("links", number, ts=ts, visitor_id="v1", customer_id="c1")
    found: list[int] = rows.take().tables["links"]["row_number"].to_pylist()
    return found


def signals(*wishes: tuple[datetime | None, bool]) -> list[int]:
    """Of one person's wishes the row numbers that are handed over."""
    rows = Rows("export.jsonl", ["signals"])
    for number, (ts, yes) in enumerate(wishes, start=1):
        rows.add("signals", number, ts=ts, visitor_id="v1", personalization=yes, reason="consent")
    found: list[int] = rows.take().tables["signals"]["row_number"].to_pylist()
    return found


def test_of_the_same_ids_seen_together_the_first_time_counts() -> None:
    """Whatever its place in the file."""
    assert links(NOON + HOUR, NOON, NOON + 2 * HOUR) == [2]


def test_a_link_without_a_time_speaks_for_no_other() -> None:
    """It is the contract's to refuse, and the one that has a time stays."""
    assert links(None, NOON, NOON + HOUR, None) == [1, 2, 4]


def test_of_a_wish_repeated_unchanged_its_first_and_last_time_count() -> None:
    """When it was made, that it still stood, and each change in between."""
    hours = [NOON + number * HOUR for number in range(5)]
    assert signals(*((hour, True) for hour in hours)) == [1, 5]
    assert signals((hours[0], True), (hours[1], False), (hours[2], True)) == [1, 2, 3]


def test_a_wish_without_a_time_speaks_for_no_other() -> None:
    """It would be the first, and the first that has a time would be lost."""
    assert signals((NOON, False), (None, False), (NOON + HOUR, False), (NOON + 2 * HOUR, False)) == [1, 2, 4]
