"""What the drift check saw of a past night is kept: the next night looks at two nights anew, not at all of them.

A night is the same whenever it is cut from the lake, so what was seen of it holds as long as it would be made of the
same: the models that were asked, the configuration, this release, and every load that may hold a row of it. All that
goes into the file's name, so a file is right or is not found; those that a check has no use for are removed by it.

Whoever leaves the lake takes every file with them that they are in, by whichever id. What is left of them is what is
left of them in a model: candidates of others were learned from them, too.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import clock, disk, scratch
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import NIGHT, PURGED, Lake
from pipeline.persons import SLACK

if TYPE_CHECKING:
    from models.classifier import Bundle

Arrays = Mapping[str, NDArray[Any]]
"""By name; those that say whom something is about are called PEOPLE, or end in it."""

PEOPLE = "people"

_LAYOUT = 1
"""Raise it when the same release sees something else of the same night."""
_TOLD = ("events", "transactions", "popularity", "identities")
"""Tables of which a load may hold rows that were known before its day was over."""
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class Looks:
    """What is kept of past nights for these models and this configuration, in files below `lake.looks`."""

    lake: Lake
    config: Config
    made_of: str
    _used: set[str] = field(default_factory=set)
    _known: dict[tuple[str, date], datetime] = field(default_factory=dict)

    @classmethod
    def of(cls, lake: Lake, config: Config, bundles: Iterable[Bundle]) -> Looks:
        """For what these models say."""
        models = [bundle.sha256 for bundle in bundles]
        return cls(lake, config, _digest([_LAYOUT, metadata.version("shortlist"), config.sha256, models]))

    def read(self, night: datetime, until: datetime, what: object) -> Arrays | None:
        """What was seen of a night, made of rows that were known before `until`; None: nobody looked, or it changed.

        `what` tells apart what else it depends on, and has to be JSON. Raises ShortlistError naming a damaged file.
        """
        file = self._file(night, until, what)
        return _arrays(file) if file.exists() else None

    def keep(self, night: datetime, until: datetime, what: object, seen: Arrays) -> None:
        """Keep it: whole, or not at all."""
        file, arrays = self._file(night, until, what), dict[str, Any](seen)
        self.lake.looks.mkdir(parents=True, exist_ok=True, mode=0o700)
        with scratch.folder_in(self.lake.scratch) as folder:
            disk.write(folder / file.name, lambda out: np.savez(out, **arrays))
            disk.replace(folder / file.name, file)

    def forget_others(self) -> None:
        """Remove every file that was neither asked for nor kept."""
        for file in self.lake.looks.glob("*.npz"):
            if file.name not in self._used:
                file.unlink(missing_ok=True)

    def _file(self, night: datetime, until: datetime, what: object) -> Path:
        name = f"{night.strftime(NIGHT)}-{_digest([self.made_of, self._loaded(until), what])}.npz"
        self._used.add(name)
        return self.lake.looks / name

    def _loaded(self, until: datetime) -> list[list[str]]:
        """Every load that may hold a row that was known before an instant."""
        over, last = clock.last_finished_day(until, self.config), (until + SLACK).date()
        return [
            [source, f"{day}", proof]
            for source, day, proof in self._loads
            if day <= over or (day <= last and self._first_known(source, day) < until)
        ]

    @cached_property
    def _loads(self) -> list[tuple[str, date, str]]:
        rows = self.lake.read("loads", columns=["source", "day", "sha256"]).to_pylist()
        return sorted((row["source"], row["day"], row["sha256"]) for row in rows if row["source"] != PURGED)

    def _first_known(self, source: str, day: date) -> datetime:
        """When the first row of a load could be known, or before that."""
        if (source, day) not in self._known:
            rows = (self.lake.read(table, columns=["available_at"], source=source, days=[day]) for table in _TOLD)
            firsts = (pc.min(one["available_at"]).as_py() for one in rows if one.num_rows)
            self._known[source, day] = min(firsts, default=_NEVER)
        return self._known[source, day]


def below(prefix: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Those whose names begin with `prefix` and a slash, by the rest of their names."""
    start = f"{prefix}/"
    return {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}


def under(prefix: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """The same arrays by names that begin with `prefix` and a slash."""
    return {f"{prefix}/{name}": values for name, values in arrays.items()}


def remove_those_with(lake: Lake, people: pa.Array) -> None:
    """Remove everything that was seen of these people, also while they were taken for somebody else."""
    files = list(lake.looks.glob("*.npz"))
    if not files:
        return
    known = np.asarray(_linked(lake, people))
    for file in files:
        about = [values for name, values in _arrays(file).items() if name.rpartition("/")[2] == PEOPLE]
        if any(np.isin(values, known).any() for values in about):
            file.unlink(missing_ok=True)


def remove_all(lake: Lake) -> None:
    """Remove everything: the next check looks at every night anew."""
    disk.remove(lake.looks)


def _linked(lake: Lake, people: pa.Array) -> pa.Array:
    """These ids, and all that were ever linked to one of them: a row may have counted as another's."""
    links = lake.read("identities", columns=["id", "other_id"])
    theirs = pc.or_(*(pc.is_in(links[name], value_set=people) for name in ("id", "other_id")))
    linked = links.filter(pc.fill_null(theirs, fill_value=False))
    return pc.unique(pa.chunked_array([people, *linked["id"].chunks, *linked["other_id"].chunks])).drop_null()


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as found:
            return dict(found.items())
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ShortlistError(
            f"{file} cannot be read ({error}): it was changed after it was written. Remove it and run the night again: "
            "what it held of that night is made anew."
        ) from error


def _digest(said: object) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:24]
