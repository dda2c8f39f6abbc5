"""Good exports to begin from: every format in each of its forms, as its own tests write it, with personal data."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.sources.snowplow_columns import COLUMNS
from tests.pipeline.sources import (
    ga4_hits,
    test_access_log,
    test_contentful,
    test_ga4_forms,
    test_matomo,
    test_plausible,
    test_posthog,
    test_rss,
    test_rudderstack,
    test_salesforce,
    test_segment,
    test_shopify,
    test_snowplow,
    test_stripe,
    test_woocommerce,
    test_wordpress,
    test_wordpress_xml,
)
from tests.pipeline.sources.conftest import Setting

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
BOUNDS = (1_782_777_600_000_000, 1_782_864_000_000_000)
"""The day of every seed."""

EMAIL, NAME, PHONE, ADDRESS, STREET, AGENT = PERSONAL = (
    "ann.quandt@example.com",
    "Quandt",
    "+49 170 5550142",
    "203.0.113.77",
    "Elm Street 1428",
    test_access_log.FIREFOX,
)
"""What no message, reason or note may repeat."""

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Seed:
    """One file: its form ("ga4/csv"), its name, which a reader goes by, its bytes and its source's settings."""

    form: str
    name: str
    content: bytes
    settings: Mapping[str, Any]

    @property
    def format(self) -> str:
        """The format that reads it."""
        return self.form.partition("/")[0]

    def source(self, folder: Path) -> Setting:
        """Its source, with files in `folder`; the day stands in the path where a format takes it from there."""
        template = self.name.replace("20260630", "{date:%Y%m%d}")
        return Setting(name="export", format=self.format, path=str(folder / template), **self.settings)


@cache
def seeds() -> Mapping[str, Seed]:
    """Form -> seed; every format of the registry has at least one."""
    made = [Seed(form, name, content, settings) for form, name, content, settings in (*_behaviour(), *_the_rest())]
    return {seed.form: seed for seed in [*made, *_tables()]}


_Made = tuple[str, str, bytes, Mapping[str, Any]]


def _behaviour() -> list[_Made]:
    """Who did what: web analytics, calls and logs."""
    calls, table, rudder, hog, snow = _calls(), _warehouse(), _rudder(), _posthog(), _snowplow()
    return [
        ("ga4/parquet", "e_20260630.parquet", parquet(_ga4(), ga4_hits.SCHEMA), {}),
        ("ga4/jsonl", "e_20260630.jsonl", test_ga4_forms.json_lines(*_ga4()).encode(), {}),
        ("ga4/csv", "e_20260630.csv", test_ga4_forms.csv_text(*_ga4()).encode(), {}),
        ("segment/jsonl", "calls.jsonl", lines(calls), {}),
        ("segment/csv", "tracks.csv", comma_separated(table), {}),
        ("segment/parquet", "tracks.parquet", parquet(table), {}),
        ("rudderstack/jsonl", "calls.json", lines(rudder), {}),
        ("rudderstack/csv", "tracks.csv", comma_separated(table), {}),
        ("posthog/jsonl", "a.jsonl", lines(hog), {}),
        ("posthog/parquet", "a.parquet", parquet(_as_text(hog)), {}),
        ("snowplow/tsv", "part-00000", test_snowplow.enriched(snow).encode(), {}),
        ("snowplow/csv", "events.csv", comma_separated([_whole(row) for row in snow]), {}),
        ("snowplow/parquet", "events.parquet", parquet(_timed(snow)), {}),
        ("matomo/json", "visits.json", json.dumps(_matomo()).encode(), {}),
        ("matomo/jsonl", "visits.jsonl", lines(_matomo()), {}),
        ("access_log/combined", "access.log", _access_log(), {}),
        ("access_log/common", "access.log", _access_log(agent=None), {}),
    ]


