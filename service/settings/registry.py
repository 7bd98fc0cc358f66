"""The settings of the schema registry."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from service.settings.fields import Group


class RegistrySettings(Group):
    """The schema registry, for each `INPUT_FORMAT` but `json`. [input.md](input.md#avro) has recipes."""

    url: str = Field(
        "",
        description="one or several addresses of a schema registry with Confluent's interface, joined by `,`: "
        "`https://registry:8081`. They are tried in their order",
    )
    properties: dict[str, str | bool | int | float] = Field(
        default_factory=dict,
        description="further properties of Confluent's client, a JSON object: `basic.auth.user.info` "
        "(`user:password`), `ssl.ca.location`, `ssl.certificate.location`, `ssl.key.location`, `bearer.auth.*`",
    )

    @field_validator("url")
    @classmethod
    def _addresses(cls, url: str) -> str:
        for one in url.split(",") if url else ():
            try:
                parts = urlsplit(one.strip())
                good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
            except ValueError:  # brackets that do not match, or a port that is no number
                good = False
            if not good:
                raise ValueError("one is no address such as https://registry:8081")
            if parts.username is not None or parts.password is not None:
                raise ValueError("user and password belong in REGISTRY_PROPERTIES: basic.auth.user.info")
        return url

    @field_validator("properties")
    @classmethod
    def _not_the_url(cls, properties: dict[str, Any]) -> dict[str, Any]:
        if "url" in properties:
            raise ValueError("url has a setting of its own, REGISTRY_URL")
        return properties
