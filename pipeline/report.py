"""What every step returns: a frozen dataclass that can say itself as JSON, for `--json`, Airflow and the lake alike."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Report:
    """Base of the steps' report dataclasses."""

    def to_json(self: DataclassInstance) -> dict[str, Any]:
        """Nothing but objects, lists, strings, numbers and nulls; instants and paths as text."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain
