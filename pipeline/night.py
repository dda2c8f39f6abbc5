"""What was known strictly before an instant: the one gate between the lake and everything that learns, ranks or grades.

Nothing downstream filters by time for itself, so nothing downstream can leak. Past nights for training are cut from the
same archive by the same function as tonight's snapshot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from expectations import schemas
from pipeline import identify
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import UNDATED, Lake

LOG = pa.schema(
    [
        ("person_id", pa.int64()),
        ("ts", schemas.TIMESTAMP),
        ("content_id", pa.string()),
        ("event", pa.string()),
        ("dwell_seconds", pa.float64()),
        ("value", pa.float64()),
        ("position", pa.int32()),
        ("device", pa.string()),
        ("country", pa.string()),
    ]
)
"""What people did. Orders appear as `purchase` (and `refund`, with a negative value)."""

REFUND = "refund"

_ORDER = ("person_id", "ts", "event", "content_id", "position", "value", "dwell_seconds", "device", "country")
_CANONICAL = [(name, "ascending") for name in _ORDER]
_SLACK = timedelta(days=2)
"""A row may lie a day outside its export's day, which is in the project's time zone; instants decide, not days."""


@dataclass(frozen=True)
class Night:
    """All known strictly before `as_of`: `log` (in canonical order), `content`, `customers`, who must not be ranked."""

    as_of: datetime
    log: pa.Table
    content: pa.Table
    customers: pa.Table
    suppressed: pa.Array

    def rankable(self, config: Config) -> pa.Array:
        """The people of the log who may be ranked, sorted: not suppressed, and consenting where silence means no."""
        people = pc.unique(self.log["person_id"]).sort()
        allowed = pc.invert(pc.is_in(people, value_set=self.suppressed))
        if config.privacy.unknown_consent == "deny":
            allowed = pc.and_(allowed, pc.is_in(people, value_set=self.customers["customer_id"].combine_chunks()))
        return people.filter(allowed)


@dataclass(frozen=True)
class Archive:
    """The lake's rows up to the latest night asked for, read once; `night` cuts any earlier instant out of it."""

    until: datetime
    config: Config
    events: pa.Table
    transactions: pa.Table
    identities: pa.Table
    content: pa.Table
    customers: pa.Table

    @classmethod
    def load(cls, lake: Lake, config: Config, until: datetime, history_days: int | None = None) -> Archive:
        """All rows that became available before `until`, at most `history_days` old.

        Without `history_days`, as many as the oldest night that training replays needs behind it.

        Raises:
            ShortlistError: The lake holds no engagement at all.
        """
        since = (until - timedelta(days=history_days or _replayed_days(config))).date()
        last = (until + _SLACK).date()
        events = _before(lake.read("events", since=since, until=last), until)
        transactions = _before(lake.read("transactions", since=since, until=last), until)
        if not events.num_rows and not transactions.num_rows:
            raise ShortlistError(
                f"the lake {lake.root} holds no events or transactions before {until.isoformat()}. "
                f"Run `shortlist ingest --as-of {until.date()}`, or check the sources' paths with `shortlist doctor`."
            )
        return cls(
            until=until,
            config=config,
            events=events,
            transactions=transactions,
            identities=_before(lake.read("identities"), until),
            content=_snapshots(lake, "content", since, last),
            customers=_snapshots(lake, "customers", since, last),
        )

    def night(self, as_of: datetime) -> Night:
        """What was known strictly before `as_of`: the same, whether the archive ends there or later.

        Nothing is older than `training.history_days`, so that a replayed night knows no more than a served one.

        Raises:
            ValueError: `as_of` lies after what this archive holds.
        """
        if as_of > self.until:
            raise ValueError(
                f"this archive ends at {self.until.isoformat()}, so it cannot know the night {as_of.isoformat()}"
            )
        aliases = identify.customer_by_alias(self.identities, as_of)
        events, transactions = (self._history(_before(t, as_of), as_of) for t in (self.events, self.transactions))
        log = _log(events, transactions, aliases, orders=transactions.num_rows > 0)
        customers = _latest(self._history(self.customers, as_of), as_of, self.config)
        content = self._content(as_of, log)
        return Night(as_of, log, content, customers, _suppressed(customers, as_of, self.config))

    def outcome(self, as_of: datetime, horizon: timedelta) -> pa.Table:
        """What people did in [`as_of`, `as_of` + `horizon`), as a log; people are named as they were known at `as_of`.

        Raises:
            ValueError: That time is not over where this archive ends.
        """
        if as_of + horizon > self.until:
            raise ValueError(f"the outcome of {as_of.isoformat()} is not mature before {(as_of + horizon).isoformat()}")
        aliases = identify.customer_by_alias(self.identities, as_of)
        events, transactions = (_between(t, as_of, as_of + horizon) for t in (self.events, self.transactions))
        orders = transactions.num_rows > 0 or _before(self.transactions, as_of).num_rows > 0
        return _log(events, transactions, aliases, orders=orders)

    @cached_property
    def suppressed(self) -> pa.Array:
        """Everybody who must not be used at the archive's end: customers who object, and every alias of theirs."""
        customers = _suppressed(_latest(self.customers, self.until, self.config), self.until, self.config)
        aliases = identify.customer_by_alias(self.identities, self.until)
        theirs = aliases.filter(pc.is_in(aliases["customer_id"], value_set=customers))["alias_id"].combine_chunks()
        return pc.unique(pa.concat_arrays([customers, theirs]))

    def usable(self, people: pa.Array) -> pa.Array:
        """Which of these people a model may learn from, judged by what is known at the archive's end."""
        allowed = pc.invert(pc.is_in(people, value_set=self.suppressed))
        if self.config.privacy.unknown_consent == "deny":
            customers = _latest(self.customers, self.until, self.config)["customer_id"].combine_chunks()
            allowed = pc.and_(allowed, pc.is_in(people, value_set=customers))
        return allowed

    def first_ts(self) -> datetime:
        """When the oldest row of the archive happened."""
        found: list[datetime] = [pc.min(t["ts"]).as_py() for t in (self.events, self.transactions) if t.num_rows]
        return min(found)

    def _history(self, rows: pa.Table, as_of: datetime) -> pa.Table:
        """Rows of the exports that a night may look back on, and undated ones."""
        since = (as_of - timedelta(days=self.config.training.history_days)).date()
        undated = pc.equal(rows["day"], pa.scalar(UNDATED, pa.date32()))
        return rows.filter(pc.or_(undated, pc.greater_equal(rows["day"], pa.scalar(since, pa.date32()))))

    def _content(self, as_of: datetime, log: pa.Table) -> pa.Table:
        catalogue = _once(_latest(self._history(self.content, as_of), as_of, self.config))
        facts = catalogue.select(list(schemas.NATIVE["content"].names))
        return facts if facts.num_rows else content_of_log(log)


