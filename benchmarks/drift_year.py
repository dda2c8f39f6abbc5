"""A year in which nothing changes: how often drift or a dip calls for a model in the simulated world, night by night.

The simulated company's exports go through the real ingest, its models through the real training and gate. Every night
is decided by the arms of the nightly run, from the same features, lists and outcomes; only what one night shares with
the next is not computed twice. A model is trained where an arm asks for it, age included. The year is looked at in two
stretches, side by side, each of which begins with a model of its own.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from benchmarks.drift_people import ROOT
from benchmarks.measure import shortlist
from benchmarks.table import Row
from models import drift
from models.classifier import Bundle
from pipeline import check_drift, compared_nights, drift_evidence, performance_evidence, registry, retrain_arms, train
from pipeline import config as configuration
from pipeline.build_features import NightFeatures, fits
from pipeline.bundles import load_bundle
from pipeline.compared_nights import ComparedNights
from pipeline.config import Config
from pipeline.drift_evidence import Evidence, Seen
from pipeline.lake import Lake
from pipeline.night import Archive
from pipeline.performance_evidence import Answered, Performance
from pipeline.rebuild import lists_of
from pipeline.records import ModelVersion, Tracker
from pipeline.reports.decision import Arm
from pipeline.rows import Rows

END = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BEFORE = 60
"""Days of history before the first model is trained."""

STRETCHES = (0, 1)

SETTINGS = {"trials = 12": "trials = 2", "seconds = 60": "seconds = 20", "nights = 21": "nights = 35"}


def rows(*, quick: bool) -> list[Row]:
    """The table's lines."""
    nights = 60 if quick else 365
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        company(home, nights)
        with ProcessPoolExecutor(len(STRETCHES)) as pool:
            found = list(pool.map(partial(looked_at, home, nights), STRETCHES))
    return told(found, nights)


@dataclass
class Counted:
    """Which arms asked for a training, night by night, and on how many nights what was so."""

    asked: dict[datetime, list[str]] = field(default_factory=dict)
    moved: int = 0
    untold: int = 0


def told(stretches: Sequence[Counted], nights: int) -> list[Row]:
    """The lines of a year that is over."""
    nightly = [asked for stretch in stretches for asked in stretch.asked.values()]
    fired = [name for asked in nightly for name in asked]
    return [
        Row(f"{nights} nights without change: trainings that drift asked for", float(fired.count("drift"))),
        Row(f"{nights} nights without change: trainings that a dip asked for", float(fired.count("performance"))),
        Row(
            f"{nights} nights without change: both",
            float(sum("drift" in asked or "performance" in asked for asked in nightly)),
            2,
            better="lower",
        ),
        Row(f"{nights} nights without change: trainings of age", float(fired.count("age"))),
        Row(
            f"{nights} nights without change: nights on which anything moved",
            float(sum(one.moved for one in stretches)),
        ),
        Row(
            f"{nights} nights without change: nights on which the dip could not be told",
            float(sum(one.untold for one in stretches)),
        ),
    ]


def company(home: Path, nights: int) -> None:
    """Export and load a company's `BEFORE` days and as many nights."""
    text = (ROOT / "shortlist.toml").read_text(encoding="utf-8")
    for ours, theirs in SETTINGS.items():
        text = text.replace(ours, theirs)
    (home / "shortlist.toml").write_text(text, encoding="utf-8")
    for stretch in STRETCHES:
        own = text.replace('state = "state"', f'state = "state-{stretch}"')
        (home / f"stretch-{stretch}.toml").write_text(own, encoding="utf-8")
    size = {"days": BEFORE + nights, "people": 500, "content": 600, "seed": 11, "end": f"{END - DAY:%Y-%m-%d}"}
    shortlist(home, "simulate", "--out", "exports", *(part for k, v in size.items() for part in (f"--{k}", str(v))))
    shortlist(home, "ingest", "--as-of", f"{END:%Y-%m-%d}")
    shutil.rmtree(home / "exports")


