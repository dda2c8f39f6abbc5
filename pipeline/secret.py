"""What no file may hold: the key for pseudonyms, and the addresses that alerts go to."""

from __future__ import annotations

import os
import sys


def read(name: str) -> str:
    """The environment variable `name`, else the Airflow Variable of its name in lower case; empty where neither is set.

    Airflow's secrets backends are asked only in a process of Airflow's: who did not import it does not do so for this.
    """
    sdk = sys.modules.get("airflow.sdk")
    return os.environ.get(name) or (str(sdk.Variable.get(name.lower(), default="")) if sdk else "")
