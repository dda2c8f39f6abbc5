"""Access logs: which requests are views, whose, and that no address leaves."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.schemas import NATIVE
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import access_log, read_export
from pipeline.sources.export import joined
from tests.examples import examples

DATA = Path(__file__).parents[4] / "shared" / "data" / "apache_logs" / "apache_logs"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
ADDRESS = "203.0.113.77"


def line(
    target: str = "/guides/pricing",
    *,
    method: str = "GET",
    status: int = 200,
    agent: str | None = FIREFOX,
    address: str = ADDRESS,
    user: str = "-",
    time: str = "30/Jun/2026:12:00:01 +0000",
) -> str:
    """One request; without an agent in the common format, else in the combined one."""
    common = f'{address} - {user} [{time}] "{method} {target} HTTP/1.1" {status} 512'
    return common if agent is None else f'{common} "https://www.example.com/" "{agent}"'


@pytest.fixture
def parse(write: Callable[..., Path], setting: Callable[..., Any]) -> Callable[..., Any]:
    """Writes lines as a log and reads it."""

    def to_parsed(*lines: str, **options: str) -> Any:
        path = write("access.log", "\n".join(lines) + "\n")
        return read_export(path, setting(name="site", format="access_log", options=options))

    return to_parsed


def rows(parsed: Any, *columns: str, table: str = "events") -> list[tuple[Any, ...]]:
    """These columns, row by row."""
    return list(zip(*(parsed.tables[table][c].to_pylist() for c in columns), strict=True))


def test_a_page_is_a_view(parse: Callable[..., Any]) -> None:
    """Path, time in UTC, device and the visitor come over; nothing else does."""
    parsed = parse(line("/guides/pricing/?utm=a#top", time="30/Jun/2026:12:00:01 +0200"))
    (row,) = parsed.tables["events"].to_pylist()
    assert {name: value for name, value in row.items() if value is not None} == {
        "event_id": row["event_id"],
        "ts": row["ts"],
        "visitor_id": row["visitor_id"],
        "content_id": "/guides/pricing",
        "event": "view",
        "channel": "web",
        "device": "desktop",
        "row_number": 1,
    }
    assert row["ts"].isoformat() == "2026-06-30T10:00:01+00:00"
    assert parsed.tables["events"].schema.names == [*NATIVE["events"].names, "row_number"]
    assert (parsed.notes, parsed.rejected.num_rows) == ({}, 0)


@pytest.mark.parametrize(
    ("request_line", "note"),
    [
        (line(agent="Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"), "bots"),
        (line(agent="-"), "not_browsers"),
        (line(agent="Dalvik/2.1.0 (Linux; U; Android 13)"), "not_browsers"),
        (line(method="POST"), "not_get"),
        (line(method="HEAD"), "not_get"),
        (line(status=404), "errors"),
        (line(status=503), "errors"),
        (line(status=301), "redirects"),
        (line(status=206), "other_statuses"),
        (line("/style.css?v=3"), "assets"),
        (line("/IMAGE.PNG"), "assets"),
        (line("/app.tar.gz"), "assets"),
        (line("/blog/feed/"), "feeds"),
        (line("/?feed=rss2"), "feeds"),
        (line("/blog/index.atom"), "feeds"),
        (line("/robots.txt"), "not_pages"),
        (line("/wp-admin/post.php"), "not_pages"),
        (line("/reset/jo@example.com/now"), "personal_data_in_url"),
        (line("/reset/jo%40example.com/now"), "personal_data_in_url"),
        (line("/reset/jo%2540example.com/now"), "personal_data_in_url"),
        (line("/"), "page_views_without_content"),
    ],
)
def test_what_is_no_view_is_counted(request_line: str, note: str, parse: Callable[..., Any]) -> None:
    """Each under its reason, and a view beside it stays."""
    parsed = parse(request_line, line())
    assert parsed.notes == {note: 1}
    assert rows(parsed, "row_number") == [(2,)]


@pytest.mark.parametrize(
    ("target", "content"),
    [
        ("/blog/tags/jquery%20mobile", "/blog/tags/jquery mobile"),
        ("/%C3%BCber-uns", "/über-uns"),
        ("/caf%E9", "/caf%E9"),  # Latin-1, not UTF-8
        ("/a%0Ab", "/a%0Ab"),
        ("/a%3Fb?c=d", "/a?b"),
        ("/docs/whitepaper.pdf", "/docs/whitepaper.pdf"),
        ("http://www.example.com/guides/pricing", "/guides/pricing"),
        ("/feedback", "/feedback"),
        ("/atomic-habits", "/atomic-habits"),
        ("/profile?mail=jo@example.com", "/profile"),
    ],
)
def test_content_is_the_decoded_path(target: str, content: str, parse: Callable[..., Any]) -> None:
    """Decoded where it can be, without the query; words that begin like a feed are none."""
    assert rows(parse(line(target)), "content_id") == [(content,)]


def test_who_never_loads_an_image_is_a_machine(parse: Callable[..., Any]) -> None:
    """From 10 pages in a day, unless the log has no assets to tell by, or one was loaded by the same reader."""
    robot = [line(f"/{n}", address="198.51.100.1") for n in range(10)]
    person = [line(f"/{n}") for n in range(10)] + [line("/style.css")] * 20
    parsed = parse(*robot, *person)
    assert parsed.notes == {"assets": 20, "readers_without_assets": 10}
    assert parsed.tables["events"].num_rows == 10
    assert parse(*robot[:9], *person).tables["events"].num_rows == 19
    assert parse(*robot, *person[:11]).tables["events"].num_rows == 20
    by_account = parse(*robot, *person, visitor="auth_user")
    assert by_account.notes == {"assets": 20, "readers_without_assets": 10, "without_consent": 10}


def test_not_modified_is_a_view(parse: Callable[..., Any]) -> None:
    """Its reader came back to a page that the browser still had."""
    assert rows(parse(line(status=304)), "event") == [("view",)]


def test_a_visitor_lasts_a_day(parse: Callable[..., Any]) -> None:
    """Address and agent make one visitor until midnight UTC; another agent, address or day is another."""
    parsed = parse(
        line(),
        line("/other"),
        line(agent=FIREFOX.replace("120", "121")),
        line(address="203.0.113.78"),
        line(time="01/Jul/2026:01:00:00 +0200"),
        line(time="01/Jul/2026:03:00:00 +0200"),
    )
    visitors = [visitor for (visitor,) in rows(parsed, "visitor_id")]
    assert visitors[0] == visitors[1] == visitors[4]
    assert len(set(visitors)) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", visitor) for visitor in visitors)


def test_no_address_and_no_agent_leave(parse: Callable[..., Any]) -> None:
    """Nowhere in any table, nor in what is refused; and the event's id is the same from another address."""
    parsed = parse(line(), line("/x", user="jo"), f"{ADDRESS} broken")
    text = str([t.to_pylist() for t in (*parsed.tables.values(), parsed.rejected)])
    assert ADDRESS not in text
    assert "Firefox" not in text
    assert rows(parse(line()), "event_id") == rows(parse(line(address="198.51.100.1", agent="Opera/9.8")), "event_id")