def looked_at(home: Path, nights: int, stretch: int) -> Counted:
    """Train the stretch's first model, and decide every night after it."""
    config = configuration.load(home / f"stretch-{stretch}.toml")
    lake, begun = Lake.of(config), [nights * one // len(STRETCHES) for one in (stretch, stretch + 1)]
    first, last = (END - (nights - one) * DAY for one in begun)
    archive = Archive.load(lake, config, last, history_days=2 * BEFORE + begun[1])
    archive.plan([first + back * DAY for back in range(-BEFORE, (last - first).days + 1)])
    found = Nights(archive, config, Tracker(lake.tracking, config.project.name), first)
    train.run(first, config)
    for back in range(1, (last - first).days + 1):
        found.decide(first + back * DAY)
    return found.counted


@dataclass
class Nights:
    """Nights decided one after the other."""

    archive: Archive
    config: Config
    tracker: Tracker
    trained: datetime
    counted: Counted = field(default_factory=Counted)
    _before: tuple[str, Mapping[str, float]] | None = None
    _nights: dict[datetime, NightFeatures] = field(default_factory=dict)
    _lists: dict[datetime, Rows] = field(default_factory=dict)
    _seen: dict[tuple[str, datetime], Seen] = field(default_factory=dict)

    def decide(self, as_of: datetime) -> None:
        """One night: what the arms say, and a training where one of them asks for it."""
        champion = registry.champion(self.tracker, as_of)
        if champion is None:
            raise SystemExit("the first model was refused; a year needs one")
        found = self._arms(champion, load_bundle(self.tracker, champion.version), as_of)
        fired = [arm["name"] for arm in found if arm["state"] == "fires"]
        if fired:
            self.counted.asked[as_of] = fired
            self.trained = as_of
            train.run(as_of, self.config)
        self._forget(as_of, champion.version)

    def _arms(self, champion: ModelVersion, bundle: Bundle, as_of: datetime) -> list[Arm]:
        nights = {
            "drift": compared_nights.for_drift(bundle, champion, as_of, self.config),
            "performance": compared_nights.for_performance(bundle, champion, as_of, self.config),
        }
        result, dips = None, ()
        if not nights["drift"].note:
            then, now = (
                [self._people(bundle, champion, night) for night in side]
                for side in (nights["drift"].reference, nights["drift"].current)
            )
            before = self._before[1] if self._before and self._before[0] == champion.version else {}
            result = drift_evidence.compared(then, now, bundle, before, self.config)
        if not nights["performance"].note:
            earlier, after = (
                [self._answered(bundle, night, nights["performance"]) for night in side]
                for side in (nights["performance"].reference, nights["performance"].current)
            )
            looks = performance_evidence.look(champion, as_of, self.config)
            dips = performance_evidence.compared(earlier, after, bundle, looks, self.config)
        known = retrain_arms.Known(
            as_of=as_of,
            champion=champion,
            predecessor=None,
            misfit=not fits(bundle, self.config),
            trained=self.trained,
            evidence=Evidence(result, {}, ()),
            drift_note=nights["drift"].note,
            performance=Performance(dips),
            performance_note=nights["performance"].note,
            labels_reach=check_drift.labels_reach(nights),
            matters=drift.matters(drift_evidence.importance(bundle)),
            refused=check_drift.refused(registry.versions(self.tracker), champion.as_of),
        )
        self._before = (champion.version, result.beyond_chance if result else {})
        self.counted.moved += bool(result and result.moved)
        found = retrain_arms.arms(known, self.config, asked=False)
        self.counted.untold += any(arm["state"] == "cannot tell" for arm in found)
        return found

    def _found(self, night: datetime) -> NightFeatures:
        if night not in self._nights:
            self._nights[night] = NightFeatures.of(self.archive.night(night), self.config)
        return self._nights[night]

    def _outcome(self, night: datetime) -> Rows:
        if night not in self._lists:
            people = self.config.retrain.dip_people
            self._lists[night] = lists_of(self.archive, self._found(night), self.config, people)
        return self._lists[night]

    def _answered(self, bundle: Bundle, night: datetime, nights: ComparedNights) -> Answered:
        return performance_evidence.answers(night, self._outcome(night), bundle, None, nights, self.config).champion

    def _people(self, bundle: Bundle, champion: ModelVersion, night: datetime) -> Seen:
        key = (champion.version, night)
        if key not in self._seen:
            log_days = (night - self.archive.first_ts()) / DAY
            self._seen[key] = Seen.of(self._found(night), bundle, self.config, log_days)
        return self._seen[key]

    def _forget(self, as_of: datetime, champion: str) -> None:
        """What no later night will ask for is kept no longer."""
        self._nights = {night: kept for night, kept in self._nights.items() if night >= as_of - 6 * DAY}
        self._lists = {night: kept for night, kept in self._lists.items() if night >= as_of - 2 * BEFORE * DAY}
        self._seen = {key: kept for key, kept in self._seen.items() if key[0] == champion}
