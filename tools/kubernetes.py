"""Writes what config/deploy has from elsewhere.

    .venv/bin/python -m tools.kubernetes rules      # the PrometheusRule, from config/prometheus/rules
    .venv/bin/python -m tools.kubernetes dashboard  # the ConfigMap of the dashboard, from config/grafana/dashboards
    .venv/bin/python -m tools.kubernetes schemas    # schemas of the operators' kinds, from their Go modules; needs go

The first two also write the Helm chart's copies: a chart reads no file outside itself. Tests compare all of them with
their sources, and validate every manifest against the schemas.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parent.parent
HOME: Final = ROOT / "config/deploy/kubernetes"
RULES: Final = ROOT / "config/prometheus/rules/txwatch.yml"
RULE: Final = HOME / "monitoring/prometheusrule.yaml"
DASHBOARD: Final = ROOT / "config/grafana/dashboards/txwatch.json"
CONFIG_MAP: Final = HOME / "monitoring/dashboard.yaml"
CHART: Final = ROOT / "config/deploy/helm/txwatch"
COPIES: Final = {CHART / "files/rules.yml": RULES, CHART / "files/dashboard.json": DASHBOARD}
"""The chart's copy → what it is one of."""
SCHEMAS: Final = HOME / "schemas"
HEAD: Final = """\
# Written by tools/kubernetes.py from config/prometheus/rules/txwatch.yml: change that.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: txwatch
  labels: {app.kubernetes.io/name: txwatch}
spec:
"""
DASHBOARD_HEAD: Final = """\
# Written by tools/kubernetes.py from config/grafana/dashboards/txwatch.json, and that by tools/dashboard.py.
apiVersion: v1
kind: ConfigMap
metadata:
  name: txwatch-dashboard
  # By the second label Grafana's sidecar finds it.
  labels: {app.kubernetes.io/name: txwatch, grafana_dashboard: "1"}
data:
  txwatch.json: |
"""
OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
KEDA: Final = "github.com/kedacore/keda/v2@v2.21.0"
DEFINITIONS: Final = {
    "servicemonitor": (OPERATOR, "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"),
    "prometheusrule": (OPERATOR, "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"),
    "scaledobject": (KEDA, "config/crd/bases/keda.sh_scaledobjects.yaml"),
}
"""The kind's name → a Go module at a version, and the CustomResourceDefinition in it."""


def rule() -> str:
    """The manifest: the same lines, two columns to the right."""
    lines = RULES.read_text(encoding="utf-8").splitlines()
    body = lines[lines.index("groups:") :]
    return HEAD + "".join(f"  {line}\n" if line else "\n" for line in body)


def config_map() -> str:
    """The dashboard as a ConfigMap."""
    return DASHBOARD_HEAD + "".join(f"    {line}\n" for line in DASHBOARD.read_text(encoding="utf-8").splitlines())


def write(path: Path, text: str, source: Path) -> None:
    """Write a manifest, and the chart's copy of its source."""
    path.write_text(text, encoding="utf-8")
    for copy, original in COPIES.items():
        if original == source:
            copy.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")


def write_schemas() -> None:
    """Fetch the definitions and write their schemas, without descriptions."""
    for kind, (module, path) in DEFINITIONS.items():
        command = ["go", "mod", "download", "-json", module]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        definition = yaml.safe_load((Path(json.loads(done.stdout)["Dir"]) / path).read_text(encoding="utf-8"))
        (version,) = [each for each in definition["spec"]["versions"] if each["storage"]]
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$comment": f"{path} of {module}, Apache-2.0",
            **strict(version["schema"]["openAPIV3Schema"]),
        }
        (SCHEMAS / f"{kind}.json").write_text(json.dumps(schema, sort_keys=True) + "\n", encoding="utf-8")


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The same as JSON Schema that refuses unknown names where the API server would drop them silently."""
    kept = {name: value for name, value in schema.items() if name != "description" and not name.startswith("x-")}
    for name in ("properties", "patternProperties"):
        if name in kept:
            kept[name] = {each: strict(inner) for each, inner in kept[name].items()}
    for name in ("items", "additionalProperties", "not"):
        if isinstance(kept.get(name), dict):
            kept[name] = strict(kept[name])
    for name in ("anyOf", "oneOf", "allOf"):
        if name in kept:
            kept[name] = [_part(inner) for inner in kept[name]]
    if schema.get("x-kubernetes-int-or-string"):
        kept = {"type": ["integer", "string"]}
    if "properties" in kept and not schema.get("x-kubernetes-preserve-unknown-fields"):
        kept.setdefault("additionalProperties", False)
    if schema.get("nullable") and isinstance(kept.get("type"), str):
        kept["type"] = [kept["type"], "null"]
    return kept


def _part(schema: dict[str, Any]) -> dict[str, Any]:
    """One of several that must hold together: it names only some of the properties."""
    found = strict(schema)
    if found.get("additionalProperties") is False:
        del found["additionalProperties"]
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["rules"]:
        write(RULE, rule(), RULES)
    elif sys.argv[1:] == ["dashboard"]:
        write(CONFIG_MAP, config_map(), DASHBOARD)
    elif sys.argv[1:] == ["schemas"]:
        write_schemas()
    else:
        sys.stderr.write(f"{__doc__}")
        sys.exit(2)
