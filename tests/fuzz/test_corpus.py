"""Whatever a file holds, each format gives rows of ours or an error that we raise: what was found, and some more."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pipeline import sources
from pipeline.errors import ShortlistError
from tests.fuzz import fuzz, judge, mutate, seeds

FRESH = 4
"""Damaged files of each form that are new in every version of this test, and the same in every run."""

FORMS = seeds.seeds()
KEPT = sorted(path for path in fuzz.CORPUS.rglob("*") if path.is_file())


def test_every_format_is_fuzzed() -> None:
    """A format that is added to the registry needs a seed."""
    assert {seed.format for seed in FORMS.values()} == set(sources.FORMATS)


@pytest.mark.parametrize("form", FORMS)
def test_a_seed_is_a_good_export(form: str, tmp_path: Path) -> None:
    """Nothing of it is refused as a whole: otherwise damage would be done to what is never read."""
    seed = FORMS[form]
    (tmp_path / seed.name).write_bytes(seed.content)
    parsed = sources.read_export(tmp_path / seed.name, seed.source(tmp_path), seeds.BOUNDS)
    assert sum(rows.num_rows for rows in parsed.tables.values()) > 0
    assert judge.finding(seed, seed.content, tmp_path) is None


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_stays_mended(path: Path, tmp_path: Path) -> None:
    """Every file of the corpus."""
    seed = FORMS[f"{path.parent.name}/{path.name.partition('--')[0]}"]
    assert judge.finding(seed, path.read_bytes(), tmp_path) is None


@pytest.mark.parametrize("form", FORMS)
def test_damage_gives_rows_or_an_error(form: str, tmp_path: Path) -> None:
    """A few fresh ones; `make fuzz` tries for longer."""
    seed, rng = FORMS[form], random.Random(form)
    for _ in range(FRESH):
        content = mutate.mutated(seed.content, seed.name, rng)
        assert judge.finding(seed, content, tmp_path) is None, fuzz.keep(seed, content, "found-by-the-suite")


@pytest.mark.parametrize("wrong", ["crash", "leak", "rows"])
def test_the_judge_sees_what_is_wrong(wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that is not ours, a message with a value in it, and rows that break the contract."""
    seed = FORMS["hubspot/labels"]
    good = sources.read_export

    def bad(path: Path, *rest: object) -> object:
        if wrong == "crash":
            raise KeyError("x")
        if wrong == "leak":
            raise ShortlistError(f"cannot read {seeds.EMAIL}")
        parsed = good(path, *rest)  # type: ignore[arg-type]
        rows = parsed.tables["customers"]
        return sources.Parsed(
            {"customers": rows.set_column(0, rows.schema.field(0), [[""] * rows.num_rows])}, parsed.rejected
        )

    monkeypatch.setattr(sources, "read_export", bad)
    said = judge.finding(seed, seed.content, tmp_path)
    wanted = {"crash": "KeyError at test_corpus.py", "leak": "<personal>", "rows": "breaks the contract"}[wrong]
    assert said is not None
    assert wanted in said
