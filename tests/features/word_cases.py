"""Features to put into words, and the functions that do for `tests.features.test_purity`: what they are called with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from features import definitions, phrases, spec, words
from tests.features.logs import GOALS

FEATURES = spec.features(GOALS, ("sport",))
BY_NAME = {feature.name: feature for feature in FEATURES}
STRANGE = spec.Feature("strange", "person", "count", "odd things", object())  # type: ignore[arg-type]
"""Its measure is of a kind that has no words yet."""

NOT_WORDS = r"nan|inf\b|None|:\s*$|\(of=|  "
"""What shows that something of Python's came through."""

NUMBERS = (0, 1, 2, 90, 12345)

ARGUMENTS: Mapping[str, Any] = {"feature": FEATURES[0], "value": 1.5, "of": "view", "count": 2, "share": 0.5, "days": 7}
"""By the names of their parameters."""


def _of_each(values: Iterable[Any], call: Callable[[Any], str], world: Any) -> list[str]:
    """What is said of each of these; nobody's log plays a part."""
    return [call(value) for value in values]


CASES: Mapping[str, Callable[[Any], Any]] = {
    "definitions.measured_in_words": partial(_of_each, FEATURES, definitions.measured_in_words),
    "definitions.memory_in_words": partial(_of_each, FEATURES, definitions.memory_in_words),
    "definitions.topic": partial(_of_each, FEATURES, definitions.topic),
    "phrases.ago": partial(_of_each, NUMBERS, phrases.ago),
    "phrases.counted": partial(_of_each, NUMBERS, partial(phrases.counted, "view")),
    "phrases.last": partial(_of_each, NUMBERS, phrases.last),
    "phrases.money": partial(_of_each, NUMBERS, phrases.money),
    "phrases.noun": partial(_of_each, NUMBERS, partial(phrases.noun, "view")),
    "phrases.number": partial(_of_each, NUMBERS, phrases.number),
    "phrases.percent": partial(_of_each, NUMBERS, phrases.percent),
    "phrases.seconds": partial(_of_each, NUMBERS, phrases.seconds),
    "phrases.span": partial(_of_each, NUMBERS, phrases.span),
    "words.in_words": partial(_of_each, FEATURES, partial(words.in_words, value=1.5)),
}
"""By name, of any world."""
