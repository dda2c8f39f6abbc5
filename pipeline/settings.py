"""What every section of the configuration is, and how a file is answered that says something we do not understand."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError


class Settings(BaseModel):
    """Base of every section: frozen, and no key that we do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def complaints(error: ValidationError, root: type[BaseModel], text: str) -> Iterator[str]:
    """What is wrong with a file whose keys are those of `root`, a line each; `text` tells the lines of its rules."""
    for one in error.errors():
        key, at = ".".join(str(part) for part in one["loc"]), _line(text, one["loc"])
        if one["type"] == "extra_forbidden":
            yield f"{at}unknown key `{key}`{nearest(str(one['loc'][-1]), _known_keys(root, one['loc'][:-1]))}"
        elif one["type"] == "literal_error":
            close = nearest(
                str(one["input"]), one["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
            )
            yield f"{at}{key}: {one['msg']} (found: {one['input']!r}){close}"
        elif key.endswith(("_env", "_url")):  # somebody may have put the secret where its variable's name belongs
            yield f"{key}: {one['msg']}"
        else:
            yield f"{at}{key}: {one['msg']} (found: {_without_keys(one['input'])})" if key else one["msg"]


def _without_keys(found: Any) -> str:
    """What was found, less what stands in an address before its `@` and after its `?`: somebody's key, it may be."""
    return re.sub(r"\?[^\s'\"]*", "?…", re.sub(r"://[^\s'\"]*@", "://…@", repr(found)))


def _line(text: str, location: tuple[int | str, ...]) -> str:
    """Where in the file a rule, or its key, stands: there are many of them, and they are written by hand."""
    if len(location) < 2 or location[0] != "rules" or not text:
        return ""
    lines = text.splitlines()
    begins = [number for number, line in enumerate(lines) if line.strip().replace(" ", "").startswith("[[rules]]")]
    number = begins[int(location[1])] if int(location[1]) < len(begins) else None
    if number is None:
        return ""
    keys = [str(part) for part in location[2:3]]
    for at in range(number + 1, len(lines)):
        if lines[at].lstrip().startswith("[["):
            break
        if keys and lines[at].split("=")[0].strip() == keys[0]:
            number = at
            break
    return f"line {number + 1}: "


def _known_keys(root: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    section: Any = root
    for part in location:
        if isinstance(part, str) and isinstance(section, type) and issubclass(section, BaseModel):
            field = section.model_fields.get(part)
            section = _section_of(field.annotation) if field else section  # the free name in `[goals.<name>]`
    if isinstance(section, type) and issubclass(section, BaseModel):
        return [name for name in section.model_fields if name != "file"]
    return []


def _section_of(annotation: Any) -> Any:
    """`tuple[Source, ...]`, `Mapping[str, Goal]` and `Project` all lead to the section's class."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((s for a in get_args(annotation) if (s := _section_of(a)) is not None), None)


def nearest(name: str, known: Any) -> str:
    """A question after the known name that is most like this one; empty where none is."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""