def content_of_log(log: pa.Table) -> pa.Table:
    """A catalogue of what people did, for companies that export none: first seen is published; no more is known."""
    first = log.group_by("content_id").aggregate([("ts", "min")]).sort_by("content_id")
    schema = schemas.NATIVE["content"].schema
    known = {
        "content_id": first["content_id"],
        "published_at": first["ts_min"],
        "status": pa.array(["published"] * first.num_rows, pa.string()),
    }
    return pa.table([known.get(f.name, pa.nulls(first.num_rows, f.type)) for f in schema], schema=schema)


def _before(rows: pa.Table, as_of: datetime) -> pa.Table:
    """Rows that could be known before `as_of`; a row cannot be known before it happened, whatever its file says."""
    limit = pa.scalar(as_of, schemas.TIMESTAMP)
    known = pc.less(rows["available_at"], limit)
    return rows.filter(pc.and_(known, pc.less(rows["ts"], limit)) if "ts" in rows.column_names else known)


def _replayed_days(config: Config) -> int:
    longest = max(goal.horizon for goal in config.goals.values())
    return config.training.history_days + config.training.nights + math.ceil(longest / timedelta(days=1))


def _between(rows: pa.Table, start: datetime, end: datetime) -> pa.Table:
    first, last = (pa.scalar(t, schemas.TIMESTAMP) for t in (start, end))
    return rows.filter(pc.and_(pc.greater_equal(rows["ts"], first), pc.less(rows["ts"], last)))


