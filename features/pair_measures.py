"""What a feature of a person with a content is: one line of `features.pair_spec` names one of these.

The kernel (`features.pair_kernel`) computes it, as of what was known, and happened, strictly before an instant.

Classes of rows are those of `features.rows.CLASSES`, and `engaged` (`ENGAGED`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Literal

import pyarrow as pa

Kind = Literal["author", "category", "format", "source", "tag"]
KINDS: tuple[Kind, ...] = ("author", "category", "format", "source", "tag")
"""What contents are grouped by; `source` is no content's, but the channel of an event."""

SCOPES = ("person", "category", "content")
"""What the person did at all, in the content's category, or with the content itself."""

ENGAGED = ("click", "like", "save", "share", "comment", "purchase")

_COLUMNS: Mapping[Kind, str] = {"author": "author", "category": "category", "format": "format", "tag": "tags"}


@dataclass(frozen=True)
class Affinity:
    """The share of the person's decayed activity in the content's groups of a kind: a mean over them, if several.

    Strength in the group / (all strength + 1), each row weighing strength x 2^(-age / half-life): one click is not a
    passion. What somebody did with a content of n tags counts 1/n for each. `without`: for content in no group.
    """

    kind: Kind
    half_life: str
    without: float = math.nan


@dataclass(frozen=True)
class LastSession:
    """The share of the last session's strength, + 1, in the content's category; missing for content in none."""


@dataclass(frozen=True)
class Count:
    """How many rows of a class there were in the last `days`, or ever; missing in the category of content in none."""

    of: str
    scope: str
    days: int | None = None


@dataclass(frozen=True)
class Dwell:
    """Engaged seconds in the rows of a class in the last `days`, or ever. Summed in whole milliseconds."""

    of: str
    scope: str
    days: int | None = None


@dataclass(frozen=True)
class Since:
    """Days since the last row of a class; missing where there was none in the last `days`, or ever."""

    of: str
    scope: str
    days: int | None = None


@dataclass(frozen=True)
class Unanswered:
    """How often the content was shown after the person last engaged with it: at a later instant."""

    scope: Literal["content"] = "content"


@dataclass(frozen=True)
class Response:
    """Engaged per shown in the category in the last `days`, smoothed with `prior` impressions of everybody's rate.

    (engaged + prior x rate) / (shown + prior): worked out when all shards are done (`features.pair_response`).
    """

    days: int
    prior: float


Measured = Affinity | LastSession | Count | Dwell | Since | Unanswered
"""What the kernel computes."""


@dataclass(frozen=True)
class Groups:
    """Which groups each content is in: kind to content to names."""

    names: Mapping[Kind, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

    @classmethod
    def of(cls, content: pa.Table) -> Groups:
        """From a catalogue: `content_id`, and those there are of `category`, `author`, `format` and `tags` (lists)."""
        ids = content["content_id"].to_pylist()
        return cls(
            {
                kind: _present(zip(ids, content[column].to_pylist(), strict=True))
                for kind, column in _COLUMNS.items()
                if column in content.column_names
            }
        )

    @property
    def contents(self) -> tuple[str, ...]:
        """All contents that are in any, sorted."""
        return tuple(sorted({content for by_content in self.names.values() for content in by_content}))


def _present(found: Iterable[tuple[str, str | list[str | None] | None]]) -> dict[str, tuple[str, ...]]:
    """Names by content, of those that have any; both sorted."""
    ordered = sorted(found, key=itemgetter(0))
    lists = [(content, [names] if isinstance(names, str) else names or []) for content, names in ordered]
    return {content: tuple(sorted(filter(None, names))) for content, names in lists if any(names)}
