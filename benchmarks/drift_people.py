"""Whose features drift checks are tried on: people of two real logs and of the simulated world, on three nights each.

Exports are loaded with the commands and configurations of the guides, and features are what the nightly run computes of
them. Windows are drawn from the people, with all their rows: so nothing changed, and rows of a person resemble each
other as they do in life.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import shortlist
from features import crm, rfm, spec
from pipeline import config as configuration
from pipeline.build_features import NightFeatures
from pipeline.lake import Lake
from pipeline.night import Archive

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
GUIDES = {"deskdrop": "your-own-clickstream.md", "completejourney": "crm-and-transactions.md"}
NIGHTS = {
    "deskdrop": datetime(2016, 9, 14, tzinfo=UTC),
    "completejourney": datetime(2017, 11, 15, tzinfo=UTC),
    "the simulated world": datetime(2026, 6, 15, tzinfo=UTC),
}
ROWS = 3
"""Nights on end, so rows a person."""

LAG = timedelta(days=7)

Ints = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class People:
    """Features of P people on `ROWS` nights on end (P, ROWS, F), and of the same a week before, as further features."""

    values: NDArray[np.float32]
    names: tuple[str, ...]

    def window(self, chosen: Ints, features: Ints) -> Values:
        """The rows of `chosen` people (n * ROWS, F), a person's one after the other."""
        return self.values[np.ix_(chosen, np.arange(ROWS), features)].reshape(-1, len(features)).astype(np.float64)

    @classmethod
    def of(cls, source: str) -> People:
        """Of a source in `NIGHTS`."""
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            _ingested(source, home)
            return cls._read(home, NIGHTS[source])

    @classmethod
    def _read(cls, home: Path, night: datetime) -> People:
        config = configuration.load(home / "shortlist.toml")
        lake = Lake.of(config)
        nights = [night - back * timedelta(days=1) - lag for lag in (LAG, timedelta(0)) for back in range(ROWS)[::-1]]
        archive = Archive.load(lake, config, night)
        archive.plan(sorted(nights))
        found = {one: NightFeatures.of(archive.night(one), config) for one in sorted(nights)}
        people = np.sort(found[min(nights)].history.people)
        goals, cuts = tuple(config.goals), rfm.cut_points([one.people for one in found.values()])
        vocabulary = crm.vocabulary([one.crm(people) for one in found.values()])
        rows = [
            one.person_matrix(goals, cuts, vocabulary)[np.searchsorted(one.history.people, people)]
            for one in (found[night] for night in nights)
        ]
        names = spec.names(goals, "person", vocabulary.attributes)
        values = np.concatenate([np.stack(rows[:ROWS], 1), np.stack(rows[ROWS:], 1)], axis=2)
        told = np.array(
            [len(np.unique(column[~np.isnan(column)])) > 1 for column in values.reshape(-1, values.shape[2]).T]
        )
        both = np.array([*(f"{name}, a week before" for name in names), *names])
        return cls(values[:, :, told], tuple(both[told]))


def _ingested(source: str, home: Path) -> None:
    night = f"{NIGHTS[source]:%Y-%m-%d}"
    if source in GUIDES:
        text = (ROOT / "docs" / "guides" / GUIDES[source]).read_text(encoding="utf-8")
        (found,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        (home / "shortlist.toml").write_text(found, encoding="utf-8")
        (home / "exports").symlink_to(DATA / source)
    else:
        shutil.copy(ROOT / "shortlist.toml", home)
        size: Sequence[str] = ("--days", "30", "--people", "2000", "--content", "300", "--seed", "7", "--end")
        shortlist(home, "simulate", "--out", "exports", *size, "2026-06-30")
    shortlist(home, "ingest", "--as-of", night)
