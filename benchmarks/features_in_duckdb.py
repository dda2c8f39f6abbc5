"""The contender: the person features of a night as an analyst would write them in DuckDB's SQL, for speed.

Two wide aggregates: one over the rows, one over the sessions, which a window function cuts. Each row's classes and
weights are worked out once, before the sums; sums of conditions are cheaper than FILTER, and numbers than text.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import duckdb

_HALF_LIVES = {"1h": 1 / 24, "1d": 1, "7d": 7, "30d": 30}
_CHANNELS = ("web", "app", "email", "push", "social", "search")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MIX = ("view", "click", "social", "purchase")
_SCALARS = ("minutes", "depth", "dwell_seconds")
_DAY = 86_400_000_000


def write(
    files: Sequence[Path],
    catalogue: Path,
    night: datetime,
    categories: Sequence[str],
    path: Path,
    memory: str = "2GB",
) -> None:
    """One row a person, in no order, as Parquet."""
    as_of = int(night.timestamp()) * 1_000_000
    with (
        tempfile.TemporaryDirectory() as scratch,
        duckdb.connect(config={"memory_limit": memory, "temp_directory": scratch}) as con,
    ):
        con.execute("SET preserve_insertion_order = false; SET enable_progress_bar = false")
        con.execute(_log([str(file) for file in files], catalogue, as_of))
        con.execute(_sessions(categories, as_of))
        query = f"{_people(as_of)} LEFT JOIN ({_means(categories)}) USING (person_id) LEFT JOIN ({_btyd(as_of)})"
        con.execute(f"COPY ({query} USING (person_id)) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")


def _log(files: Sequence[str], catalogue: Path, as_of: int) -> str:
    read = "(social AND event <> 'follow') OR (event = 'view' AND dwell_seconds >= 30)"
    return f"""
        CREATE TEMP TABLE log AS
        SELECT person_id, ts, dwell, code::UTINYINT AS category, channel,
            event = 'impression' AS impression, event = 'view' AS view, event = 'click' AS click, social,
            event = 'purchase' AS purchase, event = 'refund' AS refund, coalesce({read}, false) AS "read",
            event NOT IN ('impression', 'refund') AS active, coalesce(active AND device = 'mobile', false) AS mobile,
            CASE WHEN event IN ('purchase', 'refund') THEN coalesce(value, 0) ELSE 0 END AS money,
            CASE WHEN event IN ('like', 'save', 'share', 'comment') THEN 3 WHEN event = 'follow' THEN 2
                 WHEN event = 'purchase' THEN 5 WHEN event IN ('impression', 'refund') THEN 0 ELSE 1 END
                + CASE WHEN dwell >= 30 THEN 2 ELSE 0 END AS strength
        FROM (
            SELECT * REPLACE (epoch_us(ts) AS ts), coalesce(dwell_seconds, 0) AS dwell,
                event IN ('like', 'save', 'share', 'comment', 'follow') AS social
            FROM read_parquet({files}) WHERE epoch_us(ts) < {as_of} AND epoch_us(available_at) < {as_of}
        )
        LEFT JOIN (
            SELECT content_id, dense_rank() OVER (ORDER BY category) - 1 AS code FROM read_parquet('{catalogue}')
        ) USING (content_id)
    """


def _sessions(categories: Sequence[str], as_of: int) -> str:
    """A row a session; `ends` numbers a person's from the last one back."""
    shares = [f"sum({kind}::INT) / greatest(sum(active::INT), 1) AS mix_{kind}" for kind in _MIX]
    shares += [
        f"sum((active AND category = {code})::INT) / greatest(sum(active::INT), 1) AS category_{name}"
        for code, name in enumerate(categories)
    ]
    weights = [f"pow(0.5, ({as_of} - max(ts)) / {_HALF_LIVES[h] * _DAY}) AS w_{h}" for h in ("1d", "7d", "30d")]
    return f"""
        CREATE TEMP TABLE sessions AS
        SELECT person_id, min(ts) AS start, max(ts) AS ends, (max(ts) - min(ts)) / 60e6 AS minutes,
            sum(active::INT) AS depth, sum(dwell) AS dwell_seconds, arg_min(channel, ts) AS channel,
            {", ".join(shares + weights)}
        FROM (
            SELECT *, sum(begins) OVER (PARTITION BY person_id ORDER BY ts ROWS UNBOUNDED PRECEDING) AS session
            FROM (
                SELECT *, CASE WHEN ts - lag(ts) OVER (PARTITION BY person_id ORDER BY ts) <= 1800000000 THEN 0
                    ELSE 1 END AS begins
                FROM log WHERE NOT refund
            )
        )
        GROUP BY person_id, session
    """


def _people(as_of: int) -> str:
    """What is counted, decayed or last seen, a row a person."""

    def within(days: int) -> str:
        return f"(ts >= {as_of - days * _DAY})"

    counts = [("events", "active", d) for d in (1, 7, 30, 90, 365)]
    counts += [(name, of, d) for name, of in (("shown", "impression"), ("click", "click")) for d in (7, 30)]
    counts += [("read", '"read"', d) for d in (7, 30)] + [("purchase", "purchase", d) for d in (7, 30)]
    counts += [("purchases", "purchase", d) for d in (7, 30, 90, 365)]
    sums = [f"sum(({of} AND {within(d)})::INT) AS {name}_{d}d" for name, of, d in counts]
    totals = [("dwell_seconds", "dwell", d) for d in (7, 30)] + [("rfm_monetary", "money", d) for d in (7, 30, 90, 365)]
    sums += [f"sum(CASE WHEN {within(d)} THEN {of} ELSE 0 END) AS {name}_{d}d" for name, of, d in totals]
    sums += [
        f"sum(CASE WHEN active THEN strength * pow(0.5, ({as_of} - ts) / {half * _DAY}) ELSE 0 END) AS activity_{h}"
        for h, half in _HALF_LIVES.items()
    ]
    days = [f"count(*) FILTER (latest >= {as_of - d * _DAY}) AS rfm_frequency_{d}d" for d in (7, 30, 90, 365)]
    begun = [f"count(*) FILTER (start >= {as_of - d * _DAY}) AS sessions_{d}d" for d in (7, 30)]
    nothing = [*(f"rfm_frequency_{d}d" for d in (7, 30, 90, 365)), "sessions_7d", "sessions_30d"]
    return f"""
        SELECT * REPLACE ({", ".join(f"coalesce({name}, 0) AS {name}" for name in nothing)})
        FROM (
            SELECT person_id, {", ".join(sums)}, sum(mobile::INT) / nullif(sum(active::INT), 0) AS mobile_share,
                ({as_of} - min(ts)) / {_DAY} AS tenure_days,
                ({as_of} - max(CASE WHEN active THEN ts END)) / {_DAY} AS rfm_recency_days
            FROM log GROUP BY person_id HAVING max(ts) >= {as_of - 365 * _DAY}
        )
        LEFT JOIN (SELECT person_id, {", ".join(begun)} FROM sessions GROUP BY person_id) USING (person_id)
        LEFT JOIN (
            SELECT person_id, {", ".join(days)}
            FROM (SELECT person_id, max(ts) AS latest FROM log WHERE active GROUP BY person_id, ts // {_DAY})
            GROUP BY person_id
        ) USING (person_id)
    """


def _means(categories: Sequence[str]) -> str:
    """The last session, and the weighted means over all."""
    shares = [*(f"mix_{kind}" for kind in _MIX), *(f"category_{name}" for name in categories)]
    parts = [
        f"sum({what} * w_{h}) / sum(w_{h}) AS session_{what}_{h}" for what in _SCALARS for h in ("1d", "7d", "30d")
    ]
    parts += [f"sum({what} * w_{h}) / sum(w_{h}) AS session_{what}_{h}" for what in shares for h in ("7d", "30d")]
    begun = {f"entry_{name}": f"channel = '{name}'" for name in _CHANNELS}
    begun |= {f"hour_{h:02d}_{h + 4:02d}": f"start // 14400000000 % 6 = {h // 4}" for h in range(0, 24, 4)}
    begun |= {f"weekday_{name}": f"(start // {_DAY} + 3) % 7 = {n}" for n, name in enumerate(_WEEKDAYS)}
    parts += [
        f"sum(CASE WHEN {when} THEN w_30d ELSE 0 END) / sum(w_30d) AS session_{what}_30d"
        for what, when in begun.items()
    ]
    last = ", ".join(f"{what} AS last_session_{what}" for what in (*_SCALARS, *shares))
    return f"""
        SELECT * FROM (SELECT person_id, {", ".join(parts)} FROM sessions GROUP BY person_id)
        JOIN (
            SELECT person_id, {last} FROM sessions
            SEMI JOIN (SELECT person_id, max(ends) AS ends FROM sessions GROUP BY person_id) USING (person_id, ends)
        ) USING (person_id)
    """


def _btyd(as_of: int) -> str:
    return f"""
        SELECT person_id, count(*) - 1 AS btyd_frequency, max(day) - min(day) AS btyd_recency_days,
            ({as_of} - 1) // {_DAY} - min(day) AS btyd_age_days,
            CASE WHEN count(*) > 1 THEN (sum(spent) - arg_min(spent, day)) / (count(*) - 1) ELSE 0 END AS btyd_monetary,
            ({as_of} - max(last)) / {_DAY} AS purchase_recency_days
        FROM (
            SELECT person_id, ts // {_DAY} AS day, sum(money) AS spent, max(ts) AS last
            FROM log WHERE purchase GROUP BY ALL
        )
        GROUP BY person_id
    """
