"""Why exports were not let in, kept until they are: a small file a (source, day) in the state folder."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import disk
from pipeline.errors import in_words
from pipeline.lake import Lake


@contextmanager
def kept(lake: Lake, label: str) -> Iterator[None]:
    """Keep what a load of the export `label` says when it fails; forget it when one does not."""
    note = _note(lake, label)
    try:
        yield
    except Exception as error:
        _write(note, in_words(error))
        raise
    disk.remove(note)


def said(lake: Lake, label: str) -> str | None:
    """What the last load of the export `label` failed with; None where it did not fail."""
    note = _note(lake, label)
    return note.read_text(encoding="utf-8") if note.is_file() else None


def _note(lake: Lake, label: str) -> Path:
    return lake.refusals / f"{label.replace(' ', '@')}.txt"


def _write(note: Path, text: str) -> None:
    """Whole or not at all. A disk that takes no note is no reason to hide the error that the note is about."""
    unfinished = note.with_name(f".{uuid.uuid4().hex}")
    try:
        disk.make_folder(note.parent)
        disk.write(unfinished, lambda file: file.write(text.encode()))
        disk.replace(unfinished, note)
    except OSError:
        unfinished.unlink(missing_ok=True)
