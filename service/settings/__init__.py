"""The settings: TOML below the environment, unknown names refused, secrets masked.

They end at bootstrap: inner code gets plain values.
"""

from service.settings.model import (
    NAMES,
    PROTECTED_PROPERTIES,
    HttpSettings,
    KafkaSettings,
    Settings,
    SettingsError,
    TopicsSettings,
)
from service.settings.read import load
from service.settings.shown import MASK, Loaded, mask

__all__ = [
    "MASK",
    "NAMES",
    "PROTECTED_PROPERTIES",
    "HttpSettings",
    "KafkaSettings",
    "Loaded",
    "Settings",
    "SettingsError",
    "TopicsSettings",
    "load",
    "mask",
]
