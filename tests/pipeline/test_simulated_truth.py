"""The invented world and its truth: sound for any parameters, and worth learning."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import simulate
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.simulation import truth
from pipeline.simulation import world as worlds
from pipeline.simulation.catalogue import CATEGORIES
from pipeline.simulation.draws import within_runs
from tests.examples import examples
from tests.pipeline.simulated import END, PEOPLE, Made, simulated

ROOT = Path(simulate.__file__).parents[1]


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return simulated(tmp_path_factory.mktemp("exports"))


def test_dwell_depends_on_taste(made: Made) -> None:
    """Where a person is more likely to click, a click is more likely to become a read."""
    rows = made.sql(
        "SELECT p_click > 0.25, avg(p_read / p_click) FROM engagement WHERE p_click > 0.25 OR p_click < 0.03 GROUP BY 1"
    )
    by_taste = dict(rows)
    assert by_taste[True] > 1.5 * by_taste[False]


def test_truth_covers_everybody_and_all_rankable_content(made: Made) -> None:
    """One row a person and rankable content, probabilities nested as click >= read and click >= purchase."""
    night = datetime(END.year, END.month, END.day, tzinfo=UTC) + timedelta(days=1)
    rankable = [
        str(p["id"])
        for p in made.posts()[END]
        if p["status"] == "publish"
        and night < datetime.fromisoformat(p["meta"].get("expires_at", "2100-01-01T00:00:00Z"))
    ]
    assert made.sql("SELECT count(*), count(DISTINCT person) FROM engagement") == [(PEOPLE * len(rankable), PEOPLE)]
    assert {c for (c,) in made.sql("SELECT DISTINCT content_id FROM engagement")} == set(rankable)
    nested = "p_click BETWEEN 0 AND 1 AND p_read <= p_click AND p_purchase <= p_click"
    wrong = f"SELECT count(*) FROM engagement WHERE NOT ({nested})"
    assert made.sql(wrong) == [(0,)]
    strangers = "SELECT max(p_purchase) FROM engagement JOIN people USING (person) WHERE customer_id IS NULL"
    assert made.sql(strangers) == [(0.0,)]


def test_personal_lists_are_truly_worth_it(made: Made) -> None:
    """The best personal 20 bring at least twice the engagement of the best 20 for all: there is something to learn."""
    best = _lists(made, "row_number() OVER (PARTITION BY person ORDER BY p_read DESC, content_id)")
    popular = _lists(made, "dense_rank() OVER (ORDER BY mean DESC, content_id)")
    weights = {"p_click": 0.2, "p_read": 0.5}
    personal = truth.expected_engagement(made.out / "truth", best, weights)
    assert personal >= 2.0 * truth.expected_engagement(made.out / "truth", popular, weights)


def _lists(made: Made, rank: str) -> pa.Table:
    """Everybody's 20 by `rank`, for the first visitor id."""
    rows = made.sql(
        f"""WITH e AS (SELECT *, avg(p_read) OVER (PARTITION BY content_id) AS mean FROM engagement),
        ranked AS (SELECT person, content_id, {rank} AS rank FROM e)
        SELECT visitor_ids[1], 'visitor', rank, content_id FROM ranked JOIN people USING (person) WHERE rank <= 20"""
    )
    return pa.table(dict(zip(("person_id", "id_type", "rank", "content_id"), zip(*rows, strict=True), strict=True)))


