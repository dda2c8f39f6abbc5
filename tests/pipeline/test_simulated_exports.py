"""The invented company's exports: as the vendors write them, and in agreement with each other."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.simulation import hubspot, shopify
from tests.pipeline.simulated import CONTENT, DAYS, END, PEOPLE, Made, simulated


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return simulated(tmp_path_factory.mktemp("exports"))


def test_ga4_events_lie_within_their_day(made: Made) -> None:
    """A file's rows carry its date, and their instants are on that date, UTC, in order."""
    rows = made.sql(
        "SELECT count(*) FILTER (event_date <> day OR strftime(make_timestamp(event_timestamp), '%Y%m%d') <> day), "
        "count(DISTINCT day), count(*) FROM events"
    )
    assert rows == [(0, DAYS, made.report.counts.events)]
    for path in (made.out / "ga4").iterdir():
        assert np.all(np.diff(pq.read_table(path)["event_timestamp"].to_numpy()) >= 0)


def test_ga4_columns_are_those_of_the_export(made: Made) -> None:
    """Names and types are BigQuery's: nested parameters with four typed values, items with a list index."""
    schema = pq.read_schema(made.report.paths[0])
    assert schema.field("event_timestamp").type == pa.int64()
    value = schema.field("event_params").type.value_type.field("value").type
    assert value.names == ["string_value", "int_value", "float_value", "double_value"]
    assert {"item_id", "item_list_id", "index", "price", "quantity"} <= set(schema.field("items").type.value_type.names)
    assert schema.field("geo").type.names[:2] == ["continent", "country"]
    assert schema.field("ecommerce").type.names == ["transaction_id", "purchase_revenue"]
    for folder in (p for p in made.report.paths if p.suffix == ".parquet"):
        assert pq.ParquetFile(folder).metadata.row_group(0).column(0).compression == "ZSTD"


def test_every_person_has_an_event_and_every_cookie_an_owner(made: Made) -> None:
    """The log has exactly the world's people: nobody silent, nobody unknown."""
    ids = "SELECT person, unnest(visitor_ids) AS visitor FROM people"
    assert made.sql(f"SELECT count(DISTINCT person) FROM ({ids}) JOIN events ON user_pseudo_id = visitor") == [
        (PEOPLE,)
    ]
    assert made.sql(f"SELECT count(*) FROM events ANTI JOIN ({ids}) ON user_pseudo_id = visitor") == [(0,)]
    assert made.sql(f"SELECT count(*) - count(DISTINCT visitor) FROM ({ids})") == [(0,)]


def test_log_ins_are_of_the_owner_and_hold_for_the_session(made: Made) -> None:
    """`user_id` is the Record ID of the cookie's owner, on all of a session's events or on none."""
    ids = "SELECT customer_id, unnest(visitor_ids) AS visitor FROM people"
    wrong = f"SELECT count(*) FROM events JOIN ({ids}) ON user_pseudo_id = visitor WHERE user_id <> customer_id"
    assert made.sql(wrong) == [(0,)]
    session = "list_filter(event_params, lambda p: p.key = 'ga_session_id')[1].value.int_value"
    mixed = f"""
        SELECT count(*), count(*) FILTER (logged NOT IN (0, n)), count(*) FILTER (logged > 0)
        FROM (SELECT count(user_id) AS logged, count(*) AS n FROM events GROUP BY user_pseudo_id, {session})"""
    sessions, broken, logged_in = made.sql(mixed)[0]
    assert (sessions, broken) == (made.report.counts.sessions, 0)
    assert 0.1 < logged_in / sessions < 0.6


