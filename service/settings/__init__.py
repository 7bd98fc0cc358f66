"""The settings: the environment overrides a TOML file, unknown names are refused, secrets are masked.

Only cli and app import this room; every other room gets plain values.
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
