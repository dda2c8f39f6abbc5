"""The snapshot that serves once more, in each format of `publish.also`, for systems that do not read Parquet.

    published/exports/<format>/     see `text_exports` and `delta_exports`
    published/exports/.aside-*      work in progress; whoever holds the lock removes what a crash left

What an export holds follows from two snapshots: the one that CURRENT names, and the one before it, since which
`changes` are. `update` makes all exports those of the two as they are now, and changes nothing where they are: after
every step that swings CURRENT or rewrites a snapshot it is called, however that ends, and again when it was cut off.
An export holds nothing of any other snapshot. So whoever is out of the snapshots is out of the exports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
from deltalake.exceptions import DeltaError

from pipeline import delta_exports, disk, pointer, snapshot, text_exports
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.export_tables import Origin
from pipeline.lake import Lake

PATIENCE_SECONDS = 600.0
"""How long one waits for another's exports, all of which are written under the lock."""

FORMATS: Mapping[str, Callable[[Path, Path, Origin], bool]] = {
    "csv": partial(text_exports.write, form="csv"),
    "jsonl": partial(text_exports.write, form="jsonl"),
    "delta": delta_exports.write,
}
_LOCK = ".lock"
_ASIDE = ".aside-"


def update(config: Config) -> tuple[str, ...]:
    """Make every export that of the snapshot that serves; returns the formats that were written anew.

    Exports in formats that are not asked for any more are removed first. Snapshots are only read.

    Raises:
        ShortlistError: An export cannot be written: it is as it was, and so is CURRENT. The same again goes on.
    """
    lake = Lake.of(config)
    tidy(config)
    return tuple(form for form in _wanted(config, lake) if _write(lake, form))


def tidy(config: Config) -> tuple[str, ...]:
    """Remove exports in formats that are not asked for any more, and leftovers; returns the formats.

    Where nothing serves none is asked for.

    Raises:
        ShortlistError: They cannot be removed.
    """
    lake = Lake.of(config)
    if not lake.exports.is_dir():
        return ()
    with _alone(lake, "removing old exports") as root:
        for left in sorted(root.glob(f"{_ASIDE}*")):
            disk.remove(left)
        dropped = tuple(form for form in FORMATS if form not in _wanted(config, lake) and (root / form).is_dir())
        for form in dropped:
            disk.rename(root / form, _aside(root, form))  # out of sight first, as a whole
            disk.sync_folder(root)
            disk.remove(_aside(root, form))
    return dropped


def _wanted(config: Config, lake: Lake) -> tuple[str, ...]:
    serves = (lake.rankings / pointer.FILE).exists()
    return tuple(form for form in FORMATS if serves and form in config.publish.also)


def _write(lake: Lake, form: str) -> bool:
    with _alone(lake, f"exporting what serves as {form}") as root:
        disk.remove(_aside(root, form))
        return FORMATS[form](root / form, _aside(root, form), Origin.serving(lake.rankings))


def _aside(root: Path, form: str) -> Path:
    return root / f"{_ASIDE}{form}"


@contextmanager
def _alone(lake: Lake, doing: str) -> Iterator[Path]:
    """Nobody else writes exports meanwhile: CURRENT is read in here, so whoever comes last exports what serves last.

    What goes wrong becomes one message that says what serves all the same, and what to do.
    """
    root = lake.exports
    try:
        disk.make_folder(root)
        disk.sync_folder(root.parent)
        with disk.locked(root / _LOCK, PATIENCE_SECONDS):
            yield root
    except (ShortlistError, OSError, DeltaError, pa.ArrowException) as error:
        what = str(error).splitlines()[0].rstrip(".")  # Delta's go on with where in its own code that was
        remedy = disk.remedy(error) if isinstance(error, OSError) else "Repair that (an export may be deleted)"
        raise ShortlistError(
            f"{root}: {doing} failed: {what}. {snapshot.what_serves(lake.rankings)} It is published "
            "and stays so; exports may still be of what served before, or be missing. "
            f"{remedy}, then run the same command again: it writes those that are not there yet."
        ) from error
