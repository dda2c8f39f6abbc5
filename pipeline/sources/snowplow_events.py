"""Snowplow's rows in SQL: what is read of each, and what becomes of all of them together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from pipeline.errors import ConfigurationError
from pipeline.sources import agents, convert, outcomes, pages, sql
from pipeline.sources.convert import Cell, Origin
from pipeline.sources.export import Settings
from pipeline.sources.snowplow_columns import Columns, field, text

_EVENTS: Mapping[str, str] = {
    "page_view": "view",
    "page_ping": "view",
    "link_click": "click",
    "transaction_item": "purchase",
    **{name: name for name in ("like", "save", "share", "comment", "follow")},
}
_DEVICES = {"computer": "desktop", "mobile": "mobile", "tablet": "tablet"}
_CHANNELS = {"mob": "app", "web": "web", "app": "app"}
_CONSENT = {"allow_all": "true", "deny_all": "false", "withdrawn": "false", "expired": "false"}
_SCOPES = "personalization, personalisation, marketing"

# Written in place of the cookies' ids when the tracker is told to stay anonymous.
_NOBODY = "'00000000-0000-0000-0000-000000000000'"

_SNOWPLOW = "com_snowplowanalytics_snowplow"
_ABOUT_COLUMNS = ("se_label", "se_property", "page_title")
_ABOUT_ENTITY = r"((?:contexts|unstruct_event)_[a-z0-9_]+_\d+)\.(\w+)"


@dataclass(frozen=True)
class Options:
    """What a source sets: the field that names content, if it is not the URL, and the tracker's heartbeat."""

    source: Settings
    about: tuple[str, str] | str | None
    heartbeat: float
    min_visit: float
    scopes: tuple[str, ...]

    @classmethod
    def of(cls, source: Settings) -> Options:
        """Raises ConfigurationError for what makes no sense."""
        pages.mode(source)
        scopes = source.options.get("consent_scopes", _SCOPES).split(",")
        return cls(
            source,
            _about(source),
            _seconds(source, "heartbeat_seconds", 10),
            _seconds(source, "min_visit_seconds", 5),
            tuple(scope.strip().lower() for scope in scopes),
        )


def _about(source: Settings) -> tuple[str, str] | str | None:
    asked = source.options.get("content_id")
    if asked is None or asked in _ABOUT_COLUMNS:
        return asked
    found = re.fullmatch(_ABOUT_ENTITY, asked)
    if found is None:
        raise ConfigurationError(
            f"{source.name}: options.content_id must be {', '.join(_ABOUT_COLUMNS)} or a field of an entity such as "
            f'"contexts_com_acme_article_1.id", found {asked!r}.'
        )
    return found[1], found[2]


def _seconds(source: Settings, option: str, default: float) -> float:
    asked = source.options.get(option, str(default))
    if not re.fullmatch(r"\d+(\.\d+)?", asked) or float(asked) == 0:
        raise ConfigurationError(
            f"{source.name}: options.{option} must be a number of seconds above 0, found {asked!r}."
        )
    return float(asked)


def empty() -> str:
    """The table that `rows` fills: narrow, as it holds the whole export."""
    return """
        CREATE TEMP TABLE rows (
            row_number BIGINT, reason VARCHAR, event_id VARCHAR, fingerprint VARCHAR, collected TIMESTAMPTZ,
            created TIMESTAMPTZ, ts TIMESTAMPTZ, available_at TIMESTAMPTZ, visitor_id VARCHAR, customer_id VARCHAR,
            session_id VARCHAR, order_id VARCHAR, kind VARCHAR, name VARCHAR, event VARCHAR, page_view_id VARCHAR,
            content_id VARCHAR, personal BOOLEAN, elsewhere VARCHAR, bot BOOLEAN, said BOOLEAN, value DOUBLE,
            channel VARCHAR, device VARCHAR, country VARCHAR
        )
    """


def rows(columns: Columns, options: Options) -> str:
    """What is read of the rows of `part`."""
    told = ", ".join(f"{value} AS {name}" for name, value in _told(columns, options).items())
    times = {name: _time(columns, f"{name}_tstamp") for name in ("derived", "collector", "etl", "load", "dvce_created")}
    broken = " ".join(f"WHEN {time.broken} THEN {sql.text(time.reason)}" for time in times.values())
    missing = f"CASE WHEN {text(columns, 'event_id')} IS NULL THEN 'event_id is missing' END"
    content, personal = _content(options)
    return f"""
        , told AS (
            SELECT row_number, coalesce({columns.refused}, {missing}, CASE {broken} END) AS reason,
                   {told},
                   {times["collector"].value} AS collected, {times["dvce_created"].value} AS created,
                   coalesce({times["derived"].value}, {times["collector"].value}) AS ts,
                   greatest({", ".join(times[name].value for name in ("collector", "etl", "load"))}) AS available_at
            FROM part
        ), placed AS (
            SELECT *, {_name()} AS name, {_host("target")} = coalesce(page_host, {_host("page_url")}) AS same_site
            FROM told
        ), located AS (
            SELECT *, CASE WHEN name <> 'link_click' THEN page WHEN same_site THEN target END AS url FROM placed
        )
        SELECT row_number, reason, event_id, fingerprint, collected, created, ts, available_at, visitor_id, customer_id,
               session_id, order_id, kind, name, page_view_id, bot, value, channel, device, country,
               CASE WHEN kind = 'transaction_item' THEN sku ELSE {content} END AS content_id, {personal} AS personal,
               {_event(options)} AS event, {_elsewhere(options)} AS elsewhere, {_said(options)} AS said
        FROM located
    """