def test_lists_show_live_content_once_with_positions_from_one(made: Made) -> None:
    """A shown slot has a 1-based index; no list repeats a content, or shows what is not born, expired or a draft."""
    shown = """SELECT day, event_timestamp, i.item_id, i.index, items
        FROM events, unnest(items) AS u(i) WHERE event_name = 'view_item_list'"""
    indexes = made.sql(f"SELECT min(index), max(index), count(*) FROM ({shown})")
    assert indexes == [(1, 10, made.report.counts.impressions)]
    repeated = """SELECT count(*) FROM events WHERE event_name = 'view_item_list'
        AND (len(items) <> len(list_distinct(list_transform(items, lambda i: i.item_id)))
             OR list_transform(items, lambda i: i.index) <> range(1, len(items) + 1))"""
    assert made.sql(repeated) == [(0,)]
    posts = {(f"{d:%Y%m%d}", str(p["id"])): p for d, day in made.posts().items() for p in day}
    for day, ts, content, *_ in made.sql(
        f"SELECT DISTINCT ON (day, item_id) * FROM ({shown}) ORDER BY event_timestamp"
    ):
        post = posts[day, content]
        moment = datetime.fromtimestamp(ts / 1e6, tz=UTC)
        assert post["status"] == "publish"
        assert datetime.fromisoformat(post["date_gmt"] + "+00:00") < moment
        assert moment < datetime.fromisoformat(post["meta"].get("expires_at", "2100-01-01T00:00:00Z"))


def test_clicks_open_the_content_that_was_shown(made: Made) -> None:
    """A click is followed by a view of the same content and an engagement time; the click rate is realistic."""
    content = "list_filter(event_params, lambda p: p.key = 'content_id')[1].value.string_value"
    dwell = "list_filter(event_params, lambda p: p.key = 'engagement_time_msec')[1].value.int_value"
    counts = dict(made.sql(f"SELECT event_name, count(*) FROM events WHERE {content} IS NOT NULL GROUP BY event_name"))
    clicks = made.report.counts.clicks
    assert counts["select_content"] == counts["page_view"] == counts["user_engagement"] == clicks
    assert 0.05 < clicks / made.report.counts.impressions < 0.11
    reads = made.sql(f"SELECT count(*) FILTER ({dwell} >= 30000) FROM events WHERE event_name = 'user_engagement'")
    assert reads == [(made.report.counts.reads,)]


def test_hubspot_is_a_growing_snapshot_with_its_labels(made: Made) -> None:
    """Every day lists everybody created so far under HubSpot's labels; about 60 % of people in the end."""
    rows = made.table("hubspot")
    assert tuple(rows[0][1]) == hubspot.HEADER
    by_day = defaultdict(list)
    for day, row in rows:
        by_day[day].append(row["Record ID"])
        assert row["Create Date"][:10] <= day.isoformat()
    days = sorted(by_day)
    assert len(days) == DAYS
    assert all(set(by_day[a]) <= set(by_day[b]) for a, b in pairwise(days))
    assert all(len(ids) == len(set(ids)) for ids in by_day.values())
    assert len(by_day[days[0]]) < len(by_day[days[-1]]) == made.report.counts.contacts == round(0.6 * PEOPLE)


def test_opt_outs_change_the_consent_from_their_day_on(made: Made) -> None:
    """Consent is No exactly from the stated date on, for those and only those whom the truth calls opted out."""
    refused = defaultdict(set)
    for day, row in made.table("hubspot"):
        since = row["Personalization opt-out date"]
        assert (row["Consent: personalization"] == "No") == bool(since)
        if since:
            assert since <= day.isoformat()
            refused[row["Record ID"]].add((day, since))
    for seen in refused.values():
        (since,) = {since for _, since in seen}
        assert min(day for day, _ in seen) == date.fromisoformat(since)
        assert len(seen) == (END - date.fromisoformat(since)).days + 1
    assert set(refused) == {c for (c,) in made.sql("SELECT customer_id FROM people WHERE opted_out")}
    assert len(refused) == round(0.04 * made.report.counts.contacts)


def test_email_opt_out_is_not_a_personalization_opt_out(made: Made) -> None:
    """Those who unsubscribe from e-mail keep their consent to personalization."""
    last = [row for day, row in made.table("hubspot") if day == END]
    unsubscribed = [row for row in last if row["Unsubscribed from all email"] == "Yes"]
    assert len(unsubscribed) == round(0.03 * sum(row["Consent: personalization"] != "No" for row in last))
    assert all(row["Consent: personalization"] != "No" for row in unsubscribed)


