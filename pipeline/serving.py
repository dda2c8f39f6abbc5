"""Which model makes tonight's lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from models.classifier import Bundle
from pipeline import registry
from pipeline.build_features import fits
from pipeline.bundles import load_bundle
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.records import Tracker

NO_MODEL = "none"


@dataclass(frozen=True)
class Model:
    """The bundle that serves tonight and its registry version; no bundle means that nothing was ever learned.

    `trained` is the night it was trained for: it knows what came of all before.
    """

    bundle: Bundle | None
    version: str
    trained: datetime | None = None

    @classmethod
    def serving(cls, as_of: datetime, config: Config, lake: Lake) -> Model:
        """The champion as of the night."""
        tracker = Tracker(lake.tracking, config.project.name)
        champion = registry.champion(tracker, as_of)
        if champion is None:
            return cls(None, NO_MODEL)
        bundle = load_bundle(tracker, champion.version)
        if not fits(bundle, config):
            raise ShortlistError(
                f"model version {champion.version} was trained for other goals or features than {config.file} asks for "
                f"now ({', '.join(bundle.models)}). Train one for these: "
                f"`shortlist run --as-of {as_of.isoformat()} --retrain`."
            )
        return cls(bundle, champion.version, champion.as_of)
