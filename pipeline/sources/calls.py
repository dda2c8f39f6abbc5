"""Calls of the Segment specification (page, screen, track, identify, alias) to native rows, whoever collected them.

A call is a kind and flat fields, named as Segment's warehouse names its columns: `id`, `anonymous_id`, `user_id`,
`received_at`, `context_page_url` …; properties (and the traits of an identify) have no prefix. What becomes of them:

* `page` and `screen` are a [view]. Of tracked events, the e-commerce specification (v2): `Product List Viewed` is an
  [impression] a product, `Product Clicked` a [click], `Product Viewed` a [view], `Product Added to Wishlist` a [save],
  `Product Shared` a [share], `Product Reviewed` a [comment], `Order Completed` a [purchase] a product, worth price x
  quantity; and `Article …`, `Content …` or `Post …` with Viewed, Clicked, Liked, Saved, Bookmarked, Shared, Commented
  or Followed, or such a word alone. Spelling does not matter (`order_completed`). `[sources.values.event]` adds to
  this; every other event is counted in the notes and left out.
* An event is about `content_id`, else `article_id`, `product_id` or `sku` of its properties (or of each product in
  `products`), or about what `[sources.columns] content_id` names, such as "properties.article_slug" or
  "context.page.path"; a page call that says none of these is about its URL's path.
* Seconds are `dwell_seconds`, `engaged_seconds` or `time_on_page`.
* Ids seen together in an identify or alias call are a link, as is an e-mail address in the traits or as `userId`.
* Consent is a category of `context.consent.categoryPreferences` (Segment) or of `context.consentManagement`
  (RudderStack): the one that `options.consent_category` names, else "personalization"; who refuses every category
  objects to ours too. Traits `consent_personalization` and `opted_out` (`[sources.columns]` can rename
  them) say the same; what is no yes counts as a no. `opted_out = false` is no consent. Global Privacy Control is `gpc`
  or `globalPrivacyControl` in the context, or `gpc` in the properties.
* No customers come of traits: the CRM is the place for what is known about people. `group` calls are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from pipeline.sources import agents, countries, documents, pages
from pipeline.sources.documents import Document, Rows, UnreadableError, first_text, number, text
from pipeline.sources.export import Known, Settings

TABLES = ("events", "links", "signals")

_PRODUCTS = {
    "product_list_viewed": "impression",
    "product_clicked": "click",
    "product_viewed": "view",
    "product_added_to_wishlist": "save",
    "product_shared": "share",
    "product_reviewed": "comment",
    "order_completed": "purchase",
}
_VERBS = {
    "clicked": "click",
    "liked": "like",
    "saved": "save",
    "bookmarked": "save",
    "shared": "share",
    "commented": "comment",
    "followed": "follow",
}
_EVENTS: Mapping[str, str] = {
    **_PRODUCTS,
    **{name: name for name in ("like", "save", "share", "comment", "follow")},
    **{past: ours for past, ours in _VERBS.items() if past != "clicked"},
    **{f"{kind}_{past}": ours for kind in ("article", "content", "post") for past, ours in _VERBS.items()},
    **{f"{kind}_viewed": "view" for kind in ("article", "content", "post")},
}
_CONTENT_IDS = ("content_id", "article_id", "product_id", "sku")
_DWELL = ("dwell_seconds", "engaged_seconds", "time_on_page")
_TIMES = ("timestamp", "original_timestamp", "received_at")
_GPC = ("context_gpc", "context_global_privacy_control", "gpc")
_CONSENT_PREFIX = "context_consent_category_preferences_"
_ALLOWED, _DENIED = (f"context_consent_management_{said}_consent_ids" for said in ("allowed", "denied"))
_PERSONALIZATION = ("personalization", "personalisation")
_TRAITS = "context_traits_"
_WISHES = ("consent_personalization", "opted_out")
_ABOUT_PEOPLE = ("identify", "user")

FIELDS = (
    *("id", "anonymous_id", "user_id", "previous_id", "event", "event_text", "channel", "type"),
    *(*_TIMES, *_CONTENT_IDS, *_DWELL, *_GPC, *_WISHES, _ALLOWED, _DENIED),
    *("url", "path", "products", "position", "price", "quantity", "revenue", "total", "value", "order_id"),
    *("email", "session_id", "context_session_id", "context_page_url", "context_page_path", "context_traits_email"),
    *("context_user_agent", "context_user_agent_data_mobile", "context_device_type", "context_os_name"),
    *("context_library_name", "context_location_country", "context_location_country_code"),
    *(f"{_TRAITS}{wish}" for wish in _WISHES),
)
"""Every field that is read, but for consent categories and those that the configuration names."""

_BREAK = re.compile(r"(?<=[^\W_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_COUNTRY_CODE = re.compile(r"[A-Za-z]{2}")
_DEVICES = {
    **dict.fromkeys(("mobile", "phone", "smartphone", "handset", "ios", "iphone", "android"), "mobile"),
    **dict.fromkeys(("tablet", "ipad", "ipados"), "tablet"),
    **dict.fromkeys(("desktop", "windows", "mac os x", "mac os", "macos", "linux", "chrome os"), "desktop"),
    **dict.fromkeys(("tv", "smarttv", "smart tv"), "tv"),
}
_CHANNELS = {"web": "web", "browser": "web", "mobile": "mobile", "server": "server"}
_LIBRARIES: Sequence[tuple[str, str]] = (
    ("web", r"(?i)analytics\.?js|javascript|^web$"),
    ("mobile", r"(?i)ios|android|react.?native|flutter|swift|kotlin|xamarin|unity"),
    ("server", r"(?i)python|node|ruby|java|\bgo\b|php|\.net|rust|elixir|http"),
)


@dataclass(frozen=True)
class Call:
    """One call: its row in the file, its kind, and its fields.

    Kinds are those of the specification (page, screen, track, identify, alias, group); `user`, what is known
    of one now, whose `id` is the user's; and `opt_out`, an objection.
    """

    row: int
    kind: str
    fields: Document


@lru_cache(maxsize=1 << 14)
def snake(name: str) -> str:
    """A name as the warehouses write it: `Order Completed` and `orderCompleted` are `order_completed`."""
    return _BREAK.sub("_", name).strip("_").lower()


def known(*options: str) -> Known:
    """What may be set for a source of calls, and the options of its format."""
    own = (pages.OPTION, "allow_empty", "consent_category")
    return Known(columns=["content_id", *_WISHES], values=["event"], options=[*own, *options])


def is_wanted(field: str, source: Settings) -> bool:
    """Whether the field `field` (snake case) is read."""
    named = {_field(name) for name in source.columns.values()}
    return field in FIELDS or field in named or field.startswith(_CONSENT_PREFIX)


def spread(fields: dict[str, Any], prefix: str, found: Document, depth: int = 4) -> None:
    """Lay the members of an object beside each other under their snake-case names; what is there already stays."""
    for key, value in found.items():
        name = prefix + snake(key)
        if isinstance(value, dict) and depth:
            spread(fields, f"{name}_", value, depth - 1)
        elif fields.get(name) is None:
            fields[name] = value


def _field(name: str) -> str:
    """`properties.articleSlug`, `traits.gdpr` or `context.page.path` as the field that holds it."""
    return snake(re.sub(r"^(properties|traits)\.", "", name))


class Reader:
    """Puts calls into rows as a source's settings say."""

    def __init__(self, source: Settings, rows: Rows) -> None:
        self._source = source
        self._rows = rows
        self._events = {**_EVENTS, **{snake(name): ours for name, ours in source.values.get("event", {}).items()}}
        named = source.columns.get("content_id")
        self._content_ids: Sequence[str] = _CONTENT_IDS if named is None else (_field(named),)
        self._wishes = {wish: _field(source.columns.get(wish, wish)) for wish in _WISHES}
        self._category = snake(source.options.get("consent_category", ""))

    def take(self, call: Call) -> None:
        """Add what the call tells: who is who, what they wish, and what they did."""
        if call.kind == "group":
            self._rows.notes["group_calls"] += 1
        elif _is_bot(text(call.fields.get("context_user_agent"))):
            self._rows.notes["bots"] += 1
        else:
            try:
                self._take(call)
            except UnreadableError as error:
                self._rows.refuse("events", call.row, str(error))

    def _take(self, call: Call) -> None:
        ts = documents.instant(call.fields, *_TIMES)
        people = _people(call)
        self._signal(call, ts, people)
        self._link(call, ts, people)
        event = self._event(call)
        if event is not None:
            self._happened(call, event, ts, people)
        elif call.kind == "track":
            self._rows.notes["not_content_events"] += 1

    def _link(self, call: Call, ts: datetime | None, people: Mapping[str, str]) -> None:
        """Events themselves show a visitor to be a customer; e-mail addresses only stand in links."""
        if len(people) > 1 and ("email" in people or call.kind in {"identify", "alias", "user"}):
            received = _received(call)
            self._rows.add("links", call.row, ts=ts, available_at=received, **people)
        elif call.kind in {"identify", "alias"}:
            self._rows.notes["calls_with_one_id"] += 1

    def _signal(self, call: Call, ts: datetime | None, people: Mapping[str, str]) -> None:
        for personalization, reason in self._said(call):
            self._rows.add("signals", call.row, ts=ts, personalization=personalization, reason=reason, **people)

    def _said(self, call: Call) -> Iterator[tuple[bool, str]]:
        if any(documents.yes_no(call.fields.get(name)) for name in _GPC):
            yield False, "gpc"
        if call.kind == "opt_out":
            yield False, "objection"
        consent = self._consent(_categories(call.fields))
        if consent is not None:
            yield consent, "consent"
        given, opted_out = (self._trait(call, wish) for wish in _WISHES)
        if given is not None:
            yield documents.yes_no(given) is True, "consent"
        if opted_out is not None and documents.yes_no(opted_out) is not False:
            yield False, "objection"

    def _trait(self, call: Call, wish: str) -> Any:
        """A trait from an identify, or as some libraries repeat them with every call; None where nothing is said."""
        name = self._wishes[wish]
        found = call.fields.get(name) if call.kind in _ABOUT_PEOPLE else None
        found = call.fields.get(_TRAITS + name) if found in (None, "") else found
        return None if found == "" else found

    def _consent(self, categories: Mapping[str, Any]) -> bool | None:
        """What the categories say of personalization; None where they say nothing of it."""
        said = {name: documents.yes_no(value) is True for name, value in categories.items() if value not in (None, "")}
        ours = [value for name, value in said.items() if self._is_ours(name)]
        if ours or (said and not any(said.values())):
            return bool(ours) and all(ours)
        if said:
            self._rows.notes["consent_category_unknown"] += 1
        return None

    def _is_ours(self, category: str) -> bool:
        return category in ((self._category,) if self._category else _PERSONALIZATION)

    def _event(self, call: Call) -> str | None:
        if call.kind in {"page", "screen"}:
            return "view"
        names = (snake(name) for field in ("event", "event_text") if (name := text(call.fields.get(field))) is not None)
        return next((self._events[name] for name in names if name in self._events), None)

    def _happened(self, call: Call, event: str, ts: datetime | None, people: Mapping[str, str]) -> None:
        ids = {name: found for name, found in people.items() if name != "email"}
        shared = {"ts": ts, "available_at": _received(call), "event": event, **ids, **_circumstances(call.fields)}
        if event == "purchase":
            shared["order_id"] = text(call.fields.get("order_id"))
        event_id = text(call.fields.get("id"))
        for place, about in self._subjects(call, event):
            key = event_id and (f"{event_id}.{place}" if place else event_id)
            impression = {"impression_id": key} if event == "impression" else {}
            self._rows.add("events", call.row, event_id=key, **shared, **impression, **about)

    def _subjects(self, call: Call, event: str) -> list[tuple[int, dict[str, Any]]]:
        """Places (0: not in a list) and what the event is about, read whole: a call is kept or refused as a whole."""
        products = documents.listed(call.fields.get("products")) if event in {"impression", "purchase"} else ()
        found = [(place, _product(product), "") for place, product in enumerate(products, start=1)]
        subjects = found or [(0, call.fields, call.kind)]
        read = [(place, self._subject(fields, kind, event, place)) for place, fields, kind in subjects]
        return [(place, about) for place, about in read if about is not None]

    def _subject(self, fields: Document, kind: str, event: str, place: int) -> dict[str, Any] | None:
        content, left_out = self._content(fields, kind)
        if left_out is not None:
            self._rows.notes[left_out] += 1
            return None
        position = documents.whole_number(fields, "position") if event in {"impression", "click"} else None
        listed_at = place if event == "impression" else 0
        return {
            "content_id": content,
            "dwell_seconds": number(fields, *_DWELL),
            "position": position or listed_at or None,
            "value": _worth(fields) if event == "purchase" else None,
        }

    def _content(self, fields: Document, kind: str) -> tuple[str | None, str | None]:
        """The content, or else the note under which the event is left out; neither where it should have named one."""
        named = first_text(fields, self._content_ids)
        viewed = kind in {"page", "screen"}
        page = named if named and (named.startswith("/") or "://" in named) else None
        if named is None and kind == "page":
            page = first_text(fields, ("url", "context_page_url", "path", "context_page_path"))
        if pages.is_personal(page or named):
            return None, "personal_data_in_url"
        content = named if page is None else pages.content_from(page, self._source)
        return content, "page_views_without_content" if content is None and viewed else None