def test_authenticated_users_are_customers(parse: Callable[..., Any]) -> None:
    """With `auth_user` only they are somebody; the others' views count for nobody in particular."""
    lines = (line(user="jo smith"), line(), line(time="30/Jun/2026:12:59:59 +0000"), line("/other"))
    assert rows(parse(*lines), "customer_id") == [("jo smith",), (None,), (None,), (None,)]
    parsed = parse(*lines, visitor="auth_user")
    assert rows(parsed, "customer_id", "visitor_id") == [("jo smith", None)]
    assert parsed.notes == {"without_consent": 3}
    counts = rows(parsed, "content_id", "event", "count", table="popularity")
    assert counts == [("/guides/pricing", "view", 2.0), ("/other", "view", 1.0)]
    assert {ts.isoformat() for (ts,) in rows(parsed, "ts", table="popularity")} == {"2026-06-30T12:00:00+00:00"}


def test_two_equal_lines_are_two_views(parse: Callable[..., Any]) -> None:
    """Servers write each request once, so both happened; reading the log again gives the same ids."""
    ids = rows(parse(line(), line("/other"), line()), "event_id")
    assert len(set(ids)) == 3
    assert rows(parse(line(), line("/other"), line()), "event_id") == ids


def test_the_common_format_has_no_agent(parse: Callable[..., Any]) -> None:
    """Then nobody can be told for a bot, and the device is unknown."""
    parsed = parse(line(agent=None), line("/style.css", agent=None))
    assert rows(parsed, "content_id", "device") == [("/guides/pricing", None)]
    assert parsed.notes == {"assets": 1}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (line()[:-1], "is no line of the common or combined log format"),
        ("www.example.com:80 " + line(), "is no line of the common or combined log format"),
        (line(time="2026-06-30T12:00:01Z"), "time is not in the form day/month/year:hour:minute:second zone"),
        (line(time="31/Jun/2026:12:00:01 +0000"), "time is not in the form day/month/year:hour:minute:second zone"),
    ],
)
def test_broken_lines_are_refused(broken: str, reason: str, parse: Callable[..., Any]) -> None:
    """By the line's number, blank ones counted, with a reason that holds nothing of it."""
    parsed = parse(line(), "", broken)
    assert rows(parsed, "row_number") == [(1,)]
    assert parsed.rejected.select(["row_number", "reason"]).to_pylist() == [{"row_number": 3, "reason": reason}]


