"""Asks the service in the same container whether it is ready: `python -m service.ready`, for images without curl.

Exit code 0 when /readyz says so; else 1, with the reason on standard output.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

TIMEOUT_S: Final = 3.0
EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not bound


def main(environment: Mapping[str, str]) -> int:
    """Ask at HTTP_HOST and HTTP_PORT, print the answer and return the exit code."""
    host = environment.get("HTTP_HOST", "")
    port = int(environment.get("HTTP_PORT") or 8000)
    connection = http.client.HTTPConnection("127.0.0.1" if host in EVERYWHERE else host, port, timeout=TIMEOUT_S)
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


if __name__ == "__main__":
    sys.exit(main(os.environ))
