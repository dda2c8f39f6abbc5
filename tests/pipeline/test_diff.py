"""What changed between two snapshots: every list is counted once, for its true reason; contents, by how many lists."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pipeline import diff, snapshot
from pipeline.diff import Changes, DiffReport, Moved
from pipeline.errors import ShortlistError
from pipeline.snapshot import Ranked
from tests.pipeline.nights import as_of, changed, facts, ranked

Row = dict[str, Any]
Lists = dict[str, list[Row]]


def published(root: Path, tables: Ranked, night: int) -> Path:
    """The folder of a snapshot of these tables."""
    done = snapshot.commit(root, snapshot.stage(root, tables, facts(), as_of(night)))
    return root / "snapshots" / done.name


def compared(root: Path, old: Ranked, new: Ranked) -> DiffReport:
    """What the second night's snapshot has over the first's."""
    return diff.diff(published(root, old, 0), published(root, new, 1))


def swapped(tables: Ranked, one: int, other: int) -> Ranked:
    """The same tables, with the contents of two rows of people in each other's place."""
    contents = tables.people["content_id"].to_pylist()
    return changed(tables, "people", "content_id", {one: contents[other], other: contents[one]})


def test_the_same_lists_are_the_same(tmp_path: Path) -> None:
    """Another night alone changes nobody's list."""
    found = compared(tmp_path, ranked(night=0), ranked(night=1))
    assert (found.same, found.changed, found.came, found.gone, found.overlap) == (3, 0, 0, 0, 1.0)
    assert found.changes == Changes(contents=0, order=0, scores=0, labels=0, strategy=0, model_version=0)
    assert (found.came_in, found.left) == ((), ())


def test_each_list_is_counted_for_its_own_reason(tmp_path: Path) -> None:
    """One person each: another content, another order, another score, another model, nothing. Four ranks a person."""
    new = swapped(ranked(night=1, people=5), 4, 7)
    new = changed(new, "people", "content_id", {0: "news"})
    new = changed(new, "people", "score", {9: 0.51})
    new = changed(new, "people", "model_version", {12: "ranker/9", 13: "ranker/9"})
    found = compared(tmp_path, ranked(people=5), new)
    assert found.changes == Changes(contents=1, order=1, scores=1, labels=1, strategy=0, model_version=1)
    assert (found.same, found.changed) == (1, 4)
    assert (found.came_in, found.left) == ((Moved("news", 1),), (Moved("c0-1", 1),))
    assert found.overlap == pytest.approx((4 + 3 / 4) / 5)


def test_two_swapped_pairs_are_another_order(tmp_path: Path) -> None:
    """What a sum of hashes of ranks and contents, taken apart, would not see."""
    new = swapped(swapped(ranked(night=1, people=1), 0, 1), 2, 3)
    assert compared(tmp_path, ranked(people=1), new).changes.order == 1


def test_people_come_and_go(tmp_path: Path) -> None:
    """Whoever is in one snapshot only is new or gone, and moves no content."""
    found = compared(tmp_path, ranked(people=5), ranked(night=1, people=2, variant=1))
    assert (found.people_before, found.people_now, found.came, found.gone) == (5, 2, 0, 3)
    assert found.changes.contents == 2
    assert found.overlap == 0.0
    assert {one.people for one in (*found.came_in, *found.left)} == {2}
    assert [one.content_id for one in found.came_in] == ["c1-1", "c1-2", "c1-3", "c1-4"]


def test_a_customer_is_not_the_visitor_of_the_same_id(tmp_path: Path) -> None:
    """People are told apart by both."""
    new = changed(ranked(night=1, people=1), "people", "id_type", dict.fromkeys(range(4), "visitor"))
    found = compared(tmp_path, ranked(people=1), new)
    assert (found.came, found.gone, found.overlap) == (1, 1, None)


def test_another_strategy_is_counted_beside_what_it_changed(tmp_path: Path) -> None:
    """A list that the rules now make counts among other contents, and among other strategies."""
    new = changed(ranked(night=1), "people", "strategy", dict.fromkeys(range(4), "rules"))
    new = changed(new, "people", "content_id", {3: "news"})
    found = compared(tmp_path, ranked(), new)
    assert found.changes == Changes(contents=1, order=0, scores=0, labels=0, strategy=1, model_version=0)


