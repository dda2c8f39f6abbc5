r"""A web server's access log, Common or Combined Log Format: every page that a person's browser got is a view.

Left out and counted, by the first reason that applies: `bots` (they name themselves, see `agents`), `not_browsers` (no
agent, or a program that nobody reads pages with), `not_get`, `errors` (4xx, 5xx), `redirects`, `other_statuses`,
`assets`, `feeds`, `not_pages` (robots.txt and the like), `personal_data_in_url`, `page_views_without_content` (the
front page), `readers_without_assets`, `without_consent` (nobody's, see below).

* Who gets 10 pages or more in a day and not one image, style or script is a machine in a browser's name. Nobody is
  judged by that where the log has fewer assets than pages: they are kept elsewhere, or not logged.
* 200 and 304 are views. 304 is the answer to a browser that has the page already: its reader came back. 301, 302 … are
  none, the page comes with the request that follows; 206 is a piece of a download.
* A content id is the path without query, with `%20` and the like decoded. Documents (.pdf, .txt) are content.
* There is no user id. `options.visitor = "daily"` (the default) makes one of address, agent and UTC day: good for one
  day, on purpose, as nobody agreed to be told again by such traits. It is a SHA-256, from which an address can be
  guessed, so it goes no further than the door: the pseudonym that replaces it has a key, the vault has no way back
  (`NAMELESS`), and nobody gets a list by it, for nobody could ask for that list. `options.visitor = "auth_user"` makes
  none: requests without a known user are `popularity`.
* An authenticated user is the customer.
* There is no event id: it is made of time, request, status and size, which are nobody's, and counts on where those are
  the same. Two lines that are the same are two requests: servers write each line once, and browsers can ask twice.
* `options.feeds` is a regular expression (RE2) on path and query for requests that are no views, in place of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb

from pipeline.errors import ConfigurationError
from pipeline.sources import agents, lines, outcomes, pages, sql
from pipeline.sources.export import Bounds, Known, Parsed, Settings, require_rows

TABLES = ("events", "popularity")
NAMELESS = ("visitor",)

_FIELDS = ("address", "user", "time", "request", "status", "size", "rest", "agent")
# The second field is never an address: where it is, a server's name was put before the line.
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_LINE = (
    r"^(\S+) [^\s.:]+ (.+?) \[([^\]]+)\] " + _QUOTED + r" (\d{3}) (\d+|-)"
    r'( "(?:[^"\\]|\\.)*" ' + _QUOTED + r")?\s*$"
)
_PAGES_WITHOUT_ASSETS = 10
_READER = "sha256(concat_ws(chr(31), address, named.agent, strftime(ts, '%Y-%m-%d')))"
_TIME = "%d/%b/%Y:%H:%M:%S %z"
_REQUEST = r"^([A-Z]+) (.+?)(?: HTTP/[0-9.]+)?$"

_ASSETS = (
    r"(?i)\.("
    "css|less|js|mjs|map|json|xml|xsl|xslt|"
    "png|jpe?g|gif|ico|svgz?|webp|avif|bmp|tiff?|cur|"
    "woff2?|ttf|otf|eot|"
    "mp3|mp4|m4a|m4v|ogg|ogv|oga|wav|webm|avi|mov|flv|swf|"
    "zip|gz|tgz|bz2|xz|zst|7z|rar|tar|jar|war|gem|whl|deb|rpm|apk|dmg|pkg|msi|exe|iso|bin|wasm"
    r")$"
)
_FEEDS = (
    r"(?i)/(feeds?|rss2?|atom)(\.xml)?/?([?#]|$)|\.(rss|atom|rdf)([?#]|$)"
    r"|[?&](feed|flav|format|type|output)=(rss|atom|rdf|feed)"
)
_NOT_PAGES = (
    r"(?i)^/((robots|ads|app-ads|humans|llms|security)\.txt$|sitemap|\.well-known/|favicon|apple-touch-icon"
    r"|wp-(login|cron|admin|json|includes|content)|xmlrpc\.php|server-status|healthz?$)"
)


def known(source: Settings) -> Known:
    """The format has no names of its own."""
    return Known(options=["allow_empty", "feeds", "visitor", pages.OPTION])


def read(path: Path, source: Settings, bounds: Bounds | None = None) -> Iterator[Parsed]:
    """A log as `events`; as `popularity` where a request is nobody's."""
    visitor, feeds = _visitor(source), _feeds(source)
    with sql.connection() as con:
        con.execute(_empty())
        for part in lines.parts(path, source):
            con.register("part", part)
            con.execute(f"INSERT INTO requests BY NAME {_requests(source, visitor, feeds)}")
        require_rows(path, source, outcomes.count(con, "requests"))
        con.execute(_judged())
        yield from outcomes.parsed(con, path)


def _visitor(source: Settings) -> str:
    kind = source.options.get("visitor", "daily")
    if kind == "auth_user":
        return "CAST(NULL AS VARCHAR)"
    if kind == "daily":
        return "reader"
    raise ConfigurationError(f'{source.name}: options.visitor must be "daily" or "auth_user", found {kind!r}.')


