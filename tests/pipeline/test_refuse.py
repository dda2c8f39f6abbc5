"""Rows refused one by one: by number and in the line's words; what is kept, the same lines judge."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from expectations import schemas
from pipeline import refuse, suites, validate
from pipeline.errors import ShortlistError

DAY = date(2026, 6, 30)
LIMITS = {"min_rows": 1, "max_rows": 3}


def at(day: int) -> datetime:
    """An instant of June 2026."""
    return datetime(2026, 6, day, tzinfo=UTC)


CONTENT = [
    {"content_id": "a", "published_at": at(1), "expires_at": at(2), "status": "published", "category": "x"},
    {"content_id": "b", "published_at": at(2), "expires_at": at(2), "status": "published", "category": "x"},
    {"content_id": "c", "published_at": at(2), "status": "published"},
    {"content_id": "d", "published_at": at(3), "expires_at": at(2), "status": "published"},
]


def content(form: str = "native") -> pa.Table:
    """Four contents, of which the second and the last expire before anybody can see them."""
    rows = pa.Table.from_pylist(CONTENT, schema=getattr(schemas, form.upper())["content"].schema)
    numbers = pa.array([11, 12, 13, 14], pa.int64())
    return rows.append_column("row_number", numbers) if form == "native" else rows


def test_rows_are_refused_with_the_line_s_words() -> None:
    """Rows keep their order and their columns; those refused are told by number and reason, never by value."""
    kept, refused = refuse.split("content", content(), LIMITS)
    assert kept["content_id"].to_pylist() == ["a", "c"]
    assert kept.schema == content().schema
    assert refused.to_pylist() == [
        {"row_number": number, "reason": "expires_at is not after published_at"} for number in (12, 14)
    ]


def test_rows_of_a_suite_that_refuses_none_stay() -> None:
    """Without a line that rejects rows, all are kept."""
    row = {"customer_id": 1, "attributes": {"plan": "pro"}, "source": "crm", "day": DAY}
    rows = pa.Table.from_pylist([row, row], schema=schemas.LAKE["customers"].schema)
    kept, refused = refuse.split("customers", rows, LIMITS)
    assert kept == rows
    assert (refused.num_rows, refused.schema) == (0, refuse.REFUSED)


def test_what_refused_rows_must_hold_of_those_kept(tmp_path: Path) -> None:
    """The same line judges what is let in: rows that nobody split break the day."""
    limits = {"min_rows": 0, "max_rows": 9}
    rows = content("lake")
    verdict = validate.check("content", rows, tmp_path, run="x", day=DAY, parameters=limits)
    assert [failure[:36] for failure in verdict.failures] == ["expires_at is not after published_at"]
    kept = rows.take([0, 2])
    assert validate.check("content", kept, tmp_path, run="x", day=DAY, parameters=limits).success


def test_splitting_needs_no_great_expectations() -> None:
    """Parts are split in many processes that ingest, none of which waits seconds for an import."""
    code = (
        "import sys, pyarrow as pa; from expectations import schemas; from pipeline import ingest, refuse\n"
        "rows = schemas.NATIVE['content'].schema.empty_table().append_column('row_number', pa.array([], pa.int64()))\n"
        "kept, _ = refuse.split('content', rows, {'min_rows': 0, 'max_rows': 9})\n"
        "print(kept.num_rows, 'great_expectations' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told.split() == ["0", "False"]


def test_a_split_by_a_column_that_is_not_there_is_an_error() -> None:
    """A line about a missing column refuses nobody in silence."""
    with pytest.raises(ShortlistError, match=r"suite 'content': .*there is no column .expires_at.;"):
        refuse.split("content", content().drop_columns(["expires_at"]), LIMITS)


def test_a_company_s_own_lines_are_added(tmp_path: Path) -> None:
    """Its folder has files of our names; their lines are judged after ours, and can refuse rows as well."""
    line = {
        "type": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "category"},
        "meta": {"severity": "reject the row", "notes": "content without a category"},
    }
    (tmp_path / "content.json").write_text(json.dumps({"expectations": [line]}))
    kept, refused = refuse.split("content", content(), LIMITS, tmp_path)
    assert kept["content_id"].to_pylist() == ["a"]
    assert refused.to_pylist()[1] == {"row_number": 13, "reason": "content without a category"}
    rows = content("lake").take([0])
    verdict = validate.check("content", rows, tmp_path, run="x", day=DAY, parameters=LIMITS, added=tmp_path)
    assert verdict.success
    assert verdict.expectations == len(suites.load("content", LIMITS)) + 1
