"""The judge: what a suite refuses is said in words, what it does not understand is an error, and Data Docs show it."""

from __future__ import annotations

import json
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations import schemas
from pipeline import suites, validate
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.validate import Validation

DAY = date(2026, 6, 30)
LIMITS = {"min_rows": 1, "max_rows": 3}


def customers(*ids: int) -> pa.Table:
    """Customers with these pseudonyms."""
    rows = [{"customer_id": i, "attributes": {"plan": "pro"}, "source": "crm", "day": DAY} for i in ids]
    return pa.Table.from_pylist(rows, schema=schemas.LAKE["customers"].schema)


def judged(docs: Path, rows: pa.Table, run: str = "crm 2026-06-30") -> Validation:
    """The verdict of the customers' suite."""
    return validate.check("customers", rows, docs, run=run, day=DAY, parameters=LIMITS)


def with_suite(folder: Path, patch: pytest.MonkeyPatch, expectations: list[dict[str, Any]]) -> None:
    """Let `own` be a suite of these expectations."""
    (folder / "suites").mkdir(exist_ok=True)
    (folder / "suites" / "own.json").write_text(json.dumps({"name": "own", "expectations": expectations}))
    real = resources.files
    patch.setattr(resources, "files", lambda package: folder if package == "expectations" else real(package))


NOT_NULL: dict[str, Any] = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "opted_out_at"}}


def meant(severity: str, notes: str = "") -> dict[str, Any]:
    """`meta` of a line."""
    return {"meta": {"severity": severity, "notes": notes}}


def own(docs: Path, rows: pa.Table | None = None) -> Validation:
    """The verdict of the suite `own`."""
    return validate.check("own", customers(1) if rows is None else rows, docs, run="x", day=DAY)


@pytest.mark.parametrize(
    "path", sorted((Path(validate.__file__).parents[1] / "expectations" / "suites").glob("*.json"))
)
def test_every_suite_loads_whole(path: Path) -> None:
    """Each file is one suite of its own name, read to the last expectation, its parameters filled in."""
    written = json.loads(path.read_text(encoding="utf-8"))
    loaded = suites.load(path.stem, {"min_rows": 1, "max_rows": 2, "k": 3})
    assert written["name"] == path.stem
    assert [one["type"] for one in loaded] == [one["type"] for one in written["expectations"]]
    assert "$PARAMETER" not in json.dumps(loaded)


def test_good_rows_pass(tmp_path: Path) -> None:
    """Rows that keep the contract pass all expectations, maps among their columns or not; the rows stay as they are."""
    rows = customers(1, 2)
    assert judged(tmp_path, rows) == Validation("customers", True, (), 4)
    assert rows == customers(1, 2)


def test_each_failure_is_said_in_words(tmp_path: Path) -> None:
    """What was expected, of which column, with which limits, and what was found."""
    failures = judged(tmp_path, customers(1, 1, 2, 3)).failures
    assert sorted(failures) == [
        "expect_column_values_to_be_unique(column=customer_id), found: 2 of 4 rows",
        "expect_table_row_count_to_be_between(min_value=1, max_value=3), found: 4",
    ]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    """An expectation that cannot even be computed fails, and says why."""
    verdict = judged(tmp_path, customers(1).drop_columns(["customer_id"]))
    assert not verdict.success
    assert sum('found: there is no column "customer_id"; columns: cons' in one for one in verdict.failures) == 2
    assert not any("None of None" in failure for failure in verdict.failures)


def test_a_parameter_must_be_given(tmp_path: Path) -> None:
    """A limit that nobody gives is an error, never a check without a limit."""
    with pytest.raises(ShortlistError, match="suite 'customers' needs the parameter 'max_rows'"):
        validate.check("customers", customers(1), tmp_path, run="x", day=DAY, parameters={"min_rows": 1})


def test_a_misspelt_expectation_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Great Expectations would drop it and pass; we refuse to judge by less than what is written."""
    known = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "customer_id"}}
    with_suite(tmp_path, monkeypatch, [known, {**known, "type": "expect_column_values_to_not_be_nul"}])
    message = "suite 'own': .* knows no 'expect_column_values_to_not_be_nul' .*did you mean '.*_to_not_be_null'"
    with pytest.raises(ConfigurationError, match=message):
        own(tmp_path)


def test_misspelt_arguments_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Great Expectations checks the arguments of each line, and says what is wrong."""
    with_suite(tmp_path, monkeypatch, [{**NOT_NULL, "kwargs": {"column": "customer_id", "mostli": 0.5}}])
    with pytest.raises(ConfigurationError, match=r"(?s)suite 'own': expect_column_values_to_not_be_null: .*mostli"):
        own(tmp_path)


