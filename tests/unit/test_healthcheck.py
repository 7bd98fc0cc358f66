"""The health check of the image, over a real socket."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from service.app import healthcheck as ready
from service.observe.http import HttpServer, Pages
from service.observe.metrics import Metrics
from service.observe.status import Status, StatusBoard


@pytest.fixture
def board() -> StatusBoard:
    return StatusBoard(lambda: 0.0)


@pytest.fixture
def port(board: StatusBoard) -> Iterator[str]:
    """Where the pages are."""
    registry = CollectorRegistry()
    Metrics(registry, board, "1.2.3", "2.16.0")
    server = HttpServer("127.0.0.1", 0, Pages(registry, board))
    yield str(server.port)
    server.close()


@pytest.mark.parametrize("host", ["", "0.0.0.0", "127.0.0.1"])  # noqa: S104 - as set
def test_a_service_that_is_ready_is_healthy(
    board: StatusBoard, port: str, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    board.status = Status(None)

    assert ready.main({"HTTP_HOST": host, "HTTP_PORT": port}) == 0
    assert capsys.readouterr().out == "ready\n"


def test_the_address_may_come_from_files(
    board: StatusBoard, port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board.status = Status(None)
    (tmp_path / "port").write_text(f"{port}\n")

    assert ready.main({"HTTP_PORT_FILE": str(tmp_path / "port")}) == 0
    assert ready.main({"HTTP_PORT": port, "HTTP_PORT_FILE": str(tmp_path / "port")}) == 1
    assert capsys.readouterr().out.splitlines() == [
        "ready",
        "HTTP_PORT and HTTP_PORT_FILE are both set: unset one of them",
    ]


def test_one_that_is_not_says_why(board: StatusBoard, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    board.status = Status("the broker is away")

    assert ready.main({"HTTP_PORT": port}) == 1
    assert capsys.readouterr().out == "the broker is away\n"


def test_one_that_does_not_answer_is_not_ready(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    assert ready.main({"HTTP_PORT": str(port)}) == 1
    assert capsys.readouterr().out.startswith(f"no answer from port {port}: ")


@pytest.mark.parametrize(
    ("listens", "asked"),
    [("::", "::"), ("0.0.0.0", "0.0.0.0"), ("::", "0::0"), ("localhost", "localhost")],  # noqa: S104
)
def test_it_asks_where_the_service_listens(board: StatusBoard, listens: str, asked: str) -> None:
    board.status = Status(None)
    server = HttpServer(listens, 0, Pages(CollectorRegistry(), board))
    try:
        assert ready.main({"HTTP_HOST": asked, "HTTP_PORT": str(server.port)}) == 0
    finally:
        server.close()


def test_it_asks_at_ipv6s_own_address(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        assert ready.main({"HTTP_HOST": "::1", "HTTP_PORT": str(elsewhere.getsockname()[1])}) == 1
    assert "no answer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("listens", "asked"),
    [
        ("", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104
        ("::", "127.0.0.1"),
        ("0::0", "127.0.0.1"),
        ("::1", "::1"),
        ("localhost", "localhost"),
    ],
)
def test_an_address_that_is_every_one_is_asked_at_ipv4s_own(listens: str, asked: str) -> None:
    assert ready.one_address(listens) == asked
