"""Presets of the format `table`: what the columns and values of a kind of export are usually called.

`options.preset = "social"` reads likes, shares and comments, one a row, as events: who (`visitor_id`), on which post
(`content_id`), what (`event`), when (`ts`); `channel` is `social`. What the configuration says itself, wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.errors import ConfigurationError
from pipeline.sources.export import Settings

OPTION = "preset"


@dataclass(frozen=True)
class Preset:
    """The table that it is for; our column -> what it may be called; its usual values; and constants."""

    table: str
    columns: Mapping[str, Sequence[str]]
    values: Mapping[str, Mapping[str, str]]
    options: Mapping[str, str]


_ACTIONS = {
    "like": ("like", "favorite", "favourite", "reaction", "love"),
    "share": ("share", "retweet", "repost", "quote"),
    "comment": ("comment", "reply", "mention"),
    "follow": ("follow", "subscribe"),
    "save": ("save", "bookmark", "pin"),
}

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "social": Preset(
            "events",
            {
                "ts": ("created_time", "created_at", "created", "timestamp", "time", "date"),
                "visitor_id": ("user_id", "user", "from_id", "profile_id", "author_id"),
                "content_id": ("post_id", "post", "content", "media_id", "object_id"),
                "event": ("action", "action_type", "type", "interaction", "engagement"),
            },
            {
                "event": {
                    written: ours
                    for ours, theirs in _ACTIONS.items()
                    for word in theirs
                    for written in (word, word.capitalize(), word.upper())
                }
            },
            {"channel": "social"},
        )
    }
)


@dataclass(frozen=True)
class Completed:
    """A source's settings with what its preset adds."""

    name: str
    format: str
    table: str | None
    path: str
    timestamp: str | None
    encoding: str
    columns: Mapping[str, str]
    values: Mapping[str, Mapping[str, str]]
    options: Mapping[str, str]


def completed(source: Settings) -> Settings:
    """The source with its preset's values and constants, if it names one.

    Raises:
        ConfigurationError: There is no such preset, or it is for another table.
    """
    preset = _of(source)
    if preset is None:
        return source
    values = {ours: {**words, **source.values.get(ours, {})} for ours, words in preset.values.items()}
    return Completed(
        source.name,
        source.format,
        source.table,
        source.path,
        source.timestamp,
        source.encoding,
        source.columns,
        {**source.values, **values},
        {**preset.options, **source.options},
    )


def columns(source: Settings, found: Sequence[str]) -> Mapping[str, str]:
    """Our column -> theirs, for what the source's preset recognises in `found`, capitals and blanks aside.

    Not one that the configuration gives, nor from one that it uses.
    """
    preset = _of(source)
    free = [name for name in reversed(found) if name not in source.columns.values()]
    plain = {name.strip().lower().replace(" ", "_"): name for name in free}
    known = {ours: names for ours, names in (preset.columns if preset else {}).items() if ours not in source.options}
    firsts = {ours: next((plain[name] for name in names if name in plain), None) for ours, names in known.items()}
    return {ours: theirs for ours, theirs in firsts.items() if theirs is not None}


def _of(source: Settings) -> Preset | None:
    name = source.options.get(OPTION)
    if name is None:
        return None
    if name not in PRESETS or PRESETS[name].table != source.table:
        known = ", ".join(f'"{one}" (for table = "{preset.table}")' for one, preset in PRESETS.items())
        raise ConfigurationError(
            f"{source.name}: options.preset = {name!r} is not known for table = {source.table!r}; known: {known}."
        )
    return PRESETS[name]
