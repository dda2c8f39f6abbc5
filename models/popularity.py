"""Rankings that are the same for everybody: what many read, what many read of late, what is new."""

from __future__ import annotations

import numpy as np

from models.engagement import HOUR, Engagement, Floats, Shared


def most_popular(engagement: Engagement) -> Shared:
    """How many people ever turned to it."""
    return Shared(engagement.readers)


def trending(engagement: Engagement, half_life_hours: float) -> Shared:
    """Its readers, each weighing 2^(-age of the last engagement / half-life)."""
    return Shared(_faded(engagement, half_life_hours))


def newest(engagement: Engagement) -> Shared:
    """The younger the better: 1 / (1 + age in hours)."""
    return Shared(1.0 / (1.0 + np.maximum(engagement.age_hours, 0.0)))


def gravity(engagement: Engagement, power: float, offset_hours: float) -> Shared:
    """Readers / (age + offset)^power, in hours: how Hacker News has long ranked its front page."""
    return Shared(engagement.readers / (np.maximum(engagement.age_hours, 0.0) + offset_hours) ** power)


def _faded(engagement: Engagement, half_life_hours: float) -> Floats:
    pairs = engagement.pairs
    weights = engagement.fading(pairs.last, half_life_hours * HOUR)
    return np.bincount(pairs.content, weights=weights, minlength=engagement.contents).astype(np.float64)
