"""What only older versions of the lake's tables need, and how it goes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from deltalake import DeltaTable

from pipeline.lake import NO_STATISTICS, Lake

_LOG_KEPT = "delta.logRetentionDuration"


def vacuum(lake: Lake, keep: timedelta) -> dict[str, int]:
    """Delete files older than `keep` that no version younger than it needs; returns how many a table."""
    hours = int(keep.total_seconds() // 3600)
    return {name: _vacuum(lake, name, hours) for name in lake.tables()}


def erase(lake: Lake) -> dict[str, int]:
    """Delete all that only older versions need: files, those that no version names, and the logs themselves.

    Returns how many data files, by table (only those that lost any). Nobody can read an older version afterwards,
    or go on with one. Adoptions wait: files of theirs that no version names yet would be gone. No night may be
    written meanwhile.
    """
    removed = {name: _erase(lake, name) for name in lake.tables()}
    return {name: files for name, files in removed.items() if files}


def _erase(lake: Lake, table: str) -> int:
    with lake.changing(table):
        before = len(_data_files(lake, table))
        _vacuum(lake, table, 0)
        _erase_log(lake, table)
        return before - len(_data_files(lake, table))


def _data_files(lake: Lake, table: str) -> list[Path]:
    return [path for path in lake.path(table).rglob("*.parquet") if "_delta_log" not in path.parts]


def _vacuum(lake: Lake, table: str, hours: int) -> int:
    """`full`: what a crash left, no version ever named."""
    with lake.open_for_writing(table) as path:
        return len(DeltaTable(path).vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True))


def _erase_log(lake: Lake, table: str) -> None:
    """Keep nothing of the log but its newest state. Logs of tables of old hold least and greatest ids."""
    with lake.open_for_writing(table) as path:
        found = DeltaTable(path)
        found.alter.set_table_properties({**NO_STATISTICS, _LOG_KEPT: "interval 0 seconds"})
        found.create_checkpoint()
        found.cleanup_metadata()
        found.alter.set_table_properties({_LOG_KEPT: "interval 30 days"})
