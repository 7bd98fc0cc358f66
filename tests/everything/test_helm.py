"""The Helm chart with a real helm: linted, rendered, and the same objects as config/deploy/kubernetes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from service import __version__
from service.settings import NAMES
from tools import dashboard, helm, kubernetes

CHART = kubernetes.CHART
RELEASE = "txwatch"
EVERYTHING = tuple(f"{part}.enabled=true" for part in ("monitoring", "dashboard", "autoscaling", "forward"))
OUR_LABELS = {"app.kubernetes.io/name": "txwatch", "app.kubernetes.io/instance": RELEASE}
KUBERNETES = ("1.29", kubernetes_validate.latest_version())


def key_of(one: dict[str, Any]) -> str:
    """A ConfigMap's name, or the kind, and of what belongs to forward both."""
    kind, name = one["kind"], str(one["metadata"]["name"])
    if name.endswith("-forward"):
        return f"{kind} of forward"
    return name if kind == "ConfigMap" else str(kind)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm."""
    return subprocess.run([helm.program(), *arguments], capture_output=True, text=True, check=False, timeout=120)


def template(release: str, *settings: str) -> subprocess.CompletedProcess[str]:
    """Render the chart; a helm that was built by go install takes Kubernetes for an old one."""
    changed = [word for one in settings for word in ("--set", one)]
    return run("template", release, CHART, "--kube-version", "1.29.0", *changed)


def rendered(*settings: str, release: str = RELEASE) -> dict[str, dict[str, Any]]:
    """The chart's objects by their keys."""
    done = template(release, *settings)
    assert done.returncode == 0, done.stderr
    objects = [one for one in yaml.safe_load_all(done.stdout) if one]
    assert len({(one["kind"], one["metadata"]["name"]) for one in objects}) == len(objects)
    return {key_of(one): one for one in objects}


def manifests(*folders: str) -> dict[str, dict[str, Any]]:
    """What kustomize's folders hold, by their keys."""
    found = {}
    for path in (path for folder in folders for path in sorted((kubernetes.HOME / folder).glob("*.yaml"))):
        one = yaml.safe_load(path.read_text(encoding="utf-8"))
        if one["kind"] not in {"Kustomization", "Component"}:
            found[key_of(one)] = one
    return found


def without_helms_own(thing: Any) -> Any:  # noqa: ANN401
    """The same without what only the chart has: the label of the release, and the checksum of the settings."""
    if isinstance(thing, dict):
        own = {"app.kubernetes.io/instance", "checksum/settings"}
        kept = {name: without_helms_own(value) for name, value in thing.items() if name not in own}
        return {name: value for name, value in kept.items() if name not in {"annotations", "matchLabels"} or value}
    return [without_helms_own(one) for one in thing] if isinstance(thing, list) else thing


@pytest.mark.parametrize("settings", [(), EVERYTHING], ids=["defaults", "everything"])
def test_helm_has_nothing_to_say_about_the_chart(settings: tuple[str, ...]) -> None:
    done = run("lint", "--strict", CHART, *(word for one in settings for word in ("--set", one)))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_valid_and_has_no_unknown_field(version: str) -> None:
    for one in rendered(*EVERYTHING).values():
        schema = kubernetes.SCHEMAS / f"{one['kind'].lower()}.json"
        if schema.exists():
            jsonschema.Draft202012Validator(json.loads(schema.read_text())).validate(one)
        else:
            kubernetes_validate.validate(one, version, strict=True)


def test_the_objects_are_those_of_kustomize() -> None:
    ours, theirs = rendered(*EVERYTHING), manifests("base", "monitoring", "autoscaling", "forward")
    assert set(ours) == {*theirs, "txwatch-settings"}
    for kind, one in theirs.items():
        specification = without_helms_own(ours[kind].get("spec"))
        expected: Any = one.get("spec")
        if kind in {"StatefulSet", "Deployment of forward"}:
            (container,) = expected["template"]["spec"]["containers"]
            container.update(image=f"txwatch:{__version__}", imagePullPolicy="IfNotPresent")
        if kind == "StatefulSet":
            del expected["replicas"]  # as kustomize's autoscaling does
        assert specification == expected, kind
        assert ours[kind].get("data") == one.get("data"), kind
        assert one["metadata"]["labels"].items() <= ours[kind]["metadata"]["labels"].items()
        assert ours[kind]["metadata"]["name"] == one["metadata"]["name"]


