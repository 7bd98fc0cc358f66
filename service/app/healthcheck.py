"""Asks the service in the same container whether it is ready, for images without curl.

`python -m service.app.healthcheck`

The exit code is 0 if /readyz answers "ready", else 1. The answer goes to standard output.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from service.process.environment import VariableError, variable

TIMEOUT_S: Final = 3.0
HERE: Final = "127.0.0.1"
"""A service that listens at every address answers here: `::` takes IPv4, too."""


def main(environment: Mapping[str, str]) -> int:
    """Ask at HTTP_HOST and HTTP_PORT, print the answer and return the exit code."""
    try:
        host, port = (
            found.text if (found := variable(name, environment)) else "" for name in ("HTTP_HOST", "HTTP_PORT")
        )
    except VariableError as error:
        print(error)  # noqa: T201 - see below
        return 1
    return _ask(one_address(host), int(port or 8000))


def _ask(host: str, port: int) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        ready, text = answer.status == HTTPStatus.OK, answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        ready, text = False, f"no answer from port {port}: {error}"
    finally:
        connection.close()
    print(text)  # noqa: T201 - what `docker inspect` shows of the check
    return 0 if ready else 1


def one_address(host: str) -> str:
    """An address at which a service that listens at ``host`` answers."""
    try:
        return HERE if ipaddress.ip_address(host).is_unspecified else host
    except ValueError:
        return host or HERE


if __name__ == "__main__":
    sys.exit(main(os.environ))
