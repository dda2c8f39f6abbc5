"""A company whose exports are full of canaries: personal data of which none may be found in what is made of them."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

DAY = "20260630"
"""The day of the sources that export one day only: the newest of the night of 2026-07-01."""

KINDS: Mapping[str, tuple[str, Callable[[int], str]]] = MappingProxyType(
    {
        "e-mails": ("zqmail", "zqmail{:04}@canary.example".format),
        "names": ("zqname", "Zqname{:04}".format),
        "telephone numbers": ("491555", "+491555{:07}".format),
        "IP addresses": ("198.18.", lambda number: f"198.18.{number // 250}.{number % 250 + 1}"),
        "IPv6 addresses": ("2001:db8:cafe", "2001:db8:cafe::{:x}".format),
        "street addresses": ("zqstreet", "{0} Zqstreet".format),
        "user agents": (
            "zqagent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0 zqagent{:04}".format,
        ),
        "free texts": ("zqwords", "zqwords{:04}".format),
        "customer ids": ("zqcust", "003zqcust{:06}".format),
        "cookies": ("zqcookie", "zqcookie{:04}".format),
        "order ids": ("zqorder", "zqorder{:04}".format),
        "session ids": ("zqsession", "zqsession{:04}".format),
    }
)
"""Kind -> what all its canaries have in them (and nothing else has), in small letters; and how to make one."""

IDS = ("customer ids", "cookies")
"""What published tables are for: they name people as the company does."""


class Canaries:
    """Hands them out, counted; the same original has the same canary in every system."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = defaultdict(dict)

    def new(self, kind: str) -> str:
        """One that nobody has."""
        return self.instead(kind, f"new {len(self._known[kind])}")

    def instead(self, kind: str, original: str) -> str:
        """The one in the place of `original`; nothing in the place of nothing."""
        known = self._known[kind]
        return known.setdefault(original, KINDS[kind][1](len(known))) if original else original

    def count(self) -> Mapping[str, int]:
        """How many of each kind are out."""
        return {kind: len(known) for kind, known in self._known.items()}


def plant(exports: Path) -> Canaries:
    """Put canaries into a simulated company's exports, in the order of its days, and add four systems more."""
    canaries = Canaries()
    for path in sorted((exports / "hubspot").iterdir()):
        _rewrite(path, lambda row: _contact(row, canaries))
    for path in sorted((exports / "ga4").iterdir()):
        _rewrite_events(path, canaries)
    for path in sorted((exports / "shopify").iterdir()):
        _rewrite(path, lambda row: _order(row, canaries))
    for path in sorted((exports / "wordpress").iterdir()):
        posts = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps([_post(post, canaries) for post in posts]), encoding="utf-8")
    for name, text in {
        f"segment_{DAY}.jsonl": "\n".join(map(json.dumps, _calls(canaries))),
        f"access_{DAY}.log": "\n".join(_requests(canaries)),
        f"salesforce_{DAY}.csv": _csv(_people(canaries)),
        f"stripe_{DAY}.csv": _csv(_payments(canaries)),
    }.items():
        (exports / name).write_text(text, encoding="utf-8")
    return canaries


SOURCES = """
[[sources]]
name = "calls"
format = "segment"
path = "exports/segment_{date:%Y%m%d}.jsonl"

[[sources]]
name = "log"
format = "access_log"
path = "exports/access_{date:%Y%m%d}.log"

[[sources]]
name = "sales"
format = "salesforce"
path = "exports/salesforce_{date:%Y%m%d}.csv"

[[sources]]
name = "money"
format = "stripe"
path = "exports/stripe_{date:%Y%m%d}.csv"

"""
"""The systems that `plant` adds, for the configuration."""


# ---------------------------------------------------------------- the simulated systems


def _rewrite(path: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        names, rows = list(reader.fieldnames or ()), [change(row) for row in reader]
    path.write_text(_csv(rows, names), encoding="utf-8", newline="")


def _csv(rows: Iterable[Mapping[str, str]], names: Iterable[str] = ()) -> str:
    listed = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys([*names, *(name for row in listed for name in row)])))
    writer.writeheader()
    writer.writerows(listed)
    return text.getvalue()


