"""What can go wrong: every message tells what failed, where, what was expected and found, and what to do next."""

from __future__ import annotations


class ShortlistError(Exception):
    """The work failed: a contract was violated, a gate refused, an input is bad. Exit code 1; a retry will not help."""


class ConfigurationError(ShortlistError):
    """The command or the configuration is wrong. Exit code 2."""


def in_words(error: object) -> str:
    """What an error says to people. Ours are written for them; of another only its kind, for it may quote anything."""
    if isinstance(error, ShortlistError):
        return str(error)
    kind = type(error).__name__ if isinstance(error, BaseException) else "it was stopped or lost"
    return f"{kind}; the log has more"
