"""The features of a night: what is written, what models read, and who is considered for whom."""

from __future__ import annotations

import gc
import weakref
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from features import rfm, spec
from features.measures import HALF_LIVES
from models.candidates import SOURCES
from pipeline import build_features
from pipeline.build_features import NightFeatures, replayed_nights
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.night import Archive
from tests.pipeline.lakes import END, FIRST, NIGHT, archive, config_in, fortnight, tables, written

DAY = timedelta(days=1)
WRITTEN = ("person_features", "content_features", "person_affinities")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The fortnight's settings, with its lake written."""
    config = config_in(tmp_path_factory.mktemp("features"))
    written(fortnight(), config)
    return config


@pytest.fixture(scope="module")
def found(config: Config) -> NightFeatures:
    """The night in the middle of it."""
    return features_of(config)


def features_of(config: Config) -> NightFeatures:
    """The fortnight's middle night under other settings."""
    return NightFeatures.of(archive(fortnight(), config).night(NIGHT), config)


def read(lake: Lake, name: str, as_of: datetime) -> pa.Table:
    """A night's rows of a feature table, without the night's name."""
    rows = DeltaTable(lake.path(name)).to_pyarrow_table()
    return rows.filter(pc.equal(rows["night"], f"{as_of:%Y-%m-%dT%H%M%SZ}")).drop_columns("night")


# ---------------------------------------------------------------- what is written


def test_a_night_is_written_as_it_was_computed(config: Config, found: NightFeatures) -> None:
    """People and contents as models read them, and more of people; the report counts them."""
    report = build_features.run(NIGHT, config)
    lake = Lake.of(config)
    people, contents = (read(lake, name, NIGHT) for name in WRITTEN[:2])
    modelled = people.sort_by("person_id").select(found.people.column_names)
    assert modelled.to_pandas().equals(found.people.to_pandas())
    wide = {name for name in people.column_names if name.startswith("last_session_category_")}
    categories = pc.drop_null(found.night.content["category"].unique()).to_pylist()
    assert wide == {f"last_session_category_{name}" for name in categories}
    assert len(categories) == 3
    assert contents.sort_by("content_id").to_pandas().equals(found.contents.to_pandas())
    assert (report.people, report.content) == (found.people.num_rows, found.contents.num_rows)
    assert report.events == found.night.log.num_rows
    assert report.features == len(spec.names(config.goals))
    assert report.without == ()


def test_tastes_are_written_person_by_person_and_group_by_group(config: Config, found: NightFeatures) -> None:
    """Decayed affinities to categories, tags, authors and channels side by side, as the night has them."""
    build_features.run(NIGHT, config)
    got = read(Lake.of(config), "person_affinities", NIGHT)
    assert got.column_names == ["person_id", "kind", "name", *(f"affinity_{h}" for h in HALF_LIVES)]
    assert {"author", "category", "tag"} <= set(got["kind"].to_pylist())
    assert got.num_rows > 40
    keys = [(name, "ascending") for name in ("person_id", "kind", "name")]
    assert got.sort_by(keys).equals(pa.concat_tables(found.pairs.tastes()))


def test_writing_a_night_again_changes_neither_it_nor_another(config: Config) -> None:
    """A night is replaced, never appended to, and its neighbour stays as it was."""
    lake, later = Lake.of(config), NIGHT + DAY
    build_features.run(NIGHT, config)
    before = {name: read(lake, name, NIGHT).num_rows for name in WRITTEN}
    for _ in range(2):
        build_features.run(later, config)
    assert {name: read(lake, name, NIGHT).num_rows for name in WRITTEN} == before
    again = {name: read(lake, name, later).num_rows for name in WRITTEN}
    build_features.run(later, config)
    assert {name: read(lake, name, later).num_rows for name in WRITTEN} == again


def test_what_a_night_does_without_is_said(tmp_path: Path) -> None:
    """A lake of views alone has no impressions, purchases, CRM or catalogue, and the report tells."""
    config = config_in(tmp_path)
    written(tables(events=[{"ts": FIRST, "person": 1, "content_id": "c"}]), config)
    report = build_features.run(FIRST + DAY, config)
    assert report.without == ("no impressions", "no purchases", "no CRM", "no content catalogue")


# ---------------------------------------------------------------- what models read


def test_matrices_have_the_columns_that_the_spec_names(config: Config, found: NightFeatures) -> None:
    """In its order, person by person and content by content, as float32."""
    goals = tuple(config.goals)
    people, contents = found.person_matrix(goals, None), found.content_matrix(goals)
    for matrix, table, group in ((people, found.people, "person"), (contents, found.contents, "content")):
        assert matrix.dtype == np.float32
        names = spec.names(goals, group)  # type: ignore[arg-type]
        assert matrix.shape == (table.num_rows, len(names))
        for at, name in enumerate(names):
            if name not in rfm.SCORES:
                np.testing.assert_array_equal(matrix[:, at], np.asarray(table[name], np.float32))


