"""Matomo's visits log: `Live.getLastVisitsDetails` as JSON (a list, or one visit a line).

Export it with `format=JSON&filter_limit=-1`: Matomo gives 100 visits unless it is told otherwise. What becomes of a
visit's `actionDetails` (names of ours in brackets):

* `action` is a [view] of the page, or of the product (`productViewSku`) that it shows; `timeSpent` is its dwell. On the
  last page of a visit 0 s means that Matomo does not know.
* An impression of, or interaction with, tracked content is an [impression] or a [click] of what it leads to
  (`contentTarget`).
* `ecommerceOrder` is a [purchase] of each item, worth price x quantity.
* Everything else is counted in the notes and left out, unless `[sources.values.event]` has a name for it: an event as
  "<category>/<action>" or "<action>", else by its type (`download`, `outlink`, `goal` …). An event is about the page
  where it happened, a download about the file, an outlink about the page that it leads away from.

A `userId` that is an e-mail address is no customer's id: it links the visitor to that address. Addresses of computers
are not read. Matomo has left out bots already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import ShortlistError
from pipeline.sources import catalogue, pages
from pipeline.sources.decode import open_text
from pipeline.sources.documents import Document, Rows, UnreadableError, first_text, listed, mapping, number, text
from pipeline.sources.export import Bounds, Known, Parsed, Settings, require_rows
from pipeline.sources.load import json_objects

TABLES = ("events", "links")

_EVENTS: Mapping[str, str] = {
    "action": "view",
    "contentImpression": "impression",
    "contentInteraction": "click",
    "ecommerceOrder": "purchase",
}
_CONTENT = ("13", "content")  # Matomo's type of tracked content has a number only
_DEVICES = {"smartphone": "mobile", "phablet": "mobile", "feature phone": "mobile"}


def known(source: Settings) -> Known:
    """Matomo names its fields itself; more of its actions may count as events of ours."""
    return Known(values=["event"], options=["allow_empty", pages.OPTION])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Iterator[Parsed]:
    """Actions as `events`, and `links` to e-mail addresses; a row's number is that of its visit."""
    _require_json(path, source)
    pages.mode(source)
    return _parts(path, source, {**_EVENTS, **source.values.get("event", {})})


def _require_json(path: Path, source: Settings) -> None:
    table = any(ending.lower() in (".csv", ".tsv") for ending in path.suffixes)
    if not table:
        with open_text(path, source) as stream:
            table = not stream.read(4096).lstrip().startswith(("[", "{"))
    if table:
        raise ShortlistError(
            f"{source.name}: {path} is no JSON. Matomo's CSV has as many columns as its longest visit has actions, so "
            "it cannot be relied on: export Live.getLastVisitsDetails with format=JSON&filter_limit=-1."
        )


def _parts(path: Path, source: Settings, events: Mapping[str, str]) -> Iterator[Parsed]:
    rows = Rows(path.name, TABLES)
    last = 0
    for visits in json_objects(path, source, rows.broken):
        for last, visit in visits:
            _require_visits(path, source, visit)
            _add(rows, last, visit, source, events)
            if rows.full:
                yield rows.take()
    require_rows(path, source, last + len(rows.broken.rows))
    yield rows.take()


def _require_visits(path: Path, source: Settings, visit: Document) -> None:
    if visit.get("result") == "error":
        raise ShortlistError(
            f"{source.name}: {path} is an error that Matomo answered with, not visits: check the token and the site's "
            "id of the export, and make it again."
        )


@dataclass(frozen=True)
class _Visit:
    """A visit: what its actions share, and what each page that was seen is about, by URL."""

    id: str
    actions: Sequence[Document]
    shared: Mapping[str, str | None]
    email: str | None
    contents: Mapping[str, str | None]


def _add(rows: Rows, row: int, document: Document, source: Settings, events: Mapping[str, str]) -> None:
    try:
        visit = _visit(document, source)
    except UnreadableError as error:
        rows.refuse("events", row, str(error))
        return
    if visit.email is not None:
        _add_link(rows, row, visit.email.lower(), document)
    for place, (action, page) in enumerate(_with_pages(visit.actions)):
        event = next((events[name] for name in _names(action) if name in events), None)
        if event is None:
            rows.notes["not_content_events"] += 1
        else:
            _add_action(rows, row, visit, place, event, _url(action, page), source)


def _add_link(rows: Rows, row: int, email: str, visit: Document) -> None:
    try:
        ts = _ts(visit, "firstActionTimestamp", "serverTimestamp")
    except UnreadableError as error:
        rows.refuse("links", row, str(error))
        return
    if ts is None:
        rows.refuse("links", row, "serverTimestamp is missing")
    else:
        rows.add("links", row, ts=ts, visitor_id=text(visit.get("visitorId")), email=email)


