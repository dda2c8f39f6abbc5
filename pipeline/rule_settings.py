"""`[[rules]]` of the configuration: whom and what each is about, and what it does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from expectations import schemas
from features import rfm
from pipeline.settings import Settings, nearest


def _several(found: Any) -> Any:
    return (found,) if isinstance(found, str) else found


Values = Annotated[tuple[str, ...], BeforeValidator(_several)]
"""One value or a list of which one has to be there."""


def known_segments(found: tuple[str, ...]) -> tuple[str, ...]:
    """The same names, each of which is a RFM segment's."""
    for name in found:
        if name not in rfm.SEGMENTS:
            raise ValueError(f"unknown segment {name!r}{nearest(name, rfm.SEGMENTS)}")
    return found


class RulePeople(Settings):
    """Whom a rule is about: who meets all of these."""

    segment: Annotated[Values, AfterValidator(known_segments)] = ()
    country: Values = ()
    device: Values = ()
    channel: Values = ()
    crm: Mapping[str, Values] = Field(default_factory=dict)
    """Attributes of the CRM, by its names."""


class RuleContent(Settings):
    """What a rule is about: what meets all of these."""

    content_id: Values = ()
    category: Values = ()
    tag: Values = ()
    author: Values = ()
    format: Values = ()
    language: Values = ()
    min_age_days: Annotated[float, Field(ge=0)] | None = None
    max_age_days: Annotated[float, Field(ge=0)] | None = None


class Rule(Settings):
    """What an editor wants in people's lists, whatever the model thinks."""

    name: Annotated[str, Field(min_length=1)]
    action: schemas.Action
    when: RulePeople = RulePeople()
    content: RuleContent = RuleContent()
    factor: Annotated[float, Field(gt=0)] | None = None
    """What relevance is multiplied by: of boost more than 1, by default 1.5, of bury less, by default 0.5."""
    place: Annotated[int, Field(ge=1)] = 1
    count: Annotated[int, Field(ge=1, le=20)] = 1
    priority: int = 0
    """Who is first to a place; the higher, the earlier, and of equals the first in the file."""
    since: date | datetime | None = None
    until: date | datetime | None = None
    """A day is the last one on which the rule counts, an instant the first at which it does not."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Rule:
        least, most = {"boost": (1.0, float("inf")), "bury": (0.0, 1.0)}.get(self.action, (0.0, 0.0))
        if self.factor is not None and not least < self.factor < most:
            what = {"boost": "more than 1", "bury": "less than 1"}.get(self.action, "of boost and bury only")
            raise ValueError(f"the factor of {self.action!r} is {self.factor:g}; it is {what}")
        if self.action != "pin" and {"place", "count"} & self.model_fields_set:
            raise ValueError(f"`place` and `count` are of pins only, not of {self.action!r}")
        if self.content == RuleContent():
            raise ValueError("a rule needs `content`: what it is about")
        return self