def test_expected_engagement_is_a_discounted_sum_of_the_truth(made: Made) -> None:
    """By hand: weight x p at rank 1, / log2(3) at rank 2, nothing for unknown content, averaged over lists."""
    visitor, first, second = made.sql(
        "SELECT visitor_ids[1], list(content_id ORDER BY content_id)[1:2], list(p_read ORDER BY content_id)[1:2] "
        "FROM engagement JOIN people USING (person) GROUP BY person, visitor_ids ORDER BY person LIMIT 1"
    )[0]
    customer = made.sql("SELECT customer_id FROM people WHERE customer_id IS NOT NULL LIMIT 1")[0][0]
    lists = pa.table(
        {
            "person_id": [visitor, visitor, customer],
            "id_type": ["visitor", "visitor", "customer"],
            "rank": [1, 2, 1],
            "content_id": [*first, "no such content"],
        }
    )
    expected = (2.0 * second[0] + 2.0 * second[1] / np.log2(3)) / 2
    assert truth.expected_engagement(made.out / "truth", lists, {"p_read": 2.0}) == pytest.approx(expected, rel=1e-9)


def test_expected_engagement_refuses_strangers_and_unknown_goals(made: Made) -> None:
    """Lists of another world, or a misspelt probability, are an error and not a low score."""
    lists = pa.table({"person_id": ["1"], "id_type": ["visitor"], "rank": [1], "content_id": ["101"]})
    with pytest.raises(ShortlistError, match="of nobody in this world"):
        truth.expected_engagement(made.out / "truth", lists, {"p_click": 1.0})
    with pytest.raises(ConfigurationError, match="p_klick"):
        truth.expected_engagement(made.out / "truth", lists, {"p_klick": 1.0})


def test_no_step_of_the_pipeline_reads_the_truth() -> None:
    """Only the simulator names the truth's files and module."""
    sources = [p for p in (ROOT / "pipeline").rglob("*.py") if "simulat" not in str(p.relative_to(ROOT))]
    assert [
        p.name for p in sources if re.search(r"simulation|engagement\.parquet", p.read_text(encoding="utf-8"))
    ] == []


@settings(max_examples=examples(15))
@given(seed=st.integers(0, 2**63), days=st.integers(1, 9), people=st.integers(20, 60), content=st.integers(24, 50))
def test_any_world_is_sound(seed: int, days: int, people: int, content: int) -> None:
    """Whatever the parameters, people come, contacts object only once they exist, and content ends after birth."""
    world = worlds.build(days=days, people=people, content=content, seed=seed, start_us=1_780_000_000_000_000)
    who, site = world.people, world.catalogue
    assert who.sessions.shape == (people, days)
    assert (who.sessions.sum(axis=1) >= 1).all()
    out = who.opted_out_from < days
    assert out.any()
    assert (who.opted_out_from[out] >= who.contact_from[out]).all()
    assert (np.diff(site.born_us) >= 0).all()
    assert (np.minimum(site.expires_us, site.withdrawn_us) > site.born_us).all()
    assert site.rankable(world.midnight(days)).any()


@settings(max_examples=examples(15))
@given(seed=st.integers(0, 2**63))
def test_a_shift_gives_every_interest_to_another_category(seed: int) -> None:
    """The same for everybody, as `shift.parquet` says; none stays where it was, and each share is what it would be."""
    world = worlds.build(days=3, people=20, content=24, seed=seed, start_us=1_780_000_000_000_000)
    nobody = np.empty(0, np.int64)
    still = worlds.next_state(world, worlds.first_state(world), nobody, nobody).tastes
    moved = worlds.next_state(replace(world, shift=1), worlds.first_state(world), nobody, nobody).tastes
    told = truth.shift_table(world).to_pylist()
    assert {row["category"] for row in told} == {row["successor"] for row in told} == set(CATEGORIES)
    for row in told:
        assert row["category"] != row["successor"]
        was, became = (CATEGORIES.index(row[name]) for name in ("category", "successor"))
        np.testing.assert_allclose(moved[:, became], still[:, was])


@given(st.lists(st.integers(0, 5), max_size=8))
def test_within_runs_counts_each_run_anew(lengths: list[int]) -> None:
    """The same as counting with a loop."""
    expected = [i for n in lengths for i in range(n)]
    assert within_runs(np.array(lengths, dtype=np.int64)).tolist() == expected
