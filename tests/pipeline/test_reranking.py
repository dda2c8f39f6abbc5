"""What the configuration wants of lists beside relevance: authors capped, subjects spread, contents that rest."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from models.rules import NONE
from pipeline import config as configuration
from pipeline import publish, rank, snapshot
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.lists import limits_of, placed
from pipeline.opened import Opened
from pipeline.ranked import write_ranked
from pipeline.sections import Ranking
from pipeline.serving import NO_MODEL, Model
from tests.pipeline.ranking import tables_of
from tests.worlds import World

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def config(small_night: World) -> Config:
    """Of a small published night, which nothing here changes."""
    return configuration.load(small_night.config)


@pytest.fixture(scope="module")
def opened(config: Config) -> Opened:
    """That night without its model, which finds all alike: gravity tells contents apart."""
    found = Opened.of(AS_OF, config, Lake.of(config))
    return Opened(found.found, Model(None, NO_MODEL), found.native, found.people)


def wanting(config: Config, **ranking: Any) -> Config:
    """The same configuration that wants this of lists."""
    return config.model_copy(update={"ranking": config.ranking.model_copy(update=ranking)})


def lists(opened: Opened, config: Config) -> dict[int, list[int]]:
    """Contents by person."""
    found = dict[int, list[int]]()
    for listed in placed(opened.found, None, config, opened.people, NONE):
        for person, content in zip(listed.person.tolist(), listed.content.tolist(), strict=True):
            found.setdefault(person, []).append(content)
    return found


def most(opened: Opened, found: dict[int, list[int]], what: str) -> int:
    """How many of one author or category stand in any list at the most."""
    codes = getattr(opened.found.history.catalogue, what)
    return max(max(Counter(codes[contents].tolist()).values()) for contents in found.values())


def test_authors_are_capped_beside_categories(opened: Opened, config: Config) -> None:
    """Nobody more often than said, without a cap more often, and categories are held to theirs."""
    loose, tight = lists(opened, config), lists(opened, wanting(config, max_per_author=2))
    assert most(opened, loose, "author") > 2
    assert most(opened, tight, "author") == 2
    assert most(opened, tight, "category") <= config.ranking.max_per_category


def alike(opened: Opened, config: Config, found: dict[int, list[int]]) -> float:
    """The mean likeness of two contents that stand one after the other."""
    likeness = limits_of(opened.found, wanting(config, diversity=0.5)).likeness
    pairs = [pair for contents in found.values() for pair in itertools.pairwise(contents)]
    return float(np.mean([likeness.between(one, other) for one, other in pairs]))


def test_lists_spread_over_subjects(opened: Opened, config: Config) -> None:
    """The more is asked for, the less alike neighbours are; categories, authors and tags tell what is alike."""
    found = [alike(opened, config, lists(opened, wanting(config, diversity=share))) for share in (0.0, 0.3, 0.9)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.7 * found[0]


def test_spread_lists_pass_their_audit_and_unspread_ones_are_held_to_their_order(
    opened: Opened, small_night: World, copy_of: Callable[[World], World]
) -> None:
    """Scores of a spread list may rise below the first place; published as if they might not, they are refused."""
    config = configuration.load(copy_of(small_night).config)
    spread = wanting(config, diversity=0.9)
    write_ranked(Lake.of(config), AS_OF, tables_of(opened, spread).items())
    with pytest.raises(ShortlistError, match="scores do not rise with rank"):
        publish.run(AS_OF, config)
    assert publish.run(AS_OF, spread).current
    people = snapshot.read(Lake.of(config).rankings, "people").to_pandas()
    first = people.groupby(["person_id", "id_type"])["score"].transform("first")
    assert (people["score"] <= first).all()


def test_what_was_listed_often_enough_rests(small_night: World, copy_of: Callable[[World], World]) -> None:
    """Listed on one night, resting on the next where one is the cap, back when the nights that count are over."""
    config = configuration.load(copy_of(small_night).config)
    rankings = Lake.of(config).rankings
    before = pairs(rankings)
    assert rank.run(AS_OF, wanting(config, frequency_cap=1)).filtered["pairs resting"] == 0  # tonight is no last night

    once = wanting(config, frequency_cap=1, frequency_nights=2)
    report = rank.run(AS_OF + DAY, once)
    assert report.filtered["pairs resting"] > 0
    assert publish.run(AS_OF + DAY, once).current
    rested = pairs(rankings)
    assert {person for person, _ in rested} == {person for person, _ in before}
    assert rested & before == set()
    for cap, nights, rests in ((2, 2, False), (1, 1, False), (1, 2, True)):
        found = rank.run(AS_OF + 2 * DAY, wanting(config, frequency_cap=cap, frequency_nights=nights))
        assert (found.filtered["pairs resting"] > 0) is (rests or nights == 1)
        publish.run(AS_OF + 2 * DAY, wanting(config, frequency_cap=cap, frequency_nights=nights))
        assert bool(pairs(rankings) & before) is not rests


def pairs(rankings: Any) -> set[tuple[tuple[str, str], str]]:
    """(person, content) of the people's own lists in the snapshot that serves."""
    people = snapshot.read(rankings, "people")
    own = people.filter(pc.not_equal(people["strategy"], "default")).to_pylist()
    return {((row["person_id"], row["id_type"]), row["content_id"]) for row in own}


def test_the_guide_says_what_lists_may_be(tmp_path: Path) -> None:
    """Its example is a configuration with every key of the section but the number of candidates, and says each."""
    text = (Path(__file__).parents[2] / "docs/guides/lists.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "shortlist.toml").write_text(example, encoding="utf-8")
    assert configuration.load(tmp_path / "shortlist.toml").ranking.diversity == 0.3
    assert set(re.findall(r"^(\w+) =", example, re.MULTILINE)) == {*Ranking.model_fields} - {"candidates"}
