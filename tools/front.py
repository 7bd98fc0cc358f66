"""Holds one port in front of all instances of the service, for docker-compose.yml.

    python front.py NAME PORT

Docker gives a container another port of a range at each start, and a fixed port allows one instance. This program
listens at PORT and connects each client to the first address of NAME that accepts, always in the same order. So a page
and what it asks for later come from the same instance. SIGTERM and SIGINT end it with exit code 0.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

PATIENCE_S: Final = 2.0
CHUNK: Final = 65_536
NOBODY: Final = b"No instance of the service answers.\n"
UNAVAILABLE: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: "
    + str(len(NOBODY)).encode()
    + b"\r\n\r\n"
    + NOBODY
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def addresses(name: str, port: int) -> Sequence[str]:
    """Return what a name stands for now, in the same order each time; nothing where nobody knows it."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return sorted({str(address[0]) for *_, address in found})


async def connect(hosts: Sequence[str], port: int) -> Streams | None:
    """Connect to the first host that accepts; None where none does."""
    for host in hosts:
        try:
            return await asyncio.wait_for(asyncio.open_connection(host, port), PATIENCE_S)
        except OSError:  # TimeoutError is one
            continue
    return None


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass on what comes, and then the end."""
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
    sink.write_eof()


async def serve(client: Streams, instance: Streams | None) -> None:
    """Connect both until each has ended, or one is lost. Without an instance the answer is 503."""
    reader, writer = client
    try:
        if instance is None:
            # What is unread at close() would reset the connection.
            await asyncio.wait_for(reader.read(CHUNK), PATIENCE_S)
            writer.write(UNAVAILABLE)
            await writer.drain()
        else:
            await asyncio.gather(copy(reader, instance[1]), copy(instance[0], writer))
    except OSError:
        pass  # a connection is lost, which ends the other one as well
    finally:
        writer.close()
        if instance is not None:
            instance[1].close()


async def main(name: str, port: int) -> None:
    """Listen until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def accept(*client: *Streams) -> None:
        await serve(client, await connect(await addresses(name, port), port))

    server = await asyncio.start_server(accept, port=port)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
