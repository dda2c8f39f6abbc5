"""Plausible: the CSV files of its export (Site settings > Imports & Exports), daily counts by page.

Counts only: Plausible knows no visitor from one day to the next, so nobody can be personalised by it. The counts make
popular content known, for people without a history of their own.

`imported_pages_<from>_<to>.csv` says how often a page was viewed and for how many seconds in total;
`imported_custom_events_<from>_<to>.csv` how often a custom event happened, which is about a page only where the event
has a path (or, a `File Download`, the file's URL). Events are `custom:<name>` unless `[sources.values.event]` names
them. Days begin in the site's time zone, which the files do not tell: `options.timezone = "Europe/Berlin"`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import convert, pages, sql
from pipeline.sources.convert import Cell
from pipeline.sources.export import Bounds, Known, Parsed, Settings, counted, listed, require_columns
from pipeline.sources.load import delimited_parts
from pipeline.sources.spooled import spooled

TABLES = ("popularity",)

_PAGES = ("date", "page", "pageviews")
_EVENTS = ("date", "name", "events")
_OPTIONAL = ("total_time_on_page", "total_time_on_page_visits", "path", "link_url")


def known(source: Settings) -> Known:
    """Plausible names its columns itself."""
    return Known(values=["event"], options=["allow_empty", "timezone", pages.OPTION])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Iterator[Parsed]:
    """One file as `popularity`: a row a day, page and event."""
    zone = _zone(source)
    pages.mode(source)
    return _parts(path, source, zone)


def _parts(path: Path, source: Settings, zone: str) -> Iterator[Parsed]:
    parts = delimited_parts(path, source, lambda found: _needed(path, source, found))
    with spooled(parts, lambda raw: _File(raw, source, zone).cells()) as whole:
        yield from whole.parsed("popularity", path, _BY_CONTENT, counted(**whole.counts(_LEFT_OUT)))


# Two pages can be the same content: /a and /a/, or the same last part of different paths.
_BY_CONTENT = """
    SELECT min(row_number) AS row_number, content_id, event, ts, available_at, sum(count) AS count,
           sum(dwell_seconds) AS dwell_seconds
    FROM spooled WHERE refusal IS NULL AND content_id IS NOT NULL
    GROUP BY content_id, event, ts, available_at ORDER BY 1
"""
_LEFT_OUT = """
    SELECT count(*) FILTER (personal) AS personal_data_in_url,
           count(*) FILTER (content_id IS NULL AND NOT personal) AS counts_without_content
    FROM spooled WHERE refusal IS NULL
"""


def _needed(path: Path, source: Settings, found: Sequence[str]) -> list[str]:
    wanted = next((names for names in (_PAGES, _EVENTS) if names[1] in found), None)
    if wanted is None:
        raise ShortlistError(
            f"{source.name}: {path} does not say which page was seen; it has: {listed(found)}. Of Plausible's export "
            "give imported_pages_… or imported_custom_events_…."
        )
    require_columns(path, source, found, {name: name for name in wanted})
    return [*wanted, *(name for name in _OPTIONAL if name in found)]


@dataclass(frozen=True)
class _File:
    raw: pa.Table
    source: Settings
    zone: str

    def cells(self) -> Mapping[str, Cell]:
        """A day's count by page, before what is the same content is added up."""
        url = self._url()
        shared = {
            **self._times(),
            "content_id": Cell(pages.content_of(url, self.source)),
            "personal": Cell(pages.personal_of(url)),
        }
        return {**shared, **(self._views() if self._has("page") else self._events())}

    def _views(self) -> Mapping[str, Cell]:
        return {
            "event": Cell("'view'"),
            "count": convert.number("pageviews", self._text("pageviews")),
            "dwell_seconds": self._dwell(),
        }

    def _events(self) -> Mapping[str, Cell]:
        theirs = sql.mapped(self._text("name"), self.source.values.get("event", {}))
        return {
            "event": Cell(convert.event(theirs)),
            "count": convert.number("events", self._text("events")),
            "dwell_seconds": Cell("CAST(NULL AS DOUBLE)"),
        }

    def _dwell(self) -> Cell:
        """0 s of 0 visits is what Plausible writes where it did not measure."""
        measured = f"{self._text('total_time_on_page_visits')} IS DISTINCT FROM '0'"
        seconds = convert.number("total_time_on_page", self._text("total_time_on_page"))
        return Cell(f"CASE WHEN {measured} THEN {seconds.value} END", seconds.broken, seconds.reason)

    def _url(self) -> str:
        if self._has("page"):
            return self._text("page")
        file = f"CASE WHEN {self._text('name')} = 'File Download' THEN {self._text('link_url')} END"
        return f"coalesce({self._text('path')}, {file})"

    def _times(self) -> Mapping[str, Cell]:
        """The day's start; what was counted is known when the day is over."""
        text, zone = self._text("date"), sql.text(self.zone)
        day = f"CASE WHEN regexp_full_match({text}, '\\d{{4}}-\\d\\d-\\d\\d') THEN try_cast({text} AS DATE) END"
        start, end = (f"timezone({zone}, CAST({day} + INTERVAL {days} DAY AS TIMESTAMP))" for days in (0, 1))
        return {
            "ts": Cell(start, f"{start} IS NULL", "date is not a day such as 2026-06-30"),
            "available_at": Cell(end),
        }

    def _has(self, name: str) -> bool:
        return name in self.raw.column_names

    def _text(self, name: str) -> str:
        r"""ClickHouse writes null as \N."""
        if not self._has(name):
            return "CAST(NULL AS VARCHAR)"
        return rf"nullif({convert.text_of(convert.origin(self.raw, name))}, '\N')"


def _zone(source: Settings) -> str:
    zone = source.options.get("timezone", "UTC")
    try:
        return ZoneInfo(zone).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            f'{source.name}: options.timezone {zone!r} is not known; it looks like "Europe/Berlin".'
        ) from None
