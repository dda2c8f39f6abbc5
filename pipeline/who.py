"""Who an id belongs to, and why: every id of the person, the links that count and those that do not, and their consent.

The rules are those of `identify.people`, `suppress.ids` and `Consent.may`; this module asks them and words the answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from expectations import schemas
from pipeline import clock, erasure, suppress
from pipeline.config import Config
from pipeline.consent import Consent
from pipeline.errors import ShortlistError
from pipeline.identify import People
from pipeline.lake import UNDATED
from pipeline.pseudonyms import Pseudonyms
from pipeline.report import Report
from pipeline.reports.page import DASH
from pipeline.view import ABOUT, View

Kind = Literal["customer", "visitor", "email"]
KINDS: tuple[Kind, ...] = ("customer", "visitor", "email")
"""What an id that somebody types may be, in the order in which it is tried."""

_ORDER = ("customer", "email", "order", "visitor")
_MOST = 60
"""Links on a terminal; JSON has all of them."""
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
    return _report(resolved(asked, as_of, config, kind))


class Asked(NamedTuple):
    """Whom an id means: what kind of id it is, the person, those ids of the person that the text is, by kind, and what
    else the text is, of somebody else; `view` is what was known.
    """

    view: View
    kind: Kind
    person: int
    theirs: Mapping[int, str]
    also: tuple[str, ...]


def resolved(asked: str, as_of: datetime, config: Config, kind: Kind | None = None) -> Asked:
    """As `run`, the person alone."""
    ids = Pseudonyms.of(config)
    view = View.of(as_of, config)
    tried = {name: ids.one(asked, name) for name in ([kind] if kind else KINDS)}
    seen = view.seen(tried.values())
    persons = {name: view.person(pseudonym) for name, pseudonym in tried.items() if pseudonym in seen}
    if not persons:
        raise ShortlistError(_unknown(tried, view))
    chosen, person = next(iter(persons.items()))
    theirs: dict[int, str] = {tried[name]: name for name, whose in persons.items() if whose == person}
    return Asked(view, chosen, person, theirs, tuple(name for name in persons if persons[name] != person))


def called(name: Mapping[str, Any]) -> str:
    """An id for people to read."""
    return f"{_id(name)} [{name['pseudonym']}]"


def _id(name: Mapping[str, Any]) -> str:
    unnamed = {"email": "an e-mail address (not stored)", "order": "an order (not stored)"}
    return unnamed.get(name["id_type"]) or f"{name['id_type']} {name['native_id'] or 'not in the vault'}"


def _unknown(tried: Mapping[Kind, int], view: View) -> str:
    forms = ", ".join(f"{kind} [{short(pseudonym)}]" for kind, pseudonym in tried.items())
    return (
        f"the lake {view.lake.root} knew nobody by this id before {view.as_of.isoformat()}; tried as: {forms}. "
        "Ids are compared letter by letter, e-mail addresses without regard to capitals. Check the spelling, give a "
        "later --as-of, or use the key that the lake was loaded with."
    )


def short(pseudonym: int) -> str:
    """A pseudonym as it is shown: eight hex digits."""
    return f"{pseudonym & (1 << 64) - 1:016x}"[:8]


# ---------------------------------------------------------------- the person


def _report(asked: Asked) -> WhoReport:
    view, person = asked.view, asked.person
    ids = view.people.ids_of(pa.array([person], pa.int64()))
    about = {table: view.about(table, ids) for table in ABOUT}
    links = _links_of(view, ids)
    linked = (link[end] for link in links for end in ("id", "other_id"))
    ends = _Ends.of(view, {*ids.to_pylist(), *linked}, asked.theirs)
    shown = [{**ends.names[one], "asked": one in asked.theirs} for one in ids.to_pylist()]
    return WhoReport(
        as_of=view.as_of.isoformat(),
        person=called(ends.names[person]),
        person_id_type=ends.names[person]["id_type"],
        asked_id_type=asked.kind,
        also=asked.also,
        ids=tuple(sorted(shown, key=lambda name: (_ORDER.index(name["id_type"]), name["pseudonym"]))),
        links=tuple(_told(link, view, ends) for link in links),
        consent=_consent(view, person, ids, about, ends.names),
        rows={
            **{table: _span(rows.num_rows, _days(rows)) for table, rows in about.items()},
            **{table: _span(len(nights), nights) for table in erasure.NIGHTLY for nights in [view.nights(table, ids)]},
        },
    )


def _days(rows: pa.Table) -> list[str]:
    return [day.isoformat() for day in rows["day"].unique().to_pylist() if day != UNDATED]


def _span(rows: int, when: list[str]) -> dict[str, Any]:
    return {"rows": rows, "first": min(when, default=None), "last": max(when, default=None)}


def _links_of(view: View, ids: pa.Array) -> list[dict[str, Any]]:
    """Each pair of ids that a source saw together, one of them of `ids`."""
    pair = ["id", "id_type", "other_id", "other_type", "source"]
    found = view.linked(ids).group_by(pair).aggregate([("available_at", "min"), ("available_at", "max")])
    ordered = found.sort_by([("available_at_min", "ascending"), *((name, "ascending") for name in pair)])
    links: list[dict[str, Any]] = ordered.to_pylist()
    return links


@dataclass(frozen=True)
class _Ends:
    """The ids of some links: their names, whose they are, of how many people a browser, of how many customers an
    address or order is.
    """

    names: Mapping[int, Name]
    whose: Mapping[int, int]
    users: Mapping[int, int]
    customers: Mapping[int, int]

    @classmethod
    def of(cls, view: View, ids: set[int], asked: Mapping[int, str]) -> _Ends:
        """`asked` tells the types of ids that may be in no link."""
        ends = pa.array(sorted(ids), pa.int64())
        whose = dict(zip(ends.to_pylist(), view.people.resolve(ends).to_pylist(), strict=True))
        links = view.linked(ends)
        named = _names(view, pa.array(sorted({*whose, *whose.values()}), pa.int64()), asked)
        return cls(named, whose, _users(view, links), _customers(links))


def _names(view: View, ids: pa.Array, asked: Mapping[int, str]) -> dict[int, Name]:
    vault = {row["id"]: row for row in view.about("native_ids", ids).to_pylist()}
    types = {one: row["id_type"] for one, row in vault.items()} | dict(asked)
    links = view.linked(ids)
    for end, kind in (("id", "id_type"), ("other_id", "other_type")):
        types |= dict(zip(links[end].to_pylist(), links[kind].to_pylist(), strict=True))
    return {
        one: {"id_type": types[one], "native_id": vault.get(one, {}).get("native_id") or None, "pseudonym": short(one)}
        for one in ids.to_pylist()
    }


def _users(view: View, links: pa.Table) -> dict[int, int]:
    clean = pc.invert(pc.is_in(links["other_id"], value_set=view.people.generic))
    met = links.filter(pc.and_(clean, pc.equal(links["id_type"], "visitor")))
    person = view.people.resolve(met["other_id"].combine_chunks())
    return _distinct(pa.table({"id": met["id"], "other_id": person}))


def _customers(links: pa.Table) -> dict[int, int]:
    return _distinct(links.filter(pc.equal(links["other_type"], "customer")).select(["id", "other_id"]))


def _distinct(pairs: pa.Table) -> dict[int, int]:
    counts = pairs.group_by("id").aggregate([("other_id", "count_distinct")])
    return dict(zip(counts["id"].to_pylist(), counts["other_id_count_distinct"].to_pylist(), strict=True))


def _told(link: Mapping[str, Any], view: View, ends: _Ends) -> dict[str, Any]:
    counts, why = _verdict(link, view, ends)
    return {
        "id": ends.names[link["id"]],
        "other": ends.names[link["other_id"]],
        "source": link["source"],
        "since": link["available_at_min"].isoformat(),
        "last": link["available_at_max"].isoformat(),
        "counts": counts,
        "why": why,
    }


def _verdict(link: Mapping[str, Any], view: View, ends: _Ends) -> tuple[bool, str]:
    """Whether the link joins its ends, and why."""
    one, other, limits = link["id"], link["other_id"], view.config.identity
    if address := {one, other} & {*view.people.generic.to_pylist()}:
        return False, (
            f"{link['id_type'] if one in address else link['other_type']} of {ends.customers[min(address)]} customers, "
            f"more than identity.customers_per_address = {limits.customers_per_address}: joins nobody"
        )
    if one in view.people.shared.to_pylist():
        return False, (
            f"browser of {ends.users[one]} people, more than identity.people_per_visitor = "
            f"{limits.people_per_visitor}: nobody's"
        )
    visitor = link["id_type"] == "visitor"
    if ends.whose[one] == ends.whose[other]:
        return True, _LAST if visitor and ends.users[one] > 1 else "seen together: one person"
    if visitor:
        return False, f"{_LAST}: {called(ends.names[ends.whose[one]])}"
    return False, (
        "chain taken apart: it would join more customers than identity.customers_per_address = "
        f"{limits.customers_per_address}, so each id stays with the customer it was seen with first"
    )


_LAST = "the browser belongs to whom it was seen with last"


# ---------------------------------------------------------------- consent


def _consent(
    view: View, person: int, ids: pa.Array, about: Mapping[str, pa.Table], names: Mapping[int, Name]
) -> dict[str, Any]:
    said, snapshots = view.lake.read("suppressions"), view.lake.days("customers")
    suppressed = suppress.ids(said, snapshots, view.people, view.as_of, view.config)
    contacts = _contacts(view)
    events, transactions = (_recent(view, about[table]) for table in ("events", "transactions"))
    consent = Consent.of(suppressed, contacts, events, transactions, view.people)
    may = consent.may(pa.array([person], pa.int64()), view.config.privacy)[0].as_py()
    crm = _crm(contacts, ids)
    objections = [
        {**names[row["id"]], **{name: row[name] for name in ("source", "reason")}, "since": row["since"].isoformat()}
        for row in _objections(view, about["suppressions"])
    ]
    return {
        "may_be_personalized": may,
        "why": _why(view.config, crm, objections, customer=person in consent.customers.to_pylist()),
        "crm": crm,
        "objections": objections,
        "rows_to_rank_by": events.num_rows + transactions.num_rows,
    }


def _contacts(view: View) -> pa.Table:
    """The newest snapshot of every CRM, as a night sees it."""
    last = clock.last_finished_day(view.as_of, view.config)
    newest: dict[str, Any] = {}
    for source, day in view.lake.days("customers"):
        if day <= last:
            newest[source] = max(day, newest.get(source, day))
    parts = [view.lake.read("customers", source=source, days=[day]) for source, day in newest.items()]
    return _recent(view, pa.concat_tables([schemas.LAKE["customers"].schema.empty_table(), *parts]))


def _recent(view: View, rows: pa.Table) -> pa.Table:
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


def _objections(view: View, said: pa.Table) -> Iterator[dict[str, Any]]:
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
_SAID = {
    "agrees": "agrees in the CRM, and nobody objects",
    "none": "nobody objects, and there is no CRM to ask",
    "silent": "the CRM says neither yes nor no",
    "unknown": "no CRM knows them",
}


def _why(config: Config, crm: str, objections: list[dict[str, Any]], *, customer: bool) -> str:
    if objections:
        return "; ".join(
            f"{called(one)} {_REASONS[one['reason']]} (source {one['source']}, since {one['since'][:16]})"
            for one in objections
        )
    if not customer:
        return (
            f'nobody is known to have logged in with it; privacy.unknown_visitors = "{config.privacy.unknown_visitors}"'
        )
    if crm in ("agrees", "none"):
        return _SAID[crm]
    return f'{_SAID[crm]}; privacy.unknown_consent = "{config.privacy.unknown_consent}"'


# ---------------------------------------------------------------- for people


def draw(report: WhoReport, out: Console) -> None:
    """The person on a terminal. Ids may come from anybody's browser: nothing in them is markup or a control code."""
    out.print(plain(f"{report.person}, as known before {report.as_of}"), style="bold")
    for kind in report.also:
        out.print(f"The same text is also a {kind} id of somebody else: --id-type {kind}")
    ids = Table("id", "pseudonym", "", title="ids of this person", title_justify="left")
    for name in report.ids:
        ids.add_row(plain(_id(name)), name["pseudonym"], "asked for" if name["asked"] else "")
    links = Table(
        "seen together",
        "source",
        Column("since, last", no_wrap=True),
        Column("why", overflow="fold"),
        title="links",
        title_justify="left",
    )
    for link in report.links[:_MOST]:
        ends = Text("\n").join(plain(called(link[end])) for end in ("id", "other"))
        when = f"{link['since'][:16]}\n{link['last'][:16]}"
        why = plain(f"{'counts' if link['counts'] else 'left out'}: {link['why']}")
        links.add_row(ends, link["source"], when, why)
    rows = Table("table", "rows", "first", "last", title="what the lake holds of them", title_justify="left")
    for table, found in report.rows.items():
        rows.add_row(table, f"{found['rows']:,}", found["first"] or DASH, found["last"] or DASH)
    for drawn in (ids, *([links] if report.links else []), rows):
        out.print(drawn)
    if len(report.links) > _MOST:
        out.print(f"and {len(report.links) - _MOST:,} links more: --json has all")
    may = "may" if report.consent["may_be_personalized"] else "must not"
    out.print(plain(f"{may} be personalized: {report.consent['why']}"), style="bold", soft_wrap=True)
    if may == "may" and not report.consent["rows_to_rank_by"]:
        out.print("Nothing recent is known of what they did, so they get no list of their own.")


def plain(text: str) -> Text:
    """As a terminal may show it: no markup, no control codes."""
    return Text("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))
