"""A day as the GA4 BigQuery export writes it: one row an event, parameters and items nested.

Source of the layout: Google's BigQuery Export schema (support.google.com/analytics/answer/7029846).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from pipeline.simulation.catalogue import CATEGORIES
from pipeline.simulation.draws import Bools, Floats, Ints
from pipeline.simulation.facts import REACTIONS, Day, Kind
from pipeline.simulation.population import COUNTRIES, DEVICES
from pipeline.simulation.shopify import CURRENCY, FIRST_ORDER_NUMBER
from pipeline.simulation.wordpress import SITE
from pipeline.simulation.world import World

STREAM_ID = "4711000001"
LIST_IDS = ("home-popular", "latest", "discover", *(f"category-{c}" for c in CATEGORIES))
_LIST_PAGES = (f"{SITE}/", f"{SITE}/latest/", f"{SITE}/discover/", *(f"{SITE}/category/{c}/" for c in CATEGORIES))
_LIST_TITLES = ("Home", "Latest", "Discover", *(c.replace("-", " ").title() for c in CATEGORIES))
_NAMES = (
    "session_start",
    "page_view",
    "view_item_list",
    "select_content",
    "page_view",
    "",
    "user_engagement",
    "purchase",
)
_CHANNELS = (("google", "organic"), ("(direct)", "(none)"), ("newsletter", "email"))
_SYSTEMS = (("Windows", "Chrome", "141.0"), ("iOS", "Safari", "19.1"), ("Android", "Chrome", "141.0"))

_PARAM_VALUE = pa.struct(
    [
        ("string_value", pa.string()),
        ("int_value", pa.int64()),
        ("float_value", pa.float64()),
        ("double_value", pa.float64()),
    ]
)
_USER_PROPERTY = pa.struct(
    [("key", pa.string()), ("value", pa.struct([*_PARAM_VALUE, pa.field("set_timestamp_micros", pa.int64())]))]
)


@dataclass(frozen=True, eq=False)
class _Items:
    """Rows of `items[]`: `event` is the row they belong to, ascending; `position` 0 and `list` -1 where none."""

    event: Ints
    content: Ints
    quantity: Ints
    list: Ints
    position: Ints


def events_table(world: World, day: Day, on: date, first_order: int) -> pa.Table:
    """One exported day, in time order; `first_order` is the number of the day's first order, counted from 0."""
    order = np.lexsort((np.arange(len(day.events.ts)), day.events.ts))
    events = day.events
    session, kind, subject, ts = (a[order] for a in (events.session, events.kind, events.subject, events.ts))
    view = _View(world, day, session, kind, subject, first_order)
    cookie = day.sessions.cookie[session]
    columns = {
        "event_date": _constant(f"{on:%Y%m%d}", len(ts)),
        "event_timestamp": pa.array(ts),
        "event_name": view.names(),
        "event_params": view.params(),
        "user_id": view.user_ids(),
        "user_pseudo_id": pa.array(world.people.cookie_ids).take(pa.array(cookie)),
        "privacy_info": _constants(len(ts), analytics_storage="Yes", ads_storage="No", uses_transient_token="No"),
        "user_properties": _empty_lists(_USER_PROPERTY, len(ts)),
        "device": _device(world, day.sessions.person[session], cookie),
        "geo": _geo(world.people.country[day.sessions.person[session]]),
        "traffic_source": _traffic(world.people.cookie_channel[cookie]),
        "stream_id": _constant(STREAM_ID, len(ts)),
        "platform": _constant("WEB", len(ts)),
        "ecommerce": view.ecommerce(),
        "items": view.items(),
    }
    return pa.table(columns)


