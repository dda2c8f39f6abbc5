"""The judge: what a suite refuses is said in words, what it does not understand is an error, and Data Docs show it."""

from __future__ import annotations

import json
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from expectations import schemas
from pipeline import validate
from pipeline.errors import ShortlistError
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
    (folder / "suites").mkdir()
    (folder / "suites" / "own.json").write_text(json.dumps({"name": "own", "expectations": expectations}))
    real = resources.files
    patch.setattr(resources, "files", lambda package: folder if package == "expectations" else real(package))


@pytest.mark.parametrize(
    "path", sorted((Path(validate.__file__).parents[1] / "expectations" / "suites").glob("*.json"))
)
def test_every_suite_loads_whole(path: Path) -> None:
    """Each file is one suite of its own name, read to the last expectation, its parameters filled in."""
    written = json.loads(path.read_text(encoding="utf-8"))
    loaded = validate.load_suite(path.stem, {"min_rows": 1, "max_rows": 2, "k": 3})
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
    assert any('The column "customer_id" in BatchData does not exist' in failure for failure in verdict.failures)
    assert not any("None of None" in failure for failure in verdict.failures)


def test_a_parameter_must_be_given(tmp_path: Path) -> None:
    """A limit that nobody gives is an error, never a check without a limit."""
    with pytest.raises(ShortlistError, match="suite 'customers' needs the parameter 'max_rows'"):
        validate.check("customers", customers(1), tmp_path, run="x", day=DAY, parameters={"min_rows": 1})


def test_a_misspelt_expectation_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Great Expectations would drop it and pass; we refuse to judge by less than what is written."""
    known = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "customer_id"}}
    with_suite(tmp_path, monkeypatch, [known, {**known, "type": "expect_column_values_to_be_nice"}])
    with pytest.raises(ShortlistError, match="understood 1 of 2 expectations"):
        validate.check("own", customers(1), tmp_path, run="x", day=DAY)


def test_a_suite_without_expectations_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite that would let anything pass is not one."""
    with_suite(tmp_path, monkeypatch, [])
    with pytest.raises(ShortlistError, match="suite 'own' holds no expectation"):
        validate.load_suite("own")


def test_a_verdict_that_cannot_be_kept_is_none(tmp_path: Path) -> None:
    """Where the folder of the results cannot be written, nothing passes, and the message has the folder."""
    docs = tmp_path / "file"
    docs.touch()
    with pytest.raises(ShortlistError, match=f"cannot be kept in {docs}: .*Nothing was let in; .*free disk space"):
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
