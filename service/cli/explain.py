"""`txwatch explain`: shows the records behind an alert, and adds them up again."""

from __future__ import annotations

import json
from pathlib import Path

import click

from service.cli.common import FAILED, OK, common_options, complain, say, servers_option
from service.settings import load


@click.command()
@common_options
@click.argument("alert_id")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@servers_option
@click.pass_obj
def explain(outer: Path | None, config: Path | None, *, alert_id: str, form: str, servers: str | None) -> int:
    """Show the records behind an alert, add them up again, and say whether the alert comes out the same.

    It joins no group and writes nothing. The exit code is 1 where it does not come out the same, where its records have
    expired, or where there is no such alert.
    """
    # Late, so that --help and a wrong option answer at once.
    from service.app.explaining import Explainer  # noqa: PLC0415
    from service.app.waiting import StoppedWaiting  # noqa: PLC0415
    from service.core.memory.failure import DetectorError  # noqa: PLC0415
    from service.loop.errors import KafkaProblem  # noqa: PLC0415
    from service.process.stop import stopped_by_signals  # noqa: PLC0415

    settings = load(config or outer, servers=servers).settings
    with stopped_by_signals() as stop:
        explainer = Explainer(settings, stop)
        try:
            alert = explainer.find(alert_id)
            if alert is None:
                topics = f"{settings.topics.alerts} and {settings.topics.shadow}"
                return OK if stop.asked() else complain(f"there is no alert {alert_id} in {topics}", FAILED)
            found = explainer.explain(alert)
        except StoppedWaiting:
            return OK
        except (DetectorError, KafkaProblem) as problem:
            return complain(str(problem), FAILED)
        finally:
            explainer.close()
        if stop.asked():
            return OK
    if form == "json":
        say(json.dumps(found.as_json(), ensure_ascii=False))
    else:
        for line in found.lines():
            say(line)
    return OK if found.reproduced else FAILED
