"""What is kept about a training, a night and a model, and where: plain data, and the forms it is written down in."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipeline.errors import ShortlistError

_SHA = "sha256."
_MODEL_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\.(ubj|json)")


@dataclass(frozen=True)
class Tracker:
    """Where one project's MLflow lives. The folder is made at first use."""

    folder: Path
    project: str
    lock_seconds: float = 120.0
    """How long to wait for another process that is writing."""

    @property
    def model_name(self) -> str:
        """The one registered model of the project."""
        return f"{self.project}-ranker"

    @property
    def uri(self) -> str:
        """What MLflow calls the tracking URI."""
        return f"sqlite:///{self._database}"

    @property
    def _database(self) -> Path:
        return self.folder.resolve() / "mlflow.db"

    @property
    def exists(self) -> bool:
        """Whether anything was ever recorded here."""
        return self._database.exists()

    def artifacts(self, run_id: str) -> Path:
        """The folder of one run's files: found by the run's id, not by the address in MLflow, so it may be moved."""
        return self.folder.resolve() / "artifacts" / run_id / "artifacts"


@dataclass(frozen=True)
class Trial:
    """One set of parameters that was tried for one goal; `value` is None where it ended without one."""

    goal: str
    number: int
    params: Mapping[str, Any]
    value: float | None
    state: str
    """Optuna's word: COMPLETE, PRUNED or FAIL."""
    seconds: float


@dataclass(frozen=True)
class Signature:
    """What a model reads (a float32 a feature, missing allowed) and what it answers (a double each), in order."""

    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()


@dataclass(frozen=True)
class TrainingRecord:
    """Everything that is kept about one training, as plain data.

    `metrics` are named `<goal>.<metric>[.<baseline>]` or `<metric>[.<baseline>]`; `curves` are values by round;
    `lake_versions` are Delta versions by table; `files` is the model (UBJ and JSON only), `pictures` (file name to
    bytes) and `tables` (written as CSV) go beside it; `html` is the report; `seconds` is how long the training took.
    """

    as_of: datetime
    goals: Sequence[str]
    files: Mapping[str, bytes]
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    trials: Sequence[Trial] = ()
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    lake_versions: Mapping[str, int] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    html: str = ""
    description: str = ""
    """Shown at the top of the model version, and of the run where it has no card."""
    card: str = ""
    """Markdown; shown at the top of the run."""
    signature: Signature = field(default_factory=Signature)
    seconds: float = 0.0


@dataclass(frozen=True)
class ModelVersion:
    """One registered model: its number, the instant it was trained for, its run, and the folder of that run's files."""

    version: str
    as_of: datetime
    run_id: str
    folder: Path
    promoted: bool
    sha256: Mapping[str, str]
    reason: str = ""
    """Why it was promoted, or was not."""

    @property
    def report(self) -> Path:
        """The page about its training."""
        return self.folder / "index.html"


@dataclass(frozen=True)
class Grade:
    """How the table published for `as_of` did, in one unit (`ndcg_10.people`, `ndcg_10.most_popular`, `coverage` …)."""

    as_of: datetime
    metric: str
    value: float


def require_model_files(names: Iterable[str]) -> None:
    """Raise ShortlistError unless every name is a plain one of a UBJ or JSON file (no folder), and there is one."""
    names = list(names)
    bad = [name for name in names if not _MODEL_FILE.fullmatch(name)]
    if bad or not names:
        found = ", ".join(repr(name) for name in bad) or "no file at all"
        raise ShortlistError(f"a model consists of plainly named .ubj and .json files; found {found}. Train it again")


def checked_bytes(version: ModelVersion, name: str, sha256: str) -> bytes:
    """One file of a model. Raises ShortlistError naming it when it is missing or is not what was recorded."""
    path = version.folder / "model" / name
    if not path.is_file():
        raise ShortlistError(
            f"model version {version.version}: {path} is missing. Restore it from a backup or train again"
        )
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ShortlistError(
            f"model version {version.version}: {path} has sha256 {found[:12]}…, but {sha256[:12]}… was recorded at "
            "training. It is not loaded; restore it from a backup or train again"
        )
    return content


def training_files(training: TrainingRecord) -> dict[str, bytes]:
    """Every file by its path below the run: the report at the top, then `model`, `pictures`, `tables`."""
    return {
        "index.html": training.html.encode(),
        **{f"model/{name}": content for name, content in training.files.items()},
        **signature_file(training),
        **{f"pictures/{name}": content for name, content in training.pictures.items()},
        **{f"tables/{name}.csv": csv_bytes(table) for name, table in training.tables.items()},
    }


