"""What was known strictly before an instant: the one gate between the lake and everything that learns, ranks or grades.

Nothing downstream filters by time for itself, so nothing downstream can leak. Past nights for training are cut from the
same archive by the same function as tonight's snapshot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property, lru_cache, partial

import pyarrow as pa
import pyarrow.compute as pc

from expectations import schemas
from features.spec import Spec
from pipeline import clock, identify, log, measuring, orders, suppress
from pipeline.config import Config
from pipeline.consent import Consent
from pipeline.errors import ShortlistError
from pipeline.identify import People
from pipeline.lake import UNDATED, Lake
from pipeline.measuring import ByNight, Measurements
from pipeline.persons import SLACK

NIGHT = (*log.LOG.names, "available_at", "customer_id", "day")
"""What a night is cut from, of events."""

WHO = ("person_id", "ts", "event", "available_at", "customer_id", "day")
"""Those of them that say who there is, and who may be ranked."""

EVENTS = (*NIGHT, "propensity", "session_id", "source")
"""All that an archive has: ids of single events say nothing, and weigh as much as all the rest."""

WORDS = [field.name for field in log.LOG if pa.types.is_dictionary(field.type)]
"""Those of them that are text, and have few different words."""


_KEPT = "kept"


class Once:
    """A table that is made when it is first asked for; what it is made of, which may be as large, is let go of then."""

    def __init__(self, make: Callable[[], pa.Table]) -> None:
        self._make: Callable[[], pa.Table] | None = make
        self._made: pa.Table | None = None

    def __call__(self) -> pa.Table:
        """The table."""
        if self._make is not None:
            self._made, self._make = self._make(), None
        return self._made


@dataclass(frozen=True)
class Night:
    """All known strictly before `as_of`: `people` (sorted) and what they did, `content`, `customers`, and `consent`.

    `popularity` are counts of what nobody in particular did. A customer's `person_id` is the log's.
    """

    as_of: datetime
    people: pa.Array
    popularity: pa.Table
    content: pa.Table
    customers: pa.Table
    consent: Consent
    _log: Once = field(repr=False)
    _measured: Once = field(repr=False)

    @property
    def log(self) -> pa.Table:
        """What people did, in canonical order: only those wait for that who ask for it."""
        return self._log()

    @property
    def measured(self) -> pa.Table:
        """What the person kernel says of everybody on this night, from all that was ever known of them."""
        return self._measured()

    @property
    def suppressed(self) -> pa.Array:
        """Every id of everybody who objects."""
        return self.consent.suppressed

    def rankable(self, config: Config) -> pa.Array:
        """The people of the log who may be ranked, sorted: not suppressed, and consenting where silence means no."""
        return self.people.filter(self.consent.may(self.people, config.privacy))


@dataclass(frozen=True)
class _Known:
    """The rows of each table that were known at an instant, who was who, and who agreed to what."""

    people: People
    events: pa.Table
    transactions: pa.Table
    popularity: pa.Table
    customers: pa.Table
    consent: Consent

    @property
    def has_orders(self) -> bool:
        """Whether orders are the truth about purchases."""
        return bool(self.transactions.num_rows > 0)

    @property
    def persons(self) -> pa.Array:
        """Who is in the log, sorted."""
        return log.persons(self.events, self.transactions, self.people, has_orders=self.has_orders)


@dataclass(frozen=True)
class Archive:
    """The lake's rows up to the latest night asked for, read once; `night` cuts any earlier instant out of it."""

    until: datetime
    config: Config
    events: pa.Table
    transactions: pa.Table
    popularity: pa.Table
    identities: pa.Table
    content: pa.Table
    customers: pa.Table
    suppressions: pa.Table
    lake: Lake | None = None
    """Where everything lies that people ever did; None: it is all in these tables."""
    on_slice: Callable[[int, int], None] | None = None

    @classmethod
    def load(
        cls,
        lake: Lake,
        config: Config,
        until: datetime,
        history_days: int | None = None,
        on_slice: Callable[[int, int], None] | None = None,
        columns: Sequence[str] = EVENTS,
    ) -> Archive:
        """All rows that became available before `until`, at most `history_days` old.

        Without `history_days`, as many as the oldest night that training replays needs behind it. `on_slice` is told
        how many of how many slices are done whenever people are measured. With fewer `columns` events take less memory:
        with NIGHT the archive knows nights, but no outcomes; with WHO only who is `rankable`, and `suppressed`.

        Raises:
            ShortlistError: The lake holds no engagement at all.
        """
        first = (until - timedelta(days=history_days or _replayed_days(config))).date()
        last = (until + SLACK).date()
        events = _before(lake.read("events", columns=columns, words=WORDS, since=first, until=last), until)
        transactions, popularity = (
            _before(lake.read(table, since=first, until=last), until) for table in ("transactions", "popularity")
        )
        if not (events.num_rows or transactions.num_rows or popularity.num_rows):
            raise ShortlistError(
                f"the lake {lake.root} holds no events, transactions or popularity before {until.isoformat()}. "
                f"Run `shortlist ingest --as-of {until.date()}`, or check the sources' paths with `shortlist doctor`."
            )
        return cls(
            until=until,
            config=config,
            events=events,
            transactions=transactions,
            popularity=popularity,
            identities=_before(lake.read("identities"), until),
            content=_snapshots(lake, "content", first, last),
            customers=_snapshots(lake, "customers", first, last),
            suppressions=lake.read("suppressions"),
            lake=lake,
            on_slice=on_slice,
        )

    def night(self, as_of: datetime) -> Night:
        """What was known strictly before `as_of`: the same, whether the archive ends there or later.

        Nothing is older than `training.history_days`, so that a replayed night knows no more than a served one.

        Raises:
            ValueError: `as_of` lies after what this archive holds.
        """
        known = self._known(as_of)
        rows = log.of(known.events, known.transactions, known.people, has_orders=known.has_orders)
        counts = log.counts(known.popularity, has_orders=known.has_orders)
        content = self._content(as_of, rows, counts)
        return Night(
            as_of=as_of,
            people=known.persons,
            popularity=counts,
            content=content,
            customers=_named(known.customers, known.people),
            consent=known.consent,
            _log=Once(partial(log.in_order, rows)),
            _measured=Once(partial(self._measurements.of, as_of, content)),
        )

    def rankable(self, as_of: datetime) -> pa.Array:
        """`Night.rankable` of that night, which need not be cut for it."""
        known = self._known(as_of)
        people = known.persons
        return people.filter(known.consent.may(people, self.config.privacy))

    def customers_at(self, as_of: datetime) -> pa.Table:
        """`Night.customers` of that night, which need not be cut for it."""
        return _named(self._customers(as_of), self._people(as_of))

    def _known(self, as_of: datetime) -> _Known:
        if as_of > self.until:
            raise ValueError(
                f"this archive ends at {self.until.isoformat()}, so it cannot know the night {as_of.isoformat()}"
            )
        people = self._people(as_of)
        events, transactions, popularity = (
            self._history(_before(t, as_of), as_of) for t in (self.events, self.transactions, self.popularity)
        )
        transactions = orders.newest(transactions)
        customers = self._customers(as_of)
        consent = Consent.of(self._suppressed(as_of, people), customers, events, transactions, people)
        return _Known(people, events, transactions, popularity, customers, consent)

    def _customers(self, as_of: datetime) -> pa.Table:
        return _latest(self._history(self.customers, as_of), as_of, self.config)

    def known_at(self, until: datetime) -> Archive:
        """What an archive would hold that had been loaded then: without what happened before, but was told later."""
        events, transactions, popularity, identities = (
            _before(rows, until) for rows in (self.events, self.transactions, self.popularity, self.identities)
        )
        return replace(
            self,
            until=until,
            events=events,
            transactions=transactions,
            popularity=popularity,
            identities=identities,
        )

    def plan(self, nights: Sequence[datetime]) -> None:
        """Say which nights will be asked for, one after the other: people are measured on many of them in one pass."""
        self._measurements.plan(nights)

    @cached_property
    def _measurements(self) -> Measurements:
        people = sum(pc.count_distinct(t["person_id"]).as_py() for t in (self.events, self.transactions))
        return Measurements(self.config, self._measure, people)

    @property
    def _measure(self) -> Callable[[Sequence[datetime], Spec], ByNight]:
        """Who measures people holds nothing of this archive that it can do without: a night outlives its archive."""
        if self.lake is not None:
            return partial(measuring.in_lake, self.lake, config=self.config, on_slice=self.on_slice)
        return partial(measuring.in_tables, self.events, self.transactions, self.identities, config=self.config)

    def outcome(self, as_of: datetime, horizon: timedelta) -> pa.Table:
        """What people did in [`as_of`, `as_of` + `horizon`), as OUTCOME; people are named as known at `as_of`.

        Raises:
            ValueError: That time is not over where this archive ends.
        """
        if as_of + horizon > self.until:
            raise ValueError(f"the outcome of {as_of.isoformat()} is not mature before {(as_of + horizon).isoformat()}")
        return self._outcome(as_of, horizon)

    @cached_property
    def _outcome(self) -> Callable[[datetime, timedelta], pa.Table]:
        """Goals mostly have one horizon, and ask one after the other."""
        return lru_cache(maxsize=1)(self._happened)

    def _happened(self, as_of: datetime, horizon: timedelta) -> pa.Table:
        events, transactions = (_between(t, as_of, as_of + horizon) for t in (self.events, self.transactions))
        has_orders = transactions.num_rows > 0 or _before(self.transactions, as_of).num_rows > 0
        return log.in_order(
            log.of(events, orders.newest(transactions), self._people(as_of), has_orders=has_orders, schema=log.OUTCOME)
        )

    @property
    def suppressed(self) -> pa.Array:
        """Every id of everybody who objects, as known at the archive's end."""
        return self._consent.suppressed

    def usable(self, people: pa.Array) -> pa.Array:
        """Which of these people a model may learn from, judged by what is known at the archive's end."""
        return self._consent.may(people, self.config.privacy)

    @cached_property
    def _consent(self) -> Consent:
        people = self._people(self.until)
        customers = _latest(self.customers, self.until, self.config)
        return Consent.of(self._suppressed(self.until, people), customers, self.events, self.transactions, people)

    @cached_property
    def _people(self) -> Callable[[datetime], People]:
        """A night and its outcomes ask for the same people, one after the other."""
        identities, identity = self.identities, self.config.identity  # nothing that would hold the archive itself
        return lru_cache(maxsize=1)(lambda as_of: identify.people(identities, as_of, identity))

    def _suppressed(self, as_of: datetime, people: People) -> pa.Array:
        rows = self.customers.group_by(["source", "day"]).aggregate([])
        snapshots = zip(rows["source"].to_pylist(), rows["day"].to_pylist(), strict=True)
        return suppress.ids(self.suppressions, snapshots, people, as_of, self.config)

    @cached_property
    def logs_impressions(self) -> bool:
        """Whether anybody records what people were shown."""
        return bool(pc.any(pc.equal(self.events["event"], "impression")).as_py())

    def first_ts(self) -> datetime:
        """When the oldest thing that somebody did happened; the archive's end, where there is nobody."""
        found: list[datetime] = [pc.min(t["ts"]).as_py() for t in (self.events, self.transactions) if t.num_rows]
        return min(found, default=self.until)

    def last_ts(self) -> datetime:
        """When the newest thing that somebody did happened; the archive's end, where there is nobody."""
        found: list[datetime] = [pc.max(t["ts"]).as_py() for t in (self.events, self.transactions) if t.num_rows]
        return max(found, default=self.until)

    def _history(self, rows: pa.Table, as_of: datetime) -> pa.Table:
        """Rows of the exports that a night may look back on, and undated ones."""
        first = (as_of - timedelta(days=self.config.training.history_days)).date()
        undated = pc.equal(rows["day"], pa.scalar(UNDATED, pa.date32()))
        return _where(rows, pc.or_(undated, pc.greater_equal(rows["day"], pa.scalar(first, pa.date32()))))

    @cached_property
    def _feeds(self) -> pa.Array:
        """The sources that export only their newest content."""
        from pipeline import sources  # every task imports this module, and few need all the readers of exports

        names = [source.name for source in self.config.sources if sources.is_partial(source, "content")]
        return pa.array(names, pa.string())

    def _content(self, as_of: datetime, rows: pa.Table, popularity: pa.Table) -> pa.Table:
        catalogue = _once(_latest(self._history(self.content, as_of), as_of, self.config, self._feeds))
        facts = catalogue.select(list(schemas.NATIVE["content"].names))
        return facts if facts.num_rows else log.content_of(rows, popularity)


