"""The first choices of people among thousands of contents, without sorting the thousands; and places in a group."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.products import compiled

Dense = NDArray[Any]
Choices = NDArray[np.int32]
"""(people, places): contents, best first, -1 where a list ends."""

Rows = NDArray[np.int64]

LANE = 16
"""Contents that are looked at together: only where the best of them is good enough, at each."""

EMPTY = -1


def first_choices(score: Dense, eligible: NDArray[np.bool_], limit: int, rows: Rows | None = None) -> Choices:
    """The `limit` best of each row: positive, eligible, higher first, ties to the smaller index.

    Args:
        score: (people, contents), or (contents,) that all people share; 0, negative or NaN is no choice.
        eligible: (people, contents).
        limit: At least 1.
        rows: Whose choices; by default everybody's.
    """
    rows, eligible = np.arange(len(eligible)) if rows is None else rows, np.ascontiguousarray(eligible)
    found = np.full((len(rows), min(limit, eligible.shape[1])), EMPTY, np.int32)
    if score.ndim == 1:
        usable = np.flatnonzero(score > 0)
        _first_eligible(usable[np.argsort(-score[usable], kind="stable")], eligible, rows, found)
    elif found.size:
        values = np.ascontiguousarray(score, score.dtype if score.dtype == np.float32 else np.float64)
        contents = eligible.shape[1]
        best, ordered = np.empty((2, -(-contents // LANE)), values.dtype)
        _first_choices(
            values, eligible, rows, found, best, ordered, np.empty(contents, np.int32), np.empty_like(values[0])
        )
    return found


def interleaved(choices: NDArray[np.int32], contents: int, limit: int) -> tuple[Choices, NDArray[np.int32], Any]:
    """Every source's first choice, then every source's second …, until `limit` contents are there, for each person.

    Args:
        choices: (sources, people, places) of `first_choices`.
        contents: How many there are.
        limit: Contents a person at the most.

    Returns:
        Contents (people, limit) in the order in which they were dealt, -1 after the last; the place in `choices` of
        the source of each; and whether (people,) `choices` had to be deeper to tell.
    """
    people = choices.shape[1]
    found, source = np.full((people, limit), EMPTY, np.int32), np.zeros((people, limit), np.int32)
    short = np.zeros(people, np.bool_)
    _interleave(choices, found, source, short, np.full(contents, EMPTY, np.int32))
    return found, source, short


def sort(found: Choices, source: NDArray[np.int32], contents: int) -> None:
    """Sort each row's contents, -1 last, and their sources with them; in place."""
    _sort_rows(found, source, np.full(contents, EMPTY, np.int32))


@compiled()  # type: ignore[untyped-decorator]
def _first_choices(
    score: Dense,
    eligible: NDArray[np.bool_],
    rows: Rows,
    found: Choices,
    best: Dense,
    ordered: Dense,
    kept: NDArray[np.int32],
    values: Dense,
) -> None:
    """The places-th best of the lanes' best ones is a lower bound of the places-th best of all: few are left above."""
    contents, lanes, places = score.shape[1], len(best), found.shape[1]
    for at in range(len(rows)):
        person = rows[at]
        best[:] = 0
        for start in range(0, contents, lanes):
            some, usable = score[person, start : start + lanes], eligible[person, start : start + lanes]
            for lane in range(len(some)):  # over slices: of other indices the compiler fears that they are negative
                value = some[lane] * usable[lane]
                best[lane] = value if value > best[lane] else best[lane]  # noqa: FURB136  (max would keep NaN)
        for lane in range(lanes):  # an array into an array compiles for seconds: numba words its errors
            ordered[lane] = best[lane]
        bound = nth_largest(ordered, places) if places <= lanes else ordered[0] * 0
        many = 0
        for lane in range(lanes):
            if best[lane] >= bound and best[lane] > 0:
                for content in range(lane, contents, lanes):
                    value = score[person, content]
                    if value >= bound and value > 0 and eligible[person, content]:
                        kept[many], values[many] = content, value
                        many += 1
        _sort(kept, values, many)
        for place in range(min(places, many)):
            found[at, place] = kept[place]