def test_quotes_within_are_escaped(parse: Callable[..., Any]) -> None:
    """Apache writes a quote in an agent or a path as `\\"`."""
    parsed = parse(line(r"/say-\"hi\"", agent=FIREFOX + r" \"x\""))
    assert rows(parsed, "content_id") == [(r"/say-\"hi\"",)]


def test_a_packed_log_is_the_same(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """Logs are rotated and packed, and end in numbers."""
    plain = write("access.log.1", line() + "\n")
    packed = write("access.log.2.gz", gzip.compress((line() + "\r\n").encode()))
    source = setting(format="access_log")
    assert read_export(plain, source).tables["events"].equals(read_export(packed, source).tables["events"])


def test_feeds_can_be_told_otherwise(parse: Callable[..., Any]) -> None:
    """A pattern of one's own takes the place of ours."""
    parsed = parse(line("/blog/feed/"), line("/export/latest"), feeds="^/export/")
    assert (rows(parsed, "content_id"), parsed.notes) == ([("/blog/feed",)], {"feeds": 1})


@pytest.mark.parametrize("options", [{"feeds": "("}, {"visitor": "forever"}, {"content_from_url": "host"}])
def test_settings_that_make_no_sense(options: dict[str, str], parse: Callable[..., Any]) -> None:
    """Are refused, with the option's name."""
    with pytest.raises(ConfigurationError, match=rf"options\.{next(iter(options))}"):
        parse(line(), **options)


def test_an_empty_log_is_told(parse: Callable[..., Any]) -> None:
    """A rotated log without a request is an error, unless quiet days are normal."""
    with pytest.raises(ShortlistError, match="no rows"):
        parse("")
    assert parse("", allow_empty="true").tables["events"].num_rows == 0


@settings(max_examples=examples(15))
@given(
    targets=st.lists(st.sampled_from(["/a", "/b", "/c.css", "/d?e=f"]), min_size=1, max_size=30),
    size=st.integers(1, 400),
)
def test_parts_make_the_whole(
    targets: list[str], size: int, tmp_path_factory: pytest.TempPathFactory, setting: Callable[..., Any]
) -> None:
    """However the log is cut, and equal lines with it, events, ids and counts are the same."""
    path = tmp_path_factory.getbasetemp() / "parts.log"
    path.write_text("\n".join(line(target) for target in targets) + "\n", encoding="utf-8")
    source = setting(format="access_log")
    whole = joined(access_log.read(path, source))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access_log.lines.parts, "__defaults__", (size,))
        cut = joined(access_log.read(path, source))
    assert cut.tables["events"].equals(whole.tables["events"])
    assert cut.notes == whole.notes


