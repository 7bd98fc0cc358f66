"""How a program that runs until a signal ends: what was raised becomes its exit code and one line."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Final

from structlog.typing import FilteringBoundLogger

from service.app.waiting import StoppedWaiting
from service.loop.errors import Fatal, Misconfigured, Retriable
from service.observe.http import HttpServer
from service.process.stop import Stop
from service.settings import SettingsError

CLOSE_TIMEOUT_S: Final = 3.0
"""Leaving the group may hang (confluent-kafka-python#1667). After this time the process ends without it."""


def run_to_the_end(
    work: Callable[[], object],
    server: HttpServer,
    stop: Stop,
    log: FilteringBoundLogger,
    needed_acl: Callable[[int | None], str | None],
) -> int:
    """Do the work, and close the server; returns the exit code: 0 after a stop, 1 where the work failed.

    ``needed_acl`` names the permission whose lack has this error code of Kafka.

    Raises:
        SettingsError: the settings and the cluster do not fit together.
        Retriable: the work failed for that, and nobody asked for a stop.
    """
    try:
        work()
    except StoppedWaiting:
        pass  # nothing has been read, so nothing is to be undone
    except Retriable as problem:
        if not stop.asked():
            raise
        log.warning("stopped_while_waiting", error=str(problem))
    except Misconfigured as problem:
        raise SettingsError(str(problem)) from None
    except Fatal as problem:
        needs = {"needs": acl} if (acl := needed_acl(problem.code)) else {}
        log.critical("fatal", error=str(problem), **needs)
        return 1
    finally:
        server.close()
    log.info("stopped")
    return 0


def leave_group(close: Callable[[], object], log: FilteringBoundLogger) -> None:
    """Close the consumer, within CLOSE_TIMEOUT_S; never raises. Without a thread for it, the process ends at once."""
    thread = Thread(target=close, name="close", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        log.warning("close_given_up", after_s=0.0)
        return
    thread.join(CLOSE_TIMEOUT_S)
    if thread.is_alive():
        log.warning("close_given_up", after_s=CLOSE_TIMEOUT_S)
