"""Messages to people, through Apprise: the only module that imports it, and the only one that knows an address.

An address has a token in it. So nothing that Apprise, or what sends for it, has to say is logged, and what it raises
is answered by its kind alone.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline import secret
from pipeline.causes import Severity
from pipeline.config import Config
from pipeline.errors import ConfigurationError

if TYPE_CHECKING:
    from apprise import NotifyBase

_TALKATIVE = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib")
_SILENT = logging.CRITICAL + 1


@dataclass(frozen=True)
class Address:
    """One place that messages go to: its service's name, and a digest that tells it from the others."""

    name: str
    id: str
    _service: NotifyBase = field(repr=False, compare=False)

    def take(self, title: str, body: str, severity: Severity) -> bool:
        """Whether the service took the message."""
        from apprise import Apprise, NotifyFormat, NotifyType

        with _quiet():
            try:
                return bool(
                    Apprise(self._service).notify(body, title, NotifyType(severity), body_format=NotifyFormat.TEXT)
                )
            except Exception:  # noqa: BLE001 (of whatever kind: it may quote the address)
                return False


def addresses(config: Config) -> tuple[Address, ...]:
    """Where alerts go: the Apprise URLs in the variable `alerts.urls_env`, separated by spaces or line breaks.

    Raises:
        ConfigurationError: One of them is none; the message quotes nothing of it.
    """
    urls = secret.read(config.alerts.urls_env).split()
    if not urls:
        return ()
    from apprise import Apprise

    found = []
    with _quiet():
        for number, url in enumerate(urls, 1):
            service = Apprise.instantiate(url, suppress_exceptions=True)
            if service is None:
                raise ConfigurationError(
                    f"{config.alerts.urls_env}: number {number} of {len(urls)} addresses is none that Apprise knows: "
                    "expected for example slack://…, mailto://… or json://…, separated by spaces; see "
                    "docs/guides/alerts.md"
                )
            digest = hashlib.sha256(url.encode()).hexdigest()[:8]
            found.append(Address(str(service.service_name), digest, service))
    return tuple(found)


@contextmanager
def _quiet() -> Iterator[None]:
    """Apprise logs addresses that it does not understand, and urllib3 the paths that it asks for."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(_SILENT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
