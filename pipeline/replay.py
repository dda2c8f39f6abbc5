"""What would have come of past nights: each rebuilt with only what was known then, ranked, and graded beside rivals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models import contenders, listing
from models.contenders import BLEND, CONTENDERS, Contender, Knobs
from models.engagement import Ints
from pipeline import apply_rules, identify, replay_summary
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.lists import Placed, joined, placed
from pipeline.night import Archive
from pipeline.open_night import OpenNight
from pipeline.replay_summary import NightGrade, ReplayReport
from pipeline.reports.replay import OURS
from pipeline.retraining import Retraining
from pipeline.score import segments

TUNING_NIGHTS = 14
"""Nights before the first replayed one on which the rivals' settings are chosen."""

_DAY = timedelta(days=1)


def run(
    first: datetime,
    last: datetime,
    config: Config,
    *,
    out: Path | None = None,
    on_night: Callable[[str, int, int], None] | None = None,
) -> ReplayReport:
    """Replay every night from `first` to `last`, a cadence apart, both included; write each one's lists to `out`.

    Nothing is published and no model is registered: the lake stays as it is. A report is kept in MLflow.

    Raises:
        ShortlistError: The lake ends before the last night does, or nobody could be graded.
    """
    started, lake, step = time.monotonic(), Lake.of(config), config.project.step
    if last < first:
        raise ShortlistError(f"--from {first.isoformat()} lies after --to {last.isoformat()}; swap them.")
    nights = [first + i * step for i in range(int((last - first) / step) + 1)]
    replay = _Replay(_archive(lake, config, first, last), config, lake, out, on_night or (lambda what, done, of: None))
    knobs = replay.tuned(first)
    grades = list(replay.graded(nights, knobs))
    if not grades:
        raise ShortlistError(
            f"nothing to grade between {first.isoformat()} and {last.isoformat()}: nobody whom those nights knew "
            "reached a goal with content that they could have listed. Look at the goals, and at what days the lake has."
        )
    return replay_summary.run(grades, nights, knobs, config, lake, time.monotonic() - started)


def _archive(lake: Lake, config: Config, first: datetime, last: datetime) -> Archive:
    """All that any of the nights may look at."""
    until = last + _window(config)
    days = (until - first).days + config.training.nights + config.training.history_days + TUNING_NIGHTS
    archive = Archive.load(lake, config, until, days)
    if (known := archive.last_ts()) < last:
        raise ShortlistError(
            f"the lake knows of nothing after {known.isoformat()}, so the night {last.isoformat()} cannot be graded: "
            f"its outcome takes until {until.isoformat()}. Choose an earlier --to, or ingest what came after."
        )
    return archive


def _window(config: Config) -> timedelta:
    """How long a table is graded for: the longest horizon; at a faster cadence than a day, until the next table."""
    return config.project.step if config.project.step < _DAY else config.outcome_after


