"""What was known of a household and a campaign when it was mailed: the engine's features, and SQL for coupons.

Receipts and answers come from `features.kernel`, answers to a type of campaign from `features.pair_kernel`, the CRM
from `features.crm`. What a campaign's coupons are for is in no table of ours: what baskets have of it is SQL here. All
of it is as of the exposure: what happened strictly before. Nothing grows with the study (a household that was watched
for ten months has bought more than in three, and is no likelier to redeem): things are counted in 60 days, per line, or
per exposure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from expectations.schemas import TIMESTAMP
from features import crm
from features.history import GoalRule
from features.kernel import kernel
from features.measures import Count, Days, Measured, Since, Total
from features.pair_kernel import pair_kernel
from features.pair_measures import Count as PairCount
from features.pair_measures import Groups, Response
from features.pair_measures import Since as PairSince
from features.pair_response import response_totals, responses
from features.pair_spec import PairFeature, PairSpec
from features.rows import SHARD
from features.spec import Feature, Spec

Floats = NDArray[np.float64]
Columns = Mapping[str, Floats]

TILL = {name: GoalRule((f"custom:{name}",)) for name in ("coupon", "match", "discount")}
"""Lines at the till with a manufacturer's coupon, with one that the shop doubled, and with the shop's own discount."""

MAIL = {"answer": GoalRule(("click",)), "redeem": GoalRule(("custom:redeem",))}
"""A campaign's first coupon that a household redeems is its answer, a click; every coupon is redeemed."""

WATCHED = 60
"""Days for which receipts must have been there before an exposure is learned from, and how far back a window looks."""

ANSWERS = Response(365, 2.0)
_PRIOR = 5.0
_NARROW = 300
"""A coupon for more products than these is for nothing in particular."""


def exposures(home: Path) -> pa.Table:
    """Every exposure in the order of time: `household`, `campaign`, `ts`, and `answered` (when first, or missing)."""
    query = f"""
        SELECT CAST(e.household_id AS BIGINT) AS household, e.campaign_id AS campaign, e.ts, min(r.ts) AS answered
        FROM '{home}/exposures.parquet' e LEFT JOIN '{home}/redemptions.parquet' r
            ON r.household_id = e.household_id AND r.campaign_id = e.campaign_id AND r.ts >= e.ts
        GROUP BY ALL ORDER BY ts, campaign, household
    """
    with duckdb.connect(config={"threads": 1}) as connection:
        return connection.sql(query).to_arrow_table()


def groups(
    home: Path, exposed: pa.Table, learned_before: datetime, happened_before: datetime | None = None
) -> dict[str, Columns]:
    """Every group of features by name, each a column a feature in the order of `exposed`.

    Codes of the CRM are learned from the households exposed before `learned_before`. With `happened_before` the study
    ends there: nothing later was bought or redeemed.
    """
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("exposed", exposed.append_column("row", pa.array(range(exposed.num_rows))))
        connection.execute(_TABLES.format(home=home, narrow=_NARROW))
        if happened_before is not None:
            connection.execute(f"DELETE FROM lines WHERE ts >= '{happened_before}'")
            connection.execute(f"DELETE FROM redeemed WHERE ts >= '{happened_before}'")
        till, mail = (_shard(connection, events) for events in (_TILL_EVENTS, _MAIL_EVENTS))
        return {
            "rfm": _till(till, exposed),
            "campaign": _columns(connection.sql(_CAMPAIGN)),
            "response": {**_mail(mail, exposed), **_by_type(connection, mail, exposed)},
            "redeemed alike": _redeemed(connection, mail, exposed),
            "coupons at the till": _couponing(till, exposed),
            "baskets and coupons": _overlap(connection),
            "departments": _departments(connection, learned_before),
            "hours": _when(connection),
            "crm": _crm(connection, exposed, learned_before),
        }


# ---------------------------------------------------------------- by the person kernel


