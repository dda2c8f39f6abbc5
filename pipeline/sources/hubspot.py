"""HubSpot contacts as CSV, with labels (as the app exports them) or internal names (as the API does).

Names, phone numbers and addresses are not read. Unsubscribing from e-mail is kept as an attribute: it is not an
objection to personalization, which has its own columns. An attribute whose values look personal is left out, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.sources import convert, countries, customers, sql
from pipeline.sources.customers import Contacts
from pipeline.sources.delimited import Part
from pipeline.sources.export import (
    Bounds,
    Known,
    Parsed,
    Settings,
    require_columns,
)
from pipeline.sources.load import delimited_parts

TABLES = ("customers",)

_NAMES: Mapping[str, tuple[str, ...]] = {
    "customer_id": ("Record ID", "hs_object_id", "id"),
    "email": ("Email", "email"),
    "consent_personalization": ("Consent: personalization", "consent_personalization"),
    "opted_out_at": ("Personalization opt-out date", "personalization_opt_out_date"),
    "gpc": ("Global Privacy Control", "gpc"),
    "country": ("Country/Region", "country"),
    "lifecycle_stage": ("Lifecycle Stage", "lifecyclestage"),
    "lead_status": ("Lead Status", "hs_lead_status"),
    "created_date": ("Create Date", "createdate"),
    "email_opt_out": ("Unsubscribed from all email", "hs_email_optout"),
}
_ATTRIBUTES = ("country", "lifecycle_stage", "lead_status", "created_date", "email_opt_out")


def known(source: Settings) -> Known:
    """Any column may be called otherwise, and consent usually is, as are its words for yes and no."""
    return Known(columns=list(_NAMES), values=["consent_personalization", "gpc"], options=["allow_empty", "delimiter"])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Iterator[Parsed]:
    """Contacts as `customers`; `notes` tell when there is no consent column, or consent was not understood."""
    notes: dict[str, int] = {}
    parts = _silences_counted(delimited_parts(path, source, lambda found: _needed(path, source, found)), source, notes)
    yield from customers.parsed(path, source, parts, lambda raw: _contacts(source, raw), notes)


def _silences_counted(parts: Iterable[Part], source: Settings, notes: dict[str, int]) -> Iterator[Part]:
    """The parts as they are; their rows are noted when nothing in them says who consents."""
    for raw, broken in parts:
        if "consent_personalization" not in _mapping(source, raw.column_names) and raw.num_rows:
            notes["without_consent_column"] = notes.get("without_consent_column", 0) + raw.num_rows
        yield raw, broken


def _contacts(source: Settings, raw: pa.Table) -> Contacts:
    origins = {ours: convert.origin(raw, theirs) for ours, theirs in _mapping(source, raw.column_names).items()}
    return Contacts(origins, _attributes(origins))


def _needed(path: Path, source: Settings, found: Sequence[str]) -> list[str]:
    mapping = _mapping(source, found)
    label = _NAMES["customer_id"][0]
    require_columns(path, source, found, {"customer_id": label, **mapping})
    return list(dict.fromkeys(mapping.values()))


def _mapping(source: Settings, found: Sequence[str]) -> dict[str, str]:
    """Ours -> theirs, for what the file has and what the configuration says it has."""
    known = {ours: next((name for name in names if name in found), None) for ours, names in _NAMES.items()}
    return {**{ours: theirs for ours, theirs in known.items() if theirs is not None}, **source.columns}


def _attributes(origins: Mapping[str, convert.Origin]) -> dict[str, str]:
    texts = {name: convert.text_of(origins[name]) for name in _ATTRIBUTES if name in origins}
    if "country" in texts:
        country = texts["country"]
        texts["country"] = f"coalesce({sql.lookup(f'lower(trim({country}))', countries.BY_NAME)}, {country})"
    if "email_opt_out" in texts:
        texts["email_opt_out"] = f"CAST({convert.yes_no(texts['email_opt_out']).value} AS VARCHAR)"
    return texts
