"""From a model's score to a probability that means what it says: isotonic or Platt, whichever holds on other people.

Isotonic regression: Zadrozny and Elkan, KDD 2002. Platt scaling with smoothed targets: Platt 1999. Isotonic needs
many positives and wins when it has them: Niculescu-Mizil and Caruana, ICML 2005.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from models.metrics import log_loss

Array = NDArray[Any]
Floats = NDArray[np.float64]
Method = Literal["isotonic", "platt"]

EDGE = 1e-6
"""No probability is nearer to 0 or 1 than this: nothing that people do is certain."""

MIN_POSITIVES = 100
"""With fewer rows of either outcome an isotonic curve follows noise: `auto` then takes Platt."""


@dataclass(frozen=True)
class Calibration:
    """A non-decreasing map from a probability to a probability.

    `isotonic` interpolates between the knots (`x`, `y`); `platt` is `expit(slope * logit(p) + intercept)`.
    """

    method: Method = "platt"
    slope: float = 1.0
    intercept: float = 0.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def apply(self, p: Array) -> Floats:
        """Calibrated probabilities (N,), within [EDGE, 1 - EDGE]; never in another order than `p`."""
        curve = self._isotonic if self.method == "isotonic" else self._platt
        calibrated: Floats = np.clip(curve(np.asarray(p, np.float64)), EDGE, 1 - EDGE)
        return calibrated

    def to_json(self) -> str:
        """A text that `from_json` reads back to the last bit."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Calibration:
        """The calibration that `to_json` wrote."""
        fields = json.loads(text)
        return Calibration(**{**fields, "x": tuple(fields["x"]), "y": tuple(fields["y"])})

    def _platt(self, p: Floats) -> Floats:
        return np.asarray(expit(self.slope * _logit(p) + self.intercept))

    def _isotonic(self, p: Floats) -> Floats:
        x, y = np.array(self.x), np.array(self.y)
        # Rounding can lift an interpolated value a hair above the next knot, which would reverse two people.
        following = y[np.minimum(np.searchsorted(x, p), len(x) - 1)]
        return np.asarray(np.minimum(np.interp(p, x, y), following))


IDENTITY = Calibration()


def fit(p: Array, y: Array, people: Array, method: Literal["auto", "isotonic", "platt"] = "auto") -> Calibration:
    """Fit a calibration to validation rows: predicted `p` (N,) in [0, 1], label `y` (N,) 0 or 1, `people` (N,).

    `auto` fits both kinds on every second person (in the order of their ids), keeps the kind with the lower log-loss
    on the other people, and refits it on all rows; with fewer than MIN_POSITIVES rows of either outcome it takes Platt.
    The order of the rows does not matter. Raises ValueError on rows that cannot be calibrated.
    """
    p, y = _checked(p, y, people)
    order = np.lexsort((y, p, people))
    p, y, people = p[order], y[order], np.asarray(people)[order]
    chosen = _choose(p, y, people) if method == "auto" else method
    return _FITS[chosen](p, y)


def _choose(p: Floats, y: Floats, people: Array) -> Method:
    if min(y.sum(), len(y) - y.sum()) < MIN_POSITIVES:
        return "platt"
    learn = np.unique(people, return_inverse=True)[1] % 2 == 0
    if learn.all():
        return "platt"
    losses = {kind: log_loss(y[~learn], _FITS[kind](p[learn], y[learn]).apply(p[~learn])) for kind in _FITS}
    return "isotonic" if losses["isotonic"] < losses["platt"] else "platt"


def _fit_isotonic(p: Floats, y: Floats) -> Calibration:
    curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(p, y)
    return Calibration("isotonic", x=tuple(curve.X_thresholds_.tolist()), y=tuple(curve.y_thresholds_.tolist()))


def _fit_platt(p: Floats, y: Floats) -> Calibration:
    target = _smoothed(y)
    middle = float(_logit(p).mean())
    score = _logit(p) - middle

    def loss(line: Floats) -> tuple[float, Floats]:
        margin = line[0] * score + line[1]
        error = expit(margin) - target
        value = np.mean(np.logaddexp(0.0, margin) - target * margin)
        return float(value), np.array([np.mean(error * score), np.mean(error)])

    # From the best constant, on centred scores, so that the search cannot overshoot into the flat. A slope below 0
    # would turn the ranking round.
    start, bounds = np.array([0.0, logit(target.mean())]), [(0.0, None), (None, None)]
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-9})
    return Calibration("platt", slope=float(best.x[0]), intercept=float(best.x[1] - best.x[0] * middle))


_FITS: dict[Method, Callable[[Floats, Floats], Calibration]] = {"isotonic": _fit_isotonic, "platt": _fit_platt}


def _smoothed(y: Floats) -> Floats:
    """Platt's targets: a finite answer even where a threshold separates the classes."""
    positives, negatives = y.sum(), len(y) - y.sum()
    return np.asarray(np.where(y > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2)))


def _logit(p: Floats) -> Floats:
    return np.asarray(logit(np.clip(p, EDGE, 1 - EDGE)))


def _checked(p: Array, y: Array, people: Array) -> tuple[Floats, Floats]:
    if not (len(p) == len(y) == len(people)) or len(p) == 0:
        raise ValueError(
            f"calibration: {len(p)} probabilities, {len(y)} labels, {len(people)} people; pass equal rows."
        )
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError("calibration: a probability is missing or outside 0..1; pass probabilities, not margins.")
    if not np.all((y == 0) | (y == 1)):
        raise ValueError("calibration: a label is neither 0 nor 1; leave out rows whose outcome is not known yet.")
    return np.asarray(p, np.float64), np.asarray(y, np.float64)
