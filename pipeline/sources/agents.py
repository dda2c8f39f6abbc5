"""What a user agent string gives away: whether a machine sent it, and from what kind of device.

A short list of words, in SQL and in Python with the same answers. Machines that mean to be known name themselves, their
makers' web page or an e-mail address; those that pass for a browser are not found out, nor is an iPad that asks for
desktop pages told from a Mac.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.sources import sql

# Words of those that fetch pages without a reader. `[^u]bot`: there is a phone maker called Cubot.
_MACHINES = (
    r"(^|[^u])bot",
    "crawl",
    "spider",
    "slurp",
    "archiver",
    "scrap(e|y)",
    "fetch",
    "feed",
    r"rss\b",
    "simplepie",
    "theoldreader",
    "preview",
    "favicon",
    "proxy",
    "monitor",
    "pingdom",
    "uptime",
    "lighthouse",
    "headless",
    "phantomjs",
    "selenium",
    "puppeteer",
    "playwright",
    "valid(ator|ation)",
    "sleuth",
    r"link.?check",
    "facebookexternalhit",
    "whatsapp/",
    "embedly",
    "daumoa",
    "appengine",
    "google(-|other)",
    "chatgpt-user",
    "claude-user",
    "perplexity-user",
    "curl/",
    "wget",
    "libwww-perl",
    "lwp::",
    "python",
    "java/",
    "httpclient",
    "http_request",
    "go-http",
    "axios/",
    "guzzle",
    "perl",
    "^ruby",
    "php/",
    "nutch",
    "httrack",
    "indy library",
    "protocol discovery",
    "urllog",
    "robosourcer",
    "portscout",
    "https?://",
    r"@[a-z0-9-]+\.[a-z]",
    r"^mozilla/\d\.\d( \(compatible;?\))?$",
)
_MACHINE = "(?i)" + "|".join(_MACHINES)

# What people read pages with begins so; feature phones and text browsers carry other names. Apps that fetch through
# their system's library (CFNetwork, Dalvik) are not among them.
_BROWSER = r"(?i)^(mozilla/|opera[/ ]|lynx|e?links|w3m|midori|ucweb)|midp|wap browser|maui browser"

_DEVICES: Sequence[tuple[str, str]] = (
    ("tv", r"(?i)smart-?tv|googletv|appletv|hbbtv|netcast|web0s|roku|bravia|crkey"),
    ("tablet", r"(?i)ipad|tablet;|tablet\)|kindle|silk/|playbook|nexus (7|9|10)\b"),
    ("mobile", r"(?i)mobi|iphone|ipod|midp|windows phone|blackberry|opera mini|symbian|wap browser|maui|dalvik"),
    # Android browsers say `Mobile` on phones only.
    ("tablet", r"(?i)^mozilla.*android"),
    ("mobile", r"(?i)android"),
    ("desktop", r"(?i)windows|macintosh|x11|linux|cros"),
)


def is_bot(agent: str | None) -> bool:
    """Whether a machine names itself; false for no agent at all."""
    return agent is not None and re.search(_MACHINE, agent) is not None


def is_bot_of(agent: str) -> str:
    """`is_bot` as SQL on `agent` (SQL text); never null."""
    return f"coalesce(regexp_matches({agent}, {sql.text(_MACHINE)}), false)"


def is_browser(agent: str | None) -> bool:
    """Whether this is how programs introduce themselves that people read pages with."""
    return agent is not None and re.search(_BROWSER, agent) is not None


def is_browser_of(agent: str) -> str:
    """`is_browser` as SQL on `agent` (SQL text); never null."""
    return f"coalesce(regexp_matches({agent}, {sql.text(_BROWSER)}), false)"


def device(agent: str | None) -> str | None:
    """`desktop`, `mobile`, `tablet` or `tv`; None where nothing tells."""
    return next((name for name, words in _DEVICES if agent and re.search(words, agent)), None)


def device_of(agent: str) -> str:
    """`device` as SQL on `agent` (SQL text)."""
    cases = " ".join(f"WHEN regexp_matches({agent}, {sql.text(words)}) THEN '{name}'" for name, words in _DEVICES)
    return f"CASE {cases} END"
