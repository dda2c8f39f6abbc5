"""A night measured from a checkpoint on: to the last bit as from the first row of the log, whatever came in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline import by_person, checkpoints, erasure, persons, scratch, shard_reader, since
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.measuring import wide_spec
from pipeline.shard_reader import ShardReader
from pipeline.shards import SHARDS
from tests.features.images import image
from tests.pipeline.lakes import FIRST, NIGHT, archive, config_in, fortnight, split, tables, written

DAY = timedelta(days=1)
NIGHTS = [NIGHT + step * DAY for step in range(4)]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The fortnight's settings, in a lake of the test's own."""
    return config_in(tmp_path, training={"history_days": 365})


def spec_on(config: Config, night: datetime) -> Any:
    """What is measured on a night, categories of its catalogue among it."""
    return wide_spec(config, archive(fortnight(), config).night(night).content)


def ordered(measured: pa.Table) -> list[bytes]:
    """By person, to the last bit."""
    return image(measured.sort_by("person_id").combine_chunks())


def from_checkpoint(config: Config, night: datetime, spec: Any) -> list[bytes]:
    """As `Archive` does it, which leaves a checkpoint."""
    lake = Lake.of(config)
    with scratch.folder_in(lake.scratch) as folder:
        return ordered(since.measured(lake, night, spec, config, folder / "night"))


def from_the_start(config: Config, night: datetime, spec: Any) -> list[bytes]:
    """All of the log in one pass."""
    lake = Lake.of(config)
    with scratch.folder_in(lake.scratch) as folder:
        log = persons.Log.of(lake, [night], config)
        return ordered(persons.measured(log, [night], spec, folder / "pass"))


def base_of(config: Config, night: datetime, spec: Any) -> datetime | None:
    """The night from which a pass would go on."""
    lake = Lake.of(config)
    parts = [part for table in ("events", "transactions") for part in lake.parts(table)]
    found = next(checkpoints.holding(lake, night, spec, parts, persons.Log.of(lake, [night], config).slices), None)
    return found and found.night


