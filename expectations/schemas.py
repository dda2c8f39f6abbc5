"""The vocabulary: name, type, meaning and unit of every column of every table.

Everything that reads or writes a table takes its names from here. Three forms of a table exist:

* *native*: what a source hands over, with the company's own ids (`events`, `content`, `customers`, `transactions`;
  `popularity`, counts of nobody in particular; `links`, ids seen together; `signals`, wishes about personalization);
* *lake*: the same rows with pseudonyms in place of native ids, plus bookkeeping (`source`, `day`, `shard`);
* *published*: what downstream systems read (`people`, `segments`, `default`), and `changes` of `people`.

Times are microseconds UTC; amounts are in the row's `currency`; durations carry their unit in the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")

EVENTS = ("impression", "view", "click", "like", "save", "share", "comment", "follow", "purchase")
"""Canonical event names; anything else is `custom:<name>`."""

CUSTOM_PREFIX = "custom:"


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, what it means, whether a row without it is refused, and what values it may have."""

    name: str
    type: pa.DataType
    meaning: str
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Table:
    """One table: its columns, the columns that identify a row, and (natively) the ids of which one must be there."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """As Arrow says it: a required column is one that cannot be null."""
        return pa.schema([pa.field(c.name, c.type, nullable=not c.required) for c in self.columns])

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the order in which the table has them."""
        return tuple(c.name for c in self.columns)

    def column(self, name: str) -> Column:
        """The column of this name, which must be one of the table's."""
        return next(c for c in self.columns if c.name == name)


def _tables(*tables: Table) -> Mapping[str, Table]:
    return MappingProxyType({table.name: table for table in tables})


_EVENT_FACTS = (
    Column("content_id", pa.string(), "the content that the event is about", required=True),
    Column("event", pa.string(), f"one of {', '.join(EVENTS)}, or {CUSTOM_PREFIX}<name>", required=True),
    Column("dwell_seconds", pa.float64(), "engaged time on the content, s", minimum=0, maximum=86_400),
    Column("value", pa.float64(), "what the event was worth, in the source's currency"),
    Column("position", pa.int32(), "place in the list that showed it, from 1", minimum=1, maximum=10_000),
    Column("impression_id", pa.string(), "the impression that this event answers"),
    Column("propensity", pa.float64(), "probability with which it was shown, 0..1", minimum=0, maximum=1),
    Column("channel", pa.string(), "where it happened: web, app, e-mail …"),
    Column("device", pa.string(), "desktop, mobile, tablet …"),
    Column("country", pa.string(), "ISO 3166 alpha-2"),
)

_CONTENT_FACTS = (
    Column("content_id", pa.string(), "the content's id in the company's own system", required=True),
    Column("title", pa.string(), "headline"),
    Column("category", pa.string(), "the one category used for affinity and caps"),
    Column("tags", pa.list_(pa.string()), "free keywords"),
    Column("author", pa.string(), "who made it"),
    Column("published_at", TIMESTAMP, "when people could first see it"),
    Column("expires_at", TIMESTAMP, "from when on it must not be shown"),
    Column("status", pa.string(), "`published` can be ranked; anything else cannot"),
    Column("quality", pa.float64(), "editorial quality, 0..1", minimum=0, maximum=1),
    Column("language", pa.string(), "ISO 639"),
    Column("url", pa.string(), "where it lives"),
    Column("format", pa.string(), "what it is made as: standard, video, gallery, podcast …"),
)

_POPULARITY_FACTS = (
    Column("content_id", pa.string(), "the content", required=True),
    Column("event", pa.string(), f"one of {', '.join(EVENTS)}, or {CUSTOM_PREFIX}<name>", required=True),
    Column("ts", TIMESTAMP, "start of the hour or day that is counted", required=True),
    Column("available_at", TIMESTAMP, "when we could first have known it"),
    Column("count", pa.float64(), "how often it happened", required=True, minimum=0),
    Column("dwell_seconds", pa.float64(), "engaged time in total, s", minimum=0),
)

