"""Programs that begin with their modules loaded: a server loads them once, and forks a process for each run.

A start of Python spends half a second of processor time on modules, and tests of a command line are hundreds of runs.
Each run is still a process: its own folder, environment, standard streams and exit code. What depends on how Python
itself starts needs a process of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from coverage import Coverage

ROOT: Final = Path(__file__).resolve().parent.parent
AT_START: Final = ("PYTHON", "LC_", "LANG")
"""Variables that Python reads when it starts: those of a run are the server's."""
TIMEOUT_S: Final = 90.0
MOST_BYTES: Final = 150_000
"""Of a request: the arguments and the environment."""


class Ended(NamedTuple):
    """The exit code of a process, and what it wrote."""

    code: int
    out: bytes
    err: bytes


class Forked:
    """Runs `python -m MODULE`. The server starts with the first run and ends with the process of the tests.

    Args:
        module: what runs.
        loaded: the module to load before; it loads most others.
        environment: the server's: Python's own variables in it hold for every run.
    """

    def __init__(self, module: str, loaded: str, environment: Mapping[str, str]) -> None:
        self._module, self._loaded, self.environment = module, loaded, environment
        self._server: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path = ROOT, data: bytes = b""
    ) -> Ended:
        """Run it to its end, with this standard input.

        Raises:
            ValueError: the environment has a variable that Python reads when it starts.
            TimeoutExpired: it did not end in time; it is killed.
        """
        for name in environment.keys() | self.environment.keys():
            if name.startswith(AT_START) and environment.get(name) != self.environment.get(name):
                raise ValueError(f"{name} counts when Python starts: use a process of its own")
        connection = self._socket or self._start()
        with contextlib.ExitStack() as stack:
            pipes = [os.pipe() for _ in range(3)]
            theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
            ours = [
                stack.enter_context(os.fdopen(descriptor, mode))
                for descriptor, mode in ((pipes[0][1], "wb"), (pipes[1][0], "rb"), (pipes[2][0], "rb"))
            ]
            request = {"arguments": list(arguments), "environment": dict(environment), "folder": str(folder)}
            message = json.dumps(request).encode()
            assert len(message) <= MOST_BYTES
            socket.send_fds(connection, [message], theirs)
            for descriptor in theirs:
                os.close(descriptor)
            return self._finish(connection, ours, data)

    def _finish(self, connection: socket.socket, pipes: list[IO[bytes]], data: bytes) -> Ended:
        read: dict[int, bytes] = {}

        def write_all() -> None:
            with contextlib.suppress(BrokenPipeError), pipes[0]:  # it need not read to the end
                pipes[0].write(data)

        def read_all(number: int) -> None:
            read[number] = pipes[number].read()

        threads = [threading.Thread(target=write_all)]
        threads += [threading.Thread(target=read_all, args=[number]) for number in (1, 2)]
        for thread in threads:
            thread.start()
        connection.settimeout(TIMEOUT_S)
        try:
            answer = connection.recv(100)
        except TimeoutError:
            self._kill()
            raise subprocess.TimeoutExpired(self._module, TIMEOUT_S) from None
        except BaseException:  # the time of the whole test is over: the next run needs a server that is free
            self._kill()
            raise
        finally:
            for thread in threads:
                thread.join()
        return Ended(int(answer), read[1], read[2])

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.forked", str(theirs.fileno()), self._module, self._loaded],
                cwd=ROOT,
                env=dict(self.environment),
                stdin=subprocess.PIPE,  # Python makes its streams for pipes, as those of a run are
                stdout=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._socket = ours
        atexit.register(self._close)
        return ours

    def _kill(self) -> None:
        """End the server and the run."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
        self._close()

    def _close(self) -> None:
        """Let the server end."""
        if self._server is not None and self._socket is not None:
            self._socket.close()
            self._server.communicate()
            self._server = self._socket = None


def serve(connection: socket.socket, module: str) -> None:
    """Fork for each request. The process of a run returns from here as the program, the server at the end of tests."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, MOST_BYTES, 3)
        if not message:
            return
        if (pid := os.fork()) == 0:
            connection.close()
            become(module, json.loads(message), descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def become(module: str, request: dict[str, Any], descriptors: list[int]) -> None:
    """Take the run's streams, environment and folder, and run the module as `python -m` does."""
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv[1:] = request["arguments"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    importlib.import_module(sys.argv[3])
    if (measured := Coverage.current()) is not None:
        measured.save()  # once, and not with each run
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
