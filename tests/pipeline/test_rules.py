"""The configuration's rules: what is refused and where, what they do to a night's lists, and how that is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from features import rfm
from models.rules import NONE
from pipeline import apply_rules, publish, rank, rule_settings, rules, score, snapshot
from pipeline import config as configuration
from pipeline.config import Config
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.lake import Lake
from pipeline.lists import placed
from pipeline.opened import Opened
from pipeline.serving import NO_MODEL, Model
from tests.pipeline.ranking import read_ranked, tables_of
from tests.worlds import World

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def refused(tmp_path: Path, rules_: str) -> str:
    """What is said of a configuration with these lines, which begin on its third."""
    file = tmp_path / "shortlist.toml"
    file.write_text(f'[project]\nname = "acme"\n{rules_}', encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        configuration.load(file)
    return str(raised.value)


RULE = '[[rules]]\nname = "a"\naction = "pin"\ncontent = { category = "news" }\n'


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        (RULE.replace('"pin"', '"pinn"'), 5, ("rules.0.action", "did you mean `pin`?")),
        (RULE + "factr = 2\n", 7, ("unknown key `rules.0.factr`", "did you mean `factor`?")),
        (
            RULE + RULE.replace('"a"', '"b"').replace("category", "categry"),
            10,
            ("`rules.1.content.categry`", "category"),
        ),
        (RULE + 'when = { segment = "champion" }\n', 7, ("unknown segment 'champion'", "did you mean `champions`?")),
        (RULE + "factor = 2\n", 3, ("the factor of 'pin' is 2", "of boost and bury only")),
        (RULE.replace('"pin"', '"bury"') + "factor = 1.5\n", 3, ("the factor of 'bury' is 1.5", "less than 1")),
        (RULE.replace('"pin"', '"boost"') + "place = 2\n", 3, ("`place` and `count` are of pins only",)),
        ('[[rules]]\nname = "a"\naction = "exclude"\n', 3, ("a rule needs `content`",)),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_line(
    lines: str, line: int, words: tuple[str, ...], tmp_path: Path
) -> None:
    """And with the nearest name that there is."""
    said = refused(tmp_path, lines)
    assert f"line {line}: " in said
    assert [word for word in words if word not in said] == []


def test_rules_have_names_of_their_own_and_places_in_the_list(tmp_path: Path) -> None:
    """What is wrong with several rules, or with a rule and the lists, names the rule."""
    assert "two rules are called 'a'" in refused(tmp_path, RULE + RULE)
    assert "rule 'a' pins to place 21, but lists end at ranking.k = 20" in refused(tmp_path, RULE + "place = 21\n")


def rule(name: str, action: str, content: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One as the file says it."""
    return {"name": name, "action": action, "content": content, **more}


def ruled(config: Config, *given: dict[str, Any]) -> Config:
    """The same configuration with these rules."""
    return config.model_copy(update={"rules": tuple(rule_settings.Rule.model_validate(one) for one in given)})


@pytest.fixture(scope="module")
def config(small_night: World) -> Config:
    """Of a small published night, which nothing here changes."""
    return configuration.load(small_night.config)


@pytest.fixture(scope="module")
def opened(config: Config) -> Opened:
    """That night."""
    return Opened.of(AS_OF, config, Lake.of(config))


def lists(opened: Opened, config: Config) -> dict[int, list[int]]:
    """Contents by person."""
    found, bundle = opened.found, opened.model.bundle
    rules_ = apply_rules.of_people(found, score.segments(found, bundle), config)
    lists_ = dict[int, list[int]]()
    for listed in placed(found, bundle, config, opened.people, rules_):
        for person, content in zip(listed.person.tolist(), listed.content.tolist(), strict=True):
            lists_.setdefault(person, []).append(content)
    return lists_


def categories(opened: Opened, contents: list[int]) -> list[str]:
    """Of these contents."""
    catalogue = opened.found.history.catalogue
    return [catalogue.categories[catalogue.category[content]] for content in contents]


def popular_category(opened: Opened, config: Config) -> str:
    """The category that most places are of."""
    names = [name for contents in lists(opened, config).values() for name in categories(opened, contents)]
    return max(sorted(set(names)), key=names.count)


def test_nothing_excluded_is_listed_and_lists_still_fill(opened: Opened, config: Config) -> None:
    """Not one place of a category, for anybody; and as many places as before wherever enough is left."""
    news = popular_category(opened, config)
    before, after = lists(opened, config), lists(opened, ruled(config, rule("no", "exclude", {"category": news})))
    assert not any(news in categories(opened, contents) for contents in after.values())
    assert sum(news in categories(opened, contents) for contents in before.values()) > 20
    assert np.mean([len(contents) for contents in after.values()]) > 10