def _people(
    shard: pa.Table, exposed: pa.Table, goals: Mapping[str, GoalRule], named: Mapping[str, Measured]
) -> Columns:
    """What the kernel measures of each exposure's household at its instant; who is unknown has no values."""
    spec = Spec(goals, features=tuple(Feature(name, "person", "", "", measure) for name, measure in named.items()))
    nights = [night.replace(tzinfo=UTC) for night in pc.unique(exposed["ts"]).to_pylist()]
    measured = kernel(shard, nights, spec)
    known = zip(measured["person_id"].to_pylist(), measured["night"].cast(pa.int64()).to_pylist(), strict=True)
    asked = zip(exposed["household"].to_pylist(), exposed["ts"].cast(pa.int64()).to_pylist(), strict=True)
    at = {pair: row for row, pair in enumerate(known)}
    rows = np.array([at.get(pair, len(at)) for pair in asked])
    return {name: np.append(np.asarray(measured[name]), np.nan)[rows] for name in named}


def _till(till: pa.Table, exposed: pa.Table) -> Columns:
    """Recency, frequency and money."""
    named: dict[str, Measured] = {f"lines_{d}d": Count("purchase", d) for d in (30, WATCHED)}
    named |= {f"value_{d}d": Total("money", "value", d) for d in (30, WATCHED)}
    named |= {f"days_{d}d": Days("purchase", d) for d in (30, WATCHED)}
    return _lately(_people(till, exposed, TILL, {**named, "bought_days_ago": Since("purchase")}))


def _lately(found: Columns) -> Columns:
    """Times since something happened go no further back than everybody was watched."""
    return {name: np.fmin(at, WATCHED) if name.endswith("_ago") else at for name, at in found.items()}


def _couponing(till: pa.Table, exposed: pa.Table) -> Columns:
    """Which share of lines came with a coupon or a discount, smoothed by that of all who are mailed at the time."""
    named: dict[str, Measured] = {name: Count(f"goal:{name}", 365) for name in TILL}
    named |= {"lines": Count("purchase", 365), "coupon_60d": Count("goal:coupon", WATCHED)}
    found = dict(_lately(_people(till, exposed, TILL, {**named, "coupon_days_ago": Since("goal:coupon")})))
    lines = np.nan_to_num(found.pop("lines"))
    for name in TILL:
        counted = np.nan_to_num(found.pop(name))
        everybody = _at_the_time(counted, exposed) / np.maximum(_at_the_time(lines, exposed), 1)
        found[f"{name}_share"] = (counted + 2 * _PRIOR * everybody) / (lines + 2 * _PRIOR)
    return found


def _at_the_time(counted: Floats, exposed: pa.Table) -> Floats:
    """The sum over all that are exposed at the same time."""
    _, night = np.unique(exposed["ts"].to_numpy(), return_inverse=True)
    return np.asarray(np.bincount(night, counted)[night], np.float64)


def _mail(mail: pa.Table, exposed: pa.Table) -> Columns:
    """How often the household was mailed, and answered."""
    named: dict[str, Measured] = {f"shown_{d}d": Count("impression", d) for d in (30, 60, 365)}
    named |= {f"redeem_{d}d": Count("goal:redeem", d) for d in (60, 365)}
    named |= {"answer_365d": Count("goal:answer", 365), "shown_days_ago": Since("impression")}
    named |= {"redeem_days": Days("goal:redeem", 365)}
    found = dict(_lately(_people(mail, exposed, MAIL, named)))
    shown = np.nan_to_num(found.pop("shown_365d"))
    answered = np.nan_to_num(found.pop("answer_365d"))
    rates = {name: np.nan_to_num(found.pop(name)) / (shown + 2) for name in ("redeem_365d", "redeem_days")}
    rates["redeem_60d"] = np.nan_to_num(found.pop("redeem_60d")) / (np.nan_to_num(found["shown_60d"]) + 1)
    rates["answers_per_shown"] = (answered + 0.3) / (shown + 3)
    return {**found, **{f"{name}_rate": values for name, values in rates.items()}}