@compiled()  # type: ignore[untyped-decorator]
def nth_largest(values: Dense, n: int) -> Any:
    """By quickselect, in place."""
    low, high, target = 0, len(values) - 1, n - 1
    while low < high:
        pivot, i, j = values[(low + high) // 2], low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if target <= j:
            high = j
        elif target >= i:
            low = i
        else:
            break
    return values[target]


@compiled()  # type: ignore[untyped-decorator]
def _sort(kept: NDArray[np.int32], values: Dense, many: int) -> None:
    """Shell's sort, by value downwards and index upwards."""
    gap = 1
    while gap * 3 + 1 < many:
        gap = gap * 3 + 1
    while gap > 0:
        for i in range(gap, many):
            one, value, j = kept[i], values[i], i
            while j >= gap and (values[j - gap] < value or (values[j - gap] == value and kept[j - gap] > one)):
                kept[j], values[j] = kept[j - gap], values[j - gap]
                j -= gap
            kept[j], values[j] = one, value
        gap //= 3


@compiled()  # type: ignore[untyped-decorator]
def _first_eligible(order: NDArray[np.int64], eligible: NDArray[np.bool_], rows: Rows, found: Choices) -> None:
    for at in range(len(rows)):
        place = 0
        for content in order:
            if place == found.shape[1]:
                break
            if eligible[rows[at], content]:
                found[at, place] = content
                place += 1


@compiled()  # type: ignore[untyped-decorator]
def _interleave(
    choices: NDArray[np.int32],
    found: Choices,
    source: NDArray[np.int32],
    short: NDArray[np.bool_],
    brought: NDArray[np.int32],
) -> None:
    """`brought` is EMPTY before and after each person."""
    sources, people, places = choices.shape
    limit = found.shape[1]
    for person in range(people):
        many, going_on = 0, False
        for place in range(places):
            for number in range(sources):
                content = choices[number, person, place]
                if content != EMPTY and many < limit and brought[content] == EMPTY:
                    brought[content] = number
                    found[person, many], source[person, many] = content, number
                    many += 1
        for number in range(sources):
            going_on = going_on or (places > 0 and choices[number, person, places - 1] != EMPTY)
        short[person] = many < limit and going_on
        for at in range(many):
            brought[found[person, at]] = EMPTY


@compiled()  # type: ignore[untyped-decorator]
def _sort_rows(found: Choices, source: NDArray[np.int32], brought: NDArray[np.int32]) -> None:
    """By going through all contents: they are few, and nothing is compared. `brought` is EMPTY before and after."""
    for person in range(len(found)):
        for at in range(found.shape[1]):
            if found[person, at] != EMPTY:
                brought[found[person, at]] = source[person, at]
        many = 0
        for content in range(len(brought)):
            if brought[content] != EMPTY:
                found[person, many], source[person, many] = content, brought[content]
                brought[content] = EMPTY
                many += 1


def place_within(groups: tuple[NDArray[Any], ...], relevance: NDArray[Any], content: NDArray[Any]) -> Rows:
    """The place of each pair within its group by relevance, from 0."""
    order = np.lexsort((content, -relevance, *reversed(groups)))
    changed = np.zeros(len(order), bool)
    for group in groups:
        sorted_group = group[order]
        changed[1:] |= sorted_group[1:] != sorted_group[:-1]
    found = np.empty(len(order), np.int64)
    found[order] = _since(changed)
    return found


def _since(changed: NDArray[np.bool_]) -> Rows:
    """How many places ago `changed` was last true (or the array began)."""
    at = np.arange(len(changed))
    return at - np.maximum.accumulate(np.where(changed, at, 0)) if len(at) else at