def test_a_rule_for_some_leaves_the_others_alone(opened: Opened, config: Config) -> None:
    """Of a segment everybody's list is of the one category, of the others none is changed."""
    segment = score.segments(opened.found, opened.model.bundle)
    chosen = max(rfm.SEGMENTS, key=segment[opened.people].tolist().count)
    news = popular_category(opened, config)
    only = rule("only", "require", {"category": news}, when={"segment": chosen})
    before, after = lists(opened, config), lists(opened, ruled(config, only))
    for person in before:
        if segment[person] == chosen:
            assert set(categories(opened, after.get(person, []))) <= {news}
        else:
            assert after[person] == before[person]
    assert 0 < sum(segment[person] == chosen for person in before) < len(before)


def test_boosts_and_buries_move_a_category_up_and_down(opened: Opened, config: Config) -> None:
    """The more, the higher its factor; what is multiplied by one stays."""
    news = popular_category(opened, config)

    def places(**more: Any) -> float:
        found = lists(opened, ruled(config, rule("r", content={"category": news}, **more)))
        return float(
            np.mean([np.mean([name == news for name in categories(opened, one[:3])]) for one in found.values()])
        )

    plain = np.mean(
        [np.mean([n == news for n in categories(opened, one[:3])]) for one in lists(opened, config).values()]
    )
    assert places(action="bury", factor=0.01) < plain < places(action="boost", factor=50)
    scored = score.score(
        opened.found, opened.model.bundle, ruled(config, rule("r", "boost", {"category": news})), opened.people
    )
    asked = score.score(opened.found, opened.model.bundle, config, opened.people)
    ratio = scored.relevance / asked.relevance
    assert set(np.round(ratio, 9).tolist()) == {1.0, 1.5}


def test_a_pin_stands_at_its_place_in_every_list_of_those_whom_it_is_for(opened: Opened, config: Config) -> None:
    """Whoever would have proposed it; not where the person has had it already."""
    found = opened.found
    quiet = int(np.flatnonzero(found.history.catalogue.listed)[0])
    content_id = found.history.catalogue.ids[quiet].as_py()
    after = lists(opened, ruled(config, rule("launch", "pin", {"content_id": content_id}, place=2)))
    had = np.asarray(found.space.seen[:, [quiet]].todense()).ravel() > 0
    for person, contents in after.items():
        assert (contents.index(quiet) if quiet in contents else None) == (None if had[person] else 1)
    assert sum(quiet in contents for contents in lists(opened, config).values()) < len(after)


def test_what_is_published_says_that_a_rule_put_it_there(small_night: World, copy_of: Callable[[World], World]) -> None:
    """In people's own lists, and in those of segments and the default one, for whom a rule for all counts too."""
    world = copy_of(small_night)
    config = configuration.load(world.config)
    listed = snapshot.read(Lake.of(config).rankings, "default")["content_id"].to_pylist()
    config = ruled(
        config,
        rule("launch", "pin", {"content_id": listed[-1]}),
        rule("gone", "exclude", {"content_id": listed[0]}),
        rule("some", "exclude", {"content_id": listed[1]}, when={"country": "nowhere"}),
    )
    rank.run(AS_OF, config)
    tables = read_ranked(Lake.of(config), AS_OF)
    assert publish.run(AS_OF, config).current
    for table in tables.values():
        first = table.filter(pc.equal(table["candidate_source"], "rule"))
        assert set(first["content_id"].to_pylist()) == {listed[-1]}
        assert set(first["rank"].to_pylist()) == {1}
    for table in tables.values():
        assert listed[0] not in table["content_id"].to_pylist()
    default = tables["default"].sort_by("rank")["content_id"].to_pylist()
    assert default[0] == listed[-1]
    assert listed[1] in default


def test_lists_drawn_by_lot_say_with_which_chance(small_night: World, copy_of: Callable[[World], World]) -> None:
    """So small a night's model finds all alike: each of what is left is as likely, and the lists pass their audit."""
    world = copy_of(small_night)
    config = configuration.load(world.config)
    plain = snapshot.read(Lake.of(config).rankings, "people")
    assert pc.all(pc.equal(plain["propensity"], 1.0)).as_py()
    loose = {"temperature": 0.3, "max_per_category": config.ranking.k}
    warm = config.model_copy(update={"ranking": config.ranking.model_copy(update=loose)})
    rank.run(AS_OF, warm)
    assert publish.run(AS_OF, warm).current
    people = snapshot.read(Lake.of(config).rankings, "people").to_pandas()
    assert people["score"].nunique() == 1
    left = (1 / people["propensity"]).round(6) + people["rank"] - 1
    assert left.groupby(people["person_id"]).nunique().eq(1).all()
    assert people.loc[people["rank"] == 1, "content_id"].nunique() > 20


