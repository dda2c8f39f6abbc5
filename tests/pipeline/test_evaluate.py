"""Lists judged by others that were drawn by lot, in a company whose people's habits are known."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from models.off_policy import MIN_ESS
from pipeline import config as configuration
from pipeline import evaluate, ingest, publish, rank, snapshot
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.evaluate import EvaluateReport
from pipeline.serving import Model
from tests.pipeline.ranking import read_ranked
from tests.pipeline.small import House, shortlist
from tests.worlds import World

NIGHT = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RIPE = NIGHT + DAY
PEOPLE, CONTENTS, K = 500, 9, 3
LIKED = {f"c{one}": 0.7 - 0.07 * one for one in range(CONTENTS)}
"""How likely each content is to be liked at the top of a list; each place further down, 0.7 of it."""

SETTINGS = """
[[sources]]
name = "log"
format = "table"
table = "events"
path = "log.csv"
[[sources]]
name = "cms"
format = "table"
table = "content"
path = "cms.csv"
[goals.like]
events = ["like"]
weight = 2.0
[ranking]
k = 3
temperature = 1.5
max_per_category = 2
diversity = 0.3
[[rules]]
name = "launch"
action = "pin"
content = { content_id = "c8" }
place = 2
"""


def liked(content: str, rank: int) -> float:
    """The truth."""
    return LIKED[content] * 0.7 ** (rank - 1)


@pytest.fixture(name="house", scope="module")
def _house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """The company with a night that was drawn by lot, and a day on which people did with it what they do."""
    house = House(tmp_path_factory.mktemp("evaluate"))
    config = house.configure(SETTINGS)
    rng = np.random.default_rng(3)
    popular = (0.5 ** np.arange(CONTENTS)) / (0.5 ** np.arange(CONTENTS)).sum()
    before = [
        (f"v{person}", "view", f"c{content}", NIGHT - timedelta(hours=int(rng.integers(2, 70))))
        for person, content in enumerate(rng.choice(CONTENTS, PEOPLE, p=popular))
    ]
    house.write_csv(
        "cms.csv",
        [
            {"content_id": one, "status": "published", "published_at": "2026-06-01T00:00:00Z", "category": f"k{at % 4}"}
            for at, one in enumerate(LIKED)
        ],
    )
    write(house, before)
    ingest.run(NIGHT, config)
    publish_night(config)
    after = [
        (row["person_id"], "like", row["content_id"], NIGHT + timedelta(minutes=int(rng.integers(1, 1400))))
        for row in published(house).to_pylist()
        if rng.random() < liked(row["content_id"], row["rank"])
    ]
    write(house, before + after)
    ingest.run(RIPE, config)
    return house


def write(house: House, events: list[tuple[str, str, str, datetime]]) -> None:
    """The log of who did what."""
    house.write_csv(
        "log.csv",
        [{"ts": ts.isoformat(), "visitor_id": who, "event": what, "content_id": c} for who, what, c, ts in events],
    )


def publish_night(config: Config) -> None:
    """Rank and publish."""
    rank.run(NIGHT, config)
    assert publish.run(NIGHT, config).current


def published(house: House) -> pa.Table:
    """The lists that serve."""
    return snapshot.read(house.lake.rankings, "people")


def wanting(house: House, **ranking: object) -> Config:
    """The company's configuration as it would be with other wishes for its lists."""
    config = configuration.load(house.file)
    return config.model_copy(update={"ranking": config.ranking.model_copy(update=ranking)})


@pytest.fixture(name="same", scope="module")
def _same(house: House) -> EvaluateReport:
    """The policy that was published, judged by itself."""
    return evaluate.run(RIPE, configuration.load(house.file))


