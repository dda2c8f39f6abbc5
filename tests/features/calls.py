"""Calls of the public functions of `features` by name, and with arguments by the names of their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from operator import attrgetter
from typing import Any


def called(name: str) -> Callable[..., Any]:
    """The function that is called `module.function`, or `module.Class.function`."""
    module, _, path = name.partition(".")
    found: Callable[..., Any] = attrgetter(path)(import_module(f"features.{module}"))
    return found


def wanted(function: Callable[..., Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the known arguments that a function cannot do without."""
    parameters = inspect.signature(function).parameters.values()
    return {one.name: known[one.name] for one in parameters if one.default is one.empty}


def call(name: str, known: Mapping[str, Any]) -> Any:
    """What a function says to those of the known arguments that it cannot do without."""
    function = called(name)
    return function(**wanted(function, known))