# ---------------------------------------------------------------- by the pair kernel


def _by_type(connection: duckdb.DuckDBPyConnection, mail: pa.Table, exposed: pa.Table) -> Columns:
    """Answers to campaigns of the same type, which stands where a category would."""
    types = connection.sql("SELECT campaign, campaign_type FROM campaigns").fetchall()
    counted = (
        PairFeature("category_engaged_365d", "count", "", PairCount("engaged", "category", ANSWERS.days)),
        PairFeature("category_shown_365d", "count", "", PairCount("impression", "category", ANSWERS.days)),
        PairFeature("category_engaged_days_ago", "days", "", PairSince("engaged", "category")),
        PairFeature("category_shown_days_ago", "days", "", PairSince("impression", "category")),
    )
    spec = PairSpec(Groups({"category": {campaign: (kind,) for campaign, kind in types}}), features=counted)
    asked = pa.table(
        {
            "person_id": exposed["household"],
            "as_of": exposed["ts"].cast(TIMESTAMP),
            "content_id": exposed["campaign"],
        }
    )
    found = pair_kernel(mail, asked, spec)
    nights = [night.replace(tzinfo=UTC) for night in pc.unique(exposed["ts"]).to_pylist()]
    rate = responses(found, response_totals(mail, nights, spec, ANSWERS), ANSWERS)
    shown, answered = (np.asarray(found[f"category_{name}_days_ago"]) for name in ("shown", "engaged"))
    return {
        "type_response": np.asarray(rate),
        "type_shown_365d": np.asarray(found["category_shown_365d"]),
        "type_last_answered": np.where(np.isnan(shown), np.nan, (answered <= shown).astype(np.float64)),
    }


# ---------------------------------------------------------------- by SQL


_TABLES = """
    CREATE TABLE campaigns AS
        SELECT campaign_id AS campaign, campaign_type FROM '{home}/campaign_catalogue.parquet';
    CREATE TABLE products AS
        SELECT product_id AS product, department, product_category AS category, manufacturer_id AS maker,
            manufacturer_id || '|' || product_type AS line
        FROM '{home}/products.parquet';
    CREATE TABLE lines AS
        SELECT CAST(household_id AS BIGINT) AS household, transaction_timestamp AS ts, product_id AS product,
            sales_value, coupon_disc > 0 AS coupon, coupon_match_disc > 0 AS match, retail_disc > 0 AS discount
        FROM '{home}/transactions_sample.parquet';
    CREATE TABLE redeemed AS
        SELECT CAST(household_id AS BIGINT) AS household, campaign_id AS campaign, ts, coupon_upc AS coupon
        FROM '{home}/redemptions.parquet';
    CREATE TABLE offers AS
        SELECT DISTINCT campaign_id AS campaign, coupon_upc AS coupon, products.*,
            count(DISTINCT product_id) OVER (PARTITION BY coupon_upc) <= {narrow} AS narrow
        FROM '{home}/coupons.parquet' JOIN products ON product = product_id;
    CREATE TABLE people AS
        SELECT CAST(household_id AS BIGINT) AS household, * EXCLUDE household_id FROM '{home}/demographics.parquet';
"""

_TILL_EVENTS = """
    SELECT household, ts, 'purchase' AS event, product AS content_id, sales_value AS value FROM lines
    UNION ALL SELECT household, ts, 'custom:coupon', product, NULL FROM lines WHERE coupon
    UNION ALL SELECT household, ts, 'custom:match', product, NULL FROM lines WHERE match
    UNION ALL SELECT household, ts, 'custom:discount', product, NULL FROM lines WHERE discount
"""

_MAIL_EVENTS = """
    SELECT household, ts, 'impression' AS event, campaign AS content_id, NULL AS value FROM exposed
    UNION ALL SELECT household, ts, 'custom:redeem', campaign, NULL FROM redeemed
    UNION ALL SELECT household, min(ts), 'click', campaign, NULL FROM redeemed GROUP BY household, campaign
"""

