"""Write, audit, publish: what fails a check is never served."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline import parts, snapshot
from pipeline.audit import Check, Limits
from pipeline.errors import ShortlistError
from pipeline.publish import publish
from pipeline.query import Rows
from pipeline.snapshot import Ranked
from tests.pipeline.faults import leftovers
from tests.pipeline.nights import as_of, changed, facts, ranked, terms


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder whose name holds what SQL and globs would stumble over."""
    return tmp_path / "it's [published]*" / "rankings"


def refusal(root: Path, tables: Ranked, night: int = 0, **others: Any) -> str:
    """The message with which these tables are refused; nothing but the message must come of it."""
    before = snapshot.snapshots(root)
    serving = (root / "CURRENT").read_text() if before else ""
    with pytest.raises(ShortlistError) as failure:
        publish(root, tables, facts(), as_of(night), terms(**others))
    assert snapshot.snapshots(root) == before
    assert ((root / "CURRENT").read_text() if before else "") == serving
    assert leftovers(root) == []
    return str(failure.value)


def test_a_good_night_is_served(root: Path) -> None:
    """Tables that pass every check are served, and the report says which checks those were."""
    report = publish(root, ranked(), facts(), as_of(0), terms())
    assert (report.created, report.current) == (True, True)
    assert snapshot.resolve(root).name == report.name
    assert all(check.passed for check in report.checks)
    assert len({check.name for check in report.checks}) == len(report.checks) > 25
    again = publish(root, ranked(), facts(), as_of(0), terms())
    assert (again.name, again.created) == (report.name, False)


@pytest.mark.parametrize(
    ("column", "values", "finding"),
    [
        ("rank", {3: 5}, "people: ranks run from 1 to at most 4"),
        ("rank", {0: 2, 1: 3, 2: 4, 3: 5}, "people: ranks run from 1 to at most 4"),
        ("rank", {1: 1}, "people: ranks run from 1 to at most 4"),
        ("content_id", {1: "c0-1"}, "twice in a list: 1 rows contradict it, such as content c0-1 at rank 2"),
        ("score", {2: 0.6}, "do not rise with rank: 1 rows contradict it, such as content c0-3 at rank 3"),
        ("score", {0: float("inf")}, "people: scores are finite"),
        ("score", {3: float("nan")}, "people: scores are finite"),
        ("p_click", {5: 1.01}, "are in 0..1: 1 rows contradict it, such as content c0-2 at rank 2"),
        ("p_read", {5: -0.01}, "people: probabilities are in 0..1"),
        ("p_read", {5: float("nan")}, "people: probabilities are in 0..1"),
        ("propensity", {5: 0.0}, "people: propensities are above 0"),
        ("strategy", {5: "magic"}, "people: strategies are known"),
        ("as_of", {5: as_of(1)}, "people: rows are for this night"),
    ],
)
def test_a_bad_row_is_found(root: Path, column: str, values: dict[int, Any], finding: str) -> None:
    """One bad row among good ones fails its check by name, with content and rank as an example and no person's id."""
    publish(root, ranked(1), facts(), as_of(1), terms())
    message = refusal(root, changed(ranked(2), "people", column, values), night=2)
    assert finding in message
    assert "p00" not in message


@pytest.mark.parametrize("table", ["segments", "default"])
def test_fallback_lists_are_held_to_the_same(root: Path, table: str) -> None:
    """A gap in a fallback list fails too, as does a fallback without rows."""
    assert f"{table}: ranks run from 1" in refusal(root, changed(ranked(), table, "rank", {3: 7}))
    empty = replace(ranked(), **{table: getattr(ranked(), table).slice(0, 0)})
    assert f"{table}: there is a list to fall back on: 0 rows" in refusal(root, empty)


def test_lists_may_be_shorter_than_k_but_not_longer(root: Path) -> None:
    """A catalogue of four contents makes lists of four when twenty were wished for; five for K = 4 is a mistake."""
    assert publish(root, ranked(), facts(), as_of(0), terms(k=20)).current
    assert "people: ranks run from 1 to at most 3" in refusal(root, ranked(), k=3)


def test_the_same_id_of_two_types_is_two_people(root: Path) -> None:
    """Customer 7 and visitor 7 are different people, each with a list from rank 1."""
    people = ranked().people
    twins = people.set_column(0, people.schema.field(0), pa.array(["7"] * 4 + ["x"] * 4 + ["7"] * 4))
    assert publish(root, replace(ranked(), people=twins), facts(), as_of(0), terms()).created