def oracle(text: str) -> tuple[Counter[str], Counter[str]]:
    """The same rules in other words: outcomes, and views by page. Cut by hand, judged by plain tests."""
    outcomes: Counter[str] = Counter()
    views: dict[tuple[str, str, str], list[str]] = {}
    loads_assets = set()
    for request in text.splitlines():
        fields = request.split('"')
        if len(fields) != 7:
            outcomes["refused"] += 1
            continue
        (method, target, _), status, agent = fields[1].split(" "), fields[2].split()[0], fields[5]
        path = target.partition("?")[0].partition("#")[0]
        why = no_view(method, status, path.lower(), target.lower(), agent)
        outcomes[why] += 1
        reader = request.split(" ")[0], agent, request[request.index("[") :][:12]
        if why == "views":
            views.setdefault(reader, []).append(unquote(path).rstrip("/"))
        elif why == "assets":
            loads_assets.add(reader)
    machines = {reader for reader, pages in views.items() if len(pages) >= 10 and reader not in loads_assets}
    outcomes["readers_without_assets"] = sum(len(views.pop(reader)) for reader in machines)
    outcomes["views"] -= outcomes["readers_without_assets"]
    return outcomes, Counter(page for pages in views.values() for page in pages)


def no_view(method: str, status: str, path: str, target: str, agent: str) -> str:
    """Why a request of this log is no view, or `views`; the words are those that occur in it."""
    low = agent.lower()
    said = any(word in low for word in BOT_WORDS) or "://" in low or "@" in low
    judged = {
        "bots": said or agent in {"Mozilla/5.0", "Mozilla/4.0", "Mozilla/4.0 (compatible;)", "Ruby"},
        "not_browsers": low.split("/")[0].split(" ")[0] in OTHER_PROGRAMS,
        "not_get": method != "GET",
        "errors": status[0] in "45",
        "redirects": status[0] == "3" and status != "304",
        "other_statuses": status not in {"200", "304"},
        "assets": path.rpartition(".")[2] in ASSET_ENDINGS,
        "feeds": "flav=rss" in target or "flav=atom" in target,
        "not_pages": path == "/robots.txt",
        "page_views_without_content": not path.strip("/"),
    }
    return next((why for why, applies in judged.items() if applies), "views")


_BOT_WORDS = """
    bot crawler spider slurp archiver fetch feed rss preview favicon proxy phantomjs validator sleuth python wget curl
    lwp nutch indy discovery urllog portscout robosourcer oldreader external
"""
BOT_WORDS = _BOT_WORDS.split()
_PROGRAMS = "- safari mobilesafari newsify reeder dalvik instagram zdm &as_qdr=all user-agent:"
OTHER_PROGRAMS = _PROGRAMS.split()
_ENDINGS = "css js png jpg jpeg gif ico svg ttf woff swf xml xsl jar gz exe deb gem map json"
ASSET_ENDINGS = _ENDINGS.split()


@pytest.fixture(scope="module")
def real() -> Path:
    """The real log, or a skip where there is none."""
    if not DATA.exists():
        pytest.skip(f"needs the shared data folder ({DATA.name}), which only development machines have")
    return DATA


def test_a_real_log_is_read_by_the_rules(real: Path, setting: Callable[..., Any]) -> None:
    """10,000 requests: every count, and every page's views, as an oracle in other words finds them."""
    parsed = read_export(real, setting(name="site", format="access_log"))
    outcomes, views = oracle(real.read_text(encoding="utf-8"))
    counts = {**parsed.notes, "refused": parsed.rejected.num_rows, "views": parsed.tables["events"].num_rows}
    assert counts == outcomes == EXPECTED
    assert sum(EXPECTED.values()) == 10_000
    assert Counter(content for (content,) in rows(parsed, "content_id")) == views
    assert parsed.rejected["row_number"].to_pylist() == [8899]  # cut off within its agent
    assert parsed.duplicates["events"] == 0


EXPECTED = {
    "assets": 5183,
    "bots": 2695,
    "errors": 76,
    "feeds": 5,
    "not_browsers": 244,
    "not_get": 11,
    "not_pages": 58,
    "other_statuses": 34,
    "page_views_without_content": 113,
    "readers_without_assets": 116,
    "redirects": 60,
    "refused": 1,
    "views": 1404,
}
"""Looked at by hand: every agent that is kept, every agent that is not, every path that is kept."""
