"""All settings. docs/reference.md is made from their descriptions, bounds and defaults."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field, SerializeAsAny
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.settings.detectors import DetectorSettings
from service.settings.forward import ForwardSettings
from service.settings.groups import (
    DetectSettings,
    HttpSettings,
    LateSettings,
    LogSettings,
    WatermarkSettings,
    WindowSettings,
)
from service.settings.input import InputSettings
from service.settings.kafka import KafkaSettings, TopicsSettings
from service.settings.registry import RegistrySettings


class Settings(BaseSettings):
    """Every setting. The environment variable of a field is ``GROUP_FIELD``."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_nested_delimiter="_", env_nested_max_split=1)

    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    topics: TopicsSettings = Field(default_factory=TopicsSettings)
    input: InputSettings = Field(default_factory=InputSettings)
    registry: RegistrySettings = Field(default_factory=RegistrySettings)
    watermark: WatermarkSettings = Field(default_factory=WatermarkSettings)
    window: WindowSettings = Field(default_factory=WindowSettings)
    late: LateSettings = Field(default_factory=LateSettings)
    detect: DetectSettings = Field(default_factory=DetectSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    detectors: tuple[SerializeAsAny[DetectorSettings], ...] = ()
    """Those of `[[detectors]]`, in their order. Without any there is the one of ``detect.limit``."""
    forward: tuple[ForwardSettings, ...] = ()
    """The targets of `[[forward]]`, in their order."""

    @classmethod
    def settings_customise_sources(  # noqa: D102 - pydantic's
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # load() has merged all sources. pydantic would read the environment again, with foreign names like HTTP_PROXY.
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


GROUPS: Final[dict[str, type[BaseModel]]] = {
    name: info.annotation
    for name, info in Settings.model_fields.items()
    if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
}
"""The groups of scalars, and their models."""
LISTS: Final = tuple(name for name in Settings.model_fields if name not in GROUPS)
"""The lists of tables: `[[name]]` in TOML, a JSON list in the environment."""
NAMES: Final = {
    f"{group}_{field}".upper(): (group, field) for group, model in GROUPS.items() for field in model.model_fields
}
"""From the environment variable to the group and the field."""
LIST_NAMES: Final = {name.upper(): name for name in LISTS}
"""From the environment variable to the list."""
