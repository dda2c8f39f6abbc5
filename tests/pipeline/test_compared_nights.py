"""Which nights are compared: on the same weekdays, a day apart, and none whose outcome is not known yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from models.classifier import Bundle
from pipeline import compared_nights, performance_evidence
from pipeline import config as configuration
from pipeline.build_features import goals_of
from pipeline.compared_nights import for_drift, for_performance, newest, same_weekdays
from pipeline.config import Config
from pipeline.records import ModelVersion

DAY = timedelta(days=1)
AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
TRAINED = AS_OF - 10 * DAY


def config_with(folder: Path, delay_minutes: int = 0, horizon_days: float = 1, cadence: str = "1d") -> Config:
    """A company with one source, that tells of what happened so much later."""
    source = {"name": "web", "format": "table", "table": "events", "path": "web.csv", "delay_minutes": delay_minutes}
    return configuration.parse(
        {
            "project": {"development_key": True, "cadence": cadence},
            "sources": [source],
            "goals": {"click": {"events": ["click"], "horizon_days": horizon_days}},
            "retrain": {"dip_nights": 3},
        },
        folder / "shortlist.toml",
    )


def trained(config: Config) -> tuple[Bundle, ModelVersion]:
    """A champion, and what it says of itself."""
    nights = {
        "nights": [(TRAINED - back * DAY).isoformat() for back in range(30, 8, -1)],
        "tested": [(TRAINED - back * DAY).isoformat() for back in range(8, 0, -1)],
    }
    bundle = Bundle({}, {}, {**nights, "goals": goals_of(config)})
    return bundle, ModelVersion("1", TRAINED, "run", Path(), promoted=True, sha256={})


@pytest.mark.parametrize(
    ("delay", "horizon", "cadence", "last"),
    [(0, 1, "1d", 1), (180, 1, "1d", 2), (0, 2, "1d", 2), (1, 2, "1d", 3), (0, 1.5, "1d", 2), (180, 1, "6h", 2)],
)
def test_a_night_is_judged_when_all_of_it_is_known(
    tmp_path: Path, delay: int, horizon: float, cadence: str, last: int
) -> None:
    """Not when its horizon ends: what happened in it may be told later. Nights stay on the grid of the runs."""
    config = config_with(tmp_path, delay, horizon, cadence)
    bundle, champion = trained(config)
    found = for_performance(bundle, champion, AS_OF, config)
    assert found.current == tuple(AS_OF - back * DAY for back in (last + 2, last + 1, last))
    assert found.reference == tuple(TRAINED - back * DAY for back in range(6, 0, -1))
    assert performance_evidence.look(champion, AS_OF, config) == 10 - last + 1  # its first night is its own


def test_before_any_night_of_the_champions_is_known_there_is_nothing_to_judge(tmp_path: Path) -> None:
    """With a delay that is a night later."""
    for delay, waits in ((0, 0), (60, 1)):
        config = config_with(tmp_path, delay)
        bundle, champion = trained(config)
        early = for_performance(bundle, champion, TRAINED + waits * DAY, config)
        assert early.note == "no night has matured since the champion was trained"
        assert for_performance(bundle, champion, TRAINED + (1 + waits) * DAY, config).current == (TRAINED,)


def test_drift_is_looked_for_on_the_weekdays_of_now(tmp_path: Path) -> None:
    """Three nights of now against three of the training on the same weekdays, tonight among them."""
    config = config_with(tmp_path)
    found = for_drift(*trained(config), AS_OF, config)
    assert found.current == tuple(AS_OF - back * DAY for back in (2, 1, 0))
    assert [night.weekday() for night in found.reference] == [night.weekday() for night in found.current]
    assert max(found.reference) <= TRAINED - 9 * DAY
    assert found.note == ""


def test_where_a_weekday_is_lacking_the_newest_nights_are_taken() -> None:
    """Half on the same weekdays would compare different weeks."""
    among = newest(AS_OF, 5, config_with(Path()))
    assert same_weekdays(among, [AS_OF - 6 * DAY, AS_OF - 7 * DAY], 2) == among[-2:]
    assert same_weekdays(among, [AS_OF - 7 * DAY, AS_OF - 8 * DAY], 2) == (AS_OF - DAY, AS_OF)


def test_nights_are_a_day_apart_whatever_the_cadence(tmp_path: Path) -> None:
    """A company that publishes every six hours compares midnights with midnights."""
    config = config_with(tmp_path, cadence="6h")
    assert compared_nights.day_or_step(config) == DAY
    assert newest(AS_OF, 2, config) == (AS_OF - DAY, AS_OF)
