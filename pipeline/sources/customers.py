"""Contacts: consent that can only err on the side of the person, and attributes without personal data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from expectations.schemas import NATIVE
from pipeline.sources import convert, sql
from pipeline.sources.convert import Cell, Origin
from pipeline.sources.delimited import Part
from pipeline.sources.export import Parsed, Settings, counted
from pipeline.sources.spooled import Spooled, spooled

GPC = "gpc"
"""A column (yes or no) that says whether the person's browser sends the Global Privacy Control."""

_CONSENT = "consent_personalization"
_OPT_OUT = "opted_out_at"
_MISREAD = {_CONSENT: "consent_not_understood", _OPT_OUT: "opt_out_date_not_understood", GPC: "gpc_not_understood"}
_ATTRIBUTE = "attribute"

_OCTET = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_HEXTETS = "[0-9a-f]{1,4}(:[0-9a-f]{1,4})"
_ADDRESSES = (
    r"[^\s@]+@[^\s@]+\.[^\s@]",
    rf"(^|[^0-9.])({_OCTET}\.){{3}}{_OCTET}([^0-9.]|$)",
    rf"(^|[^0-9a-z:])({_HEXTETS}{{7}}|{_HEXTETS}*::({_HEXTETS}*)?|::{_HEXTETS}*)([^0-9a-z:]|$)",
)
"""E-mail, IPv4 and IPv6 addresses, anywhere in a lower-case text."""

_PHONE = r"^(\+|00|\()?[0-9][0-9 ()./-]{5,}[0-9]$"
_NO_PHONE = (
    r"^[0-9]{4}[-/.][0-9]{1,2}([-/.][0-9]{1,2}( .*)?)?$",  # a date
    r"^[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2}([0-9]{2})?( .*)?$",
    r"^[1-9][0-9]{0,8}$|^[0-9]+\.[0-9]{1,4}$",  # a count or an amount
    r"^1[0-9]{12}$",  # Unix time in milliseconds
)


class Contacts(NamedTuple):
    """Where a file has the columns that we know, and its attributes as SQL texts by name."""

    origins: Mapping[str, Origin]
    attributes: Mapping[str, str]


def parsed(
    path: Path,
    source: Settings,
    parts: Iterable[Part],
    contacts: Callable[[pa.Table], Contacts],
    notes: Mapping[str, int],
) -> Iterator[Parsed]:
    """A file's contacts as `customers`; `notes` are looked at when all of it has been read, and added to.

    An attribute whose values look personal (one is or holds an e-mail or IP address, or more than half look like phone
    numbers) is left out for the whole file.
    """
    with spooled(parts, lambda raw: _cells(contacts(raw), source)) as whole:
        names = [name for name in whole.con.table("spooled").columns if name.startswith(f"{_ATTRIBUTE} ")]
        personal = _personal(whole, names)
        query = _query([name for name in names if name not in personal])
        misread = counted(**whole.counts(_NOTES))
        yield from whole.parsed(
            "customers", path, query, {**notes, **misread, **counted(personal_attributes=len(personal))}
        )


def _cells(contacts: Contacts, source: Settings) -> Mapping[str, Cell]:
    """Cells of the native `customers` table, but each attribute a column of its own.

    A contact is never refused over its consent, since that would lose an objection. A consent or GPC that is neither
    yes nor no, and an opt-out date that cannot be read, count as an objection and are counted in `notes`.
    """
    origins, nowhere = contacts.origins, convert.Origin("NULL", pa.string())
    consent, gpc = (
        convert.yes_no(convert.mapped_text(name, origins.get(name, nowhere), source)) for name in (_CONSENT, GPC)
    )
    opt_out = convert.instant(_OPT_OUT, origins.get(_OPT_OUT, nowhere), source.timestamp or convert.ISO)
    broken = {_CONSENT: consent.broken, _OPT_OUT: opt_out.broken, GPC: gpc.broken}
    objects = f"{' OR '.join(f'({one})' for one in broken.values())} OR {gpc.value}"
    return {
        **{ours: convert.cell(NATIVE["customers"].column(ours), origins[ours], source) for ours in _ids(origins)},
        _CONSENT: Cell(f"CASE WHEN {objects} THEN false ELSE {consent.value} END"),
        _OPT_OUT: Cell(opt_out.value),
        **{_MISREAD[name]: Cell(f"coalesce({one}, false)") for name, one in broken.items()},
        # Numbered, because DuckDB does not tell `Plan` from `plan`.
        **{f"{_ATTRIBUTE} {n} {name}": Cell(text) for n, (name, text) in enumerate(contacts.attributes.items())},
    }


def _ids(origins: Mapping[str, Origin]) -> list[str]:
    return [ours for ours in ("customer_id", "email") if ours in origins]


def _personal(whole: Spooled, names: Sequence[str]) -> Sequence[str]:
    """The columns whose values look personal."""
    if not names:
        return []
    looks = ", ".join(f"CAST({_looks_personal(sql.name(name))} AS INTEGER) AS {sql.name(name)}" for name in names)
    return list(counted(**whole.counts(f"SELECT {looks} FROM spooled")))


def _looks_personal(value: str) -> str:
    """SQL: whether the values of a column look personal."""
    plain = f"lower(trim({value}))"
    address = " OR ".join(f"regexp_matches({plain}, {sql.text(pattern)})" for pattern in _ADDRESSES)
    no_phone = " OR ".join(f"regexp_matches({plain}, {sql.text(pattern)})" for pattern in _NO_PHONE)
    digits = f"length(regexp_replace({plain}, '[^0-9]', '', 'g')) BETWEEN 7 AND 15"
    phone = f"regexp_matches({plain}, {sql.text(_PHONE)}) AND {digits} AND NOT ({no_phone})"
    return f"(count(*) FILTER ({address}) > 0 OR 2 * count(*) FILTER ({phone}) > count({value}))"


def _query(attributes: Sequence[str]) -> str:
    """The contacts that are not refused, with these columns as the map of their attributes; nulls are left out."""
    entries = ", ".join(f"{{'k': {sql.text(name.split(' ', 2)[2])}, 'v': {sql.name(name)}}}" for name in attributes)
    entries = f"[{entries}]" if entries else "CAST([] AS STRUCT(k VARCHAR, v VARCHAR)[])"
    attribute_map = f"map_from_entries(list_filter({entries}, lambda entry: entry.v IS NOT NULL))"
    return f"SELECT *, {attribute_map} AS attributes FROM spooled WHERE refusal IS NULL ORDER BY row_number"


_NOTES = f"""
    SELECT {", ".join(f"count(*) FILTER ({name}) AS {name}" for name in _MISREAD.values())}
    FROM spooled WHERE refusal IS NULL
"""
