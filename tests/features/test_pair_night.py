"""What models read of a person with a content on a night, against counting by hand over every pair."""

from __future__ import annotations

from random import Random
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import pair_night
from features.history import DAY
from features.measures import HALF_LIVES
from features.pair_night import PairsOfNight
from features.pair_spec import MODELLED
from tests.features.images import image
from tests.features.logs import (
    AS_OF,
    CATALOGUE,
    CATEGORY,
    CONTENTS,
    FORMAT,
    MINUTE,
    PEOPLE,
    Row,
    content_of,
    log_of,
    logs,
)

NAN = float("nan")
AUTHOR = {str(one["content_id"]): one["author"] for one in CATALOGUE}
TAGS = {str(one["content_id"]): {tag for tag in one["tags"] or () if tag} for one in CATALOGUE}
ENGAGED = {"click", "like", "save", "share", "comment", "purchase"}

Pair = dict[str, float]


def placed(rows: list[Row]) -> pa.Table:
    """A log by person and time; rows that tie stay as they come."""
    return log_of(rows).sort_by([("person_id", "ascending"), ("ts", "ascending")])


def night_of(rows: list[Row]) -> PairsOfNight:
    """The night of a log."""
    return PairsOfNight(placed(rows), content_of(), AS_OF)


def opened(rows: list[Row]) -> dict[tuple[int, str], Pair]:
    """Every pair with its features; some people and contents are nowhere in the log."""
    pairs = [(person, content) for person in (*PEOPLE, 99) for content in (*CONTENTS, "nowhere")]
    people, contents = zip(*pairs, strict=True)
    values = night_of(rows).features(np.array(people), pa.array(contents))
    names = [f.name for f in MODELLED]
    return {pair: dict(zip(names, map(float, row), strict=True)) for pair, row in zip(pairs, values, strict=True)}


def share(rows: list[Row], group: str | None, of: dict[str, str | None], half_life: float | None) -> float:
    """A group's share of decayed activity, with one unit of doubt; NaN for content that belongs to none."""
    if group is None:
        return NAN
    weights = [row.strength * (2 ** (-row.age / DAY / half_life) if half_life else 1) for row in rows]
    mine = sum(w for row, w in zip(rows, weights, strict=True) if of.get(row.content) == group)
    return mine / (sum(weights) + 1)


def tag_share(rows: list[Row], content: str) -> float:
    """The mean share of decayed activity of the content's tags; each activity is spread over its own content's tags."""
    weights = [row.strength * 2 ** (-row.age / DAY / 30) for row in rows]
    by_tag = {
        tag: sum(
            weight / len(TAGS[row.content])
            for row, weight in zip(rows, weights, strict=True)
            if tag in TAGS.get(row.content, ())
        )
        for tag in TAGS.get(content, ())
    }
    return float(np.mean(list(by_tag.values()))) / (sum(weights) + 1) if by_tag else 0.0


def response(rows: list[Row], person: int, category: str | None) -> float:
    """Engagements per impression in the category in 30 days, with ten impressions of everybody's rate."""
    recent = [row for row in rows if row.age <= 30 * DAY and CATEGORY.get(row.content)]
    shown = [row for row in recent if row.event == "impression"]
    done = [row for row in recent if row.event in ENGAGED]
    if category is None or not shown:
        return NAN

    def here(found: list[Row]) -> int:
        return sum(row.person == person and CATEGORY[row.content] == category for row in found)

    return (here(done) + 10 * len(done) / len(shown)) / (here(shown) + 10)


def by_hand(rows: list[Row], person: int, content: str) -> Pair:
    """All of them."""
    mine = [row for row in rows if row.person == person]
    active, with_it = [row for row in mine if row.active], [row for row in mine if row.content == content]
    category = CATEGORY.get(content)
    alike = [row for row in mine if category and CATEGORY.get(row.content) == category and row.age <= 30 * DAY]
    shown = [row.age for row in with_it if row.event == "impression"]
    engaged = [row.age for row in with_it if row.event in ENGAGED]
    lately = [age for age in shown if age <= 30 * DAY]
    return {
        **{f"affinity_category_{label}": share(active, category, CATEGORY, h) for label, h in HALF_LIVES.items()},
        "affinity_author": share(active, AUTHOR.get(content), AUTHOR, 30),
        "affinity_tags": tag_share(active, content),
        "affinity_format": share(active, FORMAT.get(content), FORMAT, 30),
        "category_response": response(rows, person, category),
        "category_engaged_30d": sum(row.event in ENGAGED for row in alike) if category else NAN,
        "category_shown_30d": sum(row.event == "impression" for row in alike) if category else NAN,
        "last_session_category": share(_last_session(rows, person), category, CATEGORY, None),
        "seen": sum(row.age <= 365 * DAY for row in with_it if row.active),
        "engaged_days_ago": min(engaged) / DAY if engaged else NAN,
        "shown": len(lately),
        "shown_days_ago": min(lately) / DAY if lately else NAN,
        "shown_unanswered": sum(age < min(engaged, default=NAN) or not engaged for age in shown),
    }