def _log(events: pa.Table, transactions: pa.Table, aliases: pa.Table, *, orders: bool) -> pa.Table:
    """Events and orders in one log, in canonical order. Where there are `orders` they are the truth about purchases."""
    if orders:
        events = events.filter(pc.not_equal(events["event"], "purchase"))
    rows = pa.concat_tables([events.select(LOG.names).cast(LOG), _purchases(transactions)])
    people = identify.resolve(rows["person_id"].combine_chunks(), aliases)
    return rows.set_column(0, LOG.field("person_id"), people).sort_by(_CANONICAL)


def _purchases(transactions: pa.Table) -> pa.Table:
    bought = transactions.filter(
        pc.and_(pc.is_valid(transactions["content_id"]), pc.not_equal(transactions["amount"], 0))
    )
    event = pc.if_else(pc.greater(bought["amount"], 0), "purchase", REFUND)
    known = {
        "person_id": bought["person_id"],
        "ts": bought["ts"],
        "content_id": bought["content_id"],
        "event": event,
        "value": bought["amount"],
    }
    return pa.table([known.get(f.name, pa.nulls(bought.num_rows, f.type)) for f in LOG], schema=LOG)


def _snapshots(lake: Lake, table: str, since: date, until: date) -> pa.Table:
    """Dated snapshots of the period and undated ones."""
    dated = lake.read(table, since=max(since, UNDATED + timedelta(days=1)), until=until)
    return pa.concat_tables([dated, lake.read(table, days=[UNDATED])])


def _latest(rows: pa.Table, as_of: datetime, config: Config) -> pa.Table:
    """Each source's newest snapshot whose day was over at `as_of`."""
    last_day = last_finished_day(as_of, config)
    known = rows.filter(pc.less_equal(rows["day"], pa.scalar(last_day, pa.date32())))
    newest = known.group_by("source").aggregate([("day", "max")])
    parts = [
        known.filter(pc.and_(pc.equal(known["source"], source), pc.equal(known["day"], pa.scalar(day, pa.date32()))))
        for source, day in zip(newest["source"].to_pylist(), newest["day_max"].to_pylist(), strict=True)
    ]
    return pa.concat_tables(parts) if parts else rows.schema.empty_table()


def _once(catalogue: pa.Table) -> pa.Table:
    """Each content once, sorted by id: where sources share an id, the newest snapshot counts, then the first name."""
    ordered = catalogue.sort_by([("content_id", "ascending"), ("day", "descending"), ("source", "ascending")])
    ids = ordered["content_id"].combine_chunks()
    first = pc.not_equal(ids[1:], ids[:-1]).to_pylist()
    return ordered.filter(pa.array([True, *first][: len(ids)], pa.bool_()))


def last_finished_day(as_of: datetime, config: Config) -> date:
    """The last calendar day, in the project's time zone, that was over at `as_of`."""
    return as_of.astimezone(config.project.zone).date() - timedelta(days=1)


def _suppressed(customers: pa.Table, as_of: datetime, config: Config) -> pa.Array:
    """Customers who refused personalization or whose consent is unknown where that means no."""
    refused = pc.equal(customers["consent_personalization"], False)
    if config.privacy.unknown_consent == "deny":
        refused = pc.fill_null(refused, True)
    opted_out = pc.less(customers["opted_out_at"], pa.scalar(as_of, schemas.TIMESTAMP))
    either = pc.or_(pc.fill_null(refused, False), pc.fill_null(opted_out, False))
    return pc.unique(customers.filter(either)["customer_id"])