def test_suppressed_people_are_absent(root: Path) -> None:
    """Who objected must not be published; the same id of the other type is someone else."""
    message = refusal(root, ranked(), suppressed={("p001", "customer")})
    assert "people: nobody who is suppressed: 4 rows" in message
    assert "p001" not in message
    assert publish(root, ranked(), facts(), as_of(0), terms(suppressed={("p001", "visitor")})).current


def test_everyone_expected_is_there(root: Path) -> None:
    """A person without a list fails the night, unless suppressed, or within the share that may be missing."""
    everyone = {("p000", "customer"), ("p001", "customer"), ("p002", "visitor"), ("p009", "customer")}
    assert "3 of 4 expected people have one" in refusal(root, ranked(), expected_people=everyone)
    assert "3 of 4 expected people have one" in refusal(root, ranked(), expected_people=4)
    namesake = {("p009", "visitor")}
    assert "3 of 4 expected" in refusal(root, ranked(), expected_people=everyone, suppressed=namesake)
    gone = {("p009", "customer")}
    assert publish(root, ranked(), facts(), as_of(0), terms(expected_people=everyone, suppressed=gone)).current
    lenient = terms(expected_people=everyone, limits=Limits(min_coverage=0.75))
    assert publish(root, ranked(), facts(), as_of(0), lenient).current


def test_half_the_people_gone_is_an_accident(root: Path) -> None:
    """Fewer than half as many people as in the previous snapshot fails; exactly half passes."""
    publish(root, ranked(0, people=6), facts(), as_of(0), terms(expected_people=6))
    message = refusal(root, ranked(1, people=2), night=1, expected_people=2)
    assert "2 people now, 6 in the previous snapshot" in message
    assert publish(root, ranked(1, people=3), facts(), as_of(1), terms()).current


def test_the_past_is_compared_with_what_came_before_it(root: Path) -> None:
    """Publishing an early night with few people is not held against a later, larger one."""
    publish(root, ranked(5, people=9), facts(), as_of(5), terms(expected_people=9))
    done = publish(root, ranked(1, people=2), facts(), as_of(1), terms(expected_people=2))
    assert (done.created, done.current) == (True, False)


def test_changed_lists_are_counted(root: Path) -> None:
    """The share of people with another list is reported, and fails only beyond a limit that was set."""
    publish(root, ranked(0), facts(), as_of(0), terms())
    tables = changed(ranked(1), "people", "content_id", {0: "c0-2", 1: "c0-1"})
    message = refusal(root, tables, night=1, limits=Limits(max_changed_share=0.3))
    assert "people: lists that changed: 33.3% of the 3 people in both snapshots; 30% may" in message
    report = publish(root, tables, facts(), as_of(1), terms())
    (check,) = (check for check in report.checks if check.name == "people: lists that changed")
    assert check.passed
    assert check.detail.startswith("33.3%")


def test_declared_suites_see_every_row_from_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The declared checks are given all files of all tables, and one bad row fails them."""
    monkeypatch.setattr(parts, "ROWS_PER_PART", 5)
    seen: list[tuple[str, int, int]] = []

    def declared(table: str, files: Rows) -> Iterable[Check]:
        rows = pa.concat_tables(map(pq.read_table, files))
        seen.append((table, len(files), rows.num_rows))
        bad = pc.sum(pc.equal(rows["reason"], "?")).as_py()
        yield Check(f"{table}: a reason in words", passed=not bad, detail=f"{bad} bad")

    report = publish(root, ranked(), facts(), as_of(0), terms(declared=declared))
    assert seen == [("people", 3, 12), ("segments", 1, 4), ("default", 1, 4)]
    assert [check.name for check in report.checks].count("people: a reason in words") == 1
    message = refusal(root, changed(ranked(), "people", "reason", {7: "?"}), declared=declared)
    assert "failed 1 of" in message
    assert "people: a reason in words: 1 bad" in message


def test_a_failing_suite_leaves_nothing(root: Path) -> None:
    """An error inside the audit, too, leaves CURRENT alone and nothing staged."""

    def broken(table: str, rows: Rows) -> Iterable[Check]:
        raise ShortlistError("the suite cannot be loaded")

    assert refusal(root, ranked(), declared=broken) == "the suite cannot be loaded"


def test_an_unreadable_previous_snapshot_is_named(root: Path) -> None:
    """Damage to the previous snapshot is not taken for a small one: the message says where to look."""
    publish(root, ranked(0), facts(), as_of(0), terms())
    old = snapshot.resolve(root)
    (old / "people" / "part-00000.parquet").write_bytes(b"PAR1")
    assert f"check the disk and that {old} is whole" in refusal(root, ranked(1), night=1)