def test_a_suite_without_expectations_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite that would let anything pass is not one."""
    with_suite(tmp_path, monkeypatch, [])
    with pytest.raises(ShortlistError, match="suite 'own' holds no expectation"):
        suites.load("own")


def test_a_verdict_that_cannot_be_kept_is_none(tmp_path: Path) -> None:
    """Where the folder of the results cannot be written, nothing passes, and the message has the folder."""
    docs = tmp_path / "file"
    docs.touch()
    with pytest.raises(ShortlistError, match=rf"cannot be kept in {docs}: .*Nothing was let in; .*free disk space"):
        judged(docs, customers(1))


def test_data_docs_show_every_verdict(tmp_path: Path) -> None:
    """The page lists each suite with its run, and links to a page that says what failed."""
    judged(tmp_path, customers(1), run="crm 2026-06-29")
    judged(tmp_path, customers(1, 1), run="crm 2026-06-30")
    index = validate.build_docs(tmp_path)
    page = index.read_text(encoding="utf-8")
    assert index == tmp_path / "index.html"
    assert [word for word in ("customers", "crm 2026-06-29", "crm 2026-06-30") if word not in page] == []
    pages = [path.read_text(encoding="utf-8") for path in (tmp_path / "data_docs" / "validations").rglob("*.html")]
    assert sorted("2 unexpected values found" in one for one in pages) == [False, True]
    assert all("customer_id" in one for one in pages)


def test_judging_again_replaces_the_verdict(tmp_path: Path) -> None:
    """The same run judged twice leaves one result, so repeating a night does not pile up files."""
    for _ in range(2):
        judged(tmp_path, customers(1))
    assert len(list((tmp_path / "results").rglob("*.json"))) == 1


def test_later_verdicts_join_the_page(tmp_path: Path) -> None:
    """Pages are made once: an old one stays as it is, a new and a changed verdict are shown."""
    judged(tmp_path, customers(1), run="crm 1")
    judged(tmp_path, customers(1), run="crm 2")
    validate.build_docs(tmp_path)
    pages = {path.parts[-3]: path for path in (tmp_path / "data_docs" / "validations").rglob("*.html")}
    before = {run: page.stat().st_mtime_ns for run, page in pages.items()}
    judged(tmp_path, customers(1, 1), run="crm 2")
    judged(tmp_path, customers(1), run="crm 3")
    page = validate.build_docs(tmp_path).read_text(encoding="utf-8")
    assert [run for run in ("crm 1", "crm 2", "crm 3") if run not in page] == []
    assert "1 of 3 verdicts failed" in page
    assert pages["crm 1"].stat().st_mtime_ns == before["crm 1"]
    assert "2 unexpected values found" in pages["crm 2"].read_text(encoding="utf-8")


def test_a_warning_lets_the_day_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only warns is said, in its own words, and shown; nothing is refused."""
    with_suite(tmp_path, monkeypatch, [NOT_NULL | meant("warn", "nobody ever objected")])
    verdict = own(tmp_path)
    assert (verdict.success, verdict.failures) == (True, ())
    assert verdict.warnings == (
        "nobody ever objected: expect_column_values_to_not_be_null(column=opted_out_at), found: 1 of 1 rows",
    )
    assert "passed with warnings" in validate.build_docs(tmp_path).read_text(encoding="utf-8")


def test_a_warning_that_cannot_be_judged_refuses_the_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expectation about a column that is not there was never checked: whoever wrote it must know."""
    with_suite(tmp_path, monkeypatch, [{**NOT_NULL, "kwargs": {"column": "plan"}} | meant("warn")])
    verdict = own(tmp_path)
    assert not verdict.success
    assert 'there is no column "plan"' in verdict.failures[0]
    assert "1 of 1 verdicts failed" in validate.build_docs(tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (NOT_NULL | meant("reject the rows"), "meta.severity is 'reject the rows'; did you mean 'reject the row'?"),
        (NOT_NULL | meant("reject the row"), "needs meta.notes"),
        ({**NOT_NULL, "type": "expect_column_to_exist"} | meant("reject the row", "x"), "does not look at rows one by"),
        (
            {**NOT_NULL, "kwargs": {"column": "opted_out_at", "mostly": 0.5}} | meant("reject the row", "x"),
            "'mostly' and 'reject the row' contradict each other",
        ),
        ({"type": "expect_column_to_exist"}, 'expected {"type": "expect_...", "kwargs": {...}}'),
    ],
)
def test_lines_that_mean_nothing_are_errors(
    line: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A severity that nobody knows, or that the line cannot have, is refused with the file and the line's number."""
    with_suite(tmp_path, monkeypatch, [NOT_NULL, line])
    with pytest.raises(ConfigurationError) as error:
        own(tmp_path)
    assert "own.json: expectation 2: " in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("contents.json", "{}", "there is no table 'contents'; did you mean 'content'?"),
        ("content.json", "{", "content.json: expected a JSON object"),
        ("content.json", "[]", "content.json: expected a JSON object"),
        ("content.json", '{"expectations": {}}', "content.json: expected a JSON object"),
    ],
)
def test_a_company_s_mistakes_are_named(file: str, text: str, message: str, tmp_path: Path) -> None:
    """A file that would never be read, or cannot be, is an error with its path."""
    (tmp_path / file).write_text(text)
    with pytest.raises(ConfigurationError) as error:
        suites.load("content", LIMITS, tmp_path)
    assert message in str(error.value)


