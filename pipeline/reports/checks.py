"""The page in front of the Data Docs: every verdict in one table, readable without a network.

Great Expectations' own pages fetch their style and their index from public servers; this one needs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TypedDict
from urllib.parse import quote

from pipeline.reports import page as paper


class Verdict(TypedDict):
    """One suite's verdict on one table: of which day, what was judged, and where its own page is (relative)."""

    day: str
    judged: str
    suite: str
    success: bool
    met: int
    expectations: int
    page: str


def checks_page(verdicts: Sequence[Verdict]) -> str:
    """The whole page as one HTML file, newest day first, failures before everything else."""
    ordered = sorted(verdicts, key=lambda v: (v["day"], v["judged"], v["suite"]), reverse=True)
    ordered.sort(key=lambda v: v["success"])
    failed = sum(not verdict["success"] for verdict in verdicts)
    headline = f"{failed} of {len(verdicts)} verdicts failed" if failed else f"All {len(verdicts)} verdicts passed"
    table = paper.table(["Day", "Judged", "Suite", "Verdict", "Expectations met"], map(_row, ordered), texts=4)
    note = "Each line leads to the page of Great Expectations, which is styled only where the network is reached."
    return paper.page("Data Docs", "Data Docs", headline, [paper.section("Verdicts", note, table)])


def _row(verdict: Verdict) -> str:
    link = f'<a href="{escape(quote(verdict["page"]))}">{escape(verdict["judged"])}</a>'
    word = "passed" if verdict["success"] else "<strong>failed</strong>"
    met = f"{verdict['met']} of {verdict['expectations']}"
    return paper.row([escape(verdict["day"]), link, escape(verdict["suite"]), word, met], texts=4)