def test_of_itself_a_policy_says_what_came(house: House, same: EvaluateReport) -> None:
    """The same configuration and model: all weights are 1, and what came of the lists is what they are worth."""
    log = house.lake.read("events").filter
    likes = log(pc.field("event") == "like").num_rows
    assert (same.lists, same.people, same.places, same.told, same.problem) == (PEOPLE, PEOPLE, K, K, None)
    for one in same.by_place:
        assert one["support"]["mean"] == pytest.approx(1, abs=1e-9)
        assert one["support"]["ess"] == pytest.approx(PEOPLE)
        assert one["ips_difference"]["mean"] == pytest.approx(0, abs=1e-9)
        assert one["snips"]["mean"] == pytest.approx(one["logged"]["mean"])
    assert same.by_place[-1]["logged"]["mean"] == pytest.approx(2.0 * likes / PEOPLE)
    assert same.verdict.startswith("no difference is shown in the lists")
    (night,) = same.nights
    assert night["as_of"] == NIGHT.isoformat()
    assert night["ips"] == pytest.approx(night["logged"])


@pytest.mark.parametrize("change", [{"temperature": 0.7}, {"temperature": 0.0, "diversity": 0.0}], ids=str)
def test_what_other_lists_are_truly_worth_lies_in_the_interval(house: House, change: dict[str, float]) -> None:
    """They were never published: they are ranked here, and each place is worth what the truth says."""
    other = wanting(house, **change)
    rank.run(NIGHT, other)
    rows = read_ranked(house.lake, NIGHT)["people"].to_pylist()
    report = evaluate.run(RIPE, other)
    assert report.temperature == change["temperature"]
    assert report.told >= 1
    for one in report.by_place[: report.told]:
        true = sum(2.0 * liked(row["content_id"], row["rank"]) for row in rows if row["rank"] <= one["places"]) / PEOPLE
        for name in evaluate.ESTIMATORS:
            assert one[name]["low"] < true < one[name]["high"], (name, one["places"])
        assert one["logged"]["mean"] < true
    assert "would have been worth more" in report.verdict


def test_a_list_of_what_nobody_was_shown_cannot_be_told_of(house: House) -> None:
    """A rule that pins to the first place what never stood there."""
    rule = configuration.load(house.file).rules[0]
    pinned = configuration.load(house.file).model_copy(update={"rules": (rule.model_copy(update={"place": 1}),)})
    report = evaluate.run(RIPE, pinned)
    assert report.told == 0
    assert report.problem is not None
    assert report.verdict == f"cannot tell: {report.problem}"
    assert re.fullmatch(r"down to place 1 the lists count for \d, fewer than 100", report.problem)


def test_who_has_nothing_to_choose_from_is_left_out(house: House) -> None:
    """Content of too little quality for anybody: the rest is refused in words."""
    with pytest.raises(
        ShortlistError, match=rf"nobody is left to judge by: {PEOPLE} people-nights \(nothing to choose"
    ):
        evaluate.run(RIPE, wanting(house, max_per_category=3).model_copy(update={"rules": (nothing(house),)}))


def nothing(house: House) -> object:
    """A rule that lets no content be listed."""
    rule = configuration.load(house.file).rules[0]
    some = rule.content.model_copy(update={"content_id": tuple(LIKED)})
    return rule.model_copy(update={"action": "exclude", "content": some})


def test_what_rested_that_night_rests_again(house: House, tmp_path: Path) -> None:
    """A second night on which nothing is listed again that was on the first: its policy knows that of itself."""
    shutil.copytree(house.folder, tmp_path / "copy", symlinks=True)
    copy = House(tmp_path / "copy")
    capped = wanting(copy, frequency_cap=1)
    rank.run(RIPE, capped)
    publish.run(RIPE, capped)
    write_later(copy)
    ingest.run(RIPE + DAY, capped)
    report = evaluate.run(RIPE + DAY, capped, first=RIPE)
    assert [one["support"]["ess"] for one in report.by_place] == pytest.approx([report.lists] * K)
    loose = evaluate.run(RIPE + DAY, wanting(copy, frequency_cap=None), first=RIPE)
    assert loose.by_place[0]["support"]["mean"] < 0.9
    assert loose.told == 0
    early = evaluate.run(RIPE, capped)
    assert early.nights_left_out == {"not drawn by lot": 0, "outcome not whole": 1, "before the model's training": 0}
    both = evaluate.run(RIPE + DAY, capped)
    assert [one["lists"] for one in both.nights] == [PEOPLE, report.lists]
    assert (both.lists, both.people) == (PEOPLE + report.lists, PEOPLE)