def _last_session(rows: list[Row], person: int) -> list[Row]:
    present = sorted((row for row in rows if row.person == person and row.event != "refund"), key=lambda row: row.age)
    last: list[Row] = []
    for row in present:
        if last and row.age - last[-1].age > 30 * MINUTE:
            break
        last.append(row)
    return [row for row in last if row.active]


@given(logs(max_size=18))
def test_pair_features_are_those_computed_by_hand(rows: list[Row]) -> None:
    """Of every person with every content, known or not."""
    for (person, content), found in opened(rows).items():
        assert found == pytest.approx(by_hand(rows, person, content), nan_ok=True, rel=1e-5, abs=1e-6)


@given(logs(), st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_who_else_is_asked_about_means_anything(rows: list[Row], chance: Random) -> None:
    """The same bytes however rows tie, pair by pair; and what is passed in stays as it was."""
    log, content = placed(rows), content_of()
    before = image([log, content])
    people = np.repeat(PEOPLE, len(CONTENTS))
    contents = pa.array([*CONTENTS] * len(PEOPLE))
    whole = PairsOfNight(log, content, AS_OF).features(people, contents)
    shuffled = PairsOfNight(placed(chance.sample(rows, len(rows))), content, AS_OF)
    for at in range(len(people)):
        alone = shuffled.features(people[at : at + 1], contents[at : at + 1])
        assert alone.tobytes() == whole[at : at + 1].tobytes()
    assert tastes(shuffled) == tastes(PairsOfNight(log, content, AS_OF))
    assert image([log, content]) == before


@given(logs(), st.integers(1, 6))
def test_how_many_rows_a_kernel_is_given_at_a_time_leaves_no_trace(rows: list[Row], at_a_time: int) -> None:
    """A person is never cut, however many rows they have; the same bytes."""
    log, content = placed(rows), content_of()
    people, contents = np.repeat(PEOPLE, len(CONTENTS)), pa.array([*CONTENTS] * len(PEOPLE))
    at_once = PairsOfNight(log, content, AS_OF)
    with patch.object(pair_night, "_ROWS", at_a_time):
        in_pieces = PairsOfNight(log, content, AS_OF)
        assert tastes(in_pieces) == tastes(at_once)
        found = in_pieces.features(people, contents)
    assert found.tobytes() == at_once.features(people, contents).tobytes()


def tastes(pairs: PairsOfNight) -> list[bytes]:
    """Of everybody, as one table."""
    return image(pa.concat_tables(pairs.tastes()).combine_chunks())


def test_a_log_that_is_not_sorted_is_refused() -> None:
    """Rows of a person are looked up by where they begin and end."""
    log = placed([Row(person=1), Row(person=2)])
    with pytest.raises(ValueError, match="not sorted by person_id: row 1 comes before row 0"):
        PairsOfNight(log.take([1, 0]), content_of(), AS_OF).features(np.array([1]), pa.array(["c0"]))


def test_no_pairs_have_no_features() -> None:
    """But all of their columns."""
    nobody = np.zeros(0, np.int64)
    assert night_of([Row()]).features(nobody, pa.array([], pa.string())).shape == (0, len(MODELLED))


def test_a_recent_taste_is_stronger_at_a_short_half_life() -> None:
    """Who turned from `a` to `b` yesterday is a person of `b` by the day, and still one of `a` by the month."""
    rows = [Row(content="c0", age=20 * DAY + i) for i in range(30)] + [Row(content="c1", age=DAY)] * 4
    found = opened(rows)
    assert found[1, "c1"]["affinity_category_1d"] > found[1, "c0"]["affinity_category_1d"]
    assert found[1, "c1"]["affinity_category_30d"] < found[1, "c0"]["affinity_category_30d"]


def test_one_click_is_no_passion() -> None:
    """A single fresh click has a share of a half, not of one."""
    assert opened([Row(age=1, event="click")])[1, "c0"]["affinity_category_7d"] == pytest.approx(0.5)
