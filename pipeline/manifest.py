"""What one snapshot holds, written into it: `manifest.json`, its name, and whether the files still agree with it.

The name ends in a hash of everything that the manifest says, and the manifest holds a hash of every file: a snapshot
with another content has another name, and one that was tampered with no longer fits its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import contract
from pipeline.errors import ShortlistError

JSON: TypeAlias = "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"

FILE = "manifest.json"
SCHEMA_VERSION = 1
"""Of the published tables' form: raised when columns are added; they are never renamed."""

REQUIRED_FACTS = ("configuration_sha256", "lake_versions", "model_versions")
STAMP = "%Y-%m-%dT%H%M%SZ"
"""The form of the instant in a snapshot's name."""

NAME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{6}Z)-[0-9a-f]{8}")

_OWN = ("as_of", "contract_version", "counts_by_strategy", "files", "k", "name", "people", "schema", "schema_version")


def describe(
    folder: Path, tables: Mapping[str, pa.Schema], facts: Mapping[str, JSON], as_of: datetime
) -> dict[str, Any]:
    """The manifest of the files that lie in `folder`, which hold `tables`; `facts` are taken over as they are.

    Raises:
        ShortlistError: A fact is missing, is not JSON, or has the name of something that is computed here.
    """
    given = _checked(facts)
    k, strategies = _lists(folder / "people")
    content = {
        "as_of": as_of.isoformat(),
        "schema_version": SCHEMA_VERSION,
        "contract_version": contract.VERSION,
        "people": strategies.total(),
        "k": k,
        "counts_by_strategy": dict(sorted(strategies.items())),
        **given,
        "schema": {name: [{"name": f.name, "type": str(f.type)} for f in schema] for name, schema in tables.items()},
        "files": [_file(folder, path) for path in _files(folder)],
    }
    return {"name": f"{stamp(as_of)}-{_identity(content)}", **content}


def facts(manifest: Mapping[str, Any]) -> dict[str, JSON]:
    """What a manifest was told when it was made, as against what was computed."""
    return {key: value for key, value in manifest.items() if key not in _OWN}


def encode(manifest: Mapping[str, Any]) -> bytes:
    """The manifest as the bytes of its file."""
    return json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def load(snapshot: Path) -> dict[str, Any]:
    """The manifest of a snapshot.

    Raises:
        ShortlistError: There is none that can be read.
    """
    try:
        data = (snapshot / FILE).read_bytes()
    except OSError as error:
        raise _unreadable(snapshot, f"cannot be read ({error})") from error
    return decode(data, snapshot)


def decode(data: bytes, snapshot: object) -> dict[str, Any]:
    """The manifest in the bytes of its file, which is that of `snapshot`, wherever that lies.

    Raises:
        ShortlistError: They hold none.
    """
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise _unreadable(snapshot, f"cannot be read ({error})") from error
    if not isinstance(manifest, dict):
        raise _unreadable(snapshot, "is no JSON object")
    return manifest


def _unreadable(snapshot: object, why: str) -> ShortlistError:
    return ShortlistError(f"{snapshot}: {FILE} {why}. This is no whole snapshot; publish its night again.")


def parts(manifest: Mapping[str, Any], table: str) -> list[str]:
    """The paths, inside the snapshot, of one table's files, in the order of its rows."""
    return [file["path"] for file in manifest["files"] if file["path"].startswith(f"{table}/")]


def stamp(as_of: datetime) -> str:
    """The first part of the name of a snapshot for this instant, which is in UTC; it sorts by time."""
    return as_of.strftime(STAMP)


def instant(name: str) -> str:
    """The `stamp` in a snapshot's name.

    Raises:
        ShortlistError: That is no snapshot's name.
    """
    if not (match := NAME.fullmatch(name)):
        raise ShortlistError(f"{name!r} is no snapshot's name; one looks like 2026-11-23T000000Z-0a1b2c3d.")
    return match[1]