def _the_rest() -> list[_Made]:
    """Who people are, what they bought, what there is, and counts of nobody in particular."""
    stripe = {"customer_email": EMAIL, "customer_name": NAME, "description": STREET}
    card = {"Customer Email": EMAIL, "Card Name": NAME, "Description": STREET}
    feeds = {"rss": test_rss.RSS, "atom": test_rss.ATOM, "json": test_rss.JSON_FEED}
    wxr = test_wordpress_xml.HEAD + 3 * test_wordpress_xml.ITEM + test_wordpress_xml.TAIL
    return [
        ("hubspot/labels", "contacts.csv", comma_separated(_contacts()), {}),
        ("hubspot/names", "contacts.csv", comma_separated(_api_contacts()), {}),
        ("salesforce/names", "Contact.csv", comma_separated(_people()), {}),
        ("shopify/csv", "orders_20260630.csv", comma_separated(_orders(), test_shopify.HEADER), {}),
        ("woocommerce/json", "orders.json", json.dumps(_woocommerce()).encode(), {}),
        ("woocommerce/jsonl", "orders.jsonl", lines(_woocommerce()), {}),
        ("stripe/report", "report.csv", test_stripe.report(stripe, {**_REFUNDED, **stripe}).encode(), {}),
        ("stripe/payments", "payments.csv", test_stripe.payments(card, {**card, "id": "ch_2"}).encode(), {}),
        ("stripe/charges", "payments.jsonl", lines(_charges()), {}),
        ("stripe/balances", "payments.jsonl", lines(_balances()), {}),
        ("wordpress/json", "posts.json", json.dumps(_posts()).encode(), {}),
        ("wordpress/xml", "site.xml", wxr.replace("ann@example.com", EMAIL).encode(), {}),
        ("contentful/json", "space.json", json.dumps(test_contentful.SPACE).encode(), _CONTENTFUL),
        *(("rss/" + form, "feed." + _ENDINGS[form], personal(feed).encode(), {}) for form, feed in feeds.items()),
        ("plausible/pages", "imported_pages_20260601_20260630.csv", _pages(), {}),
        ("plausible/events", "imported_custom_events.csv", _events(), {}),
    ]


_ENDINGS = {"rss": "xml", "atom": "xml", "json": "json"}
_CONTENTFUL = {"columns": test_contentful.MAPPED}
_REFUNDED = test_stripe.movement(2, "refund", "-2.34")


def personal(text: str) -> str:
    """The tests' people under the names that are looked for."""
    return text.replace("ann@example.com", EMAIL).replace("jo@example.com", EMAIL)


# ---------------------------------------------------------------- forms of files


def lines(objects: Sequence[Any]) -> bytes:
    """JSON Lines."""
    return "".join(f"{json.dumps(one)}\n" for one in objects).encode()


def comma_separated(rows: Rows, header: Sequence[str] | None = None) -> bytes:
    """A CSV with every column that any row has; lists and objects are JSON."""
    text = io.StringIO()
    names = header or list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, restval="")
    writer.writeheader()
    writer.writerows({k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in row.items()} for row in rows)
    return text.getvalue().encode()


def parquet(rows: Rows, schema: pa.Schema | None = None) -> bytes:
    """A Parquet file."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    written = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{**dict.fromkeys(names), **row} for row in rows], schema=schema), written)
    return written.getvalue()


# ---------------------------------------------------------------- rows


def _ga4() -> list[dict[str, Any]]:
    hit = ga4_hits.hit
    location = {"page_location": f"{ga4_hits.SITE}/a?mail={EMAIL}", "page_title": NAME, "search_term": EMAIL}
    return [
        *test_ga4_forms.HITS,
        hit("page_view", 20, content_id="c", visitor="3.4", ip=ADDRESS, **location) | {"user_id": "crm-1"},
        hit("user_engagement", 30, visitor="3.4", engagement_time_msec=4_500, session_engaged=1, **location),
    ]


def _calls() -> list[dict[str, Any]]:
    call, track = test_segment.call, test_segment.track
    context = {"ip": ADDRESS, "userAgent": AGENT, "traits": {"email": EMAIL, "lastName": NAME, "phone": PHONE}}
    return [
        call("identify", 1, userId="c7", context=context, traits={"email": EMAIL, "address": {"street": STREET}}),
        call("page", 2, context=context, properties={"path": "/a", "url": f"https://e.example/a?m={EMAIL}"}),
        track("Product List Viewed", 3, context=context, products=[{"product_id": "p1"}, {"product_id": "p2"}]),
        track("Order Completed", 4, order_id="o1", products=[{"sku": "p1", "price": 2.5, "quantity": 2}]),
        call("alias", 5, userId="c7", previousId="507f191e"),
        track("Signed Up", 6, context={"consent": {"categoryPreferences": {"Personalization": False}}}, note=NAME),
    ]


def _warehouse() -> list[dict[str, Any]]:
    row = {
        "id": "m1",
        "anonymous_id": "v1",
        "user_id": "c7",
        "event": "product_clicked",
        "event_text": "Product Clicked",
        "timestamp": NOON.isoformat(),
        "original_timestamp": NOON.isoformat(),
        "received_at": NOON.isoformat(),
        "context_ip": ADDRESS,
        "context_user_agent": AGENT,
        "context_traits_email": EMAIL,
        "product_id": "p1",
        "note": NAME,
    }
    return [row, {**row, "id": "m2", "product_id": "p2"}]


def _rudder() -> list[dict[str, Any]]:
    call, context = test_rudderstack.call, {"traits": {"email": EMAIL, "name": NAME}}
    denied = {"consentManagement": {"deniedConsentIds": ["C0001"]}}
    clicked = call("track", event="Product Clicked", messageId="m2", properties={"product_id": "p1", "email": EMAIL})
    page = call("page", properties={"path": "/a"}, context={**context, **denied})
    return [page, clicked, call("identify", messageId="m3", context=context)]


def _posthog() -> list[dict[str, Any]]:
    event, view = test_posthog.event, {**test_posthog.VIEW, "_ip": ADDRESS, "_raw_user_agent": AGENT}
    return [
        event("$pageview", 1, **view),
        event("$pageleave", 9, _prev_pageview_id="p1", _prev_pageview_duration=7.5),
        event("$identify", 10, "c7", {"email": EMAIL, "name": NAME}, _anon_distinct_id=test_posthog.ANONYMOUS),
        event("Product Clicked", 11, "c7", product_id="p", _is_identified=True, note=PHONE),
    ]


def _as_text(events: Rows) -> list[dict[str, Any]]:
    """PostHog's Parquet has properties as JSON text."""
    return [{**one, **{name: json.dumps(one[name]) for name in ("properties", "person_properties")}} for one in events]


