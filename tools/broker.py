"""A broker on its own: `python -m tools.broker [--port N]` runs one, `--prepare` only makes the next start quick."""

import argparse
import sys
import time

from brokerkit.broker import Broker, prepare
from brokerkit.jars import KAFKA_VERSION, BrokerError
from tools.command import say
from tools.signals import Stopped, stopped_by_signals


def run_broker(port: int | None) -> int:
    """Runs a broker until Ctrl-C or SIGTERM. The one line on standard output is its address."""
    try:
        with stopped_by_signals(), Broker(port=port) as broker:
            sys.stdout.write(f"KAFKA_BOOTSTRAP_SERVERS={broker.bootstrap_servers}\n")
            sys.stdout.flush()
            say(f"Apache Kafka {KAFKA_VERSION} is up; Ctrl-C ends it and removes its data")
            while broker.alive():
                time.sleep(0.2)
            say(f"./demo: the broker died: {broker.last_error()}")
            return 1
    except Stopped:
        return 0
    except BrokerError as error:
        say(f"./demo: {error}")
        return 1


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.broker", description=__doc__)
    parser.add_argument("--prepare", action="store_true", help="fetch Kafka and make it ready, start nothing")
    parser.add_argument("--port", type=int, help="where clients reach it (default: a free port)")
    options = parser.parse_args()
    if not options.prepare:
        return run_broker(options.port)
    try:
        with stopped_by_signals():
            prepare()
    except Stopped as stopped:
        return stopped.exit_code
    except BrokerError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