def test_rfm_scores_are_missing_until_cut_points_are_learned(config: Config, found: NightFeatures) -> None:
    """And then they are those of the given cut-points, which need not be this night's."""
    goals = tuple(config.goals)
    at = [spec.names(goals, "person").index(name) for name in rfm.SCORES]
    assert np.isnan(found.person_matrix(goals, None)[:, at]).all()
    cuts = {name: [0.5, 2.0] for name in rfm.RAW}
    expected = rfm.scores(found.people, cuts)
    got = found.person_matrix(goals, cuts)[:, at]
    np.testing.assert_array_equal(got, np.column_stack([np.asarray(expected[name]) for name in rfm.SCORES]))


def test_everybody_is_scored_at_the_top_where_positions_are_recorded(found: NightFeatures, config: Config) -> None:
    """And at no position at all where no impression ever had one."""
    assert found.position == 1.0
    without = archive(fortnight(impressions=False), config).night(NIGHT)
    assert np.isnan(NightFeatures.of(without, config).position)


# ---------------------------------------------------------------- candidates


def pairs_of(found: NightFeatures, config: Config) -> list[tuple[int, int, int]]:
    """Every (person, content, source) that is considered."""
    return [
        (int(person), int(content), int(source))
        for block in found.blocks()
        for chosen in [found.candidates(block, config)]
        for person, content, source in zip(chosen.person, chosen.content, chosen.source, strict=True)
    ]