def _named(customers: pa.Table, people: People) -> pa.Table:
    """With each customer's `person_id`: the log's."""
    return customers.append_column("person_id", people.resolve(customers["customer_id"].combine_chunks()))


def _before(rows: pa.Table, as_of: datetime) -> pa.Table:
    """Rows that could be known before `as_of`; a row cannot be known before it happened, whatever its file says."""
    limit = pa.scalar(as_of, schemas.TIMESTAMP)
    known = pc.less(rows["available_at"], limit)
    return _where(rows, pc.and_(known, pc.less(rows["ts"], limit)) if "ts" in rows.column_names else known)


def _where(rows: pa.Table, kept: pa.ChunkedArray) -> pa.Table:
    """Some of the rows. What is kept whole is not copied: of a long log that is all but the newest days."""
    if pc.all(kept, min_count=0).as_py():
        return rows
    parts = rows.append_column(_KEPT, kept).to_batches()
    return pa.Table.from_batches([_of_batch(part) for part in parts], schema=rows.schema)


def _of_batch(part: pa.RecordBatch) -> pa.RecordBatch:
    kept, known = part[_KEPT], part.drop_columns([_KEPT])
    return known if kept.true_count == part.num_rows else known.filter(kept)


def _replayed_days(config: Config) -> int:
    return config.training.history_days + config.training.nights + math.ceil(config.horizon / timedelta(days=1))