def _told(columns: Columns, options: Options) -> Mapping[str, str]:
    def plain(name: str) -> str:
        return text(columns, name)

    agent, app, platform = plain("useragent"), plain("app_id"), plain("platform")
    domain_id, network_id, kind_of_device = plain("domain_userid"), plain("network_userid"), plain("dvce_type")
    channels = options.source.values.get("channel", {})
    robot = field(columns, "contexts_com_iab_snowplow_spiders_and_robots_1", "spiderOrRobot")
    consent = f"unstruct_event_{_SNOWPLOW}_consent_preferences_1"
    about = options.about
    return {
        "event_id": plain("event_id"),
        "fingerprint": plain("event_fingerprint"),
        "visitor_id": f"coalesce(nullif({domain_id}, {_NOBODY}), nullif({network_id}, {_NOBODY}))",
        "customer_id": plain("user_id"),
        "session_id": plain("domain_sessionid"),
        "order_id": f"coalesce({plain('ti_orderid')}, {plain('tr_orderid')})",
        "kind": plain("event"),
        "action": plain("se_action"),
        "event_name": plain("event_name"),
        "page_view_id": field(columns, f"contexts_{_SNOWPLOW}_web_page_1", "id"),
        "page": f"coalesce({plain('page_urlpath')}, {plain('page_url')})",
        "page_url": plain("page_url"),
        "page_host": plain("page_urlhost"),
        "target": field(columns, f"unstruct_event_{_SNOWPLOW}_link_click_1", "targetUrl"),
        "sku": plain("ti_sku"),
        "about": field(columns, *about) if isinstance(about, tuple) else plain(about) if about else "NULL::VARCHAR",
        "bot": f"coalesce(lower({plain('br_type')}) = 'robot', false) OR coalesce({robot} = 'true', false) "
        f"OR {agents.is_bot_of(agent)}",
        "consent": field(columns, consent, "eventType"),
        "scopes": field(columns, consent, "consentScopes"),
        "value": f"TRY_CAST({plain('ti_price')} AS DOUBLE) * coalesce(TRY_CAST({plain('ti_quantity')} AS DOUBLE), 1)",
        "channel": f"coalesce({sql.lookup(app, channels)}, {sql.lookup(platform, {**_CHANNELS, **channels})}, "
        f"{platform}, {app})",
        "device": f"coalesce({sql.lookup(f'lower({kind_of_device})', _DEVICES)}, {agents.device_of(agent)})",
        "country": f"upper({plain('geo_country')})",
    }


def _time(columns: Columns, name: str) -> Cell:
    return convert.instant(name, Origin(columns.value(name), columns.type(name)), convert.ISO)


def _host(url: str) -> str:
    return f"lower(nullif(regexp_extract({url}, '^[a-zA-Z]+://([^/?#:]+)', 1), ''))"


def _name() -> str:
    """What an event is called by those who track it."""
    return "CASE kind WHEN 'struct' THEN action WHEN 'unstruct' THEN event_name ELSE kind END"


def _event(options: Options) -> str:
    """One of ours; a structured event is no page view, whatever its action is called."""
    asked = options.source.values.get("event", {})
    reactions = {name: ours for name, ours in _EVENTS.items() if name == ours}
    usual = f"CASE WHEN kind = 'struct' THEN {sql.lookup('name', reactions)} ELSE {sql.lookup('name', _EVENTS)} END"
    named = "CASE WHEN kind = 'page_ping' THEN 'page_view' ELSE name END"
    return f"coalesce({sql.lookup(named, asked)}, {usual})"


def _content(options: Options) -> tuple[str, str]:
    """SQL for what an event is about, and for whether an e-mail address stands there."""
    if options.about is None:
        return pages.content_of("url", options.source), pages.personal_of("url")
    personal = pages.personal_of("regexp_replace(about, '[?#]', '', 'g')")
    return f"CASE WHEN NOT {personal} THEN about END", personal


def _elsewhere(options: Options) -> str:
    """The note for a click that leads to none of our pages."""
    if options.about is not None:
        return "CAST(NULL AS VARCHAR)"
    return """
        CASE WHEN name = 'link_click' AND target IS NULL THEN 'clicks_without_target'
             WHEN name = 'link_click' AND same_site IS NOT TRUE THEN 'clicks_to_other_sites' END
    """


