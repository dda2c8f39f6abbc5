"""`[reasons]` of the configuration: what customers are told about why, and what is never named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

from models.templates import NAMES, TEMPLATES
from pipeline.settings import Settings, nearest

FIELDS = ("category", "tag", "author")
"""What reasons can name."""


def _templates(given: Mapping[str, str]) -> Mapping[str, str]:
    for kind, text in given.items():
        if kind not in TEMPLATES:
            raise ValueError(f"unknown reason {kind!r}{nearest(kind, TEMPLATES)}")
        for name in re.findall(r"\{(\w*)\}", text):
            if name not in NAMES.get(kind, ()):
                known = ", ".join(f"{{{one}}}" for one in NAMES.get(kind, ())) or "nothing"
                raise ValueError(f"{kind!r} names {{{name}}}; it can name {known}")
    if not given.get("other", "other").strip():
        raise ValueError("'other' says nothing; it is for rows of which nothing else can be said")
    return given


def _sensitive(given: tuple[str, ...]) -> tuple[str, ...]:
    for one in given:
        field = one.partition(":")[0].casefold()
        if field not in FIELDS:
            raise ValueError(f"{one!r} is no attribute that a reason could name{nearest(field, FIELDS)}")
    return given


class Reasons(Settings):
    """Why a content stands in a list, in the words of the company."""

    templates: Annotated[Mapping[str, str], AfterValidator(_templates)] = {}
    """By kind of reason what to say instead of ours; "" never gives it."""
    sensitive: Annotated[tuple[str, ...], AfterValidator(_sensitive)] = ()
    """What no reason names: `category`, `tag` or `author`, or one of them as `category:Health`; case does not count."""

    @property
    def words(self) -> Mapping[str, str]:
        """Every kind of reason and what to say."""
        return {**TEMPLATES, **self.templates}

    def unnamed(self, field: str, name: str) -> bool:
        """Whether no reason may name this category, tag or author."""
        folded = {one.casefold() for one in self.sensitive}
        return field in folded or f"{field}:{name}".casefold() in folded
