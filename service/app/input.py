"""Makes the decoder of the input from the settings."""

from __future__ import annotations

from service.settings import Settings, SettingsError
from service.wire.decoder import Decoder
from service.wire.input.decoder import OWN, InputMapping, MappedJsonDecoder
from service.wire.input.paths import MappingError
from service.wire.transactions import JsonDecoder


def make_decoder(settings: Settings) -> Decoder:
    """The decoder of the input topic's records.

    Raises:
        SettingsError: the settings of the input do not fit together; the text names the variable.
    """
    values = settings.input
    mapping = InputMapping(
        transaction_id=values.transaction_id,
        timestamp=values.timestamp,
        timestamp_format=values.timestamp_format,
        amount=values.amount,
        amount_format=values.amount_format,
        where=values.where,
        ignore_tombstones=values.tombstones == "ignore",
    )
    if mapping == OWN:
        return JsonDecoder()
    try:
        return MappedJsonDecoder(mapping)
    except MappingError as error:
        value = getattr(values, error.field)
        raise SettingsError(f"INPUT_{error.field.upper()}: {value!a} {error}") from None
