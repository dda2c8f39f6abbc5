"""Tables of a night: tastes and everybody's response, by hand."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from features import pair_kernel as pairs_of
from features.history import DAY
from features.measures import HALF_LIVES
from features.pair_kernel import pair_kernel, pair_table
from features.pair_measures import KINDS
from features.pair_response import response_totals, responses
from tests.features.images import image
from tests.features.pair_oracle import SPEC, Request, groups, is_a, requests_of, taste
from tests.features.shards import Event, logs, many_rows, night, shard_of, some_nights


def tastes_by_hand(rows: list[Event], at: datetime) -> dict[tuple[int, str, str], list[float]]:
    """Every affinity of everybody, by person, kind and name."""
    found: dict[tuple[int, str, str], list[float]] = {}
    for person in sorted({row.person for row in rows}):
        known = [row for row in rows if row.person == person and row.is_known(at)]
        for kind in KINDS:
            by_half_life = [taste(known, kind, h, at) for h in HALF_LIVES]
            for name in sorted(by_half_life[0]):
                found[person, kind, name] = [shares[name] for shares in by_half_life]
    return found


@given(logs(), some_nights())
def test_tastes_are_those_counted_by_hand(rows: list[Event], nights: list[datetime]) -> None:
    """All groups that somebody did something in, sorted, and no others."""
    for at in nights:
        table = pair_table(shard_of(rows), at, SPEC)
        keys = list(zip(*(table[name].to_pylist() for name in ("person_id", "kind", "name")), strict=True))
        shares = np.column_stack([table[f"affinity_{h}"].to_numpy() for h in HALF_LIVES])
        expected = tastes_by_hand(rows, at)
        assert keys == list(expected)
        np.testing.assert_allclose(shares, np.array([*expected.values()]).reshape(-1, 4), rtol=1e-9, atol=1e-120)


def test_tastes_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a few people at a time, or of one who has more than fits: the same bytes."""
    shard = shard_of(many_rows(people=40))
    whole = image(pair_table(shard, night(), SPEC))
    for size in (1, 30, 100):
        monkeypatch.setattr(pairs_of, "_GROUPS_AT_ONCE", size)
        assert image(pair_table(shard, night(), SPEC)) == whole


@given(logs(), some_nights())
def test_totals_are_those_counted_by_hand(rows: list[Event], nights: list[datetime]) -> None:
    """Engagements and impressions of everybody in 30 days, with content that has a category."""
    for one in response_totals(shard_of(rows), nights, SPEC).to_pylist():
        known = [
            row
            for row in rows
            if row.is_known(one["night"])
            and one["night"] - row.ts <= timedelta(days=30)
            and groups("category", row.content)
        ]
        assert one["engaged"] == sum(is_a(row, "engaged") for row in known)
        assert one["shown"] == sum(is_a(row, "impression") for row in known)


def test_a_response_takes_the_rate_of_the_latest_night() -> None:
    """Of what several shards say of it together; before the first night there is none."""
    rows = [Event(age=2 * DAY, event="impression")] * 4 + [Event(age=2 * DAY, event="click")]
    totals = [response_totals(shard_of(some), [night(-1), night(1)], SPEC) for some in (rows[:2], rows[2:])]
    asked = requests_of([Request(), Request(age=-DAY), Request(age=DAY + 1), Request(content="c3")])
    found = pair_kernel(shard_of(rows), asked, SPEC)
    expected = [(1 + 10 / 4) / 14] * 2 + [math.nan] * 2
    assert responses(found, pa.concat_tables(totals)).to_pylist() == pytest.approx(expected, nan_ok=True)
