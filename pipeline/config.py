"""`shortlist.toml` as frozen, validated settings. Unknown keys are refused; relative paths are relative to the file."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from pipeline.errors import ConfigurationError
from pipeline.reason_settings import Reasons
from pipeline.rule_settings import Rule
from pipeline.sections import (
    DEFAULT_GOALS,
    Alerts,
    Drift,
    Engine,
    Goal,
    Housekeeping,
    Identity,
    Limits,
    Privacy,
    Project,
    Publish,
    Quality,
    Ranking,
    Retrain,
    Source,
    Training,
)
from pipeline.settings import Settings, complaints, nearest

CONFIG_ENV = "SHORTLIST_CONFIG"
DEVELOPMENT_KEY = "shortlist-development-key-not-for-production"


class Config(Settings):
    """Everything in `shortlist.toml`, with `file` as the place it came from."""

    file: Path
    project: Project = Project()
    sources: tuple[Source, ...] = ()
    goals: Mapping[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Goal] = Field(
        default_factory=lambda: dict(DEFAULT_GOALS)
    )
    ranking: Ranking = Ranking()
    rules: tuple[Rule, ...] = ()
    reasons: Reasons = Reasons()
    training: Training = Training()
    retrain: Retrain = Retrain()
    drift: Drift = Drift()
    quality: Quality = Quality()
    privacy: Privacy = Privacy()
    identity: Identity = Identity()
    engine: Engine = Engine()
    limits: Limits = Limits()
    publish: Publish = Publish()
    housekeeping: Housekeeping = Housekeeping()
    alerts: Alerts = Alerts()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Config:
        names = [s.name for s in self.sources]
        for name in {n for n in names if names.count(n) > 1}:
            raise ValueError(f"two sources are called {name!r}; give each its own name")
        rules = [rule.name for rule in self.rules]
        for name in sorted({n for n in rules if rules.count(n) > 1}):
            raise ValueError(f"two rules are called {name!r}; give each its own name")
        late = [rule for rule in self.rules if rule.action == "pin" and rule.place > self.ranking.k]
        for rule in late:
            raise ValueError(
                f"rule {rule.name!r} pins to place {rule.place}, but lists end at ranking.k = {self.ranking.k}"
            )
        return self

    def folder(self, name: str) -> Path:
        """A configured folder as an absolute path; relative ones lie beside the configuration."""
        return (self.file.parent / name).resolve()

    @property
    def suites(self) -> Path | None:
        """The folder of `quality.suites`."""
        return self.folder(self.quality.suites) if self.quality.suites else None

    @property
    def horizon(self) -> timedelta:
        """How long after a night the last of the goals can still be reached."""
        return max(goal.horizon for goal in self.goals.values())

    @property
    def outcome_after(self) -> timedelta:
        """How long after a night its outcome is whole: all goals, and what people did on the day after."""
        return max(timedelta(days=1), self.horizon)

    @property
    def known_after(self) -> timedelta:
        """How long after a night all of its outcome can be known: the slowest source tells of it so much later."""
        return self.outcome_after + timedelta(minutes=max((source.delay_minutes for source in self.sources), default=0))

    def source(self, name: str) -> Source:
        """The source of this name.

        Raises:
            ConfigurationError: There is none; the nearest name is in the message.
        """
        for source in self.sources:
            if source.name == name:
                return source
        raise ConfigurationError(f"{self.file}: no source {name!r}{nearest(name, [s.name for s in self.sources])}")

    @cached_property
    def sha256(self) -> str:
        """Of every effective value that can change what is published; not of where the file lies."""
        besides: Any = {"file": True, "limits": True, "engine": True, "publish": True, "alerts": True}
        besides["training"] = {"challengers"}
        values = self.model_dump(mode="json", exclude=besides)
        for source in values["sources"]:
            source["path"] = os.path.relpath(source["path"], self.file.parent)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def load(path: Path | str | None = None) -> Config:
    """Read and validate the configuration: `path`, else the environment's `SHORTLIST_CONFIG`, else `./shortlist.toml`.

    Raises:
        ConfigurationError: The file is missing, is not TOML, or says something we do not understand; every
            complaint names its key, and an unknown key the nearest known one.
    """
    file = Path(path or os.environ.get(CONFIG_ENV) or "shortlist.toml").resolve()
    try:
        text = file.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{file}: no such file. Give one with --config, or start from shortlist.toml."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: not valid TOML: {error}") from None
    if "file" in values:
        raise ConfigurationError(f"{file}: unknown key `file`")
    return parse(values, file, text)


def parse(values: Mapping[str, Any], file: Path, text: str = "") -> Config:
    """Validated settings from already-read TOML; `sources[].path` becomes absolute. `text` tells the lines of rules."""
    placed = dict(values)
    if isinstance(sources := values.get("sources"), list):
        placed["sources"] = [_placed(source, file.parent) for source in sources]
    try:
        return Config.model_validate({**placed, "file": file})
    except ValidationError as error:
        lines = "\n".join(f"  {line}" for line in complaints(error, Config, text))
        raise ConfigurationError(f"{file} is not a valid configuration:\n{lines}") from None


def _placed(source: Any, folder: Path) -> Any:
    if isinstance(source, dict) and isinstance(path := source.get("path"), str):
        return {**source, "path": str(folder / path)}
    return source
