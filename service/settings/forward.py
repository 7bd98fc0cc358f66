"""`[[forward]]`: where alerts are sent, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.process.environment import VariableError, variable
from service.settings.fields import DetectorName, SettingsError, SomeMilliseconds


class HeaderFile(BaseModel):
    """A header whose value is in a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str


class ForwardSettings(BaseModel):
    """One target of alerts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: DetectorName = Field(description="names the target: `forward --to NAME`")
    url: str = Field("", description="where each alert is posted, `https://…`. `config` masks it")
    url_file: str = Field("", description="a file that holds the URL, in place of `url`")
    template: Literal["cloudevents", "slack", "pagerduty", "alertmanager"] = Field(
        "cloudevents", description="what is sent"
    )
    headers: dict[str, str | HeaderFile] = Field(
        default_factory=dict, description='further headers: a value, or `{file = "PATH"}`'
    )
    timeout_ms: SomeMilliseconds = Field(10_000, description="how long a request may take, from its start to its end")
    max_age_ms: SomeMilliseconds = Field(3_600_000, description="an older alert is not sent (`too_old`)")
    give_up_after_ms: SomeMilliseconds = Field(3_600_000, description="for so long an alert is tried (`gave_up`)")

    def secrets(self) -> tuple[str, dict[str, str]]:
        """The URL and the headers, read from their files where there are any.

        Raises:
            SettingsError: a file cannot be read, or its value cannot be used.
        """
        url = self.url or self._read("url_file", self.url_file)
        headers = {
            name: value if isinstance(value, str) else self._read(f"headers: {name}", value.file)
            for name, value in self.headers.items()
        }
        for name, value in headers.items():
            if not value.isprintable() or not value.isascii():
                raise SettingsError(f"forward {self.name}: headers: {name}: the value is not printable ASCII")
        return url, headers

    def _read(self, field: str, path: str) -> str:
        try:
            found = variable("X", {"X_FILE": path})
        except VariableError as error:
            raise SettingsError(f"forward {self.name}: {str(error).replace('X_FILE', field)}") from None
        return found.text if found else ""