def _between(rows: pa.Table, start: datetime, end: datetime) -> pa.Table:
    first, last = (pa.scalar(t, schemas.TIMESTAMP) for t in (start, end))
    return rows.filter(pc.and_(pc.greater_equal(rows["ts"], first), pc.less(rows["ts"], last)))


def _snapshots(lake: Lake, table: str, first: date, until: date) -> pa.Table:
    """Dated snapshots of the period and undated ones."""
    dated = lake.read(table, since=max(first, UNDATED + timedelta(days=1)), until=until)
    return pa.concat_tables([dated, lake.read(table, days=[UNDATED])])


def _latest(rows: pa.Table, as_of: datetime, config: Config, feeds: pa.Array | None = None) -> pa.Table:
    """Each source's newest snapshot whose day was over at `as_of`; of `feeds` every one."""
    last_day = clock.last_finished_day(as_of, config)
    known = _where(rows, pc.less_equal(rows["day"], pa.scalar(last_day, pa.date32())))
    newest = known.group_by("source").aggregate([("day", "max")])
    kept = pc.is_in(known["source"], value_set=pa.array([], pa.string()) if feeds is None else feeds)
    for source, day in zip(newest["source"].to_pylist(), newest["day_max"].to_pylist(), strict=True):
        of_day = pc.equal(known["day"], pa.scalar(day, pa.date32()))
        kept = pc.or_(kept, pc.and_(of_day, pc.equal(known["source"], source)))
    return _where(known, kept)


def _once(catalogue: pa.Table) -> pa.Table:
    """Each content once, sorted by id: where sources share an id, the newest snapshot counts, then the first name."""
    ordered = catalogue.sort_by([("content_id", "ascending"), ("day", "descending"), ("source", "ascending")])
    ids = ordered["content_id"].combine_chunks()
    first = pc.not_equal(ids[1:], ids[:-1]).to_pylist()
    return ordered.filter(pa.array([True, *first][: len(ids)], pa.bool_()))
