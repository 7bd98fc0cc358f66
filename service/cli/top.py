"""`txwatch top`: the live view in the terminal."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import click

from service.cli.common import FAILED, OK, common_options

if TYPE_CHECKING:
    from rich.console import Console

    from service.observe.instances import Instance

DEFAULT_URL = "http://127.0.0.1:8000"
REFRESH_S = 0.5


@click.command()
@common_options
@click.argument("urls", nargs=-1, metavar="[URL]...")
def top(urls: tuple[str, ...], config: object) -> int:
    """Show instances live, until Ctrl-C. URL is where an instance's pages are; default http://127.0.0.1:8000.

    Where standard output is no terminal, it prints once what there is.
    """
    del config
    # Late, so that other commands need not wait for them.
    from rich.console import Console  # noqa: PLC0415

    from service.observe.instances import Instance  # noqa: PLC0415

    try:
        instances = [Instance(url) for url in dict.fromkeys(urls or (DEFAULT_URL,))]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    console = Console(highlight=False)
    return _follow(instances, console) if sys.stdout.isatty() else _once(instances, console)


def _once(instances: list[Instance], console: Console) -> int:
    from service.observe.top_view import LONG, view  # noqa: PLC0415

    with ThreadPoolExecutor(len(instances)) as pool:
        list(pool.map(lambda one: one.ask(), instances))
    console.print(view(instances, LONG))
    return OK if any(one.seen is not None and one.seen.fault is None for one in instances) else FAILED


def _follow(instances: list[Instance], console: Console) -> int:
    from rich.live import Live  # noqa: PLC0415

    from service.observe.top_view import view  # noqa: PLC0415
    from service.process.stop import stopped_by_signals  # noqa: PLC0415

    for one in instances:
        one.start()
    with stopped_by_signals() as stop, Live(console=console, screen=True, auto_refresh=False) as live:
        while not stop.asked():
            live.update(view(instances, console.height), refresh=True)
            time.sleep(REFRESH_S)
    for one in instances:
        one.close()
    return OK