def _product(found: Any) -> Document:
    fields: dict[str, Any] = {}
    spread(fields, "", documents.mapping(found))
    return fields


def _worth(fields: Document) -> float | None:
    price, quantity = number(fields, "price"), number(fields, "quantity")
    if price is None:
        return number(fields, "revenue", "total", "value")
    return price * (1 if quantity is None else quantity)


def _people(call: Call) -> Mapping[str, str]:
    """The ids that the call has, by our names."""
    fields = call.fields
    before = ("previous_id", "anonymous_id") if call.kind == "alias" else ("anonymous_id",)
    visitor = first_text(fields, before)
    customer = text(fields.get("id" if call.kind == "user" else "user_id"))
    given = ("email", "context_traits_email") if call.kind in _ABOUT_PEOPLE else ("context_traits_email",)
    addresses = (_address(said) for said in (first_text(fields, given), customer))
    email = next((found for found in addresses if found is not None), None)
    ids = {"visitor_id": visitor, "customer_id": customer, "email": email}
    return {name: found for name, found in ids.items() if found is not None}


def _address(said: str | None) -> str | None:
    return said.lower() if said and _ADDRESS.fullmatch(said) else None


def _received(call: Call) -> datetime | None:
    return documents.instant(call.fields, "received_at")


def _categories(fields: Document) -> Mapping[str, Any]:
    """What was said of every category of consent; of RudderStack's, a denial counts more than a permission."""
    given = {name[len(_CONSENT_PREFIX) :]: said for name, said in fields.items() if name.startswith(_CONSENT_PREFIX)}
    lists = ((documents.listed(fields.get(name)), said) for name, said in ((_ALLOWED, True), (_DENIED, False)))
    return {**given, **{snake(name): said for names, said in lists for name in names if isinstance(name, str)}}


