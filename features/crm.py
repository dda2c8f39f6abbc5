"""What the CRM says of people: which of its attributes are features, and how their texts are read as numbers.

That is learned once, on training nights, and kept with the model (the `Vocabulary`): a code means the same on every
night, whatever values the CRM has by then. Missing is missing. No value is remembered that fewer than 11 people share.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.history import Floats, Ints
from features.measures import Attribute

K = 11
"""Of whom fewer people say something is not learned: what a handful of people are is nobody else's business."""

MOST_ATTRIBUTES = 30
MOST_VALUES = 20

FACTS = pa.schema([("person_id", pa.int64()), ("attribute", pa.string()), ("value", pa.string())])
"""One row a person and attribute."""

_NUMERIC = 0.95
_UNIQUE = 0.95
_LONGEST = 60
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$"
_ENTRIES = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
_ORDER = [("person_id", "ascending"), ("day", "descending"), ("source", "ascending"), ("customer_id", "ascending")]


@dataclass(frozen=True)
class Vocabulary:
    """The attributes that are features, by name; and those that are not, each with the reason. All of it is JSON."""

    attributes: tuple[Attribute, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As it is kept with a model."""
        return {"attributes": [asdict(one) for one in self.attributes], "left_out": dict(self.left_out)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any] | None) -> Vocabulary:
        """What `to_json` wrote; of a model that was trained without a CRM there is none."""
        if found is None:
            return cls()
        read = (Attribute(one["column"], one["name"], _tuple(one["values"])) for one in found["attributes"])
        return cls(tuple(read), dict(found["left_out"]))


def facts(contacts: pa.Table, people: Ints) -> pa.Table:
    """What the CRM says of `people`: FACTS, sorted by person and attribute, without blanks.

    Args:
        contacts: `person_id`, `customer_id`, `day`, `source` and `attributes`. Of a person with several rows the newest
            day that knows an attribute says it, then the first source by name, then the smallest id.
        people: Ids, in any order.
    """
    known = contacts.filter(pc.is_in(contacts["person_id"], value_set=pa.array(np.unique(people), pa.int64())))
    known = known.take(pc.sort_indices(known.select([name for name, _ in _ORDER]), _ORDER))
    entries = known["attributes"].combine_chunks().cast(_ENTRIES)
    cells = pc.list_flatten(entries)
    columns = [known["person_id"].combine_chunks().take(pc.list_parent_indices(entries)), pc.struct_field(cells, 0)]
    values = pc.utf8_trim_whitespace(pc.struct_field(cells, 1))
    said = pa.table([*columns, values], schema=FACTS)
    return _first(said.filter(pc.fill_null(pc.not_equal(values, ""), False)))


def vocabulary(tables: Sequence[pa.Table]) -> Vocabulary:
    """Which attributes are features and how each is read, learned from the FACTS of the training nights' people.

    An attribute that holds numbers for 95 % of those who have it, and more than two of them, is the number. Any other
    is a code: its 20 most frequent values, each shared by 11 people, count from 0, the most frequent first, ties by
    name; all else is "other". A person on several nights counts once for each value. Left out is what fewer than 11
    people have, what is the same for all who have it or different for almost each (an id, a date, a free text), and
    what is not among the 30 attributes that most people have.
    """
    every = pa.concat_tables([FACTS.empty_table(), *(table.select(FACTS.names) for table in tables)])
    distinct = every.group_by(FACTS.names).aggregate([])
    counted = distinct.group_by(["attribute", "value"]).aggregate([([], "count_all")])
    people = distinct.group_by("attribute").aggregate([("person_id", "count_distinct")])
    having = dict(zip(people["attribute"].to_pylist(), people["person_id_count_distinct"].to_pylist(), strict=True))
    kept: dict[str, tuple[str, ...] | None] = {}
    left_out = {}
    for name in sorted(having, key=lambda one: (-having[one], one)):
        read = _read_as(counted.filter(pc.equal(counted["attribute"], name)), having[name])
        if isinstance(read, str):
            left_out[name] = read
        elif len(kept) == MOST_ATTRIBUTES:
            left_out[name] = f"{MOST_ATTRIBUTES} others are known of more people"
        else:
            kept[name] = read
    columns = _columns(sorted(kept))
    return Vocabulary(
        tuple(Attribute(column, name, kept[name]) for name, column in columns.items()), dict(sorted(left_out.items()))
    )


def coded(facts: pa.Table, people: Ints, vocabulary: Vocabulary) -> pa.Table:
    """One row for each of `people`, in their order, and one float64 column an attribute; NaN where it is missing.

    Args:
        facts: FACTS, one row a person and attribute.
        people: Ids, in any order, and any of them more than once.
        vocabulary: How each attribute is read. A value that it does not know is "other".
    """
    return pa.table({one.column: _coded(facts, people, one) for one in vocabulary.attributes})


def _first(said: pa.Table) -> pa.Table:
    """The first row of each person and attribute, sorted by both; `said` is sorted by person."""
    names = said["attribute"].unique().sort()
    place = np.unique(_ints(said["person_id"]), return_inverse=True)[1] * max(len(names), 1)
    place = place + _ints(pc.index_in(said["attribute"], value_set=names))
    return said.take(pa.array(np.unique(place, return_index=True)[1]))


# ---------------------------------------------------------------- what is learned


def _read_as(values: pa.Table, people: int) -> tuple[str, ...] | str | None:
    """The values that get codes, None for a number, or why the attribute is left out.

    `values` are those of one attribute, each with how many people had it (`count_all`).
    """
    counts = _ints(values["count_all"])
    unique = len(counts) >= _UNIQUE * counts.sum()
    if people < K:
        return f"fewer than {K} people have it"
    if len(counts) == 1:
        return "all who have it have the same"
    numbers = _numbers(values["value"])
    known = ~np.isnan(numbers)
    if counts[known].sum() >= _NUMERIC * counts.sum() and len(np.unique(numbers[known])) > 2:
        whole = bool((numbers[known] == np.round(numbers[known])).all())
        return "a number of almost each person's own, like an id" if unique and whole else None
    if unique:
        return "almost each person has another"
    shared = values.filter(pc.greater_equal(values["count_all"], K))
    shared = shared.sort_by([("count_all", "descending"), ("value", "ascending")])
    return tuple(shared["value"].to_pylist()[:MOST_VALUES]) or f"no value is shared by {K} people"


def _columns(names: Iterable[str]) -> dict[str, str]:
    """Each attribute's column: letters, digits and underscores of ASCII, as every system takes them."""
    columns: dict[str, str] = {}
    for name in names:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        column = "crm_" + (re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:_LONGEST].strip("_") or "attribute")
        same = sum(other == column or other.startswith(f"{column}__") for other in columns.values())
        columns[name] = f"{column}__{same + 1}" if same else column
    return columns


