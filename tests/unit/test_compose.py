"""Dockerfile, docker-compose.yml and what they mount say the same as the program. tools/compose_smoke.py runs them."""

import json
import re
import shlex
from datetime import datetime
from fnmatch import fnmatch
from itertools import accumulate
from typing import Any

import pytest
import yaml

from brokerkit.jars import KAFKA_VERSION
from producer.disorder import Shuffled
from producer.reading.rows import Row, Rows
from service import __version__
from service.settings import NAMES, HttpSettings, load
from service.settings.groups import WatermarkSettings
from service.settings.model import LIST_NAMES
from tests.replay_process import run
from tools import compose_readme, dashboard, live_csv
from tools.compose import Stack
from tools.setup import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("service", "front", "alerts", "example", "producer", "forward", "live")
PORT = HttpSettings().port


def scrape(job: str = "txwatch") -> dict[str, Any]:
    """The job of Prometheus."""
    jobs = yaml.safe_load((ROOT / "config/prometheus/prometheus.yml").read_text())["scrape_configs"]
    return {str(one["job_name"]): dict(one) for one in jobs}[job]


def test_the_image_is_made_from_the_hashed_lock_and_from_wheels_alone() -> None:
    assert "COPY requirements/runtime.lock /" in DOCKERFILE
    assert "--require-hashes --no-deps --only-binary :all:" in DOCKERFILE
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["python:3.13-slim"] * 3


def test_the_image_says_its_version_port_user_and_signal() -> None:
    assert f'image.version="{__version__}"' in DOCKERFILE
    assert f"\nEXPOSE {PORT}\n" in DOCKERFILE
    assert "\nUSER 10001:10001\n" in DOCKERFILE
    assert "\nSTOPSIGNAL SIGTERM\n" in DOCKERFILE
    assert 'CMD ["python", "-m", "service.app.healthcheck"]' in DOCKERFILE


def test_packages_are_installed_before_the_code_comes() -> None:
    assert DOCKERFILE.index("pip --python") < DOCKERFILE.index("COPY service")
    assert DOCKERFILE.index("--from=packages") < DOCKERFILE.index("--from=code")


@pytest.mark.parametrize("path", [".git", ".venv", "tests", "data", "config", "README.md", "requirements/dev.lock"])
def test_the_build_gets_nothing_that_the_image_does_not_need(path: str) -> None:
    lines = [each for each in (ROOT / ".dockerignore").read_text().splitlines() if each and not each.startswith("#")]
    assert lines[0] == "*"
    assert not [each for each in lines if each.startswith("!") and fnmatch(path, each[1:])]


def test_every_image_has_a_version() -> None:
    for name, service in SERVICES.items():
        image = service["image"] if name not in OURS else service["image"].removeprefix("${TXWATCH_IMAGE:-").rstrip("}")
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", image), name
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert f":{__version__}}}" in SERVICES["service"]["image"]


def test_our_image_is_built_once_and_asked_of_no_registry() -> None:
    assert {SERVICES[name]["pull_policy"] for name in OURS} == {"never"}
    # Each build has an image id of its own, and the next `up` creates every container whose id is another one again.
    assert [name for name in SERVICES if "build" in SERVICES[name]] == ["service"]


def test_every_port_is_bound_to_loopback_and_can_be_moved() -> None:
    ports = {name: port for name, service in SERVICES.items() for port in service.get("ports", [])}
    assert ports.pop("service") == f"127.0.0.1::{PORT}"
    assert set(ports) == {"front", "kafka", "prometheus", "grafana"}
    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+", port) for port in ports.values())


def test_the_service_can_be_scaled() -> None:
    service = SERVICES["service"]
    assert not {"container_name", "hostname"} & set(service)
    assert "KAFKA_INSTANCE_ID" not in service["environment"]
    front = SERVICES["front"]
    assert front["entrypoint"] == ["python", "/front.py", "service", str(PORT)]
    assert front["ports"] == [f"127.0.0.1:${{SERVICE_PORT:-{PORT}}}:{PORT}"]
    (mount,) = front["volumes"]
    assert (ROOT / mount["source"], mount["target"]) == (ROOT / "tools/front.py", "/front.py")


