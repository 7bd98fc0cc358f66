"""Makes the decoder of the input from the settings."""

from __future__ import annotations

from service.settings import Settings
from service.wire.decoder import Decoder
from service.wire.transactions import JsonDecoder


def make_decoder(settings: Settings) -> Decoder:
    """The decoder of the input topic's records.

    Raises:
        SettingsError: the settings of the input do not fit together; the text names the variable.
    """
    del settings
    return JsonDecoder()