def test_the_settings_and_replicas_are_those_of_kustomize() -> None:
    base = yaml.safe_load((kubernetes.HOME / "base/kustomization.yaml").read_text())
    literals = dict(one.split("=", 1) for one in base["configMapGenerator"][0]["literals"])
    ours = rendered()
    assert ours["txwatch-settings"]["data"] == literals
    assert set(literals) <= set(NAMES)
    assert ours["StatefulSet"]["spec"]["replicas"] == manifests("base")["StatefulSet"]["spec"]["replicas"]


def test_without_operators_there_are_only_kubernetes_own_kinds() -> None:
    assert set(rendered()) == {*manifests("base"), "txwatch-settings"}


def test_two_releases_share_no_name_and_no_pod() -> None:
    ours, others = rendered(*EVERYTHING), rendered(*EVERYTHING, release="other")
    names = [{one["metadata"]["name"] for one in found.values()} for found in (ours, others)]
    assert not names[0] & names[1]
    selectors = [found["StatefulSet"]["spec"]["selector"]["matchLabels"] for found in (ours, others)]
    assert selectors[0] == OUR_LABELS
    assert selectors[0] != selectors[1]
    for kind in ("StatefulSet", "Deployment of forward"):
        references = json.dumps(others[kind]["spec"])
        assert "other-settings" in references
        assert "txwatch-settings" not in references


def test_the_ceiling_and_the_trigger_follow_the_settings() -> None:
    changed = ("settings.TOPICS_PARTITIONS=12", "settings.KAFKA_GROUP_ID=g", "settings.TOPICS_TRANSACTIONS=t")
    scaled = rendered(*EVERYTHING, *changed)["ScaledObject"]["spec"]
    trigger = scaled["triggers"][0]["metadata"]
    assert (scaled["maxReplicaCount"], trigger["consumerGroup"], trigger["topic"]) == (12, "g", "t")


def test_a_changed_setting_rolls_the_pods() -> None:
    for kind in ("StatefulSet", "Deployment of forward"):
        before, after = (
            rendered(*EVERYTHING, *one)[kind]["spec"]["template"]["metadata"]["annotations"]
            for one in ((), ("settings.WINDOW_SIZE_MS=5000",))
        )
        assert before != after


def test_forward_goes_to_the_target_and_out_by_the_ports_of_its_values() -> None:
    found = rendered(*EVERYTHING, "forward.to=pager", "forward.targetPorts={443,9093}", "forward.secret=s")
    pod = found["Deployment of forward"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["forward", "--to", "pager"]
    assert pod["volumes"][1]["secret"] == {"secretName": "s"}
    ports = [one["port"] for one in found["NetworkPolicy of forward"]["spec"]["egress"][-1]["ports"]]
    assert ports == [443, 9093]
    without = rendered(*EVERYTHING, "networkPolicy.enabled=false")
    assert not [kind for kind in without if kind.startswith("NetworkPolicy")]


def test_labels_by_which_prometheus_selects_are_on_both_of_its_kinds_and_nowhere_else() -> None:
    found = rendered(*EVERYTHING, "monitoring.labels.release=kube-prometheus-stack")
    labelled = {kind for kind, one in found.items() if "release" in one["metadata"]["labels"]}
    assert labelled == {"ServiceMonitor", "PrometheusRule"}


def test_the_runbook_may_be_elsewhere() -> None:
    elsewhere = "https://wiki.example/txwatch"
    found = rendered(*EVERYTHING, f"dashboard.runbook={elsewhere}")["txwatch-dashboard"]["data"]["txwatch.json"]
    assert found == kubernetes.DASHBOARD.read_text().replace(dashboard.runbook(), elsewhere)
    assert elsewhere in found


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("replicsa=3", "replicsa"),
        ("settings.KAFKA_INSTANCE_ID=one", "KAFKA_INSTANCE_ID"),
        ("settings.window_size_ms=1", "window_size_ms"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("forward.to=On Call", "to"),
    ],
)
def test_a_wrong_value_is_refused_by_name(setting: str, said: str) -> None:
    done = template(RELEASE, setting)
    assert done.returncode == 1
    assert said in done.stderr
