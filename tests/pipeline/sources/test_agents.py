"""User agents: who is a machine, what device it is, and the same answers from SQL and Python."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources import agents

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Mobile/15E148 Safari/604"
)
PIXEL = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/120.0.0.0 Mobile Safari/537.36"

PEOPLE = {
    CHROME: "desktop",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.0 Safari/605.1.15": "desktop",
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 Chrome/119.0.0.0 Safari/537.36": "desktop",
    "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Tablet PC 2.0)": "desktop",
    IPHONE: "mobile",
    PIXEL: "mobile",
    PIXEL.replace("Pixel 8", "CUBOT X30"): "mobile",
    "Opera/9.80 (J2ME/MIDP; Opera Mini/7.1.32052/34.1244; U; en) Presto/2.8.119 Version/11.10": "mobile",
    "Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1.15 Version/12.1 Mobile/15E Safari/604": "tablet",
    "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36": "tablet",
    "Mozilla/5.0 (Android 13; Tablet; rv:120.0) Gecko/120.0 Firefox/120.0": "tablet",
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 Version/6.0 TV Safari/537.36": "tv",
}
MACHINES = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    IPHONE + " (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "Mozilla/5.0 (compatible; Yahoo! Slurp)",
    "Mozilla/5.0 (compatible; Ezooms/1.0; help@moz.com)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/119.0.0.0 Safari/537.36",
    "facebookexternalhit/1.1",
    "Tiny Tiny RSS/1.11",
    "python-requests/2.31.0",
    "curl/8.4.0",
    "Go-http-client/1.1",
    "Mozilla/5.0",
)
PROGRAMS = ("okhttp/4.12.0", "MyApp/3 CFNetwork/1410 Darwin/22.6.0", "Dalvik/2.1.0 (Linux; U; Android 13)", "-", "")


@pytest.mark.parametrize("agent", PEOPLE)
def test_people_are_no_bots(agent: str) -> None:
    """Browsers are browsers, on the device that they say; a Cubot is a phone."""
    assert not agents.is_bot(agent)
    assert agents.is_browser(agent)
    assert agents.device(agent) == PEOPLE[agent]


@pytest.mark.parametrize("agent", MACHINES)
def test_machines_name_themselves(agent: str) -> None:
    """By a word, their maker's page or address, or by saying nothing but `Mozilla`."""
    assert agents.is_bot(agent)


@pytest.mark.parametrize("agent", PROGRAMS)
def test_apps_are_neither(agent: str) -> None:
    """What an app's own trackers send is no bot; that nobody reads a web page with it is another question."""
    assert not agents.is_bot(agent)
    assert not agents.is_browser(agent)


def test_no_agent_says_nothing() -> None:
    """A log without agents is a log of unknown readers."""
    assert (agents.is_bot(None), agents.is_browser(None), agents.device(None)) == (False, False, None)
    assert in_sql(None) == (False, False, None)


@given(st.lists(st.sampled_from([*PEOPLE, *MACHINES, *PROGRAMS]), min_size=1, max_size=3), st.integers(0, 60))
def test_sql_answers_as_python_does(parts: list[str], start: int) -> None:
    """Of any mixture of agents, cut anywhere."""
    agent = " ".join(parts)[start:]
    assert in_sql(agent) == (agents.is_bot(agent), agents.is_browser(agent), agents.device(agent))


def in_sql(agent: str | None) -> tuple[object, ...]:
    """The three answers from DuckDB."""
    answers = ", ".join(of("agent") for of in (agents.is_bot_of, agents.is_browser_of, agents.device_of))
    with duckdb.connect() as con:
        return con.execute(f"SELECT {answers} FROM (SELECT CAST(? AS VARCHAR) AS agent)", [agent]).fetchall()[0]