def test_lists_of_another_length_overlap_within_the_shorter_k(tmp_path: Path) -> None:
    """Where K grew from 2 to 4, the first two of four are the same two: nothing is lost within K."""
    found = compared(tmp_path, ranked(k=2), ranked(night=1, k=4))
    assert (found.k, found.overlap, found.changes.contents) == (2, 1.0, 3)
    assert found.came_in == (Moved("c0-3", 3), Moved("c0-4", 3))


def test_a_snapshot_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The message says which two, and which command looks closer."""
    old, new = published(tmp_path, ranked(), 0), published(tmp_path, ranked(variant=1), 1)
    (new / "people" / "part-00000.parquet").write_bytes(b"no Parquet")
    with pytest.raises(ShortlistError, match=rf"{old.name} and {new.name} could not be compared.*shortlist verify"):
        diff.diff(old, new)


def drawn(draw: Random, longest: int) -> Lists:
    """Lists of some of 300 people, of few contents and values, so that many of two draws are nearly alike."""
    return {f"p{number}": _list(draw, draw.randint(1, longest)) for number in range(300) if draw.random() < 0.9}


def _list(draw: Random, length: int) -> list[Row]:
    scores, model = draw.choice(((0.5, 0.5), (0.5, 0.25))), draw.choice(("ranker/7", "ranker/8"))
    strategy = draw.choice(("model", "rules"))
    return [
        {"content_id": content, "score": score, "strategy": strategy, "model_version": model}
        for content, score in zip(draw.sample("abc", length), (*scores, 0.1), strict=False)
    ]


def tables_of(lists: Lists, night: int) -> Ranked:
    """People with these lists; fallbacks as always."""
    fixed = ranked(night=night, people=1, k=1)
    owner = {**fixed.people.to_pylist()[0]}
    rows = [
        {**owner, "person_id": person, "rank": rank, **row}
        for person, each in lists.items()
        for rank, row in enumerate(each, start=1)
    ]
    return Ranked(fixed.people.from_pylist(rows, schema=fixed.people.schema), fixed.segments, fixed.default)


def contents(rows: list[Row]) -> set[str]:
    """What a list holds."""
    return {row["content_id"] for row in rows}


def reason(old: list[Row], new: list[Row]) -> str:
    """Why two lists of a person differ, said without any SQL."""
    if contents(old) != contents(new):
        return "contents"
    if [row["content_id"] for row in old] != [row["content_id"] for row in new]:
        return "order"
    if [row["score"] for row in old] != [row["score"] for row in new]:
        return "scores"
    return "same" if old == new else "labels"


def overlap(old: list[Row], new: list[Row], k: int) -> float:
    """The share of the longer list's first `k` contents that the other one has among its own."""
    before, now = contents(old[:k]), contents(new[:k])
    return len(before & now) / max(len(before), len(now))


@pytest.mark.parametrize(("seed", "longest"), [(1, 3), (2, 2)])
def test_it_agrees_with_counting_by_hand(tmp_path: Path, seed: int, longest: int) -> None:
    """Of any lists: each person once, contents by lists, and the overlap within the smaller K."""
    draw = Random(seed)
    old, new = drawn(draw, 3), drawn(draw, longest)
    found = compared(tmp_path, tables_of(old, 0), tables_of(new, 1))
    both = sorted(old.keys() & new.keys())
    why = Counter(reason(old[person], new[person]) for person in both)
    counted = {name: getattr(found.changes, name) for name in ("contents", "order", "scores", "labels")}
    assert {"same": found.same, **counted} == {name: why[name] for name in ("same", *counted)}
    assert (found.gone, found.came) == (len(old.keys() - new.keys()), len(new.keys() - old.keys()))
    came = Counter(content for one in both for content in contents(new[one]) - contents(old[one]))
    assert {one.content_id: one.people for one in found.came_in} == came
    assert len(why) == 5, "a reason that no list has is not tested"
    shares = [overlap(old[one], new[one], longest) for one in both]
    assert found.overlap == pytest.approx(sum(shares) / len(shares), abs=1e-12)
