"""Tables of a night: tastes, contacts and everybody's response, by hand and against the definitions in numpy."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from features import pair_kernel as pairs_of
from features.history import DAY
from features.measures import HALF_LIVES
from features.pair_kernel import contact_table, pair_kernel, pair_table
from features.pair_measures import KINDS, Groups
from features.pair_response import response_totals, responses
from features.pair_spec import PairSpec
from features.pairs import PairSpace
from features.rows import SHARD
from features.sessions import sessionize
from tests.features import logs as plain
from tests.features.images import image
from tests.features.logs import AS_OF, Row, content_of, history_of
from tests.features.pair_oracle import SPEC, Request, answer, groups, is_a, requests_of, taste
from tests.features.shards import Event, logs, many_rows, night, shard_of, some_nights

# ---------------------------------------------------------------- by hand


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


@settings(max_examples=60, deadline=None)
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


@settings(max_examples=40, deadline=None)
@given(logs())
def test_contacts_are_what_the_kernel_answers(rows: list[Event]) -> None:
    """Of every pair of which there is something to say, and of no other."""
    table = contact_table(shard_of(rows), night(), SPEC)
    names = table.column_names[2:]
    assert names[:5] == ["seen", "engaged_days_ago", "shown", "shown_days_ago", "shown_unanswered"]
    found = {(one.pop("person_id"), one.pop("content_id")): one for one in table.to_pylist()}
    expected = {}
    for person in sorted({row.person for row in rows}):
        for content in sorted({row.content for row in rows if row.person == person and row.content}):
            by_name = answer(rows, Request(person, content=content))
            if any(value and not math.isnan(value) for value in (by_name[name] for name in names)):
                expected[person, content] = {name: by_name[name] for name in names}
    assert list(found) == list(expected)
    for pair, values in expected.items():
        assert found[pair] == pytest.approx(values, nan_ok=True)


@settings(max_examples=60, deadline=None)
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


# ---------------------------------------------------------------- as in numpy


def shard_from(rows: list[Row]) -> pa.Table:
    """A log as a shard."""
    table = plain.log_of(rows).sort_by([("person_id", "ascending"), ("ts", "ascending")])
    return pa.table({name: table[name] if name in table.column_names else pa.nulls(len(rows)) for name in SHARD.names})


@settings(max_examples=60, deadline=None)
@given(plain.logs())
def test_the_kernel_says_what_the_matrices_say(rows: list[Row]) -> None:
    """Every feature that `features.pairs` has too, of every person with every content of the catalogue and the log."""
    history = history_of(rows)
    space = PairSpace.of(history, sessionize(history))
    spec = PairSpec(Groups.of(content_of()))
    ids = np.array(space.content_ids.to_pylist())
    person, content = (at.ravel() for at in np.mgrid[: len(space.people), : len(ids)])
    shard = shard_from(rows).cast(SHARD)
    asked = pa.table([space.people[person], [AS_OF] * len(person), ids[content]], schema=pairs_of.REQUESTS)
    found = pair_kernel(shard, asked, spec)
    category, author = space.category[content], space.author[content]
    expected = {
        **{
            f"affinity_category_{h}": _at(share, person, category)
            for h, share in zip(("1d", "7d", "30d"), space.category_shares, strict=True)
        },
        "affinity_author": _at(space.author_share, person, author),
        "affinity_tags": (space.tag_share @ space.content_tags.T).toarray()[person, content],
        "last_session_category": _at(space.last_session, person, category),
        "seen": space.seen.toarray()[person, content],
        "shown": space.shown.toarray()[person, content],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].to_numpy(), values, rtol=1e-9, atol=1e-120, err_msg=name)
    days = space.shown_days.toarray()[person, content]  # 0 where it was not; never less than a millionth
    ours = np.nan_to_num(np.maximum(found["shown_days_ago"].to_numpy(), 1e-6))
    np.testing.assert_allclose(ours, days, rtol=1e-9)
    smoothed = responses(found, response_totals(shard, [AS_OF], spec))
    np.testing.assert_allclose(smoothed.to_numpy(), space.response[person, category], rtol=1e-6)  # theirs is float32


def _at(by_group, person: np.ndarray, codes: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    """A sparse matrix of people and groups as pairs; content without a group has NaN."""
    dense = np.column_stack([by_group.toarray(), np.full(by_group.shape[0], np.nan)])
    values: np.ndarray = dense[person, codes]
    return values
