"""Limits of the process: threads, and address space for them.

Kafka's client starts its own threads. When it cannot, it aborts, crashes, or silently has no thread for a broker,
which looks as if the broker were unreachable. So we start the threads once before we create a client.
"""

from __future__ import annotations

import threading
from typing import Final

THREADS: Final = 40
"""The service has 20 with one broker. Replacing a producer and fencing dead owners take more."""
_TOUCHED_BYTES: Final = 100_000
"""Each thread allocates this, because glibc reserves address space only for threads that allocate."""
_HOW: Final = "raise the limit of processes (ulimit -u, a container's pids limit) or of address space (ulimit -v)"


class LimitError(Exception):
    """A limit of the process is too low; the text is one line."""


def try_threads(count: int = THREADS) -> None:
    """Start ``count`` threads at the same time, and end them.

    Raises:
        LimitError: not all of them could be started.
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
    """One line about an error caused by a lack of threads or memory; None for any other error."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"out of memory{f': {text}' if text else ''}; {_HOW}, or the memory itself"
    if isinstance(error, RuntimeError) and "start new thread" in text:
        return f"{text}; {_HOW}"
    if isinstance(error, ImportError) and ("failed to map" in text or "annot allocate memory" in text):
        return f"out of memory: {text}; {_HOW}"
    return None