def _snowplow() -> list[dict[str, Any]]:
    cells = {"user_ipaddress": ADDRESS, "useragent": AGENT, "page_title": NAME, "user_id": EMAIL}
    ping = [test_snowplow.row(number, "page_ping", 10.0 * number, **cells) for number in (2, 3)]
    order = {"tr_orderid": "o1", "tr_total": "5", "ti_sku": "p1", "ti_price": "2.5", "ti_quantity": "2"}
    clicked = test_snowplow.unstruct(5, "link_click", second=60, targetUrl="https://e.example/b", cells=cells)
    return [test_snowplow.row(1, **cells), *ping, test_snowplow.row(4, "transaction_item", 50, **order), clicked]


def _whole(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.get(name, "") for name in COLUMNS}


def _timed(rows: Rows) -> list[dict[str, Any]]:
    times = ("collector_tstamp", "derived_tstamp")
    return [{**row, **{name: datetime.fromisoformat(row[name]).replace(tzinfo=UTC) for name in times}} for row in rows]


def _matomo() -> list[dict[str, Any]]:
    visit = {**test_matomo.VISIT, "visitIp": ADDRESS, "userId": EMAIL, "userAgent": AGENT}
    actions = [test_matomo.VIEW, test_matomo.LAST, test_matomo.ORDER, {**test_matomo.VIEW, "siteSearchKeyword": NAME}]
    return [{**visit, "actionDetails": actions}, {**visit, "idVisit": "78"}]


def _access_log(**cells: Any) -> bytes:
    line = test_access_log.line
    targets = ("/guides/pricing", f"/a?mail={EMAIL}", f"/u/{EMAIL}", "/b/", "/style.css")
    return "".join(f"{line(target, address=ADDRESS, user=NAME, **cells)}\n" for target in targets).encode()


def _contacts() -> list[dict[str, str]]:
    contact = {
        "Record ID": "7",
        "First Name": "Ann",
        "Last Name": NAME,
        "Email": EMAIL,
        "Phone Number": PHONE,
        "Street Address": STREET,
        "Country/Region": "Austria",
        "Lifecycle Stage": "Lead",
        "Lead Status": "New",
        "Create Date": "2026-01-02 10:00",
        "Unsubscribed from all email": "Yes",
        "Consent: personalization": "Yes",
        "Personalization opt-out date": "2026-06-01",
    }
    return [contact, {**contact, "Record ID": "8", "Consent: personalization": "No"}]


def _api_contacts() -> list[dict[str, str]]:
    contact = {
        "hs_object_id": "7",
        "email": EMAIL,
        "lastname": NAME,
        "phone": PHONE,
        "country": "Austria",
        "lifecyclestage": "lead",
        "createdate": "2026-01-02T10:00:00Z",
        "consent_personalization": "true",
    }
    return [contact, {**contact, "hs_object_id": "8", "consent_personalization": "perhaps"}]


def _people() -> list[dict[str, str]]:
    person = {
        "Id": test_salesforce.CONTACT,
        "LastName": NAME,
        "Email": EMAIL,
        "Phone": PHONE,
        "MailingStreet": STREET,
        "MailingCountry": "Austria",
        "CreatedDate": "2026-01-02T10:00:00.000Z",
        "HasOptedOutOfEmail": "true",
        "Individual.HasOptedOutProfiling": "false",
        "IsDeleted": "false",
    }
    return [person, {**person, "Id": test_salesforce.CONTACT_15, "Individual.HasOptedOutProfiling": "true"}]