def _said(options: Options) -> str:
    """Whether the person consents to personalization; null where that was not said."""
    quoted = [sql.text(f'"{scope}"') for scope in options.scopes]
    scopes = " OR ".join(f"contains(lower(scopes), {scope})" for scope in quoted)
    plain = f"CAST({sql.lookup('consent', _CONSENT)} AS BOOLEAN)"
    return f"CASE WHEN consent = 'allow_selected' THEN coalesce({scopes}, false) ELSE {plain} END"


def judged(options: Options) -> tuple[str, str]:
    """Statements that make `judged` (see `outcomes`) of `rows`."""
    once = """
        CREATE TEMP TABLE once AS
        SELECT *, row_number() OVER same AS copy, first_value(fingerprint) OVER same AS first_fingerprint
        FROM rows WHERE reason IS NULL
        WINDOW same AS (
            PARTITION BY event_id ORDER BY collected, created, ts, row_number
        )
    """
    beat = options.heartbeat
    outcome = f"""
        CREATE TEMP TABLE judged AS
        WITH paged AS (
            SELECT * FROM once
            WHERE copy = 1 AND NOT bot AND page_view_id IS NOT NULL AND kind IN ('page_view', 'page_ping')
        ), engaged AS (
            SELECT page_view_id, session_id, 1 AS turn,
                   {beat} * (count(DISTINCT floor(epoch(ts) / {beat})) - 1) + {options.min_visit} AS dwell_seconds
            FROM paged WHERE kind = 'page_ping' GROUP BY ALL
        ), turned AS (
            SELECT row_number, row_number() OVER (
                PARTITION BY page_view_id, session_id ORDER BY kind = 'page_ping', ts, created, row_number) AS turn
            FROM paged
        )
        SELECT once.*, dwell_seconds, {_outcome()} AS outcome
        FROM once LEFT JOIN turned USING (row_number)
        LEFT JOIN engaged ON once.page_view_id = engaged.page_view_id AND turned.turn = engaged.turn
             AND once.session_id IS NOT DISTINCT FROM engaged.session_id
        UNION ALL BY NAME SELECT row_number, reason FROM rows WHERE reason IS NOT NULL
    """
    return once, outcome


def _outcome() -> str:
    return f"""
        CASE WHEN copy > 1 THEN
                  CASE WHEN fingerprint IS DISTINCT FROM first_fingerprint THEN 'event_ids_used_twice' ELSE '' END
             WHEN bot THEN 'bots'
             WHEN said IS NOT NULL THEN CASE WHEN {_IS_NOBODY} THEN 'consent_of_nobody' ELSE '' END
             WHEN name = 'consent_preferences' THEN 'consent_left_open'
             WHEN kind = 'page_ping' AND once.page_view_id IS NULL THEN 'page_pings_without_page_view_id'
             WHEN kind = 'page_ping' AND turned.turn > 1 THEN ''
             WHEN kind = 'page_view' AND turned.turn > 1 THEN 'repeated_page_views'
             WHEN kind = 'transaction' AND order_id IS NOT NULL AND event IS NULL THEN ''
             WHEN event IS NULL THEN 'not_content_events'
             WHEN elsewhere IS NOT NULL THEN elsewhere
             WHEN personal THEN 'personal_data_in_url'
             WHEN content_id IS NULL AND event = 'view' THEN 'page_views_without_content'
             WHEN content_id IS NULL THEN 'events_without_content'
             WHEN {_IS_NOBODY} THEN '{outcomes.NOBODY}' END
    """


_IS_NOBODY = "visitor_id IS NULL AND customer_id IS NULL"

_LINKS = """
    SELECT min(row_number) AS row_number, min(ts) AS ts, min(available_at) AS available_at, visitor_id, customer_id,
           CASE WHEN kind = 'transaction' THEN order_id END AS order_id
    FROM once
    WHERE copy = 1 AND NOT bot AND (visitor_id IS NOT NULL OR customer_id IS NOT NULL)
      AND ((visitor_id IS NOT NULL AND customer_id IS NOT NULL) OR (kind = 'transaction' AND order_id IS NOT NULL))
    GROUP BY visitor_id, customer_id, CASE WHEN kind = 'transaction' THEN order_id END
    ORDER BY 1
"""
_SIGNALS = f"""
    SELECT row_number, ts, visitor_id, customer_id, said AS personalization, 'consent' AS reason
    FROM once WHERE copy = 1 AND NOT bot AND said IS NOT NULL AND NOT ({_IS_NOBODY}) ORDER BY row_number
"""
OTHERS: Mapping[str, str] = {"links": _LINKS, "signals": _SIGNALS}
"""Tables beside the events, from what `judged` leaves behind."""


def duplicates(con: duckdb.DuckDBPyConnection) -> Mapping[str, int]:
    """Rows that were in the export before, by table."""
    return {"events": outcomes.count(con, "once WHERE copy > 1 AND fingerprint IS NOT DISTINCT FROM first_fingerprint")}
