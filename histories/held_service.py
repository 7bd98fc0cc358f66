"""The service, or `rekey`, with a fault point in its commits, for tests alone: `python -m histories.held_service`.

HOLD_AT names a step and HOLD_TXN the number of the txn, counted from one. There the process writes the step's name to
standard output and waits for a line on standard input; in `during-commit` it writes and goes on at once.
"""

import os
import sys
from pathlib import Path
from typing import Any, Final, NoReturn, cast

from confluent_kafka import Producer

from service.app.bootstrap import Service
from service.app.rekeying import Rekey
from service.app.reloading import ConfigFile
from service.observe import log
from service.process.stop import end_process, stopped_by_signals
from service.settings import load

STEPS: Final = ("before-begin", "after-begin", "after-send", "after-offsets", "during-commit", "after-commit")


class HeldProducer:
    """A producer that stops at one step of one txn, once in the life of the process."""

    _held = False

    def __init__(self, producer: Producer, step: str, txn: int) -> None:
        """Wrap the real one."""
        self._producer = producer
        self._step = step
        self._until = txn
        self._txns = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._producer, name)

    def _at(self, step: str) -> None:
        if step != self._step or self._txns != self._until or self._held:
            return
        HeldProducer._held = True
        sys.stdout.write(f"{step}\n")
        sys.stdout.flush()
        if step != "during-commit":
            sys.stdin.readline()

    def begin_transaction(self) -> None:
        """One step is before it and one after it."""
        self._txns += 1
        self._at("before-begin")
        self._producer.begin_transaction()
        self._at("after-begin")

    def send_offsets_to_transaction(self, *arguments: Any) -> None:  # noqa: ANN401 - as the client has it
        """One step is before it, when the broker has the outputs, and one after it."""
        if self._step == "after-send" and self._txns == self._until and not self._held:
            self._producer.flush(10)
        self._at("after-send")
        self._producer.send_offsets_to_transaction(*arguments)
        self._at("after-offsets")

    def commit_transaction(self, *arguments: Any) -> None:  # noqa: ANN401 - as the client has it
        """One step is in it and one after it."""
        self._at("during-commit")
        self._producer.commit_transaction(*arguments)
        self._at("after-commit")


def main() -> NoReturn:
    """Run the service as its own command does, with the fault point."""
    step, txn = os.environ["HOLD_AT"], int(os.environ["HOLD_TXN"])

    def producer(config: dict[str, Any]) -> Producer:
        return cast("Producer", HeldProducer(Producer(config), step, txn))

    log.configure("info", "json")
    with stopped_by_signals(rereads=sys.argv[1:2] == ["run"]) as stop:
        match sys.argv[1:]:
            case ["rekey", "--to", target]:
                end_process(Rekey(load(None).settings, target, stop, producer).run())
            case ["run", "--config", file]:
                config = ConfigFile(Path(file))
                end_process(Service(config.read(), stop, producer, config=config).run())
            case _:
                end_process(Service(load(None).settings, stop, producer).run())


if __name__ == "__main__":
    main()