def test_a_company_s_folder_must_exist(tmp_path: Path) -> None:
    """A misspelt folder is not a folder without suites."""
    with pytest.raises(ConfigurationError, match=r"quality.suites: .*/nowhere is not a folder"):
        suites.load("content", LIMITS, tmp_path / "nowhere")


DISTINCT = {
    "type": "expect_column_distinct_values_to_be_in_set",
    "kwargs": {"column": "source", "value_set": ["web"]},
}


def test_what_duckdb_cannot_count_great_expectations_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its whole gallery is there for tables that fit in memory, and it draws nothing on the terminal."""
    with_suite(
        tmp_path, monkeypatch, [NOT_NULL, DISTINCT, DISTINCT | {"kwargs": {**DISTINCT["kwargs"], "value_set": ["crm"]}}]
    )
    verdict = own(tmp_path)
    assert [failure.partition("(")[0] for failure in verdict.failures] == [NOT_NULL["type"], DISTINCT["type"]]
    assert "batch_id" not in verdict.failures[1]
    assert capsys.readouterr().err == ""


def test_what_raises_refuses_the_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pandas knows no mean of text: the failure says that something was raised, and no text that may hold a value."""
    mean = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "source", "max_value": 1}}
    with_suite(tmp_path, monkeypatch, [mean | meant("warn")])
    (failure,) = own(tmp_path).failures
    assert "MetricResolutionError, whose text is not shown" in failure


def test_rows_that_cannot_be_read_spoil_no_other_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that holds text where the others hold numbers fails what looks at it, without a word of the text."""
    files = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    for file, ids in zip(files, ([1], [CANARY]), strict=True):
        pq.write_table(pa.table({"customer_id": ids, "source": ["crm"]}), file)
    columns = ("customer_id", "source")
    with_suite(tmp_path, monkeypatch, [{**NOT_NULL, "kwargs": {"column": column}} for column in columns])
    verdict = validate.check("own", files, tmp_path / "docs", run="x", day=DAY)
    (failure,) = verdict.failures
    assert "column=customer_id), found: ConversionException, whose text is not shown" in failure
    assert CANARY not in failure


def test_what_nobody_can_count_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many rows for memory and an expectation that DuckDB does not know: said, with what there is instead."""
    monkeypatch.setattr(validate, "_PANDAS_ROWS", 1)
    with_suite(tmp_path, monkeypatch, [DISTINCT])
    with pytest.raises(
        ShortlistError, match=r"(?s)_distinct_values_.* too many rows .*expect_column_values_to_be_in_set"
    ):
        own(tmp_path, customers(1, 2))


CANARY = "canary"
SHY = [
    {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "source", "value_set": ["x"]}},
    {"type": "expect_column_values_to_not_match_regex", "kwargs": {"column": "source", "regex": "can"}},
    {"type": "expect_column_max_to_be_between", "kwargs": {"column": "customer_id", "max_value": 1}},
    {"type": "expect_column_median_to_be_between", "kwargs": {"column": "customer_id", "max_value": 1}},
    {"type": "expect_column_distinct_values_to_be_in_set", "kwargs": {"column": "source", "value_set": ["x"]}},
    {"type": "expect_column_most_common_value_to_be_in_set", "kwargs": {"column": "source", "value_set": ["x"]}},
    {"type": "expect_column_values_to_be_dateutil_parseable", "kwargs": {"column": "source"}},
    {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "source", "max_value": 1}},
]


def test_no_value_of_a_row_is_told_or_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither failures nor results nor pages hold what stands in a row, whoever counted and whatever was raised."""
    with_suite(tmp_path, monkeypatch, SHY)
    row = {"customer_id": 918273645, "source": CANARY, "day": DAY}
    verdict = own(tmp_path / "docs", pa.Table.from_pylist([row], schema=schemas.LAKE["customers"].schema))
    validate.build_docs(tmp_path / "docs")
    kept = [path.read_bytes() for path in (tmp_path / "docs").rglob("*") if path.suffix in {".json", ".html"}]
    assert len(verdict.failures) == len(SHY)
    assert len(kept) >= 3
    assert [one for one in ("canary", "918273645") if any(one in failure for failure in verdict.failures)] == []
    assert [one for one in (b"canary", b"918273645") if any(one in text for text in kept)] == []