class _View:
    """A day's events in file order, and the nested columns that are read off them."""

    def __init__(self, world: World, day: Day, session: Ints, kind: Ints, subject: Ints, first_order: int) -> None:
        self.world, self.day = world, day
        self.session, self.kind, self.subject = session, kind, subject
        self.first_order = first_order
        self.about_visit = np.isin(kind, [Kind.CLICK, Kind.VIEW, Kind.REACTION, Kind.DWELL])
        self.list = self._lists()
        self.page = self._pages()

    def names(self) -> pa.Array:
        names = _take(_NAMES, self.kind).to_numpy(zero_copy_only=False)
        reacting = self.kind == Kind.REACTION
        names[reacting] = np.array(REACTIONS, dtype=object)[self.day.visits.reaction[self.subject[reacting]]]
        return pa.array(names, pa.string())

    def user_ids(self) -> pa.Array:
        record = self.world.people.record_id[self.day.sessions.person[self.session]]
        return pa.array(record, mask=~self.day.sessions.logged_in[self.session]).cast(pa.string())

    def params(self) -> pa.ListArray:
        """`event_params[]`; as in real exports `session_engaged` is an integer on some events and text on others."""
        kind, site = self.kind, self.world.catalogue
        everywhere = np.ones(len(kind), dtype=bool)
        dwell = kind == Kind.DWELL
        content = self._of_visit(self.day.visits.content)
        locations = (*_LIST_PAGES, *(f"{SITE}/{s}/" for s in site.slugs))
        page_titles = (*_LIST_TITLES, *site.titles)
        start_s = self.world.midnight(self.day.day) // 1_000_000 + self.day.sessions.start_s
        params = _Params(len(kind))
        params.integers("ga_session_id", everywhere, start_s[self.session])
        params.integers("ga_session_number", everywhere, self.day.sessions.number[self.session])
        params.integers("session_engaged", dwell, np.ones(len(kind), dtype=np.int64))
        params.strings("session_engaged", ~dwell, ("1",), np.zeros(len(kind), dtype=np.int64))
        params.strings("page_location", everywhere, locations, self.page)
        params.strings("page_title", everywhere, page_titles, self.page)
        params.strings("content_id", self.about_visit, site.ids, content)
        params.strings("content_type", kind == Kind.CLICK, ("post",), np.zeros(len(kind), dtype=np.int64))
        params.strings("item_list_id", (kind == Kind.LIST_SHOWN) | (kind == Kind.CLICK), LIST_IDS, self.list)
        params.integers("engagement_time_msec", dwell, self._of_visit(self.day.visits.dwell_ms))
        params.strings("currency", kind == Kind.PURCHASE, (CURRENCY,), np.zeros(len(kind), dtype=np.int64))
        params.doubles("value", kind == Kind.PURCHASE, self._revenue())
        return params.column()

    def ecommerce(self) -> pa.StructArray:
        """`transaction_id` is the Shopify order's Name; both are null away from purchases."""
        purchase = self.kind == Kind.PURCHASE
        number = FIRST_ORDER_NUMBER + self.first_order + np.where(purchase, self.subject, 0)
        names = pa.array(
            [f"#{n}" if p else None for n, p in zip(number.tolist(), purchase.tolist(), strict=True)], pa.string()
        )
        return pa.StructArray.from_arrays(
            [names, pa.array(self._revenue(), mask=~purchase)], names=["transaction_id", "purchase_revenue"]
        )

    def items(self) -> pa.ListArray:
        """`items[]`: what a list showed with its 1-based index, what a purchase bought; empty elsewhere."""
        items, site = self._item_rows(), self.world.catalogue
        listed = items.list >= 0
        lists = _take(LIST_IDS, np.maximum(items.list, 0), ~listed)
        struct = pa.StructArray.from_arrays(
            [
                _take(site.ids, items.content),
                _take(site.titles, items.content),
                _take(CATEGORIES, site.category[items.content]),
                pa.array(site.price_cents[items.content] / 100, mask=site.price_cents[items.content] == 0),
                pa.array(items.quantity, mask=items.quantity == 0),
                lists,
                _take(_LIST_TITLES, np.maximum(items.list, 0), ~listed),
                pa.array(items.position, mask=~listed),
            ],
            names=[
                "item_id",
                "item_name",
                "item_category",
                "price",
                "quantity",
                "item_list_id",
                "item_list_name",
                "index",
            ],
        )
        return pa.ListArray.from_arrays(_offsets(items.event, len(self.kind)), struct)

    def _item_rows(self) -> _Items:
        shown, bought = self._shown_rows(), self._bought_rows()
        order = np.argsort(np.concatenate([shown.event, bought.event]), kind="stable")
        fields = ("event", "content", "quantity", "list", "position")
        return _Items(*(np.concatenate([getattr(shown, f), getattr(bought, f)])[order] for f in fields))

    def _shown_rows(self) -> _Items:
        slots, lists = self.day.slots, self.day.lists
        event = self._event_of(Kind.LIST_SHOWN, len(lists.kind))[slots.list]
        return _Items(event, slots.content, np.zeros_like(event), lists.kind[slots.list], slots.position)

    def _bought_rows(self) -> _Items:
        orders = self.day.orders
        event = self._event_of(Kind.PURCHASE, len(orders))[orders.line_order]
        return _Items(event, orders.line_content, orders.line_quantity, np.full_like(event, -1), np.zeros_like(event))

    def _event_of(self, kind: Kind, subjects: int) -> Ints:
        """The row of the event of this kind about each subject."""
        rows = np.zeros(subjects, dtype=np.int64)
        mine = np.flatnonzero(self.kind == kind)
        rows[self.subject[mine]] = mine
        return rows

    def _lists(self) -> Ints:
        """The kind of list each event belongs to; entry and purchase belong to its session's first."""
        day = self.day
        first = np.zeros(len(day.sessions.person), dtype=np.int64)
        first[day.lists.session[day.lists.place == 0]] = day.lists.kind[day.lists.place == 0]
        kinds = first[self.session]
        shown = self.kind == Kind.LIST_SHOWN
        kinds[shown] = day.lists.kind[self.subject[shown]]
        shown_in = day.lists.kind[day.slots.list[day.visits.slot]]
        return np.where(self.about_visit, self._of_visit(shown_in), kinds)

    def _pages(self) -> Ints:
        """A code into list pages, then content pages: a click happens on the list's page, a purchase on the first."""
        on_content = self.about_visit & (self.kind != Kind.CLICK)
        return np.where(on_content, len(_LIST_PAGES) + self._of_visit(self.day.visits.content), self.list)

    def _of_visit(self, values: Ints) -> Ints:
        """A fact of the visit that each event is about; 0 where it is about none."""
        known = np.zeros(len(self.kind), dtype=np.int64)
        known[self.about_visit] = values[self.subject[self.about_visit]]
        return known

    def _revenue(self) -> Floats:
        """The order's total where the event is a purchase, 0 elsewhere."""
        orders, purchase = self.day.orders, self.kind == Kind.PURCHASE
        cents = self.world.catalogue.price_cents[orders.line_content] * orders.line_quantity
        totals = np.bincount(orders.line_order, weights=cents, minlength=len(orders)) / 100
        revenue = np.zeros(len(purchase))
        revenue[purchase] = totals[self.subject[purchase]]
        return revenue