_CAMPAIGN = """
    SELECT (campaign_type = 'Type A')::INT AS type_a, (campaign_type = 'Type C')::INT AS type_c, coupons
    FROM exposed JOIN campaigns USING (campaign)
        JOIN (SELECT campaign, count(DISTINCT coupon) AS coupons FROM offers GROUP BY campaign) USING (campaign)
    ORDER BY row
"""

_REDEEMED = """
    WITH of AS (SELECT DISTINCT coupon, category, maker FROM offers SEMI JOIN redeemed USING (coupon)),
    alike AS (
        SELECT coupon, campaign, max(category) AS category, max(maker) AS maker, max(same) AS same FROM (
            SELECT DISTINCT of.coupon, campaign, 1 AS category, 0 AS maker, 0 AS same
            FROM (SELECT DISTINCT coupon, category FROM of) of
                JOIN (SELECT DISTINCT campaign, category FROM offers) USING (category)
            UNION ALL SELECT DISTINCT of.coupon, campaign, 0, 1, 0
            FROM (SELECT DISTINCT coupon, maker FROM of) of
                JOIN (SELECT DISTINCT campaign, maker FROM offers) USING (maker)
            UNION ALL SELECT DISTINCT coupon, campaign, 0, 0, 1 FROM offers SEMI JOIN redeemed USING (coupon)
        ) GROUP BY ALL
    )
    SELECT count(DISTINCT r.coupon) FILTER (category = 1) AS redeemed_in_category,
        count(DISTINCT r.coupon) FILTER (maker = 1) AS redeemed_of_maker, count(*) FILTER (same = 1) AS redeemed_same
    FROM exposed x LEFT JOIN redeemed r ON r.household = x.household AND r.ts < x.ts
        LEFT JOIN alike ON alike.coupon = r.coupon AND alike.campaign = x.campaign
    GROUP BY row ORDER BY row
"""

_OFFERED = (("category", "true"), ("maker", "true"), ("line", "true"), ("line", "narrow"))
"""By what a line of a receipt is like what a campaign has coupons for; `line` is a maker's products of a type."""

_HOURS = """
    SELECT count(DISTINCT l.ts) AS baskets, {shares}
    FROM exposed x LEFT JOIN lines l ON l.household = x.household AND l.ts < x.ts GROUP BY row ORDER BY row
"""

_DEPARTMENTS = """
    SELECT count(product) AS lines, {shares}
    FROM exposed x LEFT JOIN lines l ON l.household = x.household AND l.ts < x.ts LEFT JOIN products USING (product)
    GROUP BY x.row ORDER BY x.row
"""


def _shard(connection: duckdb.DuckDBPyConnection, events: str) -> pa.Table:
    """Events as kernels read them."""
    found = connection.sql(f"SELECT household AS person_id, * EXCLUDE household FROM ({events}) ORDER BY ALL")
    rows = found.order("person_id, ts, event, content_id").to_arrow_table()
    columns = {
        field.name: rows[field.name].cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(rows.num_rows, field.type)
        for field in SHARD
    }
    return pa.table(columns)


def _columns(found: duckdb.DuckDBPyRelation) -> Columns:
    table = found.to_arrow_table()
    return {name: np.asarray(table[name].cast(pa.float64()).fill_null(np.nan)) for name in table.column_names}


def _redeemed(connection: duckdb.DuckDBPyConnection, mail: pa.Table, exposed: pa.Table) -> Columns:
    """Coupons redeemed before for something that the campaign has coupons for as well, per exposure."""
    shown = np.nan_to_num(_people(mail, exposed, MAIL, {"shown": Count("impression", 365)})["shown"])
    return {name: counted / (shown + 2) for name, counted in _columns(connection.sql(_REDEEMED)).items()}