def _orders() -> list[dict[str, Any]]:
    order, line = test_shopify.order, test_shopify.line
    return [
        order(Email=EMAIL, Lineitem_name=NAME, Refunded_Amount="7.50"),
        line(**{"Lineitem sku": "c2"}),
        order(Name="#1002", Email=EMAIL, Financial_Status="refunded", Refunded_Amount="10"),
    ]


def _woocommerce() -> list[dict[str, Any]]:
    billing = {"first_name": "Ann", "last_name": NAME, "email": EMAIL, "phone": PHONE, "address_1": STREET}
    cells = {"billing": billing, "customer_ip_address": ADDRESS, "customer_user_agent": AGENT, "customer_note": NAME}
    refunded = test_woocommerce.order(id=728, number="1002", refunds=[test_woocommerce.refund(9, "3.00")], **cells)
    return [test_woocommerce.order(**cells), refunded]


def _charges() -> list[dict[str, Any]]:
    billed = {"billing_details": {"email": EMAIL, "name": NAME, "phone": PHONE, "address": {"line1": STREET}}}
    refunded = {"amount_refunded": 100, "refunds": {"data": [test_stripe.refund(1, 100)]}}
    other = test_stripe.charge(id="ch_2", payment_intent="pi_2", **billed)
    return [test_stripe.charge(**billed, **refunded), other]


def _balances() -> list[dict[str, Any]]:
    return [test_stripe.balance(id=f"txn_{number}", source=one) for number, one in enumerate(_charges())]


def _posts() -> list[dict[str, Any]]:
    post = test_wordpress.POST
    return [post, {**post, "id": 18, "content": {"rendered": f"{EMAIL} {PHONE}"}, "link": "https://e.example/b/"}]


def _pages() -> bytes:
    rows = (f'"2026-06-30","e.example","{page}",8,7,12,560,7,300,6\n' for page in ("/a", "/b/", f"/u/{EMAIL}"))
    return "".join([test_plausible.PAGES, *rows]).encode()


def _events() -> bytes:
    liked = '"2026-06-30","Article Liked","","/a",3,4\n'
    return (
        f'{test_plausible.EVENTS}{liked}"2026-06-30","File Download","https://e.example/{EMAIL}.pdf","",1,2\n'.encode()
    )


# ---------------------------------------------------------------- any table

_IDS = {"visitor_id": "v1", "customer_id": "c7"}
_ROWS: Mapping[str, Mapping[str, Any]] = {
    "events": {"event_id": "e1", **_IDS, "content_id": "a", "event": "view", "dwell_seconds": 2.5, "position": 3},
    "content": {"content_id": "a", "title": "T", "category": "K", "status": "published", "quality": 0.5},
    "popularity": {"content_id": "a", "event": "view", "count": 3.0, "dwell_seconds": 9.0},
    "customers": {"customer_id": "c7", "email": EMAIL, "consent_personalization": True, "plan": "gold"},
    "transactions": {"order_id": "o1", "line_no": 1, "email": EMAIL, "content_id": "a", "amount": 2.5, "quantity": 1.0},
    "links": {**_IDS, "email": EMAIL, "order_id": "o1"},
    "signals": {**_IDS, "personalization": False, "reason": "gpc"},
}
_WITHOUT_TIME = ("content", "customers")
_FORMS: Mapping[str, Callable[[Rows], bytes]] = {"csv": comma_separated, "jsonl": lines, "parquet": parquet}


def _tables() -> list[Seed]:
    """Each of our tables in each of the three forms, with personal columns that are not mapped."""
    return [
        Seed(f"table/{table}-{ending}", f"rows.{ending}", form(_table(table, ending)), _table_settings(table))
        for table in _ROWS
        for ending, form in _FORMS.items()
    ]


def _table(table: str, ending: str) -> list[dict[str, Any]]:
    row = {**_ROWS[table], "last_name": NAME, "phone": PHONE, "ip": ADDRESS}
    if table in _WITHOUT_TIME:
        return [row, {**row, table.rstrip("s").replace("content", "content_id"): "b"}]
    moment = NOON if ending == "parquet" else NOON.isoformat()
    return [{"ts": moment, **row}, {"ts": moment, **row, next(iter(_ROWS[table])): "b"}]


def _table_settings(table: str) -> Mapping[str, Any]:
    return {"table": table, "options": {"attributes": "plan"} if table == "customers" else {}}
