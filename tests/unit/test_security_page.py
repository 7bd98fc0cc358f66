"""The examples of docs/security.md: they name settings that there are, and fit the manifests."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from service.process.environment import SUFFIX
from service.settings import NAMES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
COMPOSE, PATCH = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
BASE: dict[str, Any] = yaml.safe_load((ROOT / "config/deploy/kubernetes/base/statefulset.yaml").read_text())


def test_the_compose_example_gives_the_service_a_secrets_file() -> None:
    service = COMPOSE["services"]["service"]
    assert set(service["environment"]) <= {*NAMES, *(f"{name}{SUFFIX}" for name in NAMES)}
    (secret,) = service["secrets"]
    assert secret in COMPOSE["secrets"]
    assert service["environment"]["KAFKA_PROPERTIES_FILE"] == f"/run/secrets/{secret}"


@pytest.mark.parametrize("version", ["1.29", kubernetes_validate.latest_version()])
def test_the_patch_fits_the_stateful_set(version: str) -> None:
    assert [PATCH[key] for key in ("apiVersion", "kind")] == [BASE[key] for key in ("apiVersion", "kind")]
    assert PATCH["metadata"]["name"] == BASE["metadata"]["name"]
    patched = copy.deepcopy(BASE)
    (container,), pod = patched["spec"]["template"]["spec"]["containers"], patched["spec"]["template"]["spec"]
    (addition,) = PATCH["spec"]["template"]["spec"]["containers"]
    assert addition["name"] == container["name"]
    for key in ("env", "volumeMounts"):
        container[key] += addition[key]
    pod["volumes"] += PATCH["spec"]["template"]["spec"]["volumes"]
    kubernetes_validate.validate(patched, version, strict=True)


def test_the_patch_mounts_the_file_that_it_names() -> None:
    pod = PATCH["spec"]["template"]["spec"]
    (container,), (volume,) = pod["containers"], pod["volumes"]
    (variable,), (mount,) = container["env"], container["volumeMounts"]
    assert variable["name"].removesuffix(SUFFIX) in NAMES
    assert mount["name"] == volume["name"]
    folder, _, file = variable["value"].rpartition("/")
    assert folder == mount["mountPath"]
    assert f"secret generic {volume['secret']['secretName']} --from-file={file}`" in PAGE
