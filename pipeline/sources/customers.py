"""Contacts: consent that can only err on the side of the person, and attributes."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from expectations.schemas import NATIVE
from pipeline.sources import convert, sql
from pipeline.sources.convert import Cell, Origin
from pipeline.sources.export import Settings, counted

_CONSENT = "consent_personalization"
_OPT_OUT = "opted_out_at"
_CONSENT_MISREAD = "consent_not_understood"
_OPT_OUT_MISREAD = "opt_out_date_not_understood"


def cells(origins: Mapping[str, Origin], attributes: Mapping[str, str], source: Settings) -> Mapping[str, Cell]:
    """Cells of the native `customers` table; `attributes` are SQL texts by name, left out where null.

    A contact is never refused over its consent, since that would lose an objection. A consent that is neither yes
    nor no, and an opt-out date that cannot be read, count as an objection and are counted by `notes`.
    """
    nowhere = convert.Origin("NULL", pa.string())
    consent = convert.yes_no(convert.mapped_text(_CONSENT, origins.get(_CONSENT, nowhere), source))
    opt_out = convert.instant(_OPT_OUT, origins.get(_OPT_OUT, nowhere), source.timestamp or convert.ISO)
    objects = f"({consent.broken}) OR ({opt_out.broken})"
    return {
        **{ours: convert.cell(NATIVE["customers"].column(ours), origins[ours], source) for ours in _ids(origins)},
        _CONSENT: Cell(f"CASE WHEN {objects} THEN false ELSE {consent.value} END"),
        _OPT_OUT: Cell(opt_out.value),
        "attributes": Cell(_map(attributes)),
        _CONSENT_MISREAD: Cell(f"coalesce({consent.broken}, false)"),
        _OPT_OUT_MISREAD: Cell(f"coalesce({opt_out.broken}, false)"),
    }


def _ids(origins: Mapping[str, Origin]) -> list[str]:
    return [ours for ours in ("customer_id", "email") if ours in origins]


def _map(attributes: Mapping[str, str]) -> str:
    entries = ", ".join(f"{{'k': {sql.text(name)}, 'v': {value}}}" for name, value in attributes.items())
    entries = f"[{entries}]" if entries else "CAST([] AS STRUCT(k VARCHAR, v VARCHAR)[])"
    return f"map_from_entries(list_filter({entries}, lambda entry: entry.v IS NOT NULL))"


def notes(selected: pa.Table) -> Mapping[str, int]:
    """How many contacts' consent or opt-out date was not understood, and taken as an objection."""
    return counted(**{name: pc.sum(selected[name]).as_py() or 0 for name in (_CONSENT_MISREAD, _OPT_OUT_MISREAD)})
