"""What a training's rows do not say of themselves, looked up in the lake: their night, their content, their country.

Rows are numbers. Only few of them are ever shown to people, so these few are recognised afterwards: a content by its
age and quality on the night, to the last bit, and only where no other content of the night has the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.history import DAY
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.night import Archive

UNKNOWN = "unknown"
_CATALOGUE_DAYS = 8
"""How long before the first night a catalogue may have been exported that is still looked at."""


class Content(NamedTuple):
    """A content as people know it; the title is empty where the catalogue has none."""

    content_id: str
    title: str
    category: str


@dataclass(frozen=True)
class Lookup:
    """What the lake knows around these nights, and no more: few days of events, and the catalogue."""

    archive: Archive
    nights: Sequence[datetime]

    @classmethod
    def of(cls, lake: Lake, config: Config, as_of: datetime, nights: Sequence[datetime]) -> Lookup | None:
        """None where those days hold nothing."""
        days = (as_of - nights[0]).days + _CATALOGUE_DAYS
        try:
            return cls(Archive.load(lake, config, as_of, days), nights)
        except ShortlistError:
            return None

    def countries(self, people: NDArray[np.int64]) -> NDArray[np.object_]:
        """Where each of the rows' people (N,) was seen last since the first night, or "unknown"."""
        log = self.archive.outcome(self.nights[0], self.archive.until - self.nights[0])
        known = log.filter(pc.is_valid(log["country"]))
        if not known.num_rows:
            return np.full(len(people), UNKNOWN, object)
        last = known.group_by("person_id", use_threads=False).aggregate([("country", "last")])  # in order of time
        ids = np.asarray(last["person_id"].combine_chunks())
        names = np.array(last["country_last"].to_pylist(), object)
        order = np.argsort(ids)
        at = order[np.minimum(np.searchsorted(ids, people, sorter=order), len(ids) - 1)]
        return np.where(ids[at] == people, names[at], UNKNOWN)

    def content(self, night: datetime, age_days: float, quality: float) -> Content | None:
        """The one content of the night that is as old and as good (float32 both); None where it is none, or several."""
        catalogue = self._catalogue(night)
        instant = int(pa.scalar(night, pa.timestamp("us", tz="UTC")).cast(pa.int64()).as_py())
        born = np.asarray(pc.fill_null(catalogue["published_at"].cast(pa.int64()), 0)).astype(np.int64)
        ages = ((instant - born) / DAY).astype(np.float32)
        good = np.asarray(catalogue["quality"].cast(pa.float32()).fill_null(np.nan))
        same = (good == np.float32(quality)) | (np.isnan(good) & np.isnan(quality))
        found = np.flatnonzero((ages == np.float32(age_days)) & same & (born != 0))
        if len(found) != 1:
            return None
        row = catalogue.slice(int(found[0]), 1).to_pylist()[0]
        return Content(row["content_id"], row["title"] or "", row["category"] or "")

    def _catalogue(self, night: datetime) -> pa.Table:
        """The catalogue as of the night; nobody's log is needed for it."""
        tables = ("events", "transactions", "popularity", "identities", "customers", "suppressions")
        return replace(self.archive, **{name: getattr(self.archive, name)[:0] for name in tables}).night(night).content


def nights_of(people: NDArray[np.int64], nights: Sequence[datetime]) -> list[datetime] | None:
    """The night of each row (N,), of rows sorted by night and then by person; None where it cannot be told.

    Where a smaller person follows a larger one, a night begins: so it is known that there are at least as many nights,
    and where that is all of them, it is known where each begins.
    """
    begins = np.r_[False, people[1:] < people[:-1]][: len(people)]
    if int(begins.sum()) != len(nights) - 1:
        return None
    return [nights[place] for place in np.cumsum(begins)]
