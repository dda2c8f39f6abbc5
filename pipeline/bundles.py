"""Registered models as what scoring needs: their files read back, checked, and put together."""

from __future__ import annotations

from models.classifier import Bundle
from pipeline import registry
from pipeline.records import Tracker


def load_bundle(tracker: Tracker, version: str) -> Bundle:
    """The bundle of a registered version.

    Raises:
        ShortlistError: The version is unknown, or one of its files is missing or has changed.
    """
    return Bundle.from_files(registry.load_bundle_files(tracker, version))