def _visit(document: Document, source: Settings) -> _Visit:
    id_, visitor, user = (text(document.get(name)) for name in ("idVisit", "visitorId", "userId"))
    email = user if user is not None and catalogue.has_address(user) else None
    customer = user if email is None else None
    if id_ is None or (visitor is None and customer is None):
        raise UnreadableError("idVisit is missing" if id_ is None else "visitorId or userId is missing")
    device, country = text(document.get("deviceType")), text(document.get("countryCode"))
    shared = {
        "visitor_id": visitor,
        "customer_id": customer,
        "session_id": id_,
        "channel": "web",
        "device": _DEVICES.get(device.lower(), device.lower()) if device else None,
        "country": country.upper() if country and country != "xx" else None,
    }
    actions = _listed(document.get("actionDetails"))
    contents = {url: _shown(view, source) for view in actions if _is_view(view) and (url := text(view.get("url")))}
    return _Visit(id_, actions, shared, email, contents)


def _listed(actions: Any) -> Sequence[Document]:
    """PHP writes a list with gaps as an object."""
    if not isinstance(actions, (list, dict)):
        raise UnreadableError("actionDetails is no list")
    return [mapping(action) for action in (actions if isinstance(actions, list) else actions.values())]


def _is_view(action: Document) -> bool:
    return action.get("type") == "action"


def _shown(view: Document, source: Settings) -> str | None:
    return text(view.get("productViewSku")) or pages.content_from(text(view.get("url")), source)


def _with_pages(actions: Sequence[Document]) -> Iterator[tuple[Document, str | None]]:
    """Each action with the page that the visitor is on."""
    page = None
    for action in actions:
        page = text(action.get("url")) if _is_view(action) else page
        yield action, page


def _names(action: Document) -> tuple[str, ...]:
    """What `[sources.values.event]` may call an action, the closest first."""
    kind = text(action.get("type")) or ""
    if kind == "event":
        category, name = (text(action.get(part)) or "" for part in ("eventCategory", "eventAction"))
        return f"{category}/{name}", name
    if kind in _CONTENT:
        return ("contentInteraction" if text(action.get("contentInteraction")) else "contentImpression",)
    return (kind,)


def _url(action: Document, page: str | None) -> str | None:
    """The page that an action is about."""
    if text(action.get("type")) == "outlink":
        return page
    return first_text(action, ("contentTarget", "url")) or page


def _add_action(rows: Rows, row: int, visit: _Visit, place: int, event: str, url: str | None, source: Settings) -> None:
    try:
        for part, content, values in _parts_of(visit, place, url, source):
            if pages.is_personal(content or url):
                rows.notes["personal_data_in_url"] += 1
                continue
            if content is None:
                rows.notes["events_without_content"] += 1
                continue
            id_ = f"{_event_id(visit, place)}{part}"
            ts = _ts(visit.actions[place], "timestamp")
            rows.add("events", row, event_id=id_, ts=ts, event=event, content_id=content, **values, **visit.shared)
    except UnreadableError as error:
        rows.refuse("events", row, str(error))


def _parts_of(
    visit: _Visit, place: int, url: str | None, source: Settings
) -> Iterator[tuple[str, str | None, Mapping[str, Any]]]:
    """What an action is about, and what tells its parts apart: an order is about each of its items."""
    action = visit.actions[place]
    if action.get("type") == "ecommerceOrder":
        items = [mapping(item) for item in listed(action.get("itemDetails"))]
        for n, item in enumerate(items or [{}], start=1):
            values = {"order_id": text(action.get("orderId")), "value": _worth(item)}
            yield f".{n}", text(item.get("itemSKU")), values
        return
    content = visit.contents.get(url or "") or pages.content_from(url, source)
    yield "", content, {"dwell_seconds": _dwell(visit, place)}


def _worth(item: Document) -> float | None:
    price, quantity = number(item, "price"), number(item, "quantity")
    return None if price is None else price * (1 if quantity is None else quantity)


def _dwell(visit: _Visit, place: int) -> float | None:
    """Seconds on a page; what follows a visit's last page leaves no trace, so 0 s there is no measurement."""
    action = visit.actions[place]
    if not _is_view(action):
        return None
    seconds = number(action, "timeSpent")
    return seconds if seconds or any(map(_is_view, visit.actions[place + 1 :])) else None


def _event_id(visit: _Visit, place: int) -> str:
    """`pageId` is one action's, whatever its name; orders have none."""
    action = visit.actions[place]
    given = first_text(action, ("pageId", "orderId"))
    return f"{visit.id}.{given}" if given else f"{visit.id}.{text(action.get('timestamp'))}.{place}"


def _ts(document: Document, *names: str) -> datetime | None:
    """The first of the fields that is there, in seconds since 1970."""
    seconds = number(document, *names)
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise UnreadableError(f"{names[0]} is not a time in the form unix_seconds") from None