_ID_NAMES = ("visitor_id", "customer_id", "email")
_NATIVE_IDS = (
    Column("visitor_id", pa.string(), "native id of a browser or device"),
    Column("customer_id", pa.string(), "native CRM id"),
    Column("email", pa.string(), "joins people across systems; never stored"),
)

SIGNALS = ("gpc", "consent", "objection")
"""What a person can say about personalization outside the CRM; `gpc` is the browser's Global Privacy Control."""

NATIVE = _tables(
    Table(
        "events",
        (
            Column("event_id", pa.string(), "unique in its source; repeated ids are duplicates", required=True),
            Column("ts", TIMESTAMP, "when it happened", required=True),
            Column("available_at", TIMESTAMP, "when we could first have known it"),
            Column("visitor_id", pa.string(), "native id of a browser or device"),
            Column("customer_id", pa.string(), "native CRM id"),
            Column("session_id", pa.string(), "native session id; otherwise sessions are built"),
            Column("order_id", pa.string(), "native order id of a purchase: joins a browser to an order; not stored"),
            *_EVENT_FACTS,
        ),
        key=("event_id",),
        any_of=("visitor_id", "customer_id"),
    ),
    Table("content", _CONTENT_FACTS, key=("content_id",)),
    Table(
        "customers",
        (
            Column("customer_id", pa.string(), "native CRM id", required=True),
            Column("email", pa.string(), "joins orders to contacts; never stored"),
            Column("consent_personalization", pa.bool_(), "true, false, or null for unknown"),
            Column("opted_out_at", TIMESTAMP, "when the person objected to personalization"),
            Column("attributes", pa.map_(pa.string(), pa.string()), "anything else the CRM knows and we may use"),
        ),
        key=("customer_id",),
    ),
    Table(
        "transactions",
        (
            Column("order_id", pa.string(), "native order id", required=True),
            Column("line_no", pa.int32(), "line of the order, from 1; a refund has its own line", required=True),
            Column("ts", TIMESTAMP, "when it was paid or refunded", required=True),
            Column("available_at", TIMESTAMP, "when we could first have known it"),
            Column("customer_id", pa.string(), "native CRM id"),
            Column("email", pa.string(), "joins orders to contacts; never stored"),
            Column("content_id", pa.string(), "what was bought"),
            Column("quantity", pa.float64(), "units, negative when returned"),
            Column("amount", pa.float64(), "line total in `currency`, negative for refunds", required=True),
            Column("currency", pa.string(), "ISO 4217"),
            Column("status", pa.string(), "paid, refunded …"),
        ),
        key=("order_id", "line_no"),
        any_of=("customer_id", "email"),
    ),
    Table(
        "popularity",
        _POPULARITY_FACTS,
        key=("content_id", "event", "ts"),
    ),
    Table(
        "links",
        (
            Column("ts", TIMESTAMP, "when the ids were seen together", required=True),
            Column("available_at", TIMESTAMP, "when we could first have known it"),
            *_NATIVE_IDS,
            Column("order_id", pa.string(), "native order id"),
        ),
        any_of=(*_ID_NAMES, "order_id"),
    ),
    Table(
        "signals",
        (
            Column("ts", TIMESTAMP, "when it was said", required=True),
            *_NATIVE_IDS,
            Column("personalization", pa.bool_(), "false objects, true consents", required=True),
            Column("reason", pa.string(), f"what it was: {', '.join(SIGNALS)}", required=True),
        ),
        any_of=_ID_NAMES,
    ),
)

_BOOKKEEPING = (
    Column("source", pa.string(), "the source's name in the configuration", required=True),
    Column("day", pa.date32(), "the day of the export that brought it, project time zone", required=True),
)
_PERSON = (
    Column("shard", pa.int16(), "stable slice of people", required=True),
    Column(
        "person_id",
        pa.int64(),
        "the row's own best id: customer, else visitor (events) or e-mail (orders)",
        required=True,
    ),
)