def test_a_company_without_a_model_has_rules(opened: Opened, config: Config) -> None:
    """Nothing was learned: lists are by gravity and the rules, and are called so."""
    news = popular_category(opened, config)
    only = ruled(config, rule("only", "require", {"category": news}))
    bare = Opened(opened.found, Model(None, NO_MODEL), opened.native, opened.people)
    tables = tables_of(bare, only)
    own = tables["people"].filter(pc.not_equal(tables["people"]["strategy"], "default"))
    assert set(own["strategy"].to_pylist()) == {"rules"}
    assert own.num_rows > 100


def test_the_model_is_turned_on_segment_by_segment(opened: Opened, config: Config) -> None:
    """Its lists for some, and for all others what they would be without it, and called so; no probability is theirs."""
    some = snapshot.read(Lake.of(config).rankings, "people")["segment"][0].as_py()
    wanted = config.ranking.model_copy(update={"model_for": (some,)})
    tables = tables_of(opened, config.model_copy(update={"ranking": wanted}))
    alone = Opened(opened.found, Model(None, NO_MODEL), opened.native, opened.people)
    for strategy, whole in (("model", opened), ("default", alone)):
        ordered = pc.equal(tables["people"]["strategy"], strategy)
        part = tables["people"].filter(ordered)
        same = tables_of(whole, config)["people"].filter(ordered)
        columns = ["person_id", "id_type", "rank", "content_id", "score", "reason", "reason_2"]
        assert part.num_rows
        assert part.select(columns).equals(same.select(columns))
        assert set(pc.equal(part["segment"], some).to_pylist()) == {strategy == "model"}
        assert part["p_click"].null_count == (0 if strategy == "model" else part.num_rows)
    assert tables["default"]["p_click"].null_count == 0


def test_a_day_is_the_projects_and_the_last_one_counts(config: Config) -> None:
    """`until` a day means through it; an instant is the first that does not count."""
    zone = config.model_copy(update={"project": config.project.model_copy(update={"timezone": "Europe/Vienna"})})
    given = [
        rule("day", "exclude", {"tag": "x"}, since=AS_OF.date(), until=AS_OF.date()),
        rule("instant", "exclude", {"tag": "x"}, until=AS_OF),
    ]
    day, instant = apply_rules.declared(ruled(zone, *given))
    assert day.since == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert day.until == datetime(2026, 7, 1, 22, tzinfo=UTC)
    assert instant.until == AS_OF


def test_a_dry_run_counts_the_lists_that_each_rule_changes(opened: Opened, config: Config) -> None:
    """Against the same night without it; one that is about nothing changes none, and says what it may have meant."""
    news = popular_category(opened, config)
    given = ruled(
        config,
        rule("no", "exclude", {"category": news}),
        rule("typo", "exclude", {"category": news[:-1]}),
        rule("over", "exclude", {"category": news}, until=AS_OF),
    )
    report = rules.run(AS_OF, given, dry_run=True)
    no, typo, over = report.rules
    before, after = lists(opened, config), lists(opened, given)
    expected = sum(before[person] != after.get(person) for person in before)
    assert report.changed_lists == no["changed"] == expected > 20
    assert report.lists == len(after)
    assert typo["changed"] == over["changed"] == 0
    assert typo["contents"] == 0
    assert typo["misses"] == [f"category {news[:-1]!r} is nowhere; did you mean {news!r}?"]
    assert not over["active"]


def test_one_persons_list_is_explained(opened: Opened, config: Config) -> None:
    """Where each content stands with the rules and without, and which rules are about it."""
    person = int(opened.people[3])
    row = opened.native.to_pylist()[3]
    news = popular_category(opened, config)
    given = ruled(
        config,
        rule("no", "exclude", {"category": news}),
        rule("only", "require", {"category": news}, when={"country": "nowhere"}),
    )
    report = rules.run(AS_OF, given, person=row["native_id"], kind=row["id_type"])
    before, after = (lists(opened, one)[person] for one in (config, given))
    ids = opened.found.history.catalogue.ids
    assert report.person is not None
    told = {one["content_id"]: (one["rank"], one["rank_without"], one["rules"]) for one in report.person}
    assert told == {
        ids[content].as_py(): (
            after.index(content) + 1 if content in after else None,
            before.index(content) + 1 if content in before else None,
            ["no"] if categories(opened, [content]) == [news] else [],
        )
        for content in {*before, *after}
    }


def test_without_rules_there_is_nothing_to_tell(config: Config, opened: Opened) -> None:
    """And nothing is done."""
    with pytest.raises(ShortlistError, match=r"has no \[\[rules\]\]"):
        rules.run(AS_OF, config)
    assert apply_rules.of_people(opened.found, np.array([]), config) is NONE