def _contact(row: dict[str, str], canaries: Canaries) -> dict[str, str]:
    person = row["Record ID"]
    return {
        **row,
        "Record ID": canaries.instead("customer ids", person),
        "First Name": canaries.instead("names", f"first {person}"),
        "Last Name": canaries.instead("names", f"last {person}"),
        "Email": canaries.instead("e-mails", row["Email"]),
        "Phone Number": canaries.instead("telephone numbers", person),
        "Lead Status": canaries.instead("e-mails", f"other {person}") if person.endswith("7") else row["Lead Status"],
        "Street Address": canaries.instead("street addresses", person),
        "IP Address": canaries.instead("IP addresses", person),
        "Notes": canaries.instead("free texts", person),
    }


def _rewrite_events(path: Path, canaries: Canaries) -> None:
    table = pq.read_table(path)
    rows = [_hit(row, place, canaries) for place, row in enumerate(table.to_pylist())]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def _hit(row: dict[str, Any], place: int, canaries: Canaries) -> dict[str, Any]:
    cookie, order = row["user_pseudo_id"] or "", row["ecommerce"]["transaction_id"] or ""
    email, words = canaries.instead("e-mails", f"typed {cookie}"), canaries.instead("free texts", f"sought {cookie}")
    extra = {
        "search_term": words,
        "page_referrer": f"https://search.example/?q={words}&mail={email.replace('@', '%40')}",
        "note": canaries.instead("names", f"note {cookie}"),
        "client_ip": canaries.instead("IP addresses", f"of {cookie}"),
    }
    address = row["user_properties"] + [_param("address", canaries.instead("street addresses", f"of {cookie}"))]
    return {
        **row,
        "event_name": None if place % 40 == 0 else row["event_name"],
        "event_params": [*(_located(one, place, email) for one in row["event_params"]), *_params(extra)],
        "user_pseudo_id": canaries.instead("cookies", cookie) or None,
        "user_id": canaries.instead("customer ids", row["user_id"] or "") or None,
        "user_properties": address,
        "ecommerce": {**row["ecommerce"], "transaction_id": canaries.instead("order ids", order) or None},
    }


def _located(param: dict[str, Any], place: int, email: str) -> dict[str, Any]:
    """The page's address, with an e-mail address in its query, or in its path."""
    if param["key"] != "page_location":
        return param
    url = str(param["value"]["string_value"])
    typed = f"{url}u/{email}/" if place % 20 == 1 else f"{url}?email={email}#{email}"
    return {"key": "page_location", "value": {**param["value"], "string_value": typed}}


def _params(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [_param(key, value) for key, value in values.items() if value]


def _param(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"string_value": value}}


def _order(row: dict[str, str], canaries: Canaries) -> dict[str, str]:
    buyer = canaries.instead("e-mails", row["Email"])
    name, street = canaries.new("names"), canaries.new("street addresses")
    phone, words = canaries.new("telephone numbers"), canaries.new("free texts")
    personal = {
        **{
            f"{kind} {what}": value
            for kind in ("Billing", "Shipping")
            for what, value in (("Name", name), ("Street", street), ("Address1", street), ("Phone", phone))
        },
        "Phone": phone,
        "Notes": f"{words} {buyer}",
        "Note Attributes": f"ip: {canaries.new('IP addresses')}",
        "Tags": f"{words}, {buyer}",
        "Device ID": canaries.new("cookies"),
    }
    return {**row, **personal, "Email": buyer, "Name": canaries.instead("order ids", row["Name"])}


def _post(post: dict[str, Any], canaries: Canaries) -> dict[str, Any]:
    email = canaries.instead("e-mails", f"commentator {post['id']}")
    meta = {**post["meta"], "last_editor": canaries.instead("names", f"editor {post['id']}"), "notify": email}
    return {**post, "content": {"rendered": f"<p>Write to {email}</p>"}, "meta": meta}


# ---------------------------------------------------------------- the others