def write_later(house: House) -> None:
    """One more thing that somebody did on the second day."""
    path = house.folder / "log.csv"
    line = f"{(RIPE + timedelta(hours=3)).isoformat()},v0,view,c0"
    path.write_text(f"{path.read_text(encoding='utf-8').rstrip()}\n{line}\n", encoding="utf-8")


def test_of_a_model_it_says_the_same(small_night: World, copy_of: Callable[[World], World]) -> None:
    """A simulated company with a trained model, its real sources and pairs of all kinds: weights of 1, all of them."""
    world = copy_of(small_night)
    config = configuration.load(world.config)
    warm = config.model_copy(update={"ranking": config.ranking.model_copy(update={"temperature": 0.4})})
    publish_night(warm)
    ingest.run(RIPE, warm)
    report = evaluate.run(RIPE, warm)
    assert report.model_version == snapshot.read(world.rankings, "people")["model_version"][0].as_py()
    assert report.places == config.ranking.k
    for one in report.by_place:
        assert one["support"]["ess"] == pytest.approx(report.lists)
        assert one["ips"]["mean"] == pytest.approx(one["logged"]["mean"])
    assert report.by_place[-1]["logged"]["mean"] > 0


# ---------------------------------------------------------------- which nights


def test_without_lots_it_says_how_to_draw_them(house: House) -> None:
    """No night of those asked for."""
    with pytest.raises(ShortlistError, match=r"none of 0 published tables was drawn by lot.*Set `temperature`"):
        evaluate.run(RIPE, configuration.load(house.file), first=RIPE)


def test_before_its_outcome_is_whole_it_says_when(house: House) -> None:
    """A microsecond too early."""
    with pytest.raises(ShortlistError, match=r"outcome of none is whole.*will be at 2026-07-02T00:00:00\+00:00"):
        evaluate.run(RIPE - timedelta(microseconds=1), configuration.load(house.file), last=NIGHT)


def test_a_model_that_has_learned_from_the_night_is_not_praised_for_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained for a later night, it may have seen what came of this one."""
    later = replace(Model.serving(RIPE, configuration.load(house.file), house.lake), version="7", trained=RIPE)
    monkeypatch.setattr(evaluate.Model, "serving", lambda *_: later)
    with pytest.raises(ShortlistError, match=r"model version 7 was trained for 2026-07-02.*Wait for"):
        evaluate.run(RIPE, configuration.load(house.file))


# ---------------------------------------------------------------- the command


def test_the_command_says_it_to_people_and_to_machines(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON object; or tables that end in the verdict."""
    asked = ("evaluate", "--off-policy", "--config", house.file, "--as-of", "2026-07-02", "--temperature", "0")
    found = shortlist(capsys, *asked, "--json", "--from", "2026-07-01", "--to", "2026-07-01").json
    assert (found["temperature"], found["lists"], len(found["by_place"])) == (0, PEOPLE, K)
    said = shortlist(capsys, *asked)
    assert said.code == 0
    assert said.lacks("doubly robust", "SNIPS", "as they were", "shown to", " ".join(found["verdict"].split())) == []
    assert found["by_place"][0]["support"]["ess"] > MIN_ESS


def test_without_its_flag_the_command_says_what_there_is(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """And ends with 2."""
    said = shortlist(capsys, "evaluate", "--config", house.file)
    assert (said.code, said.lacks("--off-policy", "shortlist replay", "shortlist grade")) == (2, [])