def _feeds(source: Settings) -> str:
    pattern = source.options.get("feeds", _FEEDS)
    try:
        with sql.connection() as con:
            con.execute(f"SELECT regexp_matches('', {sql.text(pattern)})")
    except duckdb.Error as error:
        raise ConfigurationError(f"{source.name}: options.feeds is no regular expression: {error}") from error
    return pattern


def _empty() -> str:
    return """
        CREATE TEMP TABLE requests (
            row_number BIGINT, reason VARCHAR, outcome VARCHAR, facts VARCHAR, ts TIMESTAMPTZ, reader VARCHAR,
            visitor_id VARCHAR, customer_id VARCHAR, content_id VARCHAR, event VARCHAR, channel VARCHAR, device VARCHAR
        )
    """


def _requests(source: Settings, visitor: str, feeds: str) -> str:
    """The part's lines: why each is refused or left out, and what is kept of it; never address or agent."""
    names = ", ".join(sql.text(name) for name in _FIELDS)
    content = "CASE WHEN regexp_matches(decoded, '[[:cntrl:]]') THEN named ELSE coalesce(decoded, named) END"
    return rf"""
        WITH fields AS (
            SELECT row_number, unnest(regexp_extract(line, {sql.text(_LINE)}, [{names}])) FROM part
        ), timed AS (
            SELECT * REPLACE (CASE WHEN rest <> '' THEN agent END AS agent, nullif("user", '-') AS "user"),
                   try_strptime(time, '{_TIME}') AS ts,
                   regexp_extract(request, {sql.text(_REQUEST)}, 1) AS method,
                   regexp_extract(request, {sql.text(_REQUEST)}, 2) AS target
            FROM fields
        ), named AS (
            SELECT *, regexp_replace(regexp_replace(target, '^[a-zA-Z]+://[^/?#]*', ''), '[?#].*$', '', 's') AS path,
                   {pages.content_of("target", source)} AS named, TRY(url_decode(named)) AS decoded,
                   {pages.personal_of("target")} OR {pages.personal_of("decoded")} AS personal
            FROM timed
        ), told AS (
            SELECT *, {agents.is_bot_of("agent")} AS bot, {agents.is_browser_of("agent")} AS browser,
                   {agents.device_of("agent")} AS device
            FROM (SELECT DISTINCT agent FROM timed)
        )
        SELECT row_number, {_reason()} AS reason, {_outcome(feeds)} AS outcome,
               concat_ws(chr(31), time, request, status, size) AS facts, ts, {_READER} AS reader,
               {visitor} AS visitor_id,
               "user" AS customer_id, {content} AS content_id, 'view' AS event, 'web' AS channel, device
        FROM named LEFT JOIN told ON named.agent IS NOT DISTINCT FROM told.agent
    """


def _reason() -> str:
    return """
        CASE WHEN address = '' THEN 'is no line of the common or combined log format'
             WHEN ts IS NULL THEN 'time is not in the form day/month/year:hour:minute:second zone' END
    """


def _outcome(feeds: str) -> str:
    """Why a request is no view; null for a view."""
    cases: Mapping[str, str] = {
        "bots": "bot",
        "not_browsers": "named.agent IS NOT NULL AND NOT browser",
        "not_get": "method <> 'GET'",
        "errors": "status >= '400'",
        "redirects": "status >= '300' AND status <> '304'",
        "other_statuses": "status NOT IN ('200', '304')",
        "assets": f"regexp_matches(path, {sql.text(_ASSETS)})",
        "feeds": f"regexp_matches(target, {sql.text(feeds)})",
        "not_pages": f"regexp_matches(path, {sql.text(_NOT_PAGES)})",
        "personal_data_in_url": "personal",
        "page_views_without_content": "named IS NULL",
    }
    return "CASE " + " ".join(f"WHEN {broken} THEN '{name}'" for name, broken in cases.items()) + " END"


def _judged() -> str:
    """The requests with their ids; what only all of them together tell is told here."""
    return f"""
        CREATE TEMP TABLE judged AS
        WITH machines AS (
            SELECT reader FROM requests WHERE reason IS NULL GROUP BY reader
            HAVING count(*) FILTER (outcome IS NULL) >= {_PAGES_WITHOUT_ASSETS} AND count(*) FILTER ({_ASSET}) = 0
               AND (SELECT count(*) FILTER ({_ASSET}) >= count(*) FILTER (outcome IS NULL) FROM requests)
        )
        SELECT * EXCLUDE (facts, reader) FROM requests WHERE reason IS NOT NULL OR outcome IS NOT NULL
        UNION ALL BY NAME
        SELECT * EXCLUDE (facts, reader) REPLACE (
                   CASE WHEN reader IN (FROM machines) THEN 'readers_without_assets'
                        WHEN visitor_id IS NULL AND customer_id IS NULL THEN '{outcomes.NOBODY}' END AS outcome),
               md5(concat_ws(chr(31), facts, row_number() OVER (PARTITION BY facts ORDER BY row_number))) AS event_id
        FROM requests WHERE reason IS NULL AND outcome IS NULL
    """


_ASSET = "reason IS NULL AND outcome = 'assets'"
