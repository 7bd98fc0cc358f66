"""The settings: TOML below the environment, unknown names refused, secrets masked.

They end at bootstrap: inner code gets plain values.
"""

from service.settings.model import (
    GUARANTEED,
    NAMES,
    HttpSettings,
    KafkaSettings,
    Settings,
    SettingsError,
    TopicsSettings,
)
from service.settings.read import load
from service.settings.shown import MASK, Loaded, mask

__all__ = [
    "GUARANTEED",
    "MASK",
    "NAMES",
    "HttpSettings",
    "KafkaSettings",
    "Loaded",
    "Settings",
    "SettingsError",
    "TopicsSettings",
    "load",
    "mask",
]
