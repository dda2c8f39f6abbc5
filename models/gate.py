"""May a new model replace the one that publishes? Both are graded on identical test rows, and people are resampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from models.gate_checks import Comparison
from models.gate_rows import Check, Shown, TestRows, fingerprint

Array = NDArray[Any]


@dataclass(frozen=True)
class Verdict:
    """Whether to promote, why in one sentence with figures, and every check.

    `unjudged` says what was too small to be held to anything; `rows` is the sha256 of the rows that everybody was
    graded on (`gate_rows.fingerprint`).
    """

    promote: bool
    reason: str
    checks: tuple[Check, ...]
    unjudged: tuple[str, ...] = ()
    rows: str = ""


def promote(
    rows: TestRows,
    challenger: Mapping[str, Array],
    champion: Mapping[str, Array] | None,
    *,
    shown: Shown | None = None,
    champion_stale: bool = False,
    champion_dipping: bool = False,
    k: int = 10,
    resamples: int = 1000,
    seed: int = 0,
) -> Verdict:
    """Decide between the two models' calibrated probabilities, by goal (N,), on `rows`.

    `shown` is what people could respond to, and what probabilities are held to, where that is not the lists' rows.

    Every challenger must say something (probabilities, not one relevance for everything) and know more than the goals'
    rates, where enough came of them to tell. A first model is then refused only when its NDCG@k is below most-popular's
    beyond doubt: one that may be equal is how everything begins. With a champion it must not lose NDCG, log-loss or
    calibration of any goal, nor let down a group of people, list much fewer contents, or be on another scale; and it
    must win NDCG (interval above 0) unless the champion is stale or dipping, which is that its lists do worse than they
    did. The bounds are in `models.gate_checks`. Raises ValueError when a goal is missing or rows do not match.
    """
    shown = shown or Shown(rows.person, rows.labels, challenger, champion)
    _check_rows(rows.weights, rows.person, {"labels": rows.labels, "challenger": challenger, "champion": champion})
    said = {"labels": shown.labels, "challenger": shown.challenger, "champion": shown.champion}
    _check_rows(rows.weights, shown.person, {f"shown {side}": by_goal for side, by_goal in said.items()})
    compare = Comparison(rows, shown, challenger, champion, k, resamples, seed)
    why = " and ".join(word for word, so in (("stale", champion_stale), ("dipping", champion_dipping)) if so)
    return replace(_decided(compare, why), rows=fingerprint(rows, shown))


def _decided(compare: Comparison, why: str) -> Verdict:
    """`why` the champion should go, if it should."""
    sound = tuple(compare.sound())
    if not all(check.passed for check in sound):
        return _refused(compare, sound, sound, ())
    if not compare.truth.any():
        first = compare.champion is None
        return Verdict(first, "nobody engaged on the test nights, so nothing could be compared.", sound)
    required = (*sound, *compare.skill())
    if compare.champion is None:
        return _first(compare, required)
    not_worse, better = compare.ndcg()
    return _against_champion(compare, (*required, not_worse, *compare.others()), better, why)


def _first(compare: Comparison, required: tuple[Check, ...]) -> Verdict:
    popularity, unjudged = compare.rows.popularity, tuple(compare.unjudged())
    beside = () if popularity is None else (compare.popular(popularity),)
    checks = (*beside, *required)
    if not all(check.passed for check in checks):
        return _refused(compare, checks, checks, unjudged)
    told = f": {beside[0]}." if beside else ", and no popularity to compare it with."
    return Verdict(True, f"first model{told}", checks, unjudged)


def _against_champion(compare: Comparison, required: tuple[Check, ...], better: Check, why: str) -> Verdict:
    checks, unjudged = (better, *required), tuple(compare.unjudged())
    if not all(check.passed for check in required):
        return _refused(compare, required, checks, unjudged)
    if better.passed:
        return Verdict(True, f"challenger promoted: {better}.", checks, unjudged)
    if why:
        return Verdict(
            True, f"challenger promoted in place of a {why} champion, not worse: {better}.", checks, unjudged
        )
    return Verdict(False, f"champion kept, the challenger is not proven better: {better}.", checks, unjudged)


def _refused(
    compare: Comparison, required: tuple[Check, ...], checks: tuple[Check, ...], unjudged: tuple[str, ...]
) -> Verdict:
    """With every required check that failed in the reason."""
    failed = [check for check in required if not check.passed]
    what = "the first model is refused" if compare.champion is None else "champion kept, the challenger is refused"
    bounds = "; ".join(f"{check}, bound {check.bound:+.4f}" for check in failed)
    reason = f"{what}, it fails {len(failed)} of {len(required)} checks: {bounds}."
    return Verdict(False, reason, checks, unjudged)


def _check_rows(weights: Mapping[str, float], person: Array, sides: Mapping[str, Mapping[str, Array] | None]) -> None:
    for side, by_goal in sides.items():
        if by_goal is None:
            continue
        missing = sorted(set(weights) - set(by_goal))
        if missing:
            raise ValueError(
                f"gate.promote: {side} lacks the goals {missing} (found: {sorted(by_goal)}); grade the same goals."
            )
        lengths = {goal: len(by_goal[goal]) for goal in weights}
        if set(lengths.values()) != {len(person)}:
            raise ValueError(f"gate.promote: {side} has rows {lengths}, expected {len(person)}; grade identical rows.")