_PEOPLE = 60
_MOMENT = datetime(2026, 6, 30, 12, tzinfo=UTC)


def _calls(canaries: Canaries) -> list[dict[str, Any]]:
    """Two calls of each of sixty people, and some that cannot be read."""
    return [call for person in range(_PEOPLE) for call in _calls_of(person, canaries)]


def _calls_of(person: int, canaries: Canaries) -> list[dict[str, Any]]:
    email, words = canaries.instead("e-mails", f"call {person}"), canaries.new("free texts")
    traits = {
        "email": email,
        "name": canaries.new("names"),
        "phone": canaries.new("telephone numbers"),
        "address": {"street": canaries.new("street addresses")},
    }
    context = {
        "ip": canaries.new("IPv6 addresses"),
        "userAgent": canaries.new("user agents"),
        "sessionId": canaries.new("session ids"),
        "page": {"url": f"https://www.example.com/a?mail={email}", "search": f"?q={words}", "title": words},
    }
    common = {
        "anonymousId": canaries.new("cookies"),
        "userId": canaries.instead("customer ids", f"call {person}"),
        "timestamp": _MOMENT.isoformat(),
        "context": context,
    }
    named = {"content_id": str(101 + person % 40), "order_id": canaries.new("order ids"), "note": words, **traits}
    calls: list[dict[str, Any]] = [
        {"type": "identify", "messageId": f"i{person}", "traits": traits, **common},
        {"type": "track", "messageId": f"t{person}", "event": "Product Clicked", "properties": named, **common},
    ]
    return [*calls, {**calls[1], "messageId": f"b{person}", "timestamp": email}] if person % 10 == 0 else calls


def _requests(canaries: Canaries) -> list[str]:
    requests = []
    for person in range(_PEOPLE):
        email, words = canaries.instead("e-mails", f"log {person}"), canaries.new("free texts")
        kind = "IPv6 addresses" if person % 3 == 0 else "IP addresses"
        who = f"{canaries.new(kind)} - {canaries.new('customer ids')} [30/Jun/2026:12:00:01 +0000]"
        rest = f'HTTP/1.1" 200 512 "https://search.example/?q={words}" "{canaries.new("user agents")}"'
        targets = (f"/case-studies-101/?mail={email}&q={words}", f"/u/{email}", "/product-news-102/")
        requests += [f'{who} "GET {target} {rest}' for target in targets]
        requests += [f"{who} is no request of {email}"] if person % 10 == 0 else []
    return requests


def _people(canaries: Canaries) -> list[dict[str, str]]:
    return [
        {
            "Id": canaries.new("customer ids"),
            "FirstName": canaries.new("names"),
            "LastName": canaries.new("names"),
            "Email": canaries.new("e-mails"),
            "Phone": canaries.new("telephone numbers"),
            "MailingStreet": canaries.new("street addresses"),
            "MailingCountry": "Austria",
            "LeadSource": canaries.new("e-mails") if person % 10 == 0 else "Web",
            "Description": canaries.new("free texts"),
            "Individual.HasOptedOutProfiling": "true" if person % 5 == 0 else "false",
        }
        for person in range(_PEOPLE)
    ]


def _payments(canaries: Canaries) -> list[dict[str, str]]:
    return [
        {
            "balance_transaction_id": f"txn_{person}",
            "created_utc": "2026-06-30 08:05:00" if person % 10 else canaries.new("e-mails"),
            "currency": "eur",
            "gross": "12.34",
            "fee": "0.61",
            "net": "11.73",
            "reporting_category": "charge",
            "source_id": canaries.new("order ids"),
            "description": f"{canaries.new('names')}, {canaries.new('street addresses')}",
            "customer_id": canaries.new("customer ids"),
            "customer_email": canaries.new("e-mails"),
            "customer_name": canaries.new("names"),
            "charge_id": canaries.new("order ids"),
            "payment_intent_id": canaries.new("order ids"),
            "payment_metadata[sku]": str(101 + person % 40),
        }
        for person in range(_PEOPLE)
    ]
