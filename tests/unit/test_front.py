"""The program that holds one port in front of all instances, over real sockets."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import pytest

from brokerkit.files import free_ports
from tools import front
from tools.setup import ROOT

HOSTS: Final = ("127.0.0.2", "127.0.0.3")
REQUEST: Final = b"GET /readyz HTTP/1.1\r\n\r\n"


@asynccontextmanager
async def instances(hosts: Sequence[str], port: int) -> AsyncIterator[None]:
    """One at each host that answers a request with its own address and closes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(asked + str(writer.get_extra_info("sockname")[0]).encode())
        writer.close()

    servers = [await asyncio.start_server(answer, host, port) for host in hosts]
    try:
        yield
    finally:
        for server in servers:
            server.close()


async def asked(hosts: Sequence[str], port: int, *, running: Sequence[str]) -> bytes:
    """What a client gets through the front when these of the hosts are running."""

    async def accept(*client: *front.Streams) -> None:
        await front.serve(client, await front.connect(hosts, port))

    async with instances(running, port):
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(REQUEST)
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()
            server.close()


@pytest.mark.parametrize(
    ("running", "answers"), [(HOSTS, "127.0.0.2"), (HOSTS[::-1], "127.0.0.2"), (HOSTS[1:], "127.0.0.3")]
)
def test_the_first_instance_that_accepts_answers(running: Sequence[str], answers: str) -> None:
    assert asyncio.run(asked(HOSTS, free_ports(1)[0], running=running)) == REQUEST + answers.encode()


@pytest.mark.parametrize("hosts", [HOSTS, ()])
def test_without_one_the_answer_is_503(hosts: Sequence[str]) -> None:
    head, _, body = asyncio.run(asked(hosts, free_ports(1)[0], running=())).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 503 ")
    assert body == b"No instance of the service answers.\n"
    assert f"Content-Length: {len(body)}".encode() in head


def test_a_name_that_nobody_knows_has_no_address() -> None:
    assert asyncio.run(front.addresses("service.invalid", 8000)) == ()
    assert "127.0.0.1" in asyncio.run(front.addresses("localhost", 8000))


def test_a_client_that_goes_away_ends_the_connection_to_the_instance() -> None:
    async def gone() -> bytes:
        ended = asyncio.get_running_loop().create_future()

        async def instance(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"begun")
            ended.set_result(await reader.read())
            writer.close()

        async def accept(*client: *front.Streams) -> None:
            await front.serve(client, await front.connect(["127.0.0.1"], port))

        behind = await asyncio.start_server(instance, "127.0.0.1", 0)
        port = behind.sockets[0].getsockname()[1]
        before = await asyncio.start_server(accept, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*before.sockets[0].getsockname()[:2])
        assert await reader.readexactly(5) == b"begun"
        writer.close()
        try:
            return bytes(await asyncio.wait_for(ended, 10))
        finally:
            before.close()
            behind.close()

    assert asyncio.run(gone()) == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_listens_and_ends_well(number: signal.Signals) -> None:
    port = free_ports(1)[0]
    command = [sys.executable, str(ROOT / "tools/front.py"), "service.invalid", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            except ConnectionRefusedError:
                assert process.poll() is None
            else:
                break
        with connection:
            connection.sendall(REQUEST)
            assert connection.recv(12) == b"HTTP/1.1 503"
            process.send_signal(number)
            _, said = process.communicate(timeout=20)

    assert (process.returncode, said) == (0, b"")