class _Params:
    """Collects parameters by name and turns them into one list column, each event's in the order added."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._rows: list[Ints] = []
        self._keys: list[pa.Array] = []
        self._values: dict[str, list[pa.Array]] = {f.name: [] for f in _PARAM_VALUE}

    def integers(self, key: str, where: Bools, values: Ints) -> None:
        self._add(key, where, "int_value", pa.array(values[where], pa.int64()))

    def doubles(self, key: str, where: Bools, values: Floats) -> None:
        self._add(key, where, "double_value", pa.array(values[where], pa.float64()))

    def strings(self, key: str, where: Bools, vocabulary: tuple[str, ...], codes: Ints) -> None:
        self._add(key, where, "string_value", _take(vocabulary, codes[where]))

    def column(self) -> pa.ListArray:
        rows = np.concatenate(self._rows)
        order = pa.array(np.argsort(rows, kind="stable"))
        values = pa.StructArray.from_arrays(
            [pa.concat_arrays(self._values[f.name]).take(order) for f in _PARAM_VALUE], fields=list(_PARAM_VALUE)
        )
        keys = pa.concat_arrays(self._keys).take(order)
        struct = pa.StructArray.from_arrays([keys, values], names=["key", "value"])
        return pa.ListArray.from_arrays(_offsets(rows, self._events), struct)

    def _add(self, key: str, where: Bools, slot: str, values: pa.Array) -> None:
        self._rows.append(np.flatnonzero(where))
        self._keys.append(_constant(key, len(values)))
        for name, parts in self._values.items():
            parts.append(values if name == slot else pa.nulls(len(values), _PARAM_VALUE.field(name).type))


def _device(world: World, person: Ints, cookie: Ints) -> pa.StructArray:
    """Category, system and browser of the cookie, language of the person's country."""
    category = world.people.cookie_device[cookie]
    system = np.where(category == 0, 0, 1 + cookie % 2)
    web = pa.StructArray.from_arrays(
        [
            _take([s[1] for s in _SYSTEMS], system),
            _take([s[2] for s in _SYSTEMS], system),
            _constant("www.example.com", len(cookie)),
        ],
        names=["browser", "browser_version", "hostname"],
    )
    return pa.StructArray.from_arrays(
        [
            _take(DEVICES, category),
            _take([s[0] for s in _SYSTEMS], system),
            _take([c.language for c in COUNTRIES], world.people.country[person]),
            web,
        ],
        names=["category", "operating_system", "language", "web_info"],
    )


def _geo(country: Ints) -> pa.StructArray:
    names = ("continent", "name", "region", "city")
    arrays = [_take([getattr(c, n) for c in COUNTRIES], country) for n in names]
    return pa.StructArray.from_arrays(arrays, names=["continent", "country", "region", "city"])


def _traffic(channel: Ints) -> pa.StructArray:
    medium, source = _take([c[1] for c in _CHANNELS], channel), _take([c[0] for c in _CHANNELS], channel)
    return pa.StructArray.from_arrays(
        [_constant("(not set)", len(channel)), medium, source], names=["name", "medium", "source"]
    )


def _take(vocabulary: tuple[str, ...] | list[str], codes: Ints, missing: Bools | None = None) -> pa.Array:
    return pa.array(vocabulary, pa.string()).take(pa.array(codes, mask=missing))


def _constant(text: str, size: int) -> pa.Array:
    return pa.repeat(pa.scalar(text), size)


def _constants(size: int, **values: str) -> pa.StructArray:
    return pa.StructArray.from_arrays([_constant(v, size) for v in values.values()], names=list(values))


def _empty_lists(element: pa.DataType, size: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.zeros(size + 1), pa.int32()), pa.array([], element))


def _offsets(rows: Ints, size: int) -> pa.Array:
    """Arrow list offsets of entries that name their row."""
    return pa.array(np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=size))]), pa.int32())
