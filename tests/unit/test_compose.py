"""Dockerfile, docker-compose.yml and what they mount say the same as the program. tools/compose_smoke.py runs them."""

import json
import re
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml

from brokerkit.jars import KAFKA_VERSION
from service import __version__
from service.settings import NAMES, HttpSettings
from tests.replay_process import run
from tools import dashboard, live_csv
from tools.setup import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("service", "producer", "live")
PORT = HttpSettings().port


def scrape() -> dict[str, Any]:
    """The only job of Prometheus."""
    (job,) = yaml.safe_load((ROOT / "config/prometheus/prometheus.yml").read_text())["scrape_configs"]
    return dict(job)


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


def test_every_port_is_bound_to_loopback_and_can_be_moved() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORTS?:-[\d-]+\}:\d+", port) for port in ports)


def test_the_service_can_be_scaled() -> None:
    service = SERVICES["service"]
    assert not {"container_name", "hostname"} & set(service)
    assert "KAFKA_INSTANCE_ID" not in service["environment"]
    (port,) = service["ports"]
    first, last = map(int, re.findall(r":-(\d+)-(\d+)\}", port)[0])
    assert last - first >= 3
    assert port.endswith(f":{PORT}")


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_bounded_unprivileged_and_has_a_policy(name: str) -> None:
    service = SERVICES[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if name == "producer" else "unless-stopped")
    assert service["logging"]["options"]["max-size"]
    assert service.get("read_only", False) is (name in {*OURS, "prometheus"})


@pytest.mark.parametrize("name", OURS)
def test_the_environment_has_only_settings_that_there_are(name: str) -> None:
    assert set(SERVICES[name]["environment"]) <= set(NAMES)


def test_each_waits_for_the_one_before_it() -> None:
    waits = {name: {k: v["condition"] for k, v in s.get("depends_on", {}).items()} for name, s in SERVICES.items()}
    assert waits["service"] == {"kafka": "service_healthy"}
    assert waits["producer"] == {"service": "service_healthy"}
    assert waits["live"] == {"service": "service_healthy", "producer": "service_completed_successfully"}
    assert {name for name in SERVICES if "profiles" in SERVICES[name]} == {"live"}


@pytest.mark.parametrize(("name", "file"), [("producer", "data/data.csv"), ("live", "data/live.csv")])
def test_the_replay_takes_its_options(name: str, file: str) -> None:
    assert SERVICES[name]["entrypoint"] == ["python", "-m", "producer", "replay"]
    (mount,) = SERVICES[name]["volumes"]
    options = [option.replace("${TIMEZONE:-Asia/Shanghai}", "Asia/Shanghai") for option in SERVICES[name]["command"]]
    assert options[0] == mount["target"]
    assert mount["source"].removeprefix("${CSV:-").rstrip("}").removeprefix("./") == file
    assert not mount["bind"]["create_host_path"]
    once = [option if option != "0" else "1" for option in options[1:]]

    done = run("replay", file, *once, "--dry-run")

    out_of_order = "1063 of 1593 rows are earlier than a row before them and are sent without a wait"
    expected = f"txwatch-replay: {out_of_order}\n" if name == "live" else ""  # what the watermark is shown with
    assert (done.code, done.err) == (0, expected)
    assert done.counts("rejected") == (0,)


def test_the_live_file_is_what_its_program_writes() -> None:
    assert live_csv.OUTPUT.read_text() == live_csv.build()


def test_prometheus_finds_every_instance_by_the_name_that_rules_and_dashboard_use() -> None:
    job = scrape()
    (found,) = job["dns_sd_configs"]
    assert (found["names"], found["type"], found["port"]) == (["service"], "A", PORT)
    assert f'job="{job["job_name"]}"' in json.loads(dashboard.OUTPUT.read_text())["panels"][-1]["targets"][0]["expr"]
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