LAKE = _tables(
    Table(
        "events",
        (
            Column("event_id", pa.string(), "unique in its source", required=True),
            Column("ts", TIMESTAMP, "when it happened", required=True),
            Column("available_at", TIMESTAMP, "when we could first have known it", required=True),
            *_PERSON,
            Column("visitor_id", pa.int64(), "pseudonym of the browser or device"),
            Column("customer_id", pa.int64(), "pseudonym of the CRM id"),
            Column("session_id", pa.int64(), "pseudonym of the native session"),
            *_EVENT_FACTS,
            *_BOOKKEEPING,
        ),
        key=("source", "event_id"),
    ),
    Table("content", (*_CONTENT_FACTS, *_BOOKKEEPING), key=("day", "content_id")),
    Table(
        "customers",
        (
            Column("customer_id", pa.int64(), "pseudonym of the CRM id", required=True),
            Column("consent_personalization", pa.bool_(), "true, false, or null for unknown"),
            Column("opted_out_at", TIMESTAMP, "when the person objected to personalization"),
            Column("attributes", pa.map_(pa.string(), pa.string()), "anything else the CRM knows and we may use"),
            *_BOOKKEEPING,
        ),
        key=("day", "customer_id"),
    ),
    Table(
        "transactions",
        (
            Column("order_id", pa.int64(), "pseudonym of the order", required=True),
            Column("line_no", pa.int32(), "line of the order, from 1", required=True),
            Column("ts", TIMESTAMP, "when it was paid or refunded", required=True),
            Column("available_at", TIMESTAMP, "when we could first have known it", required=True),
            *_PERSON,
            Column("content_id", pa.string(), "what was bought"),
            Column("quantity", pa.float64(), "units, negative when returned"),
            Column("amount", pa.float64(), "line total in `currency`, negative for refunds", required=True),
            Column("currency", pa.string(), "ISO 4217"),
            Column("status", pa.string(), "paid, refunded …"),
            *_BOOKKEEPING,
        ),
        key=("source", "order_id", "line_no"),
    ),
    Table(
        "identities",
        (
            Column("id", pa.int64(), "pseudonym of a visitor, e-mail or order", required=True),
            Column("id_type", pa.string(), "visitor, email or order", required=True),
            Column("other_id", pa.int64(), "pseudonym of the id that it was seen with", required=True),
            Column("other_type", pa.string(), "customer, email or order", required=True),
            Column("available_at", TIMESTAMP, "when the link was first seen; unknown before", required=True),
            *_BOOKKEEPING,
        ),
        key=("source", "day", "id", "other_id"),
    ),
    Table(
        "popularity",
        (
            *(replace(c, required=c.required or c.name == "available_at") for c in _POPULARITY_FACTS),
            *_BOOKKEEPING,
        ),
        key=("source", "content_id", "event", "ts"),
    ),
    Table(
        "suppressions",
        (
            Column("id", pa.int64(), "pseudonym of who must not be personalized", required=True),
            Column("id_type", pa.string(), "visitor, customer, email or order", required=True),
            Column("personalization", pa.bool_(), "false: must not be; true: may be again", required=True),
            Column("reason", pa.string(), "crm, gpc, consent, objection or forgotten", required=True),
            Column("since", TIMESTAMP, "from when on it is known", required=True),
            *_BOOKKEEPING,
        ),
    ),
    Table(
        "native_ids",
        (
            Column("id", pa.int64(), "pseudonym", required=True),
            Column("id_type", pa.string(), "customer or visitor", required=True),
            Column("native_id", pa.string(), "the company's own id; empty where only we have one", required=True),
            *_BOOKKEEPING,
        ),
        key=("source", "day", "id"),
    ),
    Table(
        "quarantine",
        (
            Column("table", pa.string(), "the table the row was meant for", required=True),
            Column("source_file", pa.string(), "the export's file name", required=True),
            Column(
                "row_number", pa.int64(), "row of that file, from 1; the header of a CSV is not counted", required=True
            ),
            Column(
                "reason", pa.string(), "why it was refused; no value of the row, which may be personal", required=True
            ),
            *_BOOKKEEPING,
        ),
    ),
    Table(
        "loads",
        (
            Column("files", pa.string(), "file names read, comma-separated", required=True),
            Column("sha256", pa.string(), "of the files' bytes and the source's settings", required=True),
            Column("rows", pa.int64(), "rows kept, all tables", required=True),
            *_BOOKKEEPING,
        ),
        key=("source", "day"),
    ),
)
"""Tables of the lake. `identities` and `native_ids` live in the owner-only vault."""

