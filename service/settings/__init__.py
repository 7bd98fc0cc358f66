"""The settings: the environment overrides a TOML file, unknown names are refused, secrets are masked.

Only cli and app import this room; every other room gets plain values.
"""

from service.settings.fields import SettingsError
from service.settings.groups import HttpSettings
from service.settings.kafka import PROTECTED_PROPERTIES, KafkaSettings, TopicsSettings
from service.settings.model import NAMES, Settings
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
