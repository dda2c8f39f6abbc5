"""What a simulated company's exports say, read anew in SQL: an answer that shares no code with the pipeline."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

DID = ("page_view", "select_content", "like", "save", "share", "comment", "purchase")
"""GA4's names of what people do to content; `view_item_list` only says what they were shown."""


class Company:
    """The exports of one world up to and with `last`, the day before the night that is tested."""

    def __init__(self, exports: Path, last: date) -> None:
        self.exports, self.last = exports, last
        self.midnight = datetime.combine(last, datetime.max.time(), UTC)
        self.db = duckdb.connect()
        self.db.execute(f"CREATE TABLE web AS {_WEB.format(files=self._files('ga4', 'parquet'))}")
        self.db.execute(_OWNERS)
        self.db.execute(_LOG)

    def _files(self, system: str, suffix: str) -> list[str]:
        found = sorted((self.exports / system).glob(f"*.{suffix}"))
        return [str(path) for path in found if path.stem[-8:] <= f"{self.last:%Y%m%d}"]

    @cached_property
    def contacts(self) -> list[dict[str, str]]:
        """The CRM's last export."""
        with Path(self._files("hubspot", "csv")[-1]).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    @cached_property
    def opted_out(self) -> set[str]:
        """CRM ids of people who object to personalization."""
        return {
            row["Record ID"]
            for row in self.contacts
            if row["Consent: personalization"] == "No" or row["Personalization opt-out date"]
        }

    @cached_property
    def agreed(self) -> set[str]:
        """CRM ids of people who consent to personalization; the others said no, or nothing."""
        said_yes = {row["Record ID"] for row in self.contacts if row["Consent: personalization"] == "Yes"}
        return said_yes - self.opted_out

    def cookies_of(self, customers: set[str]) -> set[str]:
        """Every cookie with which one of them ever logged in."""
        rows = self.db.execute("SELECT DISTINCT cookie, customer FROM web WHERE customer IS NOT NULL").fetchall()
        return {cookie for cookie, customer in rows if customer in customers}

    @property
    def present(self) -> set[tuple[str, str]]:
        """(id, customer or visitor) of everybody who was shown or did anything; the CRM id where a log-in tells it."""
        return set(self.db.execute("SELECT DISTINCT person_id, id_type FROM log").fetchall())

    @cached_property
    def engaged(self) -> dict[tuple[str, str], set[str]]:
        """What each person has done something with."""
        rows = self.db.execute("SELECT DISTINCT person_id, id_type, content_id FROM log WHERE did").fetchall()
        found = defaultdict(set)
        for person_id, id_type, content_id in rows:
            found[person_id, id_type].add(content_id)
        return found

    @cached_property
    def categories(self) -> dict[str, str]:
        """The category of everything that may be shown at the midnight after `last`."""
        posts = json.loads(Path(self._files("wordpress", "json")[-1]).read_text(encoding="utf-8"))
        return {str(post["id"]): _category(post) for post in posts if self._listed(post)}

    def _listed(self, post: dict[str, Any]) -> bool:
        published = datetime.fromisoformat(post["date_gmt"]).replace(tzinfo=UTC)
        expires = post["meta"].get("expires_at")
        expired = bool(expires) and datetime.fromisoformat(expires) <= self.midnight
        return post["status"] == "publish" and published <= self.midnight and not expired

    def most_popular(self, people: set[tuple[str, str]], k: int, per_category: int) -> pa.Table:
        """Lists, under the same rules, of what most people did something with in the last 7 days."""
        popular = [str(content) for (content,) in self.db.execute(_POPULAR).fetchall() if content in self.categories]
        rows = [
            (person_id, id_type, rank, content)
            for person_id, id_type in sorted(people)
            for rank, content in enumerate(self._first(popular, self.engaged[person_id, id_type], k, per_category), 1)
        ]
        return pa.table(list(map(list, zip(*rows, strict=True))), names=["person_id", "id_type", "rank", "content_id"])

    def _first(self, popular: list[str], known: set[str], k: int, per_category: int) -> Iterator[str]:
        taken: dict[str, int] = defaultdict(int)
        for content in popular:
            category = self.categories[content]
            if sum(taken.values()) < k and content not in known and taken[category] < per_category:
                taken[category] += 1
                yield content

    @cached_property
    def secrets(self) -> set[str]:
        """What identifies people: full names, telephone numbers, and the domain that all e-mail addresses end with."""
        names = {f"{row['First Name']} {row['Last Name']}" for row in self.contacts}
        domains = {row["Email"][row["Email"].index("@") :] for row in self.contacts}
        return names | domains | {row["Phone Number"] for row in self.contacts if row["Phone Number"]}


def _category(post: dict[str, Any]) -> str:
    terms = [term for group in post["_embedded"]["wp:term"] for term in group]
    return next(str(term["name"]) for term in terms if term["taxonomy"] == "category")


_WEB = """
SELECT event_timestamp AS ts, event_name AS name, user_pseudo_id AS cookie, user_id AS customer,
    list_filter(event_params, lambda p: p.key = 'content_id')[1].value.string_value AS named,
    list_transform(items, lambda i: i.item_id) AS listed
FROM read_parquet({files}) WHERE user_pseudo_id IS NOT NULL
"""

_OWNERS = """
CREATE TABLE owners AS SELECT cookie, arg_max(customer, ts) AS owner FROM web WHERE customer IS NOT NULL GROUP BY cookie
"""

_LOG = f"""
CREATE TABLE log AS
WITH about AS (
    SELECT *, named AS content_id FROM web WHERE named IS NOT NULL
    UNION ALL SELECT *, unnest(listed) FROM web WHERE named IS NULL
)
SELECT ts, content_id, name IN {DID} AS did, coalesce(customer, owner, cookie) AS person_id,
    CASE WHEN coalesce(customer, owner) IS NULL THEN 'visitor' ELSE 'customer' END AS id_type
FROM about LEFT JOIN owners USING (cookie)
"""

_POPULAR = """
SELECT content_id FROM log WHERE did AND ts >= (SELECT max(ts) FROM log) - 7 * 86400000000
GROUP BY content_id ORDER BY count(DISTINCT person_id) DESC, content_id
"""
