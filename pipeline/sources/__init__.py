"""Export files to native tables: one module a format, and the row contract on what it read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict, cast

import pyarrow as pa

from pipeline.errors import ConfigurationError
from pipeline.sources import (
    access_log,
    contentful,
    contracts,
    ga4,
    hubspot,
    matomo,
    plausible,
    posthog,
    rss,
    rudderstack,
    salesforce,
    segment,
    shopify,
    snowplow,
    stripe,
    table,
    woocommerce,
    wordpress,
)
from pipeline.sources.export import (
    ROW_NUMBER,
    Bounds,
    Day,
    Format,
    Parsed,
    Settings,
    counted,
    joined,
    micros,
    nearest,
    require_known,
)
from pipeline.sources.templates import available_days, locate, whole_file

__all__ = [
    "FORMATS",
    "Bounds",
    "Day",
    "Format",
    "Parsed",
    "Settings",
    "available_days",
    "format_of",
    "is_nameless",
    "is_partial",
    "locate",
    "read_export",
    "whole_file",
]

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        name: cast("Format", module)
        for name, module in {
            "access_log": access_log,
            "contentful": contentful,
            "ga4": ga4,
            "hubspot": hubspot,
            "matomo": matomo,
            "plausible": plausible,
            "posthog": posthog,
            "rudderstack": rudderstack,
            "rss": rss,
            "salesforce": salesforce,
            "segment": segment,
            "shopify": shopify,
            "snowplow": snowplow,
            "stripe": stripe,
            "table": table,
            "woocommerce": woocommerce,
            "wordpress": wordpress,
        }.items()
    }
)
"""Format name, as `[[sources]] format` gives it -> the module that reads it."""


class _Counts(TypedDict):
    duplicates: Mapping[str, int]
    notes: Mapping[str, int]


def format_of(source: Settings) -> Format:
    """The module for a source; ConfigurationError for an unknown format, column or option."""
    if source.format not in FORMATS:
        near = nearest(source.format, list(FORMATS))
        hint = f"; did you mean {near!r}?" if near else ""
        raise ConfigurationError(
            f"{source.name}: format {source.format!r} is not known; known: {', '.join(FORMATS)}{hint}"
        )
    found = FORMATS[source.format]
    known = found.known(source)
    require_known(source, "column", source.columns, known.columns)
    require_known(source, "values for", source.values, known.values)
    require_known(source, "option", source.options, known.options)
    return found


def is_partial(source: Settings, table: str) -> bool:
    """Whether a file holds only the newest rows of the table, so that those of earlier files are still true."""
    return table in getattr(FORMATS.get(source.format), "PARTIAL", ())


def is_nameless(source: Settings, kind: str) -> bool:
    """Whether the format makes the ids of this kind (visitor, customer) itself: nobody else can join on them."""
    return kind in getattr(FORMATS.get(source.format), "NAMELESS", ())


def read_export(path: Path, source: Settings, day_bounds: Day | None = None) -> Parsed:
    """Read one file and hold every row to the row contract.

    `day_bounds` (start, end; microseconds UTC, or instants) are the export's day; None for a file of many days.
    Raises ShortlistError when the file as a whole cannot be used; single bad rows are in `rejected`.
    """
    bounds = micros(day_bounds)
    found = format_of(source).read(path, source, bounds)
    parsed = found if isinstance(found, Parsed) else joined(found)
    checked = {name: contracts.check(name, rows, bounds, source_file=path.name) for name, rows in parsed.tables.items()}
    return Parsed(
        tables={name: kept for name, (kept, _) in checked.items()},
        rejected=_in_file_order(parsed.rejected, *(refused for _, refused in checked.values())),
        **_duplicates(parsed, checked),
    )


def _in_file_order(*rejected: pa.Table) -> pa.Table:
    return pa.concat_tables(rejected).sort_by(ROW_NUMBER)


def _duplicates(parsed: Parsed, checked: Mapping[str, tuple[pa.Table, pa.Table]]) -> _Counts:
    """Repeated rows that the format found itself, and those that the contract left out."""
    left_out = {name: rows.num_rows - sum(map(len, checked[name])) for name, rows in parsed.tables.items()}
    by_table = {name: count + parsed.duplicates.get(name, 0) for name, count in left_out.items()}
    return {"duplicates": by_table, "notes": {**parsed.notes, **counted(duplicates=sum(by_table.values()))}}
