"""A proxy in front of a registry, as people secure theirs: TLS, a client's certificate, and a password or a token."""

from __future__ import annotations

import base64
import ssl
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, Self

import trustme

from tests.token_server import user_of

OWNER: Final = "registry-reader"
"""The client whose tokens of tests.token_server are good."""
ALLOWED: Final = {"Basic " + base64.b64encode(b"user:pass").decode(), "Bearer secret"}


class Doorkeeper:
    """Passes on what has a certificate of its authority, and one of ALLOWED or a token of OWNER; the rest gets 401."""

    def __init__(self, behind: str, folder: Path) -> None:
        """``behind`` is the registry's address. ``folder`` gets the certificates."""
        authority = trustme.CA()
        self.ca, self.certificate, self.key = (str(folder / name) for name in ("ca.pem", "client.pem", "client.key"))
        authority.cert_pem.write_to_path(self.ca)
        own = authority.issue_cert("client.example")
        own.cert_chain_pems[0].write_to_path(self.certificate)
        own.private_key_pem.write_to_path(self.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = 401, b'{"error_code":401,"message":"no"}'
                who = self.headers.get("Authorization", "")
                if who in ALLOWED or user_of(who.removeprefix("Bearer ")) == OWNER:
                    status, body = _ask(behind + self.path)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Standard error is the test's."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client without a certificate is no fault of the server."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Begin."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


def _ask(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the test's registry
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