def _circumstances(fields: Document) -> Mapping[str, str | None]:
    return {
        "session_id": _session(fields),
        "channel": _channel(fields),
        "device": _device(fields),
        "country": _country(fields),
    }


def _session(fields: Document) -> str | None:
    """RudderStack numbers sessions by the second in which they began: two visitors' may have the same number."""
    session, visitor = first_text(fields, ("context_session_id", "session_id")), text(fields.get("anonymous_id"))
    return f"{visitor}.{session}" if session and visitor else session


def _channel(fields: Document) -> str | None:
    said = _CHANNELS.get((text(fields.get("channel")) or "").lower())
    return said or _channel_of(text(fields.get("context_library_name")) or "")


@lru_cache
def _channel_of(library: str) -> str | None:
    return next((channel for channel, words in _LIBRARIES if re.search(words, library)), None)


def _device(fields: Document) -> str | None:
    said = (text(fields.get(name)) for name in ("context_device_type", "context_os_name"))
    named = next((_DEVICES[name.lower()] for name in said if name is not None and name.lower() in _DEVICES), None)
    return named or _device_of(text(fields.get("context_user_agent"))) or _mobile_or_not(fields)


def _mobile_or_not(fields: Document) -> str | None:
    mobile = documents.yes_no(fields.get("context_user_agent_data_mobile"))
    return None if mobile is None else "mobile" if mobile else "desktop"


def _country(fields: Document) -> str | None:
    said = first_text(fields, ("context_location_country_code", "context_location_country"))
    if said is None:
        return None
    return said.upper() if _COUNTRY_CODE.fullmatch(said) else countries.BY_NAME.get(said.lower())


@lru_cache(maxsize=1 << 14)
def _is_bot(agent: str | None) -> bool:
    return agents.is_bot(agent)


@lru_cache(maxsize=1 << 14)
def _device_of(agent: str | None) -> str | None:
    return agents.device(agent)
