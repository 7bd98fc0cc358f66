"""The manifests of config/deploy/kubernetes: valid by the published schemas, and in step with the program."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from service import __version__
from service.settings import NAMES, HttpSettings, TopicsSettings
from tools import kubernetes

HOME = kubernetes.HOME
VERSIONS = ["1.29", kubernetes_validate.latest_version()]
NOT_MANIFESTS = {"Kustomization", "Component"}


def load(path: Path) -> dict[str, Any]:
    """A file with one document."""
    return dict(yaml.safe_load(path.read_text()))


MANIFESTS = {
    str(path.relative_to(HOME)): found
    for path in sorted(HOME.rglob("*.yaml"))
    if (found := load(path))["kind"] not in NOT_MANIFESTS
}
DASHBOARD = "monitoring/dashboard.yaml"
CORE = [name for name in MANIFESTS if name.startswith(("base/", "forward/")) or name == DASHBOARD]
OPERATORS = [name for name in MANIFESTS if name not in CORE]
STATEFULSET = MANIFESTS["base/statefulset.yaml"]["spec"]
POD = STATEFULSET["template"]["spec"]
(CONTAINER,) = POD["containers"]
FORWARD = MANIFESTS["forward/deployment.yaml"]["spec"]
BASE = load(HOME / "base/kustomization.yaml")
NAME = {"app.kubernetes.io/name": "txwatch"}


def settings() -> dict[str, str]:
    """What the ConfigMap will have."""
    (generator,) = BASE["configMapGenerator"]
    return dict(each.split("=", 1) for each in generator["literals"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CORE)
def test_the_manifest_is_valid_and_has_no_unknown_field(name: str, version: str) -> None:
    kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_operators_manifest_is_valid_and_has_no_unknown_field(name: str) -> None:
    schema = json.loads((kubernetes.SCHEMAS / f"{MANIFESTS[name]['kind'].lower()}.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(MANIFESTS[name])


@pytest.mark.parametrize(("name", "path"), [("ServiceMonitor", "jobLabel"), ("ScaledObject", "maxReplicaCount")])
def test_the_operators_schemas_refuse_a_misspelt_field(name: str, path: str) -> None:
    manifest = next(each for each in MANIFESTS.values() if each["kind"] == name)
    wrong = {**manifest, "spec": {f"{path}s" if key == path else key: value for key, value in manifest["spec"].items()}}
    schema = json.loads((kubernetes.SCHEMAS / f"{name.lower()}.json").read_text())
    with pytest.raises(jsonschema.ValidationError, match=f"'{path}s' was unexpected"):
        jsonschema.Draft202012Validator(schema).validate(wrong)


@pytest.mark.parametrize("folder", ["base", "monitoring", "autoscaling", "forward"])
def test_every_manifest_is_in_its_kustomization(folder: str) -> None:
    resources = set(load(HOME / folder / "kustomization.yaml")["resources"])
    assert resources == {name.split("/")[1] for name in MANIFESTS if name.startswith(f"{folder}/")}


def test_everything_is_found_by_one_label() -> None:
    ours = {name: each for name, each in MANIFESTS.items() if not name.startswith("forward/")}
    assert all(each["metadata"]["labels"] == NAME for name, each in ours.items() if name != DASHBOARD)
    assert STATEFULSET["template"]["metadata"]["labels"] == NAME
    selectors = [STATEFULSET["selector"]["matchLabels"], MANIFESTS["base/service.yaml"]["spec"]["selector"]]
    selectors += [
        MANIFESTS[f"base/{name}.yaml"]["spec"][key]["matchLabels"]
        for name, key in (("poddisruptionbudget", "selector"), ("networkpolicy", "podSelector"))
    ]
    assert selectors == [NAME] * 4


def test_forward_has_a_label_of_its_own_and_prometheus_takes_both_by_their_names() -> None:
    forward = {name: each for name, each in MANIFESTS.items() if name.startswith("forward/")}
    label = {"app.kubernetes.io/name": "txwatch-forward"}
    assert all(each["metadata"]["labels"] == label for each in forward.values())
    selectors = [
        FORWARD["selector"]["matchLabels"],
        FORWARD["template"]["metadata"]["labels"],
        forward["forward/service.yaml"]["spec"]["selector"],
        forward["forward/networkpolicy.yaml"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert selectors == [label] * 4
    monitor = MANIFESTS["monitoring/servicemonitor.yaml"]["spec"]
    ((name, values),) = ((each["key"], each["values"]) for each in monitor["selector"]["matchExpressions"])
    assert name == monitor["jobLabel"]
    assert values == [NAME[name], label[name]]
    rules = kubernetes.RULES.read_text()
    assert all(f'job="{job}"' in rules for job in values)


def test_forward_is_the_same_image_with_targets_from_a_secret_and_a_port_that_is_known() -> None:
    (container,) = FORWARD["template"]["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert {name.removesuffix("_FILE") for name in variables} <= {*NAMES, "FORWARD"}
    assert int(variables["HTTP_PORT"] or 0) == container["ports"][0]["containerPort"] == HttpSettings().port
    folder = (variables["FORWARD_FILE"] or "").rpartition("/")[0]
    (mount,) = (each for each in container["volumeMounts"] if each["mountPath"] == folder)
    (volume,) = (each for each in FORWARD["template"]["spec"]["volumes"] if each["name"] == mount["name"])
    assert "secret" in volume
    for key in ("image", "livenessProbe", "readinessProbe", "securityContext", "envFrom", "ports"):
        assert container[key] == CONTAINER[key]
    assert FORWARD["template"]["spec"]["securityContext"] == POD["securityContext"]


def test_an_instance_has_its_pods_name() -> None:
    (variable,) = CONTAINER["env"]
    assert variable["name"] == "KAFKA_INSTANCE_ID"
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert POD["enableServiceLinks"] is False
    assert STATEFULSET["serviceName"] == MANIFESTS["base/service.yaml"]["metadata"]["name"]


def test_the_settings_are_some_that_there_are() -> None:
    assert set(settings()) <= set(NAMES)
    example = load(HOME / "example/kustomization.yaml")
    (merged,) = example["configMapGenerator"]
    assert {each.split("=", 1)[0] for each in merged["literals"]} <= set(NAMES)
    assert CONTAINER["envFrom"][0]["configMapRef"]["name"] == BASE["configMapGenerator"][0]["name"]


def test_the_pod_is_not_root_and_writes_nowhere() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (kubernetes.ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    context = POD["securityContext"]
    assert context["runAsNonRoot"] is True
    assert (context["runAsUser"], context["runAsGroup"]) == (int(user[1]), int(user[2]))
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert BASE["images"] == [{"name": CONTAINER["image"], "newTag": __version__}]


def test_a_restart_is_for_the_loop_and_not_for_the_broker() -> None:
    assert CONTAINER["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert CONTAINER["readinessProbe"]["httpGet"]["path"] == "/readyz"
    (port,) = CONTAINER["ports"]
    assert port == {"name": "http", "containerPort": HttpSettings().port}


def test_the_ceiling_is_the_number_of_partitions() -> None:
    scaled = MANIFESTS["autoscaling/scaledobject.yaml"]["spec"]
    (trigger,) = scaled["triggers"]
    assert scaled["maxReplicaCount"] == int(settings()["TOPICS_PARTITIONS"]) == TopicsSettings().partitions
    assert scaled["minReplicaCount"] == STATEFULSET["replicas"]
    assert trigger["metadata"]["bootstrapServers"] == settings()["KAFKA_BOOTSTRAP_SERVERS"]
    assert trigger["metadata"]["topic"] == TopicsSettings().transactions
    example = load(HOME / "example/kustomization.yaml")
    literals = dict(each.split("=", 1) for each in example["configMapGenerator"][0]["literals"])
    changes = {each["path"]: each["value"] for each in yaml.safe_load(example["patches"][0]["patch"])}
    assert changes["/spec/maxReplicaCount"] == int(literals["TOPICS_PARTITIONS"])
    assert changes["/spec/triggers/0/metadata/bootstrapServers"] == literals["KAFKA_BOOTSTRAP_SERVERS"]


def test_the_rules_are_prometheus_own() -> None:
    assert kubernetes.RULE.read_text() == kubernetes.rule()
    assert MANIFESTS["monitoring/prometheusrule.yaml"]["spec"] == load(kubernetes.RULES)


def test_the_dashboard_is_grafanas_own_and_its_sidecar_finds_it() -> None:
    assert kubernetes.CONFIG_MAP.read_text() == kubernetes.config_map()
    assert MANIFESTS[DASHBOARD]["metadata"]["labels"] == {**NAME, "grafana_dashboard": "1"}
    ((name, text),) = MANIFESTS[DASHBOARD]["data"].items()
    assert name.endswith(".json")
    assert text == kubernetes.DASHBOARD.read_text()
    # kubectl apply keeps the whole object in one annotation.
    assert len(json.dumps(MANIFESTS[DASHBOARD])) < 262_144 / 2


def test_the_chart_has_the_rules_and_the_dashboard_and_the_programs_version() -> None:
    for copy, source in kubernetes.COPIES.items():
        assert copy.read_text() == source.read_text(), f"run: python -m tools.kubernetes, {source.name}"
    chart = load(kubernetes.CHART / "Chart.yaml")
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