REJECTED = pa.schema(
    [("table", pa.string()), ("source_file", pa.string()), ("row_number", pa.int64()), ("reason", pa.string())]
)
"""Rows that a source or the row contract refused."""

STRATEGIES = ("model", "rules", "segment", "default")

Action = Literal["pin", "boost", "bury", "exclude", "require"]
"""What a rule does to lists."""

_RANKED = (
    Column("rank", pa.int32(), "1..K, 1 is best", required=True, minimum=1),
    Column("content_id", pa.string(), "the content to show", required=True),
    Column(
        "score",
        pa.float64(),
        "relevance: sum of goal weight x value x probability, times what rules say; falls with rank, but for what a "
        "rule pins and in lists drawn by lot or spread over subjects",
        required=True,
    ),
)
REASONS = ("reason", "reason_2", "reason_3")

_PROVENANCE = (
    Column("strategy", pa.string(), f"how the list was made: {', '.join(STRATEGIES)}", required=True),
    Column(
        "candidate_source",
        pa.string(),
        "what brought the content in: trending, rising, fresh, affinity, covisit, beside, neighbours, followed, "
        "sessions, factors",
        required=True,
    ),
    Column("reason", pa.string(), "why, in words a customer may read", required=True),
    Column("reason_2", pa.string(), "the next strongest reason, or nothing"),
    Column("reason_3", pa.string(), "the one after it, or nothing"),
    Column("segment", pa.string(), "the person's RFM segment", required=True),
    Column("propensity", pa.float64(), "probability with which this content was placed; 1 without exploration"),
    Column("model_version", pa.string(), "registry version that scored it", required=True),
    Column("as_of", TIMESTAMP, "the instant the table is for", required=True),
)


def published(goals: tuple[str, ...]) -> Mapping[str, Table]:
    """The published tables' columns, with one calibrated probability `p_<goal>` a goal."""
    probabilities = tuple(
        Column(f"p_{g}", pa.float64(), f"calibrated probability of `{g}`, 0..1", minimum=0) for g in goals
    )
    person = (
        Column("person_id", pa.string(), "the company's own id", required=True),
        Column("id_type", pa.string(), "customer or visitor", required=True),
    )
    segments = tuple(c for c in _PROVENANCE if c.name != "segment")
    segment = (
        Column(
            "segment",
            pa.string(),
            "RFM segment, alone or with favourite category and device (`loyal / Sport / mobile`); `any` in the "
            "default table",
            required=True,
        ),
    )
    return _tables(
        Table("people", (*person, *_RANKED, *probabilities, *_PROVENANCE), key=("person_id", "id_type", "rank")),
        Table("segments", (*segment, *_RANKED, *probabilities, *segments), key=("segment", "rank")),
        Table("default", (*segment, *_RANKED, *probabilities, *segments), key=("segment", "rank")),
    )


CHANGES = ("new", "changed", "gone")
"""What can have become of a list since another snapshot."""


def changes(goals: tuple[str, ...]) -> Table:
    """The columns of `changes`: whole new lists of the people whose list is another one than before.

    Of whoever is gone there is one row, in which all that says something about a list is null.
    """
    people = published(goals)["people"]
    change = Column("change", pa.string(), f"what became of the list: {', '.join(CHANGES)}", required=True)
    ours = ("person_id", "id_type", "as_of")
    columns = tuple(column if column.name in ours else replace(column, required=False) for column in people.columns)
    return Table("changes", (*columns[:2], change, *columns[2:]), key=people.key)
