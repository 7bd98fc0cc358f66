"""What a process may not have: threads, and address space for them.

Kafka's client starts threads of its own. Where it may not, it aborts the process, crashes, or goes on without one for a
broker, which looks like a broker that is away. So the threads are tried before it is made.
"""

from __future__ import annotations

import threading
from typing import Final

THREADS: Final = 40
"""What the service has at one broker is 20; a producer that is replaced and an heir's producers come on top."""
_TOUCHED_BYTES: Final = 100_000
"""A thread that allocates reserves address space for it, as the client's do."""
_HOW: Final = "raise the limit of processes (ulimit -u, a container's pids limit) or of address space (ulimit -v)"


class LimitError(Exception):
    """The process may not have what it needs; the text is one line."""


def try_threads(count: int = THREADS) -> None:
    """Start so many threads at a time, and end them.

    Raises:
        LimitError: the process may not.
    """
    over = threading.Event()

    def run() -> None:
        bytes(_TOUCHED_BYTES)
        over.wait()

    threads = [threading.Thread(target=run, name="try", daemon=True) for _ in range(count)]
    started = 0
    try:
        for thread in threads:
            thread.start()
            started += 1
    except (RuntimeError, MemoryError) as error:
        raise LimitError(f"cannot start {count} threads, only {started}: {error}; {_HOW}") from None
    finally:
        over.set()
        for thread in threads[:started]:
            thread.join()


def shortage(error: BaseException) -> str | None:
    """One line about an error that comes of too few threads or too little memory; None for any other."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"out of memory{f': {text}' if text else ''}; {_HOW}, or the memory itself"
    if isinstance(error, RuntimeError) and "start new thread" in text:
        return f"{text}; {_HOW}"
    if isinstance(error, ImportError) and ("failed to map" in text or "annot allocate memory" in text):
        return f"out of memory: {text}; {_HOW}"
    return None