def signature_file(training: TrainingRecord) -> dict[str, bytes]:
    """`model/MLmodel`, in which MLflow's pages look for the schema. It names no flavor: MLflow can load nothing of it.

    JSON, which is YAML as well.
    """
    inputs = [{"type": "float", "name": name, "required": False} for name in training.signature.inputs]
    outputs = [{"type": "double", "name": name, "required": True} for name in training.signature.outputs]
    if not inputs:
        return {}
    signature = {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs), "params": None}
    content = {"artifact_path": "model", "flavors": {}, "signature": signature}
    return {"model/MLmodel": json.dumps(content, indent=1).encode()}


def training_tags(training: TrainingRecord) -> dict[str, str]:
    """What the run is searched by: `as_of`, `goals`, `lake.<table>` and the caller's own."""
    lake = {f"lake.{table}": str(version) for table, version in training.lake_versions.items()}
    given = {
        "as_of": iso(training.as_of),
        "goals": ",".join(training.goals),
        "mlflow.note.content": training.card or training.description,
    }
    return {**training.tags, **lake, **given}


def model_tags(training: TrainingRecord) -> dict[str, str]:
    """What a version is known by: `as_of`, `goals`, and the sha256 of each of its files."""
    digests = {_SHA + name: hashlib.sha256(content).hexdigest() for name, content in training.files.items()}
    return {"as_of": iso(training.as_of), "goals": ",".join(training.goals), **digests}


def sha256_by_file(tags: Mapping[str, str]) -> dict[str, str]:
    """What `model_tags` says of the files."""
    return {key.removeprefix(_SHA): value for key, value in sorted(tags.items()) if key.startswith(_SHA)}


def decision_files(record: Mapping[str, Any], html: str) -> dict[str, bytes]:
    """A decision as a machine and as a person reads it."""
    content = json.dumps(json_ready(record), indent=2, ensure_ascii=False, allow_nan=False)
    return {"decision.json": content.encode(), "decision.html": html.encode()}


def psi(record: Mapping[str, Any]) -> dict[str, float]:
    """`psi.<feature>` of every feature of a decision that has one."""
    found = {metric_name(f"psi.{feature['name']}"): feature.get("psi") for feature in record.get("features", ())}
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def changes(known: Mapping[str, float], wanted: Mapping[str, float]) -> dict[str, float]:
    """The entries of `wanted` that `known` has not, or has with another value; NaN is NaN."""
    return {name: value for name, value in wanted.items() if not _same(known.get(name), value)}


def _same(one: float | None, other: float) -> bool:
    return one is not None and (one == other or (math.isnan(one) and math.isnan(other)))


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write each under its path below `folder`, making folders as needed."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def csv_bytes(table: pa.Table) -> bytes:
    """The table as CSV. A cell that begins like a formula gets a quote before it (OWASP, CSV injection)."""
    for index, column in enumerate(table.schema):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            safe = pc.replace_substring_regex(table[column.name], r"^([=+\-@\t\r])", r"'\1")
            table = table.set_column(index, column.name, safe)
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def flat_params(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `section.key`, which is how `shortlist.toml` names them."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flat_params(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return flat


def json_ready(value: Any) -> Any:
    """The same value with instants as text and without NaN and infinity, which JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): json_ready(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def utc(as_of: datetime) -> datetime:
    """The instant in UTC. Raises ShortlistError for one without a time zone."""
    if as_of.tzinfo is None:
        raise ShortlistError(f"as_of {as_of.isoformat()} has no time zone; give one, for instance +00:00")
    return as_of.astimezone(UTC)


def iso(as_of: datetime) -> str:
    """The instant as `2026-11-23T00:00:00+00:00`: one text an instant, whatever its time zone was."""
    return utc(as_of).isoformat()


def short(as_of: datetime) -> str:
    """The instant as people read it: `2026-11-23 00:00` (UTC)."""
    return f"{utc(as_of):%Y-%m-%d %H:%M}"


def hour(as_of: datetime) -> int:
    """Whole hours since 1970 UTC: different for every snapshot, as the shortest cadence is an hour."""
    return (utc(as_of) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(hours=1)


def metric_name(name: str) -> str:
    """The name with `_` for what MLflow refuses (not a letter, digit, `_-.:/` or space), cut to 250 characters."""
    return re.sub(r"[^\w\-.:/ ]", "_", name, flags=re.ASCII)[:250]