def _overlap(connection: duckdb.DuckDBPyConnection) -> Columns:
    """Which share of the household's lines is something that the campaign has a coupon for."""
    for at, (key, where) in enumerate(_OFFERED):
        connection.execute(f"""
            CREATE TABLE hit_{at} AS SELECT DISTINCT campaign, product
            FROM (SELECT DISTINCT campaign, {key} FROM offers WHERE {where})
                JOIN (FROM products SEMI JOIN lines USING (product)) USING ({key})
        """)
    places = range(len(_OFFERED))
    joins = " ".join(
        f"LEFT JOIN hit_{i} ON (hit_{i}.campaign, hit_{i}.product) = (x.campaign, l.product)" for i in places
    )
    counts = ", ".join(f"count(hit_{i}.product) AS hits_{i}" for i in places)
    found = _columns(
        connection.sql(f"""
            SELECT count(l.product) AS lines, {counts},
                count(hit_2.product) FILTER (l.ts >= x.ts - INTERVAL {WATCHED} DAY) AS lately
            FROM exposed x LEFT JOIN lines l ON l.household = x.household AND l.ts < x.ts {joins}
            GROUP BY row ORDER BY row
        """)
    )
    names = [f"{key}_{'offered' if where == 'true' else 'offered_alone'}" for key, where in _OFFERED]
    shares = {name: (found[f"hits_{i}"] + 0.5) / (found["lines"] + _PRIOR) for i, name in enumerate(names)}
    return {**shares, f"line_offered_{WATCHED}d": found["lately"]}


def _departments(connection: duckdb.DuckDBPyConnection, before: datetime) -> Columns:
    """Which share of lines is of each of the departments that most lines are of."""
    query = f"""
        SELECT department FROM lines JOIN products USING (product) WHERE ts < '{before}'
        GROUP BY department ORDER BY count(*) DESC, department LIMIT 13
    """
    wanted = {name: f"count(*) FILTER (department = '{name}')" for (name,) in connection.sql(query).fetchall()}
    return _shares(connection, _DEPARTMENTS, "lines", wanted, len(wanted))


def _when(connection: duckdb.DuckDBPyConnection) -> Columns:
    """Which share of baskets is bought in which hours, and on which weekdays.

    The engine's sessions have the same with a half-life of 30 days; here, that is some five baskets.
    """
    hours = {f"hour_{4 * i:02}": f"count(DISTINCT l.ts) FILTER (hour(l.ts) // 4 = {i})" for i in range(6)}
    days = {f"weekday_{i}": f"count(DISTINCT l.ts) FILTER (isodow(l.ts) = {i})" for i in range(1, 8)}
    return {
        name: share
        for part in (hours, days)
        for name, share in _shares(connection, _HOURS, "baskets", part, len(part)).items()
    }


def _shares(
    connection: duckdb.DuckDBPyConnection, query: str, of: str, counts: Mapping[str, str], parts: int
) -> Columns:
    """Each count as a share, smoothed with half a one for each part."""
    chosen = ", ".join(f'{count} AS "{name}"' for name, count in counts.items())
    found = _columns(connection.sql(query.format(shares=chosen)))
    return {name: (found[name] + 0.5) / (found[of] + parts / 2) for name in counts}


def _crm(connection: duckdb.DuckDBPyConnection, exposed: pa.Table, learned_before: datetime) -> Columns:
    """The CRM's attributes, as the vocabulary of those exposed before reads them."""
    said = connection.sql(
        "UNPIVOT people ON COLUMNS(* EXCLUDE household) INTO NAME attribute VALUE value"
    ).to_arrow_table()
    facts = said.rename_columns(crm.FACTS.names).cast(crm.FACTS).sort_by([("person_id", "ascending")])
    early = pc.unique(exposed.filter(pc.less(exposed["ts"], pa.scalar(learned_before)))["household"])
    words = crm.vocabulary([facts.filter(pc.is_in(facts["person_id"], value_set=early))])
    coded = crm.coded(facts, np.asarray(exposed["household"]), words)
    return {name: np.asarray(coded[name]) for name in coded.column_names}
