"""Tokens for the broker's BEARER listener: from a token server of OIDC, and from a stand-in for Amazon's signer.

No test can ask AWS. The stand-in has the signer's names and units, and its tokens are such that Kafka's own validator
takes them.
"""

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

SECRET: Final = "client-secret-51c0"  # noqa: S105 - of a server on loopback that runs for a minute

SIGNER: Final = """
import base64, json, os, sys, time

def generate_auth_token(region):
    user, life_s, calls = {user!r}, {life_s!r}, {calls!r}
    with open(calls, "a") as file:
        file.write(region + "\\n")
    if os.path.exists(calls + ".broken"):
        raise RuntimeError("the credentials have expired")
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    now = time.time()
    claims = dict(sub=user, iat=now, exp=now + life_s)
    return part(dict(alg="none")) + "." + part(claims) + ".", int((now + life_s) * 1000)
"""


def stand_in_signer(folder: Path, user: str, life_s: float) -> dict[str, str]:
    """Variables with which a process finds the stand-in; it writes a line for each call to `folder`/calls."""
    package = folder / "aws_msk_iam_sasl_signer"
    package.mkdir()
    (package / "__init__.py").write_text("")
    text = SIGNER.format(user=user, life_s=life_s, calls=str(folder / "calls"))
    (package / "MSKAuthTokenProvider.py").write_text(text)
    return {"PYTHONPATH": str(folder)}


def token(user: str, life_s: float) -> str:
    """A JSON Web Token without a signature."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    now = time.time()
    return f"{part({'alg': 'none'})}.{part({'sub': user, 'iat': now, 'exp': now + life_s})}."


def user_of(text: str) -> str | None:
    """Whose token this is; None where it is none."""
    try:
        part = text.split(".")[1]
        found: str = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["sub"]
    except (ValueError, LookupError):
        return None
    return found


class TokenServer:
    """A token server on loopback. A client's id is its user's name."""

    def __init__(self, life_s: float) -> None:
        """Listen at a free port."""
        self.calls: list[str] = []
        """The ids of the clients that have a token."""
        calls = self.calls

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                header = self.headers.get("Authorization", "").removeprefix("Basic ")
                user, _, secret = base64.b64decode(header).decode().partition(":")
                if form.get("grant_type") == ["client_credentials"] and secret == SECRET:
                    calls.append(user)
                    self.answer(200, {"access_token": token(user, life_s), "expires_in": life_s})
                else:
                    self.answer(401, {"error": "invalid_client"})

            def answer(self, status: int, value: object) -> None:
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where tokens are."""
        return f"http://127.0.0.1:{self._server.server_port}/token"

    def properties(self, user: str, secret: str = SECRET) -> dict[str, str]:
        """The properties of a client."""
        return {
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": user,
            "sasl.oauthbearer.client.secret": secret,
            "sasl.oauthbearer.token.endpoint.url": self.url,
        }

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def token_server(life_s: float = 6) -> Iterator[TokenServer]:
    """Runs one; its tokens live so long."""
    server = TokenServer(life_s)
    server.start()
    try:
        yield server
    finally:
        server.close()
