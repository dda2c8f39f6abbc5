"""UCI Online Shoppers: does a session end in a purchase? From its vector, five stratified folds like the publication.

Sakar et al. 2019 oversampled; here no fold is, and what a fold is judged by neither stopped nor calibrated its model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from benchmarks import quality_bag
from benchmarks.table import Row
from models import metrics
from models.learning import Sample

Floats = NDArray[np.float64]

FILE = Path(__file__).resolve().parents[2] / "shared/data/uci_online_shoppers/online_shoppers_intention.csv"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "June", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
VISITORS = ("New_Visitor", "Returning_Visitor", "Other")
UNORDERED = ("OperatingSystems", "Browser", "Region")
"""Numbers of things that have no order and say nothing: left out."""


def rows(trials: int, times: int, file: Path = FILE) -> list[Row]:
    """The table's lines."""
    sessions, y = read(file)
    plain = vector(sessions)
    full = {**plain, **with_page_values(sessions, plain)}
    found = []
    for what, columns, must in (
        ("with PageValues", full, 0.937),
        ("with PageValues, only the data set's own columns", own(sessions), None),
        ("without PageValues", plain, None),
    ):
        folds = fold_aucs(columns, y, trials, times)
        found.append(Row(f"shoppers, {what}: AUC, mean of 5 folds", float(np.mean(folds)), must))
        found.append(Row(f"shoppers, {what}: AUC, worst fold", float(np.min(folds))))
        found.append(Row(f"shoppers, {what}: AUC, best fold", float(np.max(folds))))
    return found


def read(file: Path = FILE) -> tuple[pa.Table, Floats]:
    """The sessions, and whether each ended in a purchase."""
    sessions = pa.csv.read_csv(file)
    return sessions, _floats(sessions["Revenue"].cast(pa.int8()))


def fold_aucs(columns: Mapping[str, Floats], y: Floats, trials: int, times: int = 1) -> list[float]:
    """The AUC of each of the five folds, learned from the other four."""
    x = np.column_stack(list(columns.values())).astype(np.float32)
    sessions = np.arange(len(y))
    found = []
    for known, judged in StratifiedKFold(5, shuffle=True, random_state=0).split(x, y):
        sample = Sample(x[known], y[known], sessions[known])
        p = quality_bag.predicted(list(columns), sample, x[judged], trials, times=times)
        found.append(metrics.auc(y[judged], p))
    return found


def own(sessions: pa.Table) -> dict[str, Floats]:
    """The data set's columns as numbers."""
    coded = {"Month": MONTHS, "VisitorType": VISITORS}
    return {
        name: _floats(pc.index_in(sessions[name], value_set=pa.array(coded[name])) if name in coded else sessions[name])
        for name in sessions.column_names
        if name != "Revenue"
    }


def vector(sessions: pa.Table) -> dict[str, Floats]:
    """The session's vector without PageValues: counts and seconds a kind of page, their mix, pace, and exits."""
    found = {name: values for name, values in own(sessions).items() if name not in {*UNORDERED, "PageValues"}}
    kinds = ("Administrative", "Informational", "ProductRelated")
    pages = sum((found[kind] for kind in kinds), np.zeros(len(sessions)))
    seconds = sum((found[f"{kind}_Duration"] for kind in kinds), np.zeros(len(sessions)))
    mix = {f"mix_{kind}": found[kind] / np.maximum(pages, 1) for kind in kinds}
    product = found["ProductRelated_Duration"]
    return {
        **found,
        **mix,
        "pages": pages,
        "seconds": seconds,
        "seconds_a_page": seconds / np.maximum(pages, 1),
        "seconds_a_product": product / np.maximum(found["ProductRelated"], 1),
        "seconds_an_administrative": found["Administrative_Duration"] / np.maximum(found["Administrative"], 1),
        "product_share_of_seconds": product / np.maximum(seconds, 1),
        "exits_without_bounces": found["ExitRates"] - found["BounceRates"],
        "bounces_per_exit": found["BounceRates"] / np.maximum(found["ExitRates"], 1e-4),
        "exits": found["ExitRates"] * pages,
        "november": (found["Month"] == MONTHS.index("Nov")).astype(np.float64),
    }


def with_page_values(sessions: pa.Table, plain: Mapping[str, Floats]) -> dict[str, Floats]:
    """PageValues, and what they come to by page, second and exit."""
    worth, leaving = _floats(sessions["PageValues"]), plain["ExitRates"]
    return {
        "PageValues": worth,
        "any_page_value": (worth > 0).astype(np.float64),
        "page_values_kept": worth * (1 - leaving),
        "page_values_left": worth * leaving,
        "page_values_bounced": worth * plain["BounceRates"],
        "page_values_per_exit": worth / (leaving + 0.005),
        "page_values_of_all_pages": worth * plain["pages"],
        "page_values_per_page": worth / np.maximum(plain["pages"], 1),
        "page_values_by_seconds": worth * plain["seconds"],
    }


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.cast(pa.float64()).combine_chunks().to_numpy(zero_copy_only=False))
