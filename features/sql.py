"""The oracle of the person kernel: the same spec as one SQL query for DuckDB, written to be read, not to be fast.

It says over again what the docstrings of `features.measures` say, and shares nothing with the kernel but the names: no
forward decay, no windows that move, no state. Each night looks at its own rows from the start.

Rows of a person at the same instant are put in the order that `features.rows` documents (classes from the last bit to
the first, dwell, value, category, channel). Only the channel in which a session begins can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime

from features.history import DAY, KINDS, STRENGTH, GoalRule
from features.measures import (
    HALF_LIVES,
    HOURS,
    WEEKDAYS,
    Btyd,
    Count,
    Days,
    Decayed,
    Measured,
    Session,
    Share,
    Since,
    Tenure,
    Total,
)
from features.spec import Spec

_EACH = "person_id, night"


def query(spec: Spec, nights: Sequence[datetime]) -> str:
    """A query over the relation `shard`, whose columns are those of `features.rows.SHARD`, in any order of rows.

    It yields `person_id`, `night` and a DOUBLE column a feature, sorted by person and night; NULL is what is missing.
    """
    steps = {
        "nights": _nights(nights),
        "contents": _contents(spec),
        "events": _events(spec),
        "classed": _classed(spec),
        "known": _KNOWN,
        "placed": _placed(spec),
        "marked": _MARKED,
        "sessions": _sessions(spec),
        "bought": _BOUGHT,
        "seen": _seen(spec),
        "of_rows": _grouped("marked", spec, _of_rows),
        "of_sessions": _grouped("sessions", spec, _of_sessions),
        "of_purchases": _grouped("bought", spec, _of_purchases),
    }
    listed = ",\n".join(f"{name} AS (\n{text}\n)" for name, text in steps.items())
    columns = "".join(f",\n    CAST({_name(name)} AS DOUBLE) AS {_name(name)}" for name in spec.names)
    return f"WITH {listed}\nSELECT person_id, timezone('UTC', night) AS night{columns}{_JOINED}"


# ---------------------------------------------------------------- from the shard to rows that are known on a night

_KNOWN = """    -- every night's rows; of each its age, in microseconds
    SELECT night, classed.*, date_diff('microsecond', ts, night) AS age
    FROM nights JOIN classed ON ts < night AND known_at < night AND (known_until IS NULL OR night <= known_until)"""

_MARKED = """    -- a session begins more than 30 minutes after the last row that proves presence; refunds prove none
    SELECT *, sum(CAST("session" AS INTEGER)) OVER (PARTITION BY person_id, night ORDER BY place) AS number
    FROM (
        SELECT *, NOT "refund" AND coalesce(ts - max(ts) FILTER (NOT "refund") OVER before > INTERVAL 30 MINUTE, true)
            AS "session"
        FROM placed
        WINDOW before AS (
            PARTITION BY person_id, night ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
    )"""

_BOUGHT = """    -- days (UTC) with purchases
    SELECT person_id, night, day, sum(micros) AS micros, min(day) OVER (PARTITION BY person_id, night) AS first_day
    FROM (SELECT *, CAST(ts AS DATE) AS day FROM marked WHERE "purchase")
    GROUP BY person_id, night, day"""

_JOINED = """
FROM seen
LEFT JOIN of_rows USING (person_id, night)
LEFT JOIN of_sessions USING (person_id, night)
LEFT JOIN of_purchases USING (person_id, night)
ORDER BY person_id, night"""


def _nights(nights: Sequence[datetime]) -> str:
    instants = (f"TIMESTAMP {_text(night.astimezone(UTC).strftime('%Y-%m-%d %H:%M:%S.%f'))}" for night in nights)
    return f"    SELECT DISTINCT unnest(CAST([{', '.join(instants)}] AS TIMESTAMP[])) AS night"


def _contents(spec: Spec) -> str:
    ids, categories = (", ".join(map(_text, names)) for names in (spec.category_of, spec.category_of.values()))
    return (
        f"    SELECT unnest(CAST([{ids}] AS VARCHAR[])) AS content_id,\n"
        f"        unnest(CAST([{categories}] AS VARCHAR[])) AS category"
    )


def _events(spec: Spec) -> str:
    """Times in UTC and as clocks on the wall show them; amounts as whole numbers."""
    kinds = " ".join(f"WHEN {_text(kind)} THEN {STRENGTH[at]:g}" for at, kind in enumerate(KINDS))
    return f"""    SELECT
        person_id, event, category, channel, device,
        timezone('UTC', ts) AS ts,
        timezone('UTC', coalesce(known_at, ts)) AS known_at,
        timezone('UTC', known_until) AS known_until,
        timezone({_text(spec.timezone)}, ts) AS local,
        CAST(round_even(coalesce(dwell_seconds, 0) * 1000, 0) AS BIGINT) AS dwell_ms,
        CAST(round_even(coalesce("value", 0) * 1000000, 0) AS BIGINT) AS micros,
        CASE event {kinds} ELSE {STRENGTH[-1]:g} END + CASE WHEN dwell_ms >= 30000 THEN 2 ELSE 0 END AS strength
    FROM shard LEFT JOIN contents USING (content_id)"""


def _classed(spec: Spec) -> str:
    """A column a class; `session` comes later."""
    lines = (f"{condition} AS {_name(name)}" for name, condition in _classes(spec))
    return "    SELECT *,\n        " + ",\n        ".join(lines) + "\n    FROM events"


def _classes(spec: Spec) -> Iterator[tuple[str, str]]:
    """Every class with its condition, in the order of the kernel's bits."""
    yield "any", "true"
    yield "active", "event NOT IN ('impression', 'refund')"
    for kind in KINDS[:-1]:
        yield kind, f"event = {_text(kind)}"
    yield KINDS[-1], f"event NOT IN ({_texts(KINDS[:-1])})"
    yield "social", "event IN ('like', 'save', 'share', 'comment', 'follow')"
    yield "money", "event IN ('purchase', 'refund')"
    yield "mobile", "event NOT IN ('impression', 'refund') AND device IS NOT DISTINCT FROM 'mobile'"
    for goal, rule in spec.goals.items():
        yield f"goal:{goal}", _reached(rule)


def _reached(rule: GoalRule) -> str:
    named = f"event IN ({_texts(rule.events)})" if rule.events else "false"
    if rule.min_dwell_seconds is None:
        return named
    return f"({named} OR (event = 'view' AND dwell_ms >= {round(rule.min_dwell_seconds * 1000)}))"


def _placed(spec: Spec) -> str:
    """Each row's place among its person's."""
    order = [
        "ts",
        *(_name(name) for name, _ in reversed([*_classes(spec)])),
        "dwell_ms",
        "micros",
        f"coalesce(list_position(CAST([{_texts(spec.categories)}] AS VARCHAR[]), category), 0)",
        f"coalesce(list_position(CAST([{_texts(spec.channels)}] AS VARCHAR[]), channel), 0)",
    ]
    return (
        f"    SELECT *, row_number() OVER (PARTITION BY {_EACH} ORDER BY\n        {', '.join(order)}\n"
        "    ) AS place FROM known"
    )


# ---------------------------------------------------------------- sessions


_SCALARS = {
    "minutes": "(max(age) - min(age)) / 60e6",
    "depth": 'count(*) FILTER ("active")',
    "dwell_seconds": "sum(dwell_ms) / 1e3",
}


def _sessions(spec: Spec) -> str:
    """Every session's age (that of its last row), that of the person's last one, and the parts that are asked for."""
    asked = sorted({m.what for m in spec.measures if isinstance(m, Session)})
    parts = "".join(f",\n        {_part(what)} AS {_name(what)}" for what in asked)
    return f"""    SELECT person_id, night, number,
        min(age) AS age,
        min(min(age)) OVER (PARTITION BY person_id, night) AS last_age{parts}
    FROM marked
    WHERE NOT "refund"
    GROUP BY person_id, night, number"""


def _part(what: str) -> str:
    """One part of a session, as an aggregate of its rows."""
    kind, _, name = what.partition(":")
    if kind in _SCALARS:
        return _SCALARS[kind]
    is_so = f"CAST({_condition(kind, name)} AS INTEGER)"
    if kind in ("mix", "category"):
        return f'coalesce(avg({is_so}) FILTER ("active"), 0)'
    return f"first({is_so} ORDER BY place)"


def _condition(kind: str, name: str) -> str:
    match kind:
        case "mix":
            return _name(name)
        case "category":
            return f"category IS NOT DISTINCT FROM {_text(name)}"
        case "entry":
            return f"channel IS NOT DISTINCT FROM {_text(name)}"
        case "hour":
            return f"hour(local) // 4 = {HOURS.index(name)}"
        case _:
            return f"isodow(local) = {WEEKDAYS.index(name) + 1}"


# ---------------------------------------------------------------- features


def _seen(spec: Spec) -> str:
    """Who has a row on which night."""
    return f"    SELECT {_EACH} FROM known\n    GROUP BY {_EACH} HAVING min(age) <= {spec.history_days} * {DAY}"


def _grouped(relation: str, spec: Spec, expression: Callable[[Measured], str | None]) -> str:
    """The features that are aggregates of a relation, a row a person and night."""
    columns = "".join(
        f",\n        {text} AS {_name(name)}"
        for name, measure in zip(spec.names, spec.measures, strict=True)
        if (text := expression(measure))
    )
    return f"    SELECT {_EACH}{columns}\n    FROM {relation}\n    GROUP BY {_EACH}"


def _of_rows(measure: Measured) -> str | None:
    match measure:
        case Count(of, days):
            return _count(days, of)
        case Total(of, what, days):
            column, a_unit = {"dwell_seconds": ("dwell_ms", "1e3"), "value": ("micros", "1e6")}[what]
            return f"coalesce(sum({column}) {_filter(days, of)}, 0) / {a_unit}"
        case Share(of, per, days):
            return f"{_count(days, of, per)} / nullif({_count(days, per)}, 0)"
        case Days(of, days):
            return f"count(DISTINCT CAST(ts AS DATE)) {_filter(days, of)}"
        case _:
            return _of_all_rows(measure)


def _of_all_rows(measure: Measured) -> str | None:
    match measure:
        case Decayed(of, half_life):
            weight = f"pow(2.0, -age / {HALF_LIVES[half_life] * DAY})"
            return f"coalesce(sum(strength * {weight}) FILTER ({_name(of)}), 0)"
        case Since(of):
            return f"min(age) FILTER ({_name(of)}) / {DAY}"
        case Tenure():
            return f"max(age) / {DAY}"
        case _:
            return None


def _of_sessions(measure: Measured) -> str | None:
    match measure:
        case Session(what, None):
            return f"arg_min({_name(what)}, age)"
        case Session(what, str(half_life)):
            # Weights are those of the docstring times one factor, which a mean does not see: they cannot all be 0.
            weight = f"pow(2.0, (last_age - age) / {HALF_LIVES[half_life] * DAY})"
            return f"sum({weight} * {_name(what)}) / sum({weight})"
        case _:
            return None


def _of_purchases(measure: Measured) -> str | None:
    match measure:
        case Btyd("frequency"):
            return "count(*) - 1"
        case Btyd("recency"):
            return "max(day) - min(day)"
        case Btyd("age"):
            return "CAST(night - INTERVAL 1 MICROSECOND AS DATE) - min(day)"
        case Btyd("monetary"):
            return "coalesce(avg(micros) FILTER (day > first_day), 0) / 1e6"
        case _:
            return None


def _count(days: int, *of: str) -> str:
    return f"count(*) {_filter(days, *of)}"


def _filter(days: int, *of: str) -> str:
    return f"FILTER ({' AND '.join(map(_name, of))} AND age <= {days} * {DAY})"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _texts(texts: Iterable[str]) -> str:
    return ", ".join(map(_text, texts))
