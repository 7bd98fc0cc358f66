"""Starts the HTTP server of a program, and says in one line why it cannot listen."""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from service.observe.http import HttpServer, Pages, authority, why_not
from service.settings import SettingsError
from service.settings.groups import HttpSettings


def listen(http: HttpSettings, pages: Pages, log: FilteringBoundLogger) -> HttpServer:
    """Serve these pages.

    Raises:
        SettingsError: the address cannot be listened at.
    """
    try:
        server = HttpServer(http.host, http.port, pages)
    except (OSError, UnicodeError) as error:  # UnicodeError: the name cannot be one in DNS
        raise SettingsError(f"HTTP_HOST, HTTP_PORT: {authority(http.host, http.port)}: {why_not(error)}") from None
    log.info("http_listening", host=http.host, port=server.port)
    return server
