"""Tries docker-compose.yml for real: builds, starts, scales, kills, stops, and looks at what was left.

    python3 -m tools.compose_smoke [--here] [--grafana-health-only] [--steady-s 720]

Needs Docker with Compose, git and Python 3.11, no packages. It works on a fresh clone of the last commit in an empty
folder (--here: on this checkout as it is), with a project name and ports of its own, and removes all of it at the end.
The last line is "N passed, N failed"; the exit code is 1 if one failed.
"""

import argparse
import contextlib
import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tools.compose import INSTANCES, CheckError, Stack, eventually, expect, get
from tools.compose_image import Image
from tools.compose_load import BEGIN, Load
from tools.compose_readme import ALERTS, IN_ANOTHER_ORDER, Reader, commands

ROOT: Final = Path(__file__).resolve().parent.parent
PROJECT: Final = "txwatch-smoke"
MINUTE_S: Final = 60
STEADY_S: Final = 12 * MINUTE_S
CLEAN: Final = {
    **{name: {0} for name in ("service", "front", "alerts", "example", "live", "prometheus", "grafana")},
    "kafka": {0, 143},
}
"""Exit codes of a clean stop; Java's after SIGTERM is 143."""


class Smoke:
    """The checks, in their order: each builds on those before it."""

    def __init__(self, stack: Stack, *, grafana_health_only: bool, steady_s: int) -> None:
        self.stack = stack
        self.steady_s = steady_s
        self.grafana_health_only = grafana_health_only

    def does_what_readme_says(self) -> str:
        """Run README's commands in their order; the first one has to build the image."""
        self.stack.docker("image", "rm", self.stack.image)
        return Reader(self.stack).types(commands((self.stack.folder / "README.md").read_text()))

    def does_it_in_another_order(self) -> str:
        """From nothing again, and the replay first."""
        self.stack.empty()
        return Reader(self.stack).types(IN_ANOTHER_ORDER)

    def comes_up_and_shows_the_two_alerts(self) -> str:
        """To the digit, and soon."""
        self.stack.empty()
        began_s = time.monotonic()
        self.stack.compose("up", "--detach", "--no-build")
        found = self.stack.alerts("--follow", "--from-beginning", "--max", "2")
        took_s = time.monotonic() - began_s
        expect(found == list(ALERTS), f"{found}")
        return f"{took_s:.0f} s after `up`{'' if took_s < MINUTE_S else ', more than a minute'}"

    def replays_once_and_ends_well(self) -> None:
        """Four rows, exit code 0."""
        container = self.stack.compose("ps", "--all", "--quiet", "example").strip()
        code = self.stack.docker("wait", container).strip()
        summary = json.loads(self.stack.docker("logs", container).strip().splitlines()[-1])
        expect(code == "0" and summary["delivered"] == len(ALERTS) * 2, f"exit {code}, {summary}")

    def shows_the_anomalies_to_prometheus(self) -> None:
        """Scraped by its name, and all rules evaluate."""
        eventually(lambda: self.stack.value("sum(txwatch_anomalies_total)") == len(ALERTS), "two anomalies")
        eventually(lambda: self.stack.value('sum(up{job="txwatch"})') == 1, "one instance up")
        groups = json.loads(get(f"{self.stack.prometheus}/api/v1/rules")[1])["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        bad = [rule["name"] for rule in rules if rule["health"] == "err"]
        expect(rules and not bad, f"{len(rules)} rules, with errors: {bad}")

    def serves_grafana(self) -> str:
        """Its health page, and where it is a real one, the provisioned dashboard."""
        eventually(lambda: get(f"{self.stack.grafana}/api/health")[0] == 200, "Grafana's health page")  # noqa: PLR2004
        if self.grafana_health_only:
            return "its health page alone, as asked for"
        status, text = get(f"{self.stack.grafana}/api/dashboards/uid/txwatch")
        expect(status == 200 and json.loads(text)["dashboard"]["title"] == "txwatch", f"{status} {text[:200]}")  # noqa: PLR2004
        return "with the dashboard"

    def scales_to_three(self) -> str:
        """Three instances of three names, on three ports, share the partitions; Prometheus finds them."""
        up = ("up", "--detach", "--no-build", "--no-recreate", "--no-deps", "--wait", "--scale", f"service={INSTANCES}")
        self.stack.compose(*up, "service")
        counts = eventually(self.stack.shared, "each instance has a partition")
        eventually(lambda: self.stack.value('sum(up{job="txwatch"})') == INSTANCES, "Prometheus finds three")
        names = {self._name_of(container) for container in self.stack.instances()}
        expect(len(names) == INSTANCES, f"names {names}")
        return f"partitions {counts}"

    def loses_nothing_when_one_is_killed(self) -> str:
        """The one with the most partitions, by SIGKILL, in the middle of a load."""

        def kill() -> str:
            counts = {name: len(status.get("partitions", [])) for name, status in self.stack.instances().items()}
            chosen = max(counts, key=lambda name: counts[name])
            self.stack.docker("kill", "--signal", "KILL", chosen)
            return f"{counts[chosen]} partitions moved"

        return Load(self.stack, "killed").survives(kill)

    def loses_nothing_in_a_rolling_restart(self) -> str:
        """One after the other, each ready before the next."""

        def roll() -> str:
            names = list(self.stack.instances())
            expect(len(names) == INSTANCES - 1, f"{len(names)} instances, without the one that was killed")
            for name in names:
                self.stack.docker("restart", name)
                # A port of the range may be another one now.
                eventually(lambda name=name: self.stack.instances()[name].get("ready"), "ready again")  # type: ignore[misc]
            return f"{len(names)} restarted"

        return Load(self.stack, "rolled", BEGIN + dt.timedelta(hours=1)).survives(roll)

    def goes_on_for_ever_with_the_profile_live(self) -> str:
        """Out of order, of today, with anomalies."""
        before = self.stack.value("sum(txwatch_anomalies_total)") or 0
        self.stack.compose("--profile", "live", "up", "--detach", "--no-build", "--no-recreate", "--no-deps", "live")
        eventually(lambda: (self.stack.value("sum(txwatch_records_late_total)") or 0) > 0, "late records")
        eventually(lambda: (self.stack.value("sum(txwatch_anomalies_total)") or 0) > before, "anomalies")
        delay_s = self.stack.value("min(time() - txwatch_watermark_timestamp_seconds)")
        expect(delay_s is not None and delay_s < MINUTE_S, f"the watermark is {delay_s} s old")
        return f"watermark {delay_s:.1f} s behind the clock"

    def gives_every_expression_of_the_dashboard_its_series(self) -> str:
        """As Grafana would ask, with this scrape interval."""
        text = (self.stack.folder / "config/grafana/dashboards/txwatch.json").read_text()
        for name, value in (("$__rate_interval", "20s"), ('\\"$instance\\"', '\\".*\\"'), ('\\"$topic\\"', '\\".*\\"')):
            text = text.replace(name, value)
        expressions = [target["expr"] for panel in json.loads(text)["panels"] for target in panel.get("targets", [])]
        expect(expressions, "the dashboard asks nothing")
        for expression in expressions:  # a rate needs two scrapes of its series
            eventually(lambda asked=expression: self.stack.query(asked), f"series for {expression}", MINUTE_S)  # type: ignore[misc]
        return f"{len(expressions)} expressions"

    def raises_no_alert_in_the_steady_state(self) -> str:
        """No rule is pending or firing at any moment, while the example is over and live goes on."""
        time.sleep(self.steady_s)
        alarms = self.stack.query(f"count_over_time(ALERTS[{self.steady_s}s])")
        expect(not alarms, f"{[alarm['metric'] for alarm in alarms]}")
        late = self.stack.value("txwatch:records_late:ratio10m")
        expect(late, "nothing is late, so that rule was not tried")
        return f"{self.steady_s / MINUTE_S:.0f} minutes, {late:.1%} late"

    def keeps_its_port(self) -> str:
        """Over a restart and a recreation of the service, and of what holds the port."""

        def answers() -> bool:
            return get(f"{self.stack.front}/readyz")[0] == 200  # noqa: PLR2004

        eventually(answers, "the port answers")
        for change in (("restart", "service"), ("restart", "front")):
            self.stack.compose(*change)
            eventually(answers, f"the port answers after {' '.join(change)}")
        for name in ("service", "front"):
            self.stack.compose("up", "--detach", "--no-build", "--no-deps", "--force-recreate", name)
            eventually(answers, f"the port answers after {name} was created again")
        return self.stack.front

    def runs_nothing_as_root(self) -> str:
        """No container is made for root, no process is root's, and none could become it."""
        containers = self.stack.inspect(everything=True)
        for container in containers:
            name, host = container["Name"], container["HostConfig"]
            expect(container["Config"]["User"].split(":")[0] not in {"", "0", "root"}, f"{name} is root's")
            expect("ALL" in (host["CapDrop"] or []) and not host["Privileged"], f"{name} has capabilities")
            expect("no-new-privileges:true" in (host["SecurityOpt"] or []), f"{name} may gain privileges")
            expect(host["Memory"] > 0 and host["NanoCpus"] > 0, f"{name} has no limits")
            if container["Config"]["Image"] == self.stack.image:
                expect(host["ReadonlyRootfs"], f"{name} can write to its root")
            if container["State"]["Running"]:
                owners = self.stack.docker("top", container["Id"], "-eo", "uid,pid").splitlines()[1:]
                expect(owners and all(line.split()[0] != "0" for line in owners), f"{name}: {owners}")
        return f"{len(containers)} containers"

    def stops_cleanly(self) -> str:
        """`docker compose down` stops each with its exit code of a clean stop, in time."""
        since = dt.datetime.now(dt.UTC)
        began_s = time.monotonic()
        self.stack.compose("--profile", "live", "down")
        took_s = time.monotonic() - began_s
        chosen = ["--filter", f"label=com.docker.compose.project={self.stack.project}", "--filter", "event=die"]
        window = ["--since", f"{since.timestamp():.3f}", "--until", f"{time.time():.3f}"]
        lines = self.stack.docker("events", *window, *chosen, "--format", "{{json .Actor.Attributes}}").splitlines()
        codes = [(one["com.docker.compose.service"], int(one["exitCode"])) for one in map(json.loads, lines)]
        bad = [(service, code) for service, code in codes if code not in CLEAN[service]]
        expect(codes and not bad, f"exit codes {codes}")
        expect({"kafka", "service", "prometheus", "grafana"} <= {service for service, _ in codes}, f"{codes}")
        return f"{took_s:.0f} s, {sorted(codes)}"

    def keeps_what_kafka_has(self) -> None:
        """The alerts are there after `down` and `up`."""
        self.stack.compose("up", "--detach", "--no-build", "--wait", "service")
        expect(set(ALERTS) <= set(self.stack.alerts()), "alerts are gone")

    def removes_all_of_it(self) -> None:
        """`down --volumes` leaves no container, network or volume."""
        self.stack.compose("--profile", "live", "down", "--volumes")
        chosen = ["--quiet", "--filter", f"label=com.docker.compose.project={self.stack.project}"]
        for kind in (["ps", "--all"], ["network", "ls"], ["volume", "ls"]):
            expect(not self.stack.docker(*kind, *chosen).strip(), f"docker {kind[0]} still shows something")

    def _name_of(self, container: str) -> str:
        self.stack.docker("logs", container)
        for line in self.stack.said.splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry["event"] == "started":
                    return str(entry["instance"])
        raise CheckError(f"{container} has not started")

    def checks(self) -> list[Callable[[], str | None]]:
        """In their order."""
        image = Image(self.stack)
        return [
            image.builds_from_a_fresh_clone,
            image.holds_the_lock_and_the_code_and_no_tools,
            image.says_who_it_is,
            image.builds_fast_when_only_code_changed,
            self.does_what_readme_says,
            self.does_it_in_another_order,
            self.comes_up_and_shows_the_two_alerts,
            self.replays_once_and_ends_well,
            self.shows_the_anomalies_to_prometheus,
            self.serves_grafana,
            self.goes_on_for_ever_with_the_profile_live,
            self.gives_every_expression_of_the_dashboard_its_series,
            self.raises_no_alert_in_the_steady_state,
            self.keeps_its_port,
            self.scales_to_three,
            self.loses_nothing_when_one_is_killed,
            self.loses_nothing_in_a_rolling_restart,
            self.runs_nothing_as_root,
            self.stops_cleanly,
            self.keeps_what_kafka_has,
            self.removes_all_of_it,
        ]


def run(stack: Stack, smoke: Smoke) -> int:
    """Run all checks and say how each went; returns how many failed."""
    passed = failed = 0
    try:
        stack.remove()
        for check in smoke.checks():
            name, began_s = check.__name__.replace("_", " "), time.monotonic()
            try:
                said = check()
            except (CheckError, KeyError, ValueError, IndexError) as error:
                failed += 1
                said = f"{type(error).__name__}: {error}"
                verdict = "FAIL"
            else:
                passed += 1
                verdict = "ok  "
            print(f"{verdict} {name} ({time.monotonic() - began_s:.0f} s){f': {said}' if said else ''}", flush=True)
    finally:
        stack.remove()
    print(f"{passed} passed, {failed} failed")
    return failed


def main() -> int:
    """Run on a fresh clone, or here; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--here", action="store_true", help="this checkout as it is, not a clone of its last commit")
    parser.add_argument("--grafana-health-only", action="store_true", help="do not look for the dashboard in Grafana")
    parser.add_argument("--steady-s", type=int, default=STEADY_S, help="how long no rule may be pending or firing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="txwatch-smoke-") as temporary:
        folder = ROOT if options.here else Path(temporary) / "txwatch"
        if not options.here:
            Path(temporary).chmod(0o755)
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)  # noqa: S607
        stack = Stack(folder, PROJECT)
        smoke = Smoke(stack, grafana_health_only=options.grafana_health_only, steady_s=options.steady_s)
        return 1 if run(stack, smoke) else 0


if __name__ == "__main__":
    sys.exit(main())
