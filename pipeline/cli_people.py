"""`shortlist` commands about people and their rows: identity, forget, quarantine, rotate-key."""

from __future__ import annotations

import typer

app = typer.Typer()