def utc(as_of: datetime) -> datetime:
    """`as_of` in UTC.

    Raises:
        ShortlistError: It has no time zone, or is no whole second: names could not keep two such instants apart.
    """
    if as_of.tzinfo is None or as_of.microsecond:
        raise ShortlistError(f"publish: as_of must be a whole second with a time zone, found {as_of.isoformat()}.")
    return as_of.astimezone(UTC)


def problems(snapshot: Path) -> list[str]:
    """What is wrong with a snapshot on disk: files missing, added, or changed, or a manifest that is not its own."""
    try:
        manifest = load(snapshot)
        return list(_problems(snapshot, manifest))
    except ShortlistError as error:
        return [str(error)]
    except (KeyError, TypeError) as error:
        return [f"{FILE}: not as we write it ({type(error).__name__}: {error})"]


def _problems(snapshot: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    yield from misnamed(manifest, snapshot.name)
    declared = {file["path"]: file for file in manifest["files"]}
    present = {path.relative_to(snapshot).as_posix() for path in _files(snapshot)}
    yield from (f"{path}: missing" for path in sorted(declared.keys() - present))
    yield from (f"{path}: not in the manifest" for path in sorted(present - declared.keys()))
    for path in sorted(declared.keys() & present):
        yield from _differences(declared[path], snapshot)


def misnamed(manifest: Mapping[str, Any], name: str) -> Iterator[str]:
    """Why a manifest is not that of the snapshot `name`, if it is not."""
    content = {key: value for key, value in manifest.items() if key != "name"}
    if manifest["name"] != name:
        yield f"{FILE}: names {manifest['name']}, but the folder is {name}"
    if not str(manifest["name"]).endswith(f"-{_identity(content)}"):
        yield f"{FILE}: does not fit its own name; it was changed after it was published"


def _differences(declared: Mapping[str, Any], snapshot: Path) -> Iterator[str]:
    path = snapshot / declared["path"]
    try:
        found = _file(snapshot, path)
    except (OSError, pa.ArrowInvalid) as error:
        yield f"{declared['path']}: cannot be read ({error})"
        return
    for fact in ("bytes", "sha256", "rows"):
        if found[fact] != declared[fact]:
            yield f"{declared['path']}: {fact} is {found[fact]}, the manifest says {declared[fact]}"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path != folder / FILE and not path.is_dir())


def _file(folder: Path, path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else None
    return {"path": path.relative_to(folder).as_posix(), "sha256": digest, "bytes": path.stat().st_size, "rows": rows}


def _lists(people: Path) -> tuple[int, Counter[str]]:
    """The last rank there is, and how many people's lists were made by each strategy.

    One row of rank 1 a person: the audit has yet to prove it, and refuses the snapshot where it is not so.
    """
    last, strategies = 0, Counter[str]()
    for part in sorted(people.iterdir()):
        file = pq.ParquetFile(part, read_dictionary=["strategy"])
        for rows in file.iter_batches(columns=["rank", "strategy"]):
            last = max(last, pc.max(rows["rank"]).as_py())
            first = rows["strategy"].filter(pc.equal(rows["rank"], 1))
            strategies.update({one["values"]: one["counts"] for one in first.value_counts().to_pylist()})
    return last, strategies


def _identity(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    return hashlib.sha256(canonical).hexdigest()[:8]


def _checked(facts: Mapping[str, JSON]) -> dict[str, Any]:
    missing = [name for name in REQUIRED_FACTS if name not in facts]
    taken = [name for name in _OWN if name in facts]
    if missing or taken:
        raise ShortlistError(
            f"publish: the facts for the manifest lack {', '.join(missing) or 'nothing'}; "
            f"{', '.join(taken) or 'none of them'} would overwrite what is computed. Give exactly the others."
        )
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(facts), allow_nan=False))  # as a reader will find them
    except (TypeError, ValueError) as error:
        raise ShortlistError(f"publish: a fact for the manifest is not JSON: {error}. Give plain values.") from error
    return plain
