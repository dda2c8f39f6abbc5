"""People's lists full of what text formats stumble over: quotes, commas, line ends, formulas, nothing at all."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from expectations import schemas
from pipeline.snapshot import Ranked
from tests.pipeline.nights import FORMS, as_of, ranked

Person = tuple[str, str]
Lists = dict[Person, list[str]]

AWKWARD = (
    '"',
    '""',
    ",",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "=1+1",
    "-5",
    "@x",
    "NULL",
    "null",
    " ",
    "",
    "\u2028",
    "\0",
    "é😀",
    "\\",
)

texts = st.one_of(
    st.sampled_from(AWKWARD),
    st.lists(st.sampled_from((*AWKWARD, "a")), max_size=4).map("".join),
    st.text(max_size=6),
)
people = st.tuples(texts, st.sampled_from(["customer", "visitor"]))
lists: st.SearchStrategy[Lists] = st.dictionaries(
    people, st.lists(st.one_of(st.sampled_from("abc"), texts), min_size=1, max_size=4, unique=True), max_size=5
)
numbers = st.floats(allow_nan=False, allow_infinity=False)


def tables(lists_: Lists, night: int, reason: str = "Popular", score: float = 0.5) -> Ranked:
    """Everybody with their list; fallbacks as always."""
    fixed = ranked(night=night)
    rows: list[dict[str, Any]] = [
        {
            "person_id": person,
            "id_type": kind,
            "rank": rank,
            "content_id": content,
            "score": score,
            "p_click": score,
            "p_read": None,
            "strategy": "model",
            "candidate_source": "trending",
            "reason": reason,
            "segment": "loyal",
            "propensity": None,
            "model_version": "ranker/7",
            "as_of": as_of(night),
        }
        for (person, kind), contents in lists_.items()
        for rank, content in enumerate(contents, start=1)
    ]
    return Ranked(fixed.people.from_pylist(rows, schema=FORMS["people"].schema), fixed.segments, fixed.default)


def as_lists(rows: list[dict[str, Any]]) -> Lists:
    """Rows of people, in order of rank, as lists."""
    found: Lists = {}
    for row in sorted(rows, key=lambda row: int(row["rank"])):
        found.setdefault((row["person_id"], row["id_type"]), []).append(row["content_id"])
    return found


def applied(old: Lists, changes: list[dict[str, Any]]) -> Lists:
    """What a system has that had `old` and took the changes over: no lists of who is gone, whole ones of the others."""
    assert {row["change"] for row in changes} <= set(schemas.CHANGES)
    gone = {(row["person_id"], row["id_type"]) for row in changes if row["change"] == "gone"}
    now = as_lists([row for row in changes if row["change"] != "gone"])
    return {**{person: contents for person, contents in old.items() if person not in gone}, **now}
