"""What a search tries before it looks for anything: the champion's parameters, and the best of the last search's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from models.tuning import DEFAULTS, SPACE
from pipeline import registry
from pipeline.bundles import load_bundle
from pipeline.config import Config
from pipeline.lake import NIGHT, Lake
from pipeline.records import Tracker

Params = Mapping[str, float]

MOST = 4
"""Trials of the last search, beside the champion."""


def known_trials(as_of: datetime, config: Config, lake: Lake) -> dict[str, list[Params]]:
    """By goal, the champion's parameters first.

    Only what earlier nights left counts: a training that is interrupted or made again finds what it found before. What
    the space of the search no longer holds has its default instead; what is the defaults then is left out, as they are
    tried anyway.
    """
    champion, trials = _champion(as_of, config, lake), _last_search(as_of, lake, tuple(config.goals))
    found = {}
    for goal in config.goals:
        first = [_inside(champion[goal])] if goal in champion else []
        others = [one for one in _distinct(map(_inside, trials.get(goal, ()))) if one not in first]
        found[goal] = [one for one in first if one != DEFAULTS] + others[:MOST]
    return found


def journal(as_of: datetime, lake: Lake) -> Path:
    """Where the searches of a night are kept."""
    return lake.studies / f"{as_of.strftime(NIGHT)}.log"


def storage(path: Path) -> Any:
    """Optuna's, in a file."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def _champion(as_of: datetime, config: Config, lake: Lake) -> dict[str, Params]:
    """The parameters of who served before this night: one that this very night promoted is what it is to find again."""
    tracker = Tracker(lake.tracking, config.project.name)
    champion = registry.champion(tracker, as_of - timedelta(microseconds=1))
    if champion is None:
        return {}
    bundle = load_bundle(tracker, champion.version)
    return {goal: model.params for goal, model in bundle.models.items()}


def _last_search(as_of: datetime, lake: Lake, goals: Sequence[str]) -> dict[str, list[Params]]:
    """Whole trials of the newest earlier night, by goal, the best first; nothing where its journal cannot be read."""
    own = journal(as_of, lake).name
    earlier = sorted(path for path in lake.studies.glob("*.log") if path.name < own)
    try:
        kept = storage(earlier[-1]) if earlier else None
    except (OSError, ValueError):  # a journal is a help: without one the search begins as the first did
        kept = None
    return {goal: _whole(kept, goal) for goal in goals} if kept else {}


def _whole(kept: Any, goal: str) -> list[Params]:
    try:
        trials = kept.get_all_trials(kept.get_study_id_from_name(goal), deepcopy=False)
    except KeyError:  # the goal is a new one
        return []
    whole = [trial for trial in trials if trial.state.name == "COMPLETE"]
    return [trial.params for trial in sorted(whole, key=lambda trial: (trial.value, trial.number))]


def _inside(params: Mapping[str, Any]) -> Params:
    """What of them the search could find itself, and defaults for the rest."""
    return {name: params[name] if _holds(name, params.get(name)) else DEFAULTS[name] for name in SPACE}


def _holds(name: str, value: Any) -> bool:
    space: Any = SPACE[name]
    return isinstance(value, (int, float)) and space.low <= value <= space.high


def _distinct(some: Iterator[Params]) -> Iterator[Params]:
    seen: list[Params] = [DEFAULTS]
    for one in some:
        if one not in seen:
            seen.append(one)
            yield one
