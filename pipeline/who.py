"""Who an id belongs to, and why: every id of the person, the links that count and those that do not, and their consent.

The rules are those of `identify.people`, `suppress.ids` and `Consent.may`; this module asks them and words the answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from expectations import schemas
from pipeline import clock, erasure, identify, suppress
from pipeline.config import Config
from pipeline.consent import Consent
from pipeline.errors import ShortlistError
from pipeline.identify import People
from pipeline.lake import NIGHT, UNDATED, Lake
from pipeline.pseudonyms import Pseudonyms
from pipeline.report import Report

Kind = Literal["customer", "visitor", "email"]
KINDS: tuple[Kind, ...] = ("customer", "visitor", "email")
"""What an id that somebody types may be, in the order in which it is tried."""

_ABOUT: Mapping[str, tuple[str, ...]] = {
    **erasure.PERSONAL,
    "identities": ("id", "other_id"),
    "suppressions": ("id",),
}
_ORDER = ("customer", "email", "order", "visitor")
_NONE = pa.array([], pa.int64())
_NOBODY = People(pa.table({"id": _NONE, "person_id": _NONE}), _NONE, _NONE)

Name = dict[str, Any]
"""An id as it may be shown: `id_type`, `native_id` (null unless the vault has it), `pseudonym` (eight hex digits)."""


@dataclass(frozen=True)
class WhoReport(Report):
    """One person as known strictly before `as_of`; `person` and `ids` are named as the vault allows (`Name`).

    `also`: what else the same text is, of somebody else. `links`: ids seen together, which of them count, and why.
    `rows`: by table, how many are about the person, with the first and last day (of a night's tables: night).
    """

    as_of: str
    person: str
    person_id_type: str
    asked_id_type: str
    also: tuple[str, ...]
    ids: tuple[Mapping[str, Any], ...]
    links: tuple[Mapping[str, Any], ...]
    consent: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Any]]


def run(asked: str, as_of: datetime, config: Config, kind: Kind | None = None) -> WhoReport:
    """The person to whom `asked`, a native id or an e-mail address, belongs.

    Args:
        kind: What `asked` is; otherwise the first of `KINDS` under which the lake knows it.

    Raises:
        ShortlistError: The lake knows nobody by this id.
    """
    ids = Pseudonyms.of(config)
    view = _View.of(as_of, config)
    tried = {name: ids.one(asked, name) for name in ([kind] if kind else KINDS)}
    seen = view.seen(tried.values())
    persons = {name: view.person(pseudonym) for name, pseudonym in tried.items() if pseudonym in seen}
    if not persons:
        raise ShortlistError(_unknown(tried, view))
    chosen, person = next(iter(persons.items()))
    theirs: dict[int, str] = {tried[name]: name for name, whose in persons.items() if whose == person}
    return _report(view, person, chosen, theirs, tuple(name for name in persons if persons[name] != person))


def called(name: Name) -> str:
    """An id for people to read."""
    stored = {"email": "an e-mail address (not stored)", "order": "an order (not stored)"}
    known = name["native_id"] or stored.get(name["id_type"], "not in the vault")
    return f"{name['id_type']} {known} [{name['pseudonym']}]"


def _unknown(tried: Mapping[Kind, int], view: _View) -> str:
    forms = ", ".join(f"{kind} [{_hex(pseudonym)}]" for kind, pseudonym in tried.items())
    return (
        f"the lake {view.lake.root} knew nobody by this id before {view.as_of.isoformat()}; tried as: {forms}. "
        "Ids are compared letter by letter, e-mail addresses without regard to capitals. Check the spelling, give a "
        "later --as-of, or use the key that the lake was loaded with."
    )


def _hex(pseudonym: int) -> str:
    return f"{pseudonym & (1 << 64) - 1:016x}"[:8]


# ---------------------------------------------------------------- what was known


@dataclass(frozen=True)
class _View:
    """What was known strictly before `as_of`: `links` (rows of `identities`), and who is who by them."""

    as_of: datetime
    config: Config
    lake: Lake
    links: pa.Table
    people: People

    @classmethod
    def of(cls, as_of: datetime, config: Config) -> _View:
        """Of the configuration's lake."""
        lake = Lake.of(config)
        links = lake.read("identities")
        links = links.filter(pc.less(links["available_at"], pa.scalar(as_of, schemas.TIMESTAMP)))
        return cls(as_of, config, lake, links, identify.people(links, as_of, config.identity))

    def person(self, pseudonym: int) -> int:
        """Whose it is."""
        return int(self.people.resolve(pa.array([pseudonym], pa.int64()))[0].as_py())

    def seen(self, pseudonyms: Iterable[int]) -> set[int]:
        """Those of which any table has a row."""
        ids = pa.array(pseudonyms, pa.int64())
        tables = {table: self.about(table, ids) for table in _ABOUT}
        found = {one for table, columns in _ABOUT.items() for name in columns for one in tables[table][name].to_pylist()}
        return found & {*ids.to_pylist()}

    def about(self, table: str, ids: pa.Array) -> pa.Table:
        """The rows of `table` about `ids`; the table is scanned and never held."""
        schema = schemas.LAKE[table].schema
        if not (files := self.lake.files(table)):
            return schema.empty_table()
        places = ds.partitioning(pa.schema([schema.field("source"), schema.field("day")]), flavor="hive")
        theirs = reduce(lambda a, b: a | b, [pc.field(column).isin(ids) for column in _ABOUT[table]])
        found = ds.dataset(files, schema=schema, format="parquet", partitioning=places)
        return found.to_table(filter=theirs & self._known(table)).select(schema.names)

    def _known(self, table: str) -> ds.Expression:
        """Whether a row could be known, as `night` and `suppress` see it."""
        instant = pa.scalar(self.as_of, schemas.TIMESTAMP)
        if table == "suppressions":
            return (pc.field("since") < instant) | (pc.field("source") == suppress.FORGOTTEN)
        if table in ("customers", "native_ids"):
            return pc.field("day") <= pa.scalar(clock.last_finished_day(self.as_of, self.config), pa.date32())
        known = pc.field("available_at") < instant
        return known if table == "identities" else known & (pc.field("ts") < instant)

    def nights(self, table: str, ids: pa.Array) -> list[str]:
        """The night of each row about `ids` in a table of nights."""
        if not (files := self.lake.files(table)):
            return []
        places = ds.partitioning(pa.schema([("night", pa.string())]), flavor="hive")
        theirs = pc.field("person_id").isin(ids) & (pc.field("night") <= self.as_of.strftime(NIGHT))
        found = ds.dataset(files, format="parquet", partitioning=places).to_table(columns=["night"], filter=theirs)
        return [str(night) for night in found["night"].to_pylist()]


# ---------------------------------------------------------------- the person


def _report(view: _View, person: int, asked: Kind, theirs: Mapping[int, str], also: tuple[str, ...]) -> WhoReport:
    ids = view.people.ids_of(pa.array([person], pa.int64()))
    about = {table: view.about(table, ids) for table in _ABOUT}
    links = _links_of(view, ids)
    names = _names(view, {*ids.to_pylist(), *_ends(view, links)}, theirs)
    shown = [{**names[one], "asked": one in theirs} for one in ids.to_pylist()]
    return WhoReport(
        as_of=view.as_of.isoformat(),
        person=called(names[person]),
        person_id_type=names[person]["id_type"],
        asked_id_type=asked,
        also=also,
        ids=tuple(sorted(shown, key=lambda name: (_ORDER.index(name["id_type"]), name["pseudonym"]))),
        links=tuple(_told(view, link, names) for link in links),
        consent=_consent(view, person, ids, about, names),
        rows={
            **{table: _span(rows.num_rows, _days(rows)) for table, rows in about.items()},
            **{table: _span(len(nights), nights) for table in erasure.NIGHTLY for nights in [view.nights(table, ids)]},
        },
    )


def _days(rows: pa.Table) -> list[str]:
    return [day.isoformat() for day in rows["day"].unique().to_pylist() if day != UNDATED]


def _span(rows: int, when: list[str]) -> dict[str, Any]:
    return {"rows": rows, "first": min(when, default=None), "last": max(when, default=None)}


def _names(view: _View, ids: set[int], asked: Mapping[int, str]) -> dict[int, Name]:
    wanted = pa.array(sorted(ids), pa.int64())
    vault = {row["id"]: row for row in view.about("native_ids", wanted).to_pylist()}
    types = {one: row["id_type"] for one, row in vault.items()} | dict(asked)
    for end, kind in (("id", "id_type"), ("other_id", "other_type")):
        linked = view.links.filter(pc.is_in(view.links[end], value_set=wanted))
        types |= dict(zip(linked[end].to_pylist(), linked[kind].to_pylist(), strict=True))
    return {
        one: {"id_type": types[one], "native_id": vault.get(one, {}).get("native_id"), "pseudonym": _hex(one)}
        for one in ids
    }


# ---------------------------------------------------------------- links


def _links_of(view: _View, ids: pa.Array) -> list[dict[str, Any]]:
    """Each pair of ids that a source saw together, one of them of `ids`."""
    touching = pc.or_(pc.is_in(view.links["id"], value_set=ids), pc.is_in(view.links["other_id"], value_set=ids))
    pair = ["id", "id_type", "other_id", "other_type", "source"]
    found = view.links.filter(touching).group_by(pair).aggregate([("available_at", "min"), ("available_at", "max")])
    ordered = found.sort_by([("available_at_min", "ascending"), *((name, "ascending") for name in pair)])
    links: list[dict[str, Any]] = ordered.to_pylist()
    return links


def _ends(view: _View, links: Iterable[Mapping[str, Any]]) -> set[int]:
    """The ids of `links`, and those of the people that they belong to."""
    ends = {end for link in links for end in (link["id"], link["other_id"])}
    return ends | {view.person(end) for end in ends}


def _told(view: _View, link: Mapping[str, Any], names: Mapping[int, Name]) -> dict[str, Any]:
    counts, why = _verdict(view, link, names)
    return {
        "id": names[link["id"]],
        "other": names[link["other_id"]],
        "source": link["source"],
        "since": link["available_at_min"].isoformat(),
        "last": link["available_at_max"].isoformat(),
        "counts": counts,
        "why": why,
    }


def _verdict(view: _View, link: Mapping[str, Any], names: Mapping[int, Name]) -> tuple[bool, str]:
    """Whether the link joins its ends, and why."""
    one, other, limits = link["id"], link["other_id"], view.config.identity
    if generic := {one, other} & {*view.people.generic.to_pylist()}:
        address = generic.pop()
        count, most = _customers(view, address), limits.customers_per_address
        kind = {"email": "e-mail address"}.get(names[address]["id_type"], names[address]["id_type"])
        return False, f"{kind} of {count} customers, more than identity.customers_per_address = {most}: joins nobody"
    if one in view.people.shared.to_pylist():
        count, most = _users(view, one), limits.people_per_visitor
        return False, f"browser shared by {count} people, more than identity.people_per_visitor = {most}: is nobody's"
    if view.person(one) == view.person(other):
        several = link["id_type"] == "visitor" and _users(view, one) > 1
        return True, "browser belongs to whom it was seen with last" if several else "seen together: one person"
    if link["id_type"] == "visitor":
        return False, f"browser belongs to whom it was seen with last: {called(names[view.person(one)])}"
    most = limits.customers_per_address
    return False, (
        f"chain taken apart: it would make one person of more than identity.customers_per_address = {most} customers, "
        "so that each id stays with the customer that it was seen with first"
    )


def _customers(view: _View, address: int) -> int:
    seen = pc.and_(pc.equal(view.links["id"], address), pc.equal(view.links["other_type"], "customer"))
    return int(pc.count_distinct(view.links["other_id"].filter(seen)).as_py())


def _users(view: _View, visitor: int) -> int:
    """How many people a browser was seen with."""
    met = view.links["other_id"].filter(pc.equal(view.links["id"], visitor)).unique()
    met = met.filter(pc.invert(pc.is_in(met, value_set=view.people.generic)))
    return int(pc.count_distinct(view.people.resolve(met)).as_py())


# ---------------------------------------------------------------- consent


def _consent(
    view: _View, person: int, ids: pa.Array, about: Mapping[str, pa.Table], names: Mapping[int, Name]
) -> dict[str, Any]:
    said, snapshots = view.lake.read("suppressions"), view.lake.days("customers")
    suppressed = suppress.ids(said, snapshots, view.people, view.as_of, view.config)
    contacts = _contacts(view)
    done = [_recent(view, about[table]) for table in ("events", "transactions")]
    consent = Consent.of(suppressed, contacts, *done, view.people)
    may = consent.may(pa.array([person], pa.int64()), view.config.privacy)[0].as_py()
    crm = _crm(contacts, ids)
    objections = [
        {**names[row["id"]], **{name: row[name] for name in ("source", "reason")}, "since": row["since"].isoformat()}
        for row in _objections(view, about["suppressions"])
    ]
    return {
        "may_be_personalized": may,
        "why": _why(view, may=may, crm=crm, objections=objections, customer=person in consent.customers.to_pylist()),
        "crm": crm,
        "objections": objections,
        "recent_rows": sum(rows.num_rows for rows in done),
    }


def _contacts(view: _View) -> pa.Table:
    """The newest snapshot of every CRM, as a night sees it."""
    last = clock.last_finished_day(view.as_of, view.config)
    newest: dict[str, Any] = {}
    for source, day in view.lake.days("customers"):
        if day <= last:
            newest[source] = max(day, newest.get(source, day))
    parts = [view.lake.read("customers", source=source, days=[day]) for source, day in newest.items()]
    return _recent(view, pa.concat_tables([schemas.LAKE["customers"].schema.empty_table(), *parts]))


def _recent(view: _View, rows: pa.Table) -> pa.Table:
    """Rows that a night looks back on."""
    since = (view.as_of - timedelta(days=view.config.training.history_days)).date()
    undated = pc.equal(rows["day"], pa.scalar(UNDATED, pa.date32()))
    return rows.filter(pc.or_(undated, pc.greater_equal(rows["day"], pa.scalar(since, pa.date32()))))


def _crm(contacts: pa.Table, ids: pa.Array) -> str:
    """What the newest snapshots say of the person, but for objections, which are no contacts any more."""
    if not contacts.num_rows:
        return "none"
    theirs = contacts.filter(pc.is_in(contacts["customer_id"], value_set=ids))["consent_personalization"].to_pylist()
    return "agrees" if True in theirs else "silent" if theirs else "unknown"


def _objections(view: _View, said: pa.Table) -> Iterator[dict[str, Any]]:
    """Of the person's rows of `suppressions` those that still count, one a source and id (of signals: one an id)."""
    snapshots = view.lake.days("customers") | view.lake.days("suppressions")
    wishes: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in said.to_pylist():
        signal = row["reason"] in schemas.SIGNALS and row["source"] != suppress.FORGOTTEN
        wishes.setdefault((row["id"], "" if signal else row["source"]), []).append(row)
    for _, rows in sorted(wishes.items()):
        alone = pa.Table.from_pylist(rows, schema=said.schema)
        if len(suppress.ids(alone, snapshots, _NOBODY, view.as_of, view.config)):
            yield max((row for row in rows if not row["personalization"]), key=lambda row: row["since"])


_REASONS = {
    "crm": "opted out in the CRM",
    "gpc": "the browser sends Global Privacy Control",
    "consent": "declined where asked for consent",
    "objection": "objected",
    "forgotten": "was forgotten with `shortlist forget`",
}
_SAID = {"none": "there is no CRM", "silent": "the CRM says neither yes nor no", "unknown": "no CRM knows them"}


def _why(view: _View, *, may: bool, crm: str, objections: list[dict[str, Any]], customer: bool) -> str:
    if objections:
        return "; ".join(
            f"{called(one)} {_REASONS[one['reason']]} (source {one['source']}, since {one['since']})"
            for one in objections
        )
    if crm == "agrees":
        return "agrees in the CRM, and nobody objects"
    setting = "unknown_consent" if customer and crm != "none" and (may or _denied(view)) else "unknown_visitors"
    if not customer and setting == "unknown_visitors":
        return f"nobody ever logged in with it, and privacy.unknown_visitors = {view.config.privacy.unknown_visitors!r}"
    return f"{_SAID[crm]}, and privacy.unknown_consent = {view.config.privacy.unknown_consent!r}"
