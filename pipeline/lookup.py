"""What a training's rows do not say of themselves, looked up in the lake: a content's title, a person's country."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.night import Archive

UNKNOWN = "unknown"
_CATALOGUE_DAYS = 8
"""How long before the first night a catalogue may have been exported that is still looked at."""


class Content(NamedTuple):
    """A content as people know it; what the catalogue does not say is empty."""

    content_id: str
    title: str = ""
    category: str = ""


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

    def content(self, night: datetime, content_id: str) -> Content:
        """What the night's catalogue said of a content: only its id, where that is nothing."""
        catalogue = self._catalogue(night)
        found = catalogue.filter(pc.equal(catalogue["content_id"], content_id)).to_pylist()
        row = found[0] if found else {"title": None, "category": None}
        return Content(content_id, row["title"] or "", row["category"] or "")

    def _catalogue(self, night: datetime) -> pa.Table:
        """The catalogue as of the night; nobody's log is needed for it."""
        tables = ("events", "transactions", "popularity", "identities", "customers", "suppressions")
        return replace(self.archive, **{name: getattr(self.archive, name)[:0] for name in tables}).night(night).content