def test_up_starts_no_replay_but_the_example_and_down_ends_what_run_started() -> None:
    assert SERVICES["producer"]["scale"] == 0
    assert {name for name in SERVICES if "profiles" in SERVICES[name]} == {"live", "forward"}


def test_the_example_is_replayed_where_there_is_no_alert_yet() -> None:
    (script,) = SERVICES["example"]["command"]
    asks, condition, says, otherwise, replays, ends = (line.strip() for line in script.strip().splitlines())
    assert SERVICES["example"]["entrypoint"] == ["sh", "-euc"]
    assert asks == "found=$$(python -m service alerts --max 1)"
    assert (condition, otherwise, ends) == ('if [ "$$found" ]; then', "else", "fi")
    assert says.startswith("echo ")
    assert replays.startswith("exec python -m producer replay ")


def test_the_alerts_are_followed_from_the_first_one() -> None:
    assert SERVICES["alerts"]["entrypoint"] == ["python", "-m", "service", "alerts"]
    assert SERVICES["alerts"]["command"] == ["--follow", "--from-beginning"]


@pytest.mark.parametrize("name", ["alerts", "example", "producer", "live"])
def test_what_does_not_run_the_service_does_not_inherit_its_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"] == {"disable": True}


def test_kafka_says_only_that_it_has_started_and_what_is_wrong() -> None:
    environment = SERVICES["kafka"]["environment"]
    levels = dict(one.split("=") for one in environment["KAFKA_LOG4J_LOGGERS"].split(","))
    assert {"kafka", "org.apache.kafka"} <= set(levels)
    assert "KAFKA_LOG4J_ROOT_LOGLEVEL" not in environment  # the image would write a root logger without an appender
    assert {name for name, level in levels.items() if level != "WARN"} == {"kafka.server.KafkaRaftServer"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_bounded_unprivileged_and_has_a_policy(name: str) -> None:
    service = SERVICES[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if name in {"producer", "example"} else "unless-stopped")
    assert service["logging"]["options"]["max-size"]
    assert service.get("read_only", False) is (name in {*OURS, "prometheus"})


@pytest.mark.parametrize("name", OURS)
def test_the_environment_has_only_settings_that_there_are(name: str) -> None:
    assert set(SERVICES[name].get("environment", {})) <= {*NAMES, *LIST_NAMES}


def test_each_waits_for_the_one_before_it() -> None:
    waits = {name: {k: v["condition"] for k, v in s.get("depends_on", {}).items()} for name, s in SERVICES.items()}
    assert waits["service"] == {"kafka": "service_healthy"}
    assert waits["front"] == {"service": "service_started"}
    assert waits["alerts"] == waits["example"] == {"front": "service_healthy"}
    assert waits["live"] == {"front": "service_healthy", "example": "service_completed_successfully"}
    assert waits["producer"] == waits["live"] | {"alerts": "service_started"}
    # What `run service …` starts has its health check and is never healthy.
    assert not [name for name, wait in waits.items() if wait.get("service") == "service_healthy"]


@pytest.mark.parametrize(
    ("name", "file"), [("producer", "data/data.csv"), ("example", "data/data.csv"), ("live", "data/live.csv")]
)
def test_the_replay_takes_its_options(name: str, file: str) -> None:
    (mount,) = SERVICES[name]["volumes"]
    words = [*SERVICES[name]["entrypoint"], *SERVICES[name]["command"]]
    if name == "example":
        words = shlex.split(words[-1].partition("exec ")[2].splitlines()[0])
    assert words[:4] == ["python", "-m", "producer", "replay"]
    options = [option.replace("${TIMEZONE:-Asia/Shanghai}", "Asia/Shanghai") for option in words[4:]]
    assert options[0] == mount["target"]
    assert mount["source"].removeprefix("${CSV:-").rstrip("}").removeprefix("./") == file
    assert not mount["bind"]["create_host_path"]
    once = [option if option != "0" else "1" for option in options[1:]]

    done = run("replay", file, *once, "--dry-run")

    out_of_order = "831 of 1593 rows are earlier than a row before them and are sent without a wait"
    expected = f"txwatch-replay: {out_of_order}\n" if name == "live" else ""  # what the watermark is shown with
    assert (done.code, done.err) == (0, expected)
    assert done.counts("rejected") == (0,)


def test_less_of_live_is_late_than_the_alert_rule_allows() -> None:
    command = SERVICES["live"]["command"]
    disorder = Shuffled(int(command[command.index("--shuffle-ms") + 1]), seed=0)
    rows = [line.split(",") for line in live_csv.OUTPUT.read_text().splitlines()[1:]]
    times = [int(datetime.fromisoformat(time).timestamp() * 1000) for _, time, _ in rows]
    given = Rows.of(
        [
            Row(number, key, time, amount)
            for number, (time, (key, _, amount)) in enumerate(zip(times, rows, strict=True))
        ]
    )

    left = [*disorder.add(given)[0].timestamps_ms, *disorder.end()[0].timestamps_ms]

    # As if all were in one partition, where most are late.
    reached = [time - WatermarkSettings().lateness_ms for time in accumulate(left, max)]
    late = sum(time < watermark for time, watermark in zip(left[1:], reached, strict=False))
    assert 0.01 < late / len(left) < 0.04


def test_the_live_file_is_what_its_program_writes() -> None:
    assert live_csv.OUTPUT.read_text() == live_csv.build()


def test_prometheus_finds_every_instance_by_the_name_that_rules_and_dashboard_use() -> None:
    job = scrape()
    (found,) = job["dns_sd_configs"]
    assert (found["names"], found["type"], found["port"]) == (["service"], "A", PORT)
    assert f'job="{job["job_name"]}"' in json.loads(dashboard.OUTPUT.read_text())["panels"][-1]["targets"][0]["expr"]
    assert f'job="{job["job_name"]}"' in (ROOT / "config/prometheus/rules/txwatch.yml").read_text()


def test_prometheus_finds_forward_where_it_listens_as_no_instance_of_the_service() -> None:
    job, service = scrape("txwatch-forward"), SERVICES["forward"]
    (found,) = job["dns_sd_configs"]
    assert found["names"] == ["forward"]
    assert str(found["port"]) == service["environment"]["HTTP_PORT"] == str(PORT)
    assert service["healthcheck"] == {"disable": False}
    assert f'job="{job["job_name"]}"' in (ROOT / "config/prometheus/rules/txwatch.yml").read_text()


def test_prometheus_and_grafana_get_their_configuration() -> None:
    assert "./config/prometheus:/etc/prometheus:ro" in SERVICES["prometheus"]["volumes"]
    assert "--config.file=/etc/prometheus/prometheus.yml" in SERVICES["prometheus"]["command"]
    provisioning = ROOT / "config/grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards/txwatch.yml").read_text())["providers"]
    assert (source["type"], source["isDefault"], source["url"]) == ("prometheus", True, "http://prometheus:9090")
    assert source["jsonData"]["timeInterval"] == "5s"
    folder = provider["options"]["path"]
    grafana = SERVICES["grafana"]
    for kind in ("datasources", "dashboards"):
        place = f"grafana/provisioning/{kind}"
        assert f"./config/{place}:/etc/{place}:ro" in grafana["volumes"]
    assert f"./{dashboard.OUTPUT.parent.relative_to(ROOT)}:{folder}:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{folder}/{dashboard.OUTPUT.name}"


def test_each_of_readmes_commands_has_its_check_in_the_smoke_test() -> None:
    found = compose_readme.commands((ROOT / "README.md").read_text())
    assert len(found) >= 6
    assert set(found) == set(compose_readme.Reader(Stack(ROOT, "never-started")).checks)
    assert sorted(compose_readme.IN_ANOTHER_ORDER) == sorted(found)
    assert list(compose_readme.IN_ANOTHER_ORDER) != found


def test_a_command_of_readme_is_what_is_before_its_comment() -> None:
    text = (
        "# a\n    docker compose ps\n\n## With Docker\n\n"
        "    docker compose up   # shows\n    A=b docker compose  run c\n    no command\n"
        "\n## d\n    docker compose x\n"
    )
    assert compose_readme.commands(text) == ["docker compose up", "A=b docker compose run c"]


def test_forward_has_a_target_that_the_settings_take() -> None:
    service = SERVICES["forward"]
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service["environment"]["FORWARD"])
    (target,) = load(None, {"FORWARD": text}).settings.forward
    assert service["command"] == ["--to", target.name]
    assert service["entrypoint"][-1] == "forward"