# ---------------------------------------------------------------- how it is read


def _coded(facts: pa.Table, people: Ints, attribute: Attribute) -> Floats:
    mine = facts.filter(pc.equal(facts["attribute"], attribute.name)).sort_by("person_id")
    if not mine.num_rows:
        return np.full(len(people), np.nan)
    read = _numbers(mine["value"]) if attribute.values is None else _codes(mine["value"], attribute.values)
    ids = _ints(mine["person_id"])
    at = np.minimum(np.searchsorted(ids, people), len(ids) - 1)
    return np.where(ids[at] == people, read[at], np.nan)


def _codes(values: pa.ChunkedArray, known: Sequence[str]) -> Floats:
    found = pc.fill_null(pc.index_in(values, value_set=pa.array(known, pa.string())), len(known))
    return _ints(found).astype(np.float64)


def _numbers(values: pa.ChunkedArray) -> Floats:
    """NaN where it is no number, or too large for a model's row (float32)."""
    readable = pc.match_substring_regex(values, _NUMBER)
    numbers = np.asarray(pc.if_else(readable, values, None).cast(pa.float64()).combine_chunks().fill_null(np.nan))
    return np.where(np.abs(numbers) < np.finfo(np.float32).max, numbers, np.nan)


def _ints(values: pa.ChunkedArray) -> Ints:
    return np.asarray(values.combine_chunks()).astype(np.int64)


def _tuple(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
