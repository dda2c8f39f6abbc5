"""CURRENT names an older snapshot again, until the next publication."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from rich.console import Console

from pipeline import exports, snapshot, snapshot_names, stores, suppress
from pipeline.config import Config
from pipeline.lake import Lake
from pipeline.pseudonyms import Pseudonyms
from pipeline.report import Report

_NEXT = (
    "Readers who resolve CURRENT from now on read it. The next publication of this or a later instant lets CURRENT go "
    "forward again: if what was published last must not come back, mend its cause, or pause the schedule, before that."
)


@dataclass(frozen=True)
class RollbackReport(Report):
    """What served before (null where nothing did), and what serves now.

    `objecting` counts people who have a list in it although they object by now: they did not when it was published.
    `exports` are the formats in which it was written anew.
    """

    before: str | None
    now: str
    objecting: int
    exports: tuple[str, ...]


def run(as_of: datetime, config: Config, name: str) -> RollbackReport:
    """Let CURRENT name the snapshot that `name` begins; `as_of` is by when an objection counts.

    Raises:
        ShortlistError: There is no such snapshot, or it is not whole; CURRENT is as it was. Or a store did not follow,
            or an export failed: the message says that CURRENT names it all the same.
    """
    lake = Lake.of(config)
    chosen = snapshot_names.meant(lake.rankings, name)
    wishes = suppress.known_now(lake, as_of, config)
    ids = Pseudonyms.of(config) if len(wishes) else None  # first: without a key nothing is changed
    before = snapshot.rollback(lake.rankings, chosen)
    stores.follow(config, back=True)
    written = exports.update(config)
    return RollbackReport(before, chosen, _objecting(lake, chosen, wishes, ids) if ids else 0, written)


def _objecting(lake: Lake, name: str, wishes: pa.Array, ids: Pseudonyms) -> int:
    people = ds.dataset(snapshot_names.path_of(lake.rankings, name) / "people")
    listed = people.to_table(columns=["person_id", "id_type"], filter=pc.field("rank") == 1)
    return len(suppress.objecting(listed, wishes, ids))


def draw(report: RollbackReport, out: Console) -> None:
    """What served, what serves, and what comes next."""
    if report.before == report.now:
        out.print(f"{report.now} served already; nothing was changed.", markup=False, soft_wrap=True)
    else:
        out.print(f"before: {report.before or 'nothing served'}", markup=False, soft_wrap=True)
        out.print(f"now:    {report.now}", style="bold", markup=False, soft_wrap=True)
    if report.exports:
        out.print(f"written anew: the exports as {', '.join(report.exports)}", markup=False, soft_wrap=True)
    out.print(_NEXT, markup=False, soft_wrap=True)
    if report.objecting:
        out.print(
            f"{report.objecting:,} people in it object by now and are served again with it. "
            "Publish a night again as soon as you can: it leaves them out.",
            style="bold yellow",
            soft_wrap=True,
        )