@dataclass(frozen=True)
class _Replay:
    """What all nights of one replay share."""

    archive: Archive
    config: Config
    lake: Lake
    out: Path | None
    told: Callable[[str, int, int], None]

    def tuned(self, first: datetime) -> dict[str, Knobs]:
        """Each rival's best settings by NDCG@10 on the last nights whose outcome is known at the first one."""
        newest = first - max(_window(self.config), _DAY)
        every = [newest - i * _DAY for i in reversed(range(TUNING_NIGHTS))]
        nights = [night for night in every if night > self.archive.first_ts()]
        found, known = [], self.archive.known_at(first)
        self.archive.plan(nights)
        for done, night in enumerate(nights):
            self.told("tuning rivals", done, len(nights))
            one = self._open(NightFeatures.of(self.archive.night(night), self.config), known)
            if one is not None:
                found.append(one)
        chosen = {rival.name: _best(rival, found) for rival in CONTENDERS}
        chosen[BLEND] = _best(contenders.blend(chosen["gravity"], chosen["user_knn"]), found)
        return chosen

    def graded(self, nights: Sequence[datetime], knobs: Mapping[str, Knobs]) -> Iterator[NightGrade]:
        """Grade one night after the other; a night on which nobody can be graded is left out."""
        learning = Retraining(self.archive, self.config)
        self.archive.plan(learning.needs(nights))
        for done, night in enumerate(nights):
            self.told("replaying nights", done, len(nights))
            started = time.monotonic()
            trained = learning.decide(night)
            found = NightFeatures.of(self.archive.night(night), self.config)
            if not (night - nights[0]) % _DAY:
                learning.seen(found)
            if self.out is not None:
                self._write(found, learning, self.out)
            one = self._open(found, self.archive)
            if one is not None:
                yield self._grade(one, learning, knobs, trained, started)
        self.told("replaying nights", len(nights), len(nights))

    def _open(self, found: NightFeatures, archive: Archive) -> OpenNight | None:
        return OpenNight.of(found, archive, self.config, _window(self.config))

    def _grade(
        self, one: OpenNight, learning: Retraining, knobs: Mapping[str, Knobs], trained: str, started: float
    ) -> NightGrade:
        listed = _listed(one.found, learning, self.config, one.came)
        lists = {OURS: listing.of_pairs(one.people, listed.person, listed.content, listed.rank)}
        for rival in (*CONTENDERS, contenders.blend(knobs["gravity"], knobs["user_knn"])):
            lists[rival.name] = one.lists(rival.scores(one.engagement, knobs[rival.name]))
        return NightGrade(
            as_of=one.found.night.as_of,
            people=one.found.history.people[one.people],
            values={name: one.graded(some) for name, some in lists.items()},
            groups=one.groups(),
            wanted=int(one.wanted.nnz),
            readings=one.readings(self.archive, _window(self.config)),
            found=one.proposed(self.config),
            trained=trained,
            expected=listed.relevance,
            reached=one.reached(listed.person, listed.content),
            seconds=time.monotonic() - started,
        )

    def _write(self, found: NightFeatures, learning: Retraining, out: Path) -> None:
        """The night's lists of everybody who may be ranked, under their own ids."""
        native = identify.native_ids(self.lake, found.night.rankable(self.config))
        people = np.searchsorted(found.history.people, np.asarray(native["id"].combine_chunks()))
        listed = _listed(found, learning, self.config, people)
        at = pa.array(np.searchsorted(people, listed.person))
        table = pa.table(
            {
                "person_id": native["native_id"].take(at),
                "id_type": native["id_type"].take(at),
                "content_id": found.history.catalogue.ids.take(pa.array(listed.content)),
                "rank": pa.array(listed.rank, pa.int32()),
                "score": pa.array(listed.relevance),
            }
        )
        out.mkdir(parents=True, exist_ok=True)
        name = found.night.as_of.strftime("%Y-%m-%d" if self.config.project.step >= _DAY else "%Y-%m-%dT%H%M")
        partial_file = out / f".{name}.parquet.partial"
        pq.write_table(table, partial_file, compression="zstd")
        partial_file.replace(out / f"{name}.parquet")


def _best(rival: Contender, nights: Sequence[OpenNight]) -> Knobs:
    settings = list(rival.settings())
    if len(settings) == 1 or not nights:
        return settings[0]
    return max(settings, key=partial(_reached, rival, nights))


def _reached(rival: Contender, nights: Sequence[OpenNight], knobs: Knobs) -> float:
    values = [listing.measures(one.lists(rival.scores(one.engagement, knobs)), one.wanted)["ndcg_10"] for one in nights]
    return float(np.concatenate(values).mean())


def _listed(found: NightFeatures, learning: Retraining, config: Config, people: Ints) -> Placed:
    """What would have been published for these people."""
    rules = apply_rules.of_people(found, segments(found, learning.champion), config)
    return joined(list(placed(found, learning.champion, config, people, rules)))