@pytest.mark.parametrize(("rows", "worth"), [(200_000, 1_000_000), (20, 1_000_000), (200_000, 1)])
def test_night_after_night_is_as_from_the_start(
    config: Config, rows: int, worth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late rows, links found and refunds known between the nights; each goes on from the one before, slice by slice."""
    monkeypatch.setattr(persons, "_SLICE", rows)
    monkeypatch.setattr(by_person, "WORTH", worth)
    lake = written(fortnight(), config)
    spec = spec_on(config, NIGHT)
    for last, night in zip([None, *NIGHTS], NIGHTS, strict=False):
        assert base_of(config, night, spec) == last
        assert from_checkpoint(config, night, spec) == from_the_start(config, night, spec)
    assert lake.checkpoints.joinpath("by-person").exists() == (worth == 1)


def test_a_lake_that_grows_with_the_nights_is_as_one_that_was_always_whole(config: Config) -> None:
    """Each night the exports of a further day are there."""
    spec = spec_on(config, NIGHT)
    for night in NIGHTS:
        known, later = split(fortnight(), night)
        written(known, config)
        kept = from_checkpoint(config, night, spec)
        assert kept == from_the_start(config, night, spec)
        assert later["events"].num_rows


def test_the_same_night_again_reads_nothing_of_the_log(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rank` after `features` finds everything in the checkpoint."""
    written(fortnight(), config)
    spec = spec_on(config, NIGHT)
    expected = from_checkpoint(config, NIGHT, spec)
    monkeypatch.setattr(since, "_has_any", _nothing)
    assert from_checkpoint(config, NIGHT, spec) == expected


def _nothing(*_: Any) -> bool:
    return False


QUIET = [{"ts": FIRST + n * timedelta(hours=7), "person": n % 5, "content_id": "c"} for n in range(54)]
MIDDLE = {"2026-03-05", "2026-03-06", "2026-03-07"}
"""Days that no edge of a window touches around the night."""


def quiet_spec(config: Config) -> Any:
    """What is measured of a log of one content."""
    return wide_spec(config, pa.table({"content_id": ["c"], "category": ["a"]}))


def opened_days(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Whose files are read from now on."""
    opened: set[str] = set()
    reader = persons.ShardReader

    def watched(table: str, columns: Any, parts: Any, *about: Any) -> Any:
        opened.update(f"{part.day}" for part in parts)
        return reader(table, columns, parts, *about)

    for module in (persons, by_person):
        monkeypatch.setattr(module, "ShardReader", watched)
    return opened


def test_days_that_no_window_touches_are_not_read(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """One day on, a week of days between the windows' edges stays closed: damaged, they harm nobody."""
    lake, spec, night = written(tables(events=QUIET), config), quiet_spec(config), NIGHT
    from_checkpoint(config, night, spec)
    expected = from_the_start(config, night + DAY, spec)
    opened = opened_days(monkeypatch)
    assert from_checkpoint(config, night + DAY, spec) == expected
    every = {f"{part.day}" for part in lake.parts("events")}
    assert f"{night.date()}" in opened
    assert every - opened >= MIDDLE


@pytest.mark.parametrize(("hours", "opens_all"), [((5,), False), ((5, 30), False), ((5, 150), True)])
@pytest.mark.parametrize("slices", [1, 4])
def test_who_is_late_goes_on_from_an_earlier_checkpoint(
    config: Config, hours: tuple[int, ...], opens_all: bool, slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of some hours before a night are known after it: where a state of before a row is kept, that is enough."""
    monkeypatch.setattr(persons, "_slices", lambda _: slices)
    late = [{"ts": NIGHT - timedelta(hours=ago), "person": n} for n, ago in enumerate(hours)]
    known = {"available_at": NIGHT + timedelta(hours=3), "content_id": "c"}
    written(tables(events=[*QUIET, *({**row, **known} for row in late)]), config)
    spec = quiet_spec(config)
    for back in (2, 1, 0):
        from_checkpoint(config, NIGHT - back * DAY, spec)
    expected = from_the_start(config, NIGHT + DAY, spec)
    opened = opened_days(monkeypatch)
    assert from_checkpoint(config, NIGHT + DAY, spec) == expected
    assert (opened >= MIDDLE) == opens_all
    assert from_checkpoint(config, NIGHT + 2 * DAY, spec) == from_the_start(config, NIGHT + 2 * DAY, spec)


def test_a_footer_is_read_once(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file spans is told by the checkpoint: a night looks at those that came since, however long the log is."""
    written(tables(events=QUIET), config)
    spec, looked_at = quiet_spec(config), list[str]()
    of = checkpoints.Span.of
    monkeypatch.setattr(checkpoints.Span, "of", lambda part: looked_at.append(part.name) or of(part))
    for back in (0, 1):
        from_checkpoint(config, NIGHT + back * DAY, spec)
    assert len(looked_at) > len(MIDDLE)
    old = {name for name in looked_at if name.split("/")[1] < f"{NIGHT.date()}"}
    looked_at.clear()
    expected = from_the_start(config, NIGHT + 2 * DAY, spec)
    assert from_checkpoint(config, NIGHT + 2 * DAY, spec) == expected
    assert looked_at
    assert not old & set(looked_at)


KNOWN = NIGHT + timedelta(hours=3)
"""When it turns out, after a night, whose a browser is."""


@pytest.mark.parametrize(("since_then", "opens_all"), [(NIGHT + timedelta(hours=2), False), (FIRST, True)])
def test_who_logs_in_with_a_new_browser_goes_on_from_the_state(
    config: Config, since_then: datetime, opens_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser whose rows the checkpoint has not seen moves nothing in it; only an older one's owner is read anew."""
    rows = [{"ts": since_then + timedelta(minutes=n), "person": 77, "content_id": "c"} for n in range(3)]
    link = {"id": 77, "id_type": "visitor", "other_id": 2, "other_type": "customer", "available_at": KNOWN}
    written(tables(events=[*QUIET, *rows], identities=[link]), config)
    spec = quiet_spec(config)
    from_checkpoint(config, NIGHT, spec)
    expected = from_the_start(config, NIGHT + DAY, spec)
    opened = opened_days(monkeypatch)
    assert from_checkpoint(config, NIGHT + DAY, spec) == expected
    assert (opened >= MIDDLE) == opens_all
    assert from_checkpoint(config, NIGHT + 2 * DAY, spec) == from_the_start(config, NIGHT + 2 * DAY, spec)


def test_who_was_who_is_what_the_checkpoint_was_made_with(config: Config) -> None:
    """Links of before the night that are loaded after it, or taken away, and other limits: people change hands."""
    link = {"id": 1, "id_type": "visitor", "other_id": 2, "other_type": "customer", "available_at": FIRST}
    lake, spec = written(tables(events=QUIET), config), quiet_spec(config)
    from_checkpoint(config, NIGHT, spec)
    day = FIRST.date()
    for links in ([link], [{**link, "other_id": 3}], []):
        lake.replace_day(
            "identities", tables(identities=[{**row, "day": day} for row in links])["identities"], "crm", day
        )
        assert base_of(config, NIGHT, spec) == NIGHT
        assert from_checkpoint(config, NIGHT, spec) == from_the_start(config, NIGHT, spec)


@pytest.mark.parametrize("at_once", [4_000_000, 1])
def test_rows_of_a_few_people_are_all_of_theirs(config: Config, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shard by shard; of files that have some of them and of files that have none, read whole or in batches."""
    monkeypatch.setattr(shard_reader, "_AT_ONCE", at_once)
    monkeypatch.setattr(shard_reader, "_LEAST", 1)
    lake = written(fortnight(), config)
    few = pc.unique(lake.read("events")["person_id"]).slice(2, 2)
    columns, parts = ("person_id", "ts", "event", "content_id"), list(lake.parts("events"))
    some, all_ = (ShardReader("events", columns, parts, range(SHARDS), people) for people in (few, None))
    met = 0
    for at in range(0, SHARDS, 16):
        found, whole = some.take(range(at, at + 16)), all_.take(range(at, at + 16))
        met += found.num_rows
        assert found.to_pylist() == whole.filter(pc.is_in(whole["person_id"], value_set=few)).to_pylist()
    assert met


# ---------------------------------------------------------------- what invalidates a checkpoint


Change = Callable[[Lake], None]


def _replace(lake: Lake, day: datetime) -> None:
    """Load a day again, with one row less."""
    rows = lake.read("events", days=[day.date()])
    (source,) = rows["source"].unique().to_pylist()
    lake.replace_day("events", rows.slice(1), source, day.date())


def test_a_day_that_was_loaded_again_invalidates_the_checkpoints_after_it_and_no_other(config: Config) -> None:
    """Of three nights, those that had seen the day are of no use; the one before it is gone on from."""
    lake, spec = written(fortnight(), config), spec_on(config, NIGHT)
    for night in NIGHTS[:3]:
        from_checkpoint(config, night, spec)
    _replace(lake, NIGHTS[2] + DAY)
    assert base_of(config, NIGHTS[3], spec) == NIGHTS[2]
    _replace(lake, NIGHTS[1])
    assert base_of(config, NIGHTS[3], spec) == NIGHTS[0]
    assert from_checkpoint(config, NIGHTS[3], spec) == from_the_start(config, NIGHTS[3], spec)
    _replace(lake, FIRST + DAY)
    assert base_of(config, NIGHTS[3], spec) is None
    assert from_checkpoint(config, NIGHTS[3], spec) == from_the_start(config, NIGHTS[3], spec)


def test_a_row_of_old_in_a_new_file_invalidates(config: Config) -> None:
    """A source that is added later tells of days that the checkpoint thought it knew."""
    lake, spec = written(fortnight(), config), spec_on(config, NIGHT)
    from_checkpoint(config, NIGHT, spec)
    old = tables(events=[{"ts": FIRST, "person": 1, "content_id": "c01", "source": "app"}])["events"]
    lake.replace_source("events", old, "app")
    assert base_of(config, NIGHTS[1], spec) is None
    assert from_checkpoint(config, NIGHTS[1], spec) == from_the_start(config, NIGHTS[1], spec)


def test_another_category_of_a_content_that_was_met_invalidates(config: Config) -> None:
    """And one of a content that nobody has touched yet does not."""
    written(fortnight(), config)
    spec = spec_on(config, NIGHT)
    from_checkpoint(config, NIGHT, spec)
    other = {**spec.category_of, "c01": "elsewhere"}
    unknown = {**spec.category_of, "never seen": "news"}
    assert base_of(config, NIGHTS[1], _with(spec, other)) is None
    assert base_of(config, NIGHTS[1], _with(spec, unknown)) == NIGHT


def _with(spec: Any, category_of: dict[str, str]) -> Any:
    return replace(spec, category_of=category_of)


def test_another_goal_is_another_checkpoint(config: Config) -> None:
    """What a state means depends on what was measured."""
    written(fortnight(), config)
    spec = spec_on(config, NIGHT)
    from_checkpoint(config, NIGHT, spec)
    goals = config.model_copy(update={"goals": {"click": config.goals["click"]}})
    assert base_of(config, NIGHTS[1], spec_on(goals, NIGHT)) is None


def test_only_the_newest_are_kept(config: Config) -> None:
    """A checkpoint is as large as its people; those of measures that are not asked for any more go with their age."""
    lake, spec = written(fortnight(), config), spec_on(config, NIGHT)
    goals = config.model_copy(update={"goals": {"click": config.goals["click"]}})
    for step in range(checkpoints.KEPT + 2):
        if step < 2:
            from_checkpoint(config, NIGHT + step * timedelta(hours=6), spec_on(goals, NIGHT))
        from_checkpoint(config, NIGHT + step * timedelta(hours=6), spec)
    assert len(list(lake.checkpoints.iterdir())) == checkpoints.KEPT + 1  # and a lock


# ---------------------------------------------------------------- whose rows leave


def test_whoever_leaves_the_lake_leaves_its_checkpoints(config: Config) -> None:
    """A checkpoint that knows one of them goes as a whole; one that knows none stays."""
    lake, spec = written(fortnight(), config), spec_on(config, NIGHT)
    from_checkpoint(config, NIGHT, spec)
    erasure.delete_people(lake, pa.array([10**12], pa.int64()))
    assert base_of(config, NIGHT, spec) == NIGHT
    someone = pc.min(lake.read("events")["person_id"])
    erasure.delete_people(lake, pa.array([someone.as_py()], pa.int64()))
    assert not list(lake.checkpoints.glob("*/*.arrow"))


def test_a_checkpoint_that_does_not_tell_whose_rows_it_has_goes_with_anybody(config: Config) -> None:
    """As those that an earlier version left."""
    lake, spec = written(fortnight(), config), spec_on(config, NIGHT)
    from_checkpoint(config, NIGHT, spec)
    next(lake.checkpoints.glob("*/persons.arrow")).unlink()
    erasure.delete_people(lake, pa.array([10**12], pa.int64()))
    assert not list(lake.checkpoints.glob("*/*.arrow"))


def test_a_state_is_read_back_as_it_was(config: Config) -> None:
    """All but those who are to be folded anew."""
    lake, spec = written(fortnight(), config), spec_on(config, NIGHT)
    from_checkpoint(config, NIGHT, spec)
    parts = [part for table in ("events", "transactions") for part in lake.parts(table)]
    found = next(checkpoints.holding(lake, NIGHT, spec, parts, 1))
    whole = found.state(0, np.zeros(0, np.int64))
    assert whole is not None
    without, alone = found.state(0, whole.people[:1]), found.state_of(whole.people[:1])
    for some, rows in ((without, slice(1, None)), (alone, slice(0, 1))):
        assert some is not None
        assert some.people.tolist() == whole.people[rows].tolist()
        np.testing.assert_array_equal(some.ints, whole.ints[rows])
        np.testing.assert_array_equal(some.floats, whole.floats[rows])
    assert found.state_of(np.array([-1])) is None
