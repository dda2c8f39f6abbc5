"""The page in front of the Data Docs: every verdict in one table, readable without a network.

Great Expectations' own pages fetch their style and their index from public servers; this one needs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from html import escape
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import quote

from pipeline import suites
from pipeline.reports import page as paper


class Verdict(TypedDict):
    """One suite's verdict on one table: of which day, what was judged, and where its own page is (relative).

    `success` is whether it was let in; expectations that only warn may be unmet nevertheless.
    """

    day: str
    judged: str
    suite: str
    success: bool
    met: int
    expectations: int
    page: str


def kept(docs: Path) -> Iterator[Verdict]:
    """What is kept of every verdict, by the layout of Great Expectations' store: suite, run, time, batch."""
    for path in sorted((docs / "results").rglob("*.json")):
        suite, judged, stamp = path.relative_to(docs / "results").parts[:3]
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
        yield Verdict(
            day=f"{date.fromisoformat(stamp[:8])}",
            judged=judged,
            suite=suite,
            success=all(one["success"] or _only_warns(one) for one in results),
            met=sum(bool(one["success"]) for one in results),
            expectations=len(results),
            page=page_of(path.relative_to(docs / "results")),
        )


def page_of(result: Path) -> str:
    """The page of a result (relative to the results), relative to the folder of the Data Docs."""
    return f"data_docs/validations/{result.with_suffix('.html')}"


def _only_warns(result: Mapping[str, Any]) -> bool:
    raised = (result.get("exception_info") or {}).get("raised_exception")
    return not raised and suites.severity(result["expectation_config"]) == suites.WARN


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
    passed = "passed" if verdict["met"] == verdict["expectations"] else "passed with warnings"
    word = passed if verdict["success"] else "<strong>failed</strong>"
    met = f"{verdict['met']} of {verdict['expectations']}"
    return paper.row([escape(verdict["day"]), link, escape(verdict["suite"]), word, met], texts=4)
