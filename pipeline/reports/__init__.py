"""Pages that a person reads in a minute: one file each, with its style and pictures inside and nothing fetched."""

from __future__ import annotations

from pipeline.reports.decision import decision_page
from pipeline.reports.features import features_page
from pipeline.reports.training import training_pictures, training_report

__all__ = ["decision_page", "features_page", "training_pictures", "training_report"]
