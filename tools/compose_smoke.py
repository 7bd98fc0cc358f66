"""Tries docker-compose.yml for real: builds, starts, scales, kills, stops, and looks at what was left.

    python3 -m tools.compose_smoke [--here] [--grafana-health-only]

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
from tools.compose_load import BEGIN, Load

ROOT: Final = Path(__file__).resolve().parent.parent
PROJECT: Final = "txwatch-smoke"
ALERTS: Final = [
    "Anomaly detected: ('tx1', 1715392800000, 11700.0), current watermark: 1715392808000",
    "Anomaly detected: ('tx1', 1715392810000, 9000.0), current watermark: 1715392809000",
]
MINUTE_S: Final = 60
REBUILD_S: Final = 30
IMAGE_MB_MAX: Final = 250
UID: Final = "10001"
CLEAN: Final = {"service": {0}, "live": {0}, "producer": {0}, "prometheus": {0}, "grafana": {0}, "kafka": {0, 143}}
"""Exit codes of a clean stop; Java's after SIGTERM is 143."""
IN_THE_IMAGE: Final = """
import importlib.metadata, os, shutil
from pathlib import Path
print(sorted(f"{d.name.lower().replace('_', '-')}=={d.version}" for d in importlib.metadata.distributions(
    path=[p for p in __import__('sys').path if p.startswith('/opt/txwatch')])))
print(sorted(os.listdir("/app")))
print([tool for tool in ("pip", "gcc", "cc", "make", "git", "curl") if shutil.which(tool)])
print([str(p) for top in ("/root/.cache", "/app/tests", "/app/.git", "/runtime.lock") if (p := Path(top)).exists()])
print([str(p) for p in Path("/app").rglob("*.py") if not list(p.parent.glob(f"__pycache__/{p.stem}.*.pyc"))])
"""
WRITABLE: Final = """
import os
print(os.getuid(), [top for top in ("/app", "/app/service", "/opt/txwatch", "/", "/etc") if os.access(top, os.W_OK)])
"""


class Smoke:
    """The checks, in their order: each builds on those before it."""

    def __init__(self, stack: Stack, *, grafana_health_only: bool) -> None:
        self.stack = stack
        self.grafana_health_only = grafana_health_only

    def builds_from_a_fresh_clone(self) -> str:
        """The image is there."""
        self.stack.compose("build", "--progress", "plain")
        megabytes = int(self.stack.docker("image", "inspect", "-f", "{{.Size}}", self.stack.image)) / 1e6
        expect(megabytes < IMAGE_MB_MAX, f"{megabytes:.0f} MB")
        return f"{megabytes:.0f} MB"

    def holds_the_lock_and_the_code_and_no_tools(self) -> None:
        """The image holds the locked packages, and its user cannot write to it."""
        lock = (self.stack.folder / "requirements/runtime.lock").read_text()
        locked = sorted(line.split()[0] for line in lock.splitlines() if "==" in line and not line.startswith(" "))
        expected = [str(locked), "['producer', 'service']", "[]", "[]", "[]", f"{UID} []"]
        python = ("run", "--rm", "--network", "none", "--entrypoint", "python")
        # Only root sees all of it.
        found = self.stack.docker(*python, "--user", "0:0", self.stack.image, "-c", IN_THE_IMAGE)
        found += self.stack.docker(*python, self.stack.image, "-c", WRITABLE)
        for wanted, line in zip(expected, found.splitlines(), strict=True):
            expect(line == wanted, f"{line} instead of {wanted}")

    def says_who_it_is(self) -> None:
        """Labels, user, stop signal, health check."""
        config = json.loads(self.stack.docker("image", "inspect", self.stack.image))[0]["Config"]
        labels = {name.rpartition(".")[2] for name in config["Labels"] if name.startswith("org.opencontainers.image.")}
        expect({"title", "version", "licenses", "revision", "description"} <= labels, f"labels {labels}")
        expect(config["User"].startswith(UID) and config["StopSignal"] == "SIGTERM", f"{config['User']}")
        expect("service.app.healthcheck" in str(config["Healthcheck"]["Test"]), f"{config['Healthcheck']}")

    def builds_fast_when_only_code_changed(self) -> str:
        """The packages are not installed again."""
        changed = self.stack.folder / "service/observe/log.py"
        before = changed.read_text()
        changed.write_text(before + "\n")
        began_s = time.monotonic()
        try:
            self.stack.docker("build", "--progress", "plain", "--tag", self.stack.image, ".")
        finally:
            changed.write_text(before)
        took_s, said = time.monotonic() - began_s, self.stack.said
        expect("Collecting" not in said and "CACHED" in said, "packages were installed again")
        expect(took_s < REBUILD_S, f"{took_s:.1f} s")
        self.stack.docker("build", "--quiet", "--tag", self.stack.image, ".")
        return f"{took_s:.1f} s"

    def comes_up_and_shows_the_two_alerts(self) -> str:
        """To the digit, and soon."""
        began_s = time.monotonic()
        self.stack.compose("up", "--detach", "--no-build")
        found = self.stack.alerts("--follow", "--from-beginning", "--max", "2")
        took_s = time.monotonic() - began_s
        expect(found == ALERTS, f"{found}")
        return f"{took_s:.0f} s after `up`{'' if took_s < MINUTE_S else ', more than a minute'}"

    def replays_once_and_ends_well(self) -> None:
        """Four rows, exit code 0."""
        container = self.stack.compose("ps", "--all", "--quiet", "producer").strip()
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

        def shared() -> list[int] | None:
            counts = sorted(len(status.get("partitions", [])) for status in self.stack.instances().values())
            return counts if len(counts) == INSTANCES and sum(counts) == INSTANCES + 1 and counts[0] else None

        counts = eventually(shared, "each instance has a partition")
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
        expect(
            self.stack.alerts()[: len(ALERTS)] == ALERTS or set(ALERTS) <= set(self.stack.alerts()), "alerts are gone"
        )

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
        return [
            self.builds_from_a_fresh_clone,
            self.holds_the_lock_and_the_code_and_no_tools,
            self.says_who_it_is,
            self.builds_fast_when_only_code_changed,
            self.comes_up_and_shows_the_two_alerts,
            self.replays_once_and_ends_well,
            self.shows_the_anomalies_to_prometheus,
            self.serves_grafana,
            self.scales_to_three,
            self.loses_nothing_when_one_is_killed,
            self.loses_nothing_in_a_rolling_restart,
            self.goes_on_for_ever_with_the_profile_live,
            self.gives_every_expression_of_the_dashboard_its_series,
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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="txwatch-smoke-") as temporary:
        folder = ROOT if options.here else Path(temporary) / "txwatch"
        if not options.here:
            Path(temporary).chmod(0o755)
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)  # noqa: S607
        stack = Stack(folder, PROJECT)
        return 1 if run(stack, Smoke(stack, grafana_health_only=options.grafana_health_only)) else 0


if __name__ == "__main__":
    sys.exit(main())