def test_shopify_rows_are_order_lines_of_contacts(made: Made) -> None:
    """One row a line; order cells only on an order's first row; SKUs are content; buyers are in the CRM."""
    rows = made.table("shopify")
    assert tuple(rows[0][1]) == shopify.HEADER
    emails = {row["Email"] for _, row in made.table("hubspot")}
    contents = {str(p["id"]) for p in made.posts()[END] if "sku" in p["meta"]}
    opened: set[tuple[date, str]] = set()
    for day, row in rows:
        assert re.fullmatch(r"#\d+", row["Name"])
        assert row["Lineitem sku"] in contents
        continued = (day, row["Name"]) in opened
        opened.add((day, row["Name"]))
        order_cells = (row["Email"], row["Paid at"], row["Total"], row["Id"])
        assert not any(order_cells) if continued else row["Email"] in emails
        if not continued:
            assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000", row["Paid at"])


def test_ga4_purchases_are_the_shop_orders(made: Made) -> None:
    """Each order is one purchase event on its day with the same lines, total and second."""
    paid = [rows for rows in made.orders().values() if rows[0]["Financial Status"] == "paid"]
    lines = Counter((row["Name"], row["Lineitem sku"], row["Lineitem quantity"]) for rows in paid for row in rows)
    totals = {rows[0]["Name"]: (rows[0]["Total"], rows[0]["Paid at"]) for rows in paid}
    bought = made.sql(
        """SELECT ecommerce.transaction_id, i.item_id, i.quantity::VARCHAR, ecommerce.purchase_revenue, event_timestamp
        FROM events, unnest(items) AS u(i) WHERE event_name = 'purchase'"""
    )
    assert Counter((name, sku, quantity) for name, sku, quantity, *_ in bought) == lines
    assert {name: (f"{total:.2f}", _shop_time(ts)) for name, _, _, total, ts in bought} == totals
    assert len(totals) == made.report.counts.orders > 20


def _shop_time(ts: int) -> str:
    return f"{datetime.fromtimestamp(ts // 1_000_000, tz=UTC):%Y-%m-%d %H:%M:%S %z}"


def test_refunds_repeat_the_order_days_later(made: Made) -> None:
    """A refunded order comes again 2-7 days after it was paid, line for line, with its total given back."""
    orders = made.orders()
    refunds = {key: rows for key, rows in orders.items() if rows[0]["Financial Status"] == "refunded"}
    assert len(refunds) == made.report.counts.refunds >= 1
    for (name, day), rows in refunds.items():
        paid_on = date.fromisoformat(rows[0]["Paid at"][:10])
        first = orders[name, paid_on]
        assert 2 <= (day - paid_on).days <= 7
        assert rows[0]["Refunded Amount"] == first[0]["Total"]
        changed = {"Financial Status": "paid", "Refunded Amount": "0.00"}
        assert [{**rows[0], **changed}, *rows[1:]] == first


def test_wordpress_lists_all_posts_so_far_with_embedded_terms(made: Made) -> None:
    """A day's array has what was born by its end, half of it before the period, with names for every term id."""
    posts = made.posts()
    for day, listed in posts.items():
        born = [datetime.fromisoformat(p["date_gmt"]) for p in listed]
        assert max(born) < datetime(day.year, day.month, day.day) + timedelta(days=1)
        assert [p["id"] for p in listed] == list(range(101, 101 + len(listed)))
    first, last = posts[min(posts)], posts[END]
    assert CONTENT // 2 <= len(first) < len(last) == CONTENT
    for post in last:
        categories, tags = post["_embedded"]["wp:term"]
        assert [t["id"] for t in categories] == post["categories"]
        assert [t["id"] for t in tags] == post["tags"]
        assert [a["id"] for a in post["_embedded"]["author"]] == [post["author"]]
        assert 2 <= len(tags) <= 4
        assert 0 <= post["meta"]["quality"] <= 1
    assert {"publish", "draft"} == {p["status"] for p in last}
    assert any("expires_at" in p["meta"] for p in last)


def test_withdrawn_posts_go_back_to_draft(made: Made) -> None:
    """Some post is published in one day's file and a draft in a later one, modified in between."""
    statuses: dict[int, list[str]] = defaultdict(list)
    for listed in made.posts().values():
        for post in listed:
            statuses[post["id"]].append(post["status"])
    turned = {i for i, s in statuses.items() if len(set(s)) == 2}
    assert turned
    assert all(statuses[i] == sorted(statuses[i], reverse=True) for i in turned)
    assert all(p["modified_gmt"] > p["date_gmt"] for p in made.posts()[END] if p["id"] in turned)