def test_blocks_hold_everybody_once_and_choose_alike(
    found: NightFeatures, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many people fit into a block changes nothing but memory."""
    whole = pairs_of(found, config)
    monkeypatch.setattr(build_features, "BLOCK_CELLS", 5 * int(found.history.catalogue.listed.sum()))
    blocks = [block.people.tolist() for block in found.blocks()]
    assert [at for people in blocks for at in people] == list(range(found.people.num_rows))
    assert {len(people) for people in blocks[:-1]} == {5}
    assert pairs_of(found, config) == whole


def test_some_people_have_the_candidates_that_they_have_among_all(found: NightFeatures, config: Config) -> None:
    """A block of a few says of them what a block of everybody does; what models read of their pairs too."""
    few = np.arange(0, found.people.num_rows, 3)
    whole = [pair for pair in pairs_of(found, config) if pair[0] in set(few.tolist())]
    (block,) = found.blocks(few)
    chosen = found.candidates(block, config)
    assert [*zip(chosen.person.tolist(), chosen.content.tolist(), chosen.source.tolist(), strict=True)] == whole
    (every,) = found.blocks()
    np.testing.assert_array_equal(
        found.between(block, chosen.person, chosen.content), found.between(every, chosen.person, chosen.content)
    )


def test_a_short_shelf_leaves_the_longest_untouched_unsaid(
    found: NightFeatures, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what does not stand on it similar people say nothing; of the others what they say of them among themselves."""
    monkeypatch.setattr(build_features, "_SHELF", 6)
    few = features_of(config)
    assert len(few.shelf) == 6
    history = few.history
    last = history.catalogue.published.copy()
    np.maximum.at(last, history.content[history.active], history.ts[history.active])
    known = np.isin(history.catalogue.ids.to_pylist(), few.night.content["content_id"].to_pylist())
    rest = np.setdiff1d(np.flatnonzero(known), few.shelf)
    assert len(rest)
    assert last[few.shelf].min() >= last[rest].max()
    (block,) = few.blocks()
    off = ~np.isin(block.content, few.shelf)
    assert off.any()
    assert not block.said["neighbours_3d"][:, off].any()
    assert block.said["neighbours_3d"][:, ~off].any()


def test_blocks_say_what_the_specification_lists(found: NightFeatures) -> None:
    """In its order, which is the model's."""
    (block,) = found.blocks()
    assert tuple(block.said) == tuple(spec.SAID)
    assert {*block.proposals, "explore"} == set(SOURCES)


def test_only_listed_content_that_is_new_to_the_person_is_a_candidate(found: NightFeatures, config: Config) -> None:
    """No draft, nothing unknown to the catalogue, and nothing that the person has done something with."""
    pairs = pairs_of(found, config)
    assert pairs
    assert all(found.history.catalogue.listed[content] for _, content, _ in pairs)
    assert not any(found.space.seen[person, content] for person, content, _ in pairs)
    assert max(np.bincount([person for person, _, _ in pairs])) <= config.ranking.candidates


def test_what_nobody_knows_is_among_the_candidates(tmp_path: Path) -> None:
    """A quarter of the places for what is new and known to fewer than three; the same in blocks of one person."""
    born = {**{f"known-{i}": 20 for i in range(9)}, **{f"new-{i}": 5 for i in range(6)}, "old": 40}
    content = [{"content_id": name, "published_at": NIGHT - days * DAY} for name, days in born.items()]
    readings = [(person, f"known-{(person + i) % 9}") for person in range(1, 8) for i in range(5)] + [(1, "new-0")]
    events = [{"ts": NIGHT - 2 * DAY, "person": person, "content_id": name} for person, name in readings]
    night = archive(tables(events=events, content=content), config_in(tmp_path)).night(NIGHT)

    def chosen(share: float, one_by_one: bool) -> set[tuple[int, str, str]]:
        config = config_in(tmp_path / f"{share}", ranking={"candidates": 4, "explore": share})
        found = NightFeatures.of(night, config)
        blocks = [found.blocks(np.array([i])) for i in range(7)] if one_by_one else [found.blocks()]
        pairs = [found.candidates(block, config) for some in blocks for block in some]
        ids = found.history.catalogue.ids.to_pylist()
        return {
            (person, ids[content], SOURCES[source])
            for one in pairs
            for person, content, source in zip(one.person, one.content, one.source, strict=True)
        }

    drawn = [(person, name) for person, name, source in chosen(0.25, one_by_one=False) if source == "explore"]
    assert sorted(person for person, _ in drawn) == list(range(7))
    assert {name for _, name in drawn} <= {f"new-{i}" for i in range(6)}
    assert len({name for _, name in drawn}) > 2
    assert chosen(0.25, one_by_one=True) == chosen(0.25, one_by_one=False)
    assert not [pair for pair in chosen(0.0, one_by_one=False) if pair[2] == "explore"]


def test_what_was_engaged_with_may_be_shown_again_if_one_says_so(tmp_path: Path) -> None:
    """`hide_engaged = false`."""
    config = config_in(tmp_path, ranking={"hide_engaged": False})
    found = features_of(config)
    assert any(found.space.seen[person, content] for person, content, _ in pairs_of(found, config))


def test_poor_content_is_left_out_but_not_content_of_unknown_quality(tmp_path: Path) -> None:
    """`min_quality` is for what somebody rated."""
    config = config_in(tmp_path, ranking={"min_quality": 0.5})
    found = features_of(config)
    quality = found.history.catalogue.quality[[content for _, content, _ in pairs_of(found, config)]]
    assert not (quality < 0.5).any()
    assert np.isnan(quality).any()
    assert (quality >= 0.5).any()


# ---------------------------------------------------------------- nights to replay


def replayed(config: Config, until: datetime, first: datetime = FIRST) -> list[datetime]:
    """The nights that a lake from `first` to `until` can be replayed on."""
    events = tables(events=[{"ts": first, "person": 1, "content_id": "c"}])
    return replayed_nights(archive(events, config, until), config)


def test_nights_are_replayed_a_day_apart_once_their_outcome_is_known(config: Config) -> None:
    """The newest is one longest horizon (3 days) ago, and there are at most `training.nights` = 5."""
    assert replayed(config, END) == [END - timedelta(days=days) for days in (7, 6, 5, 4, 3)]


def test_no_night_is_replayed_without_a_warm_up(config: Config) -> None:
    """With two days of warm-up, a lake of six days has two nights whose outcome is known; one of five has one."""
    assert replayed(config, FIRST + 6 * DAY) == [FIRST + 2 * DAY, FIRST + 3 * DAY]
    assert replayed(config, FIRST + 5 * DAY) == [FIRST + 2 * DAY]
    assert replayed(config, FIRST + 5 * DAY - timedelta(hours=1)) == []


def test_a_shorter_cadence_replays_the_same_hour(tmp_path: Path) -> None:
    """At 06:00 with a snapshot every six hours, the nights before are all at 06:00."""
    config = config_in(tmp_path, project={"cadence": "6h"})
    morning = datetime(2026, 3, 17, 6, tzinfo=UTC)
    nights = replayed(config, morning)
    assert {night.hour for night in nights} == {6}
    assert nights[-1] == morning - 3 * DAY


def test_what_is_as_large_as_the_log_is_let_go_of(config: Config) -> None:
    """A night does not hold the archive that it was cut from, nor a night that ranks what candidates learned from."""
    gc.disable()
    try:
        loaded = Archive.load(Lake.of(config), config, END)
        night = loaded.night(NIGHT)
        let_go: weakref.ref[Any] = weakref.ref(loaded)
        del loaded
        assert let_go() is None
        found = NightFeatures.of(night, config)
        learned_from = found.engagement
        let_go = weakref.ref(learned_from)
        assert found.engagement is learned_from, "the same for all who ask meanwhile"
        assert found.personal
        del learned_from
        assert let_go() is None
    finally:
        gc.enable()


def test_an_archive_read_back_from_the_lake_gives_the_same(config: Config, found: NightFeatures) -> None:
    """What the other tests take from memory is what the lake would have given."""
    night = Archive.load(Lake.of(config), config, END).night(NIGHT)
    assert NightFeatures.of(night, config).people.to_pandas().equals(found.people.to_pandas())
