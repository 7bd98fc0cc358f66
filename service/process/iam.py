"""Signs in at Amazon MSK with IAM: `"sasl.mechanism": "AWS_MSK_IAM"` among the properties of a Kafka client.

librdkafka knows no such mechanism. Amazon's brokers take it as OAUTHBEARER, with a token that Amazon's signer makes
from the credentials of AWS. The client asks a callback for each token, on a thread of its own.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

MECHANISM: Final = "AWS_MSK_IAM"
REGION: Final = "aws.region"
_MECHANISM_NAMES: Final = ("sasl.mechanism", "sasl.mechanisms")

Sign = Callable[[str], tuple[str, int]]
"""Region in; token and the time of its end out, epoch milliseconds."""


class IamError(ValueError):
    """No token can be had; the text is one line for a person, without a secret."""


class Tokens:
    """The tokens of one region, for all clients of the process."""

    def __init__(self, region: str, sign: Sign, log: logging.Logger) -> None:
        """Sign the first token.

        Raises:
            IamError: there are no credentials, or they cannot be used.
        """
        self._region = region
        self._sign = sign
        self._log = log
        self._lock = threading.Lock()
        self._last = self._signed()

    def for_client(self, config: str) -> tuple[str, float]:
        """The client's callback: a new token, and the time of its end in epoch seconds. It never raises.

        An error raised here would stop a client's constructor for 10 s and hide the reason. The last token stays good
        until its end. After that the client refuses it, reports an error, and asks again after 10 s.
        """
        del config  # sasl.oauthbearer.config, which goes with librdkafka's own tokens
        with self._lock:
            try:
                self._last = self._signed()
            except IamError as error:
                self._log.log(
                    logging.WARNING, "%s; the last token is used until its end", error
                )  # as a line of the client
            token, end_ms = self._last
        return token, end_ms / 1000

    def _signed(self) -> tuple[str, int]:
        try:
            token, end_ms = self._sign(self._region)
        except Exception as error:  # noqa: BLE001 - the signer gives AttributeError for "no credentials", and any of botocore's
            why = "no credentials were found" if isinstance(error, AttributeError) else " ".join(str(error).split())
            raise IamError(f"{MECHANISM}: no token for region {self._region}: {why or type(error).__name__}") from None
        if not token:
            raise IamError(f"{MECHANISM}: no token for region {self._region}: the signer gave an empty one")
        return token, end_ms


_tokens: dict[str, Tokens] = {}


def with_tokens(properties: Mapping[str, Any], log: logging.Logger) -> dict[str, Any]:
    """The properties as librdkafka knows them: for `AWS_MSK_IAM` with a callback, else as they are.

    The first call in a process signs a token, so that wrong credentials are found at the start.

    Raises:
        IamError: a property does not fit, the extra `aws` is not installed, or no token can be had.
    """
    asked = [name for name in _MECHANISM_NAMES if str(properties.get(name, "")).strip().upper() == MECHANISM]
    if not asked:
        if REGION in properties:
            raise IamError(f'{REGION} goes with "sasl.mechanism": "{MECHANISM}" only')
        return dict(properties)
    for name in properties:
        if name.startswith("sasl.oauthbearer.") or (name in _MECHANISM_NAMES and name not in asked):
            raise IamError(f"{name} does not go with {MECHANISM}")
    region = str(properties.get(REGION, "")).strip() or _region_of_environment()
    if region not in _tokens:
        _tokens[region] = Tokens(region, _signer(), log)
    kept = {name: value for name, value in properties.items() if name not in {*asked, REGION}}
    bearer = {"sasl.mechanism": "OAUTHBEARER", "oauth_cb": _tokens[region].for_client}
    return {"security.protocol": "SASL_SSL", **kept, **bearer}


def _signer() -> Sign:
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415 - of an extra
    except ImportError:
        raise IamError(f"{MECHANISM} needs the extra `aws`: pip install 'txwatch[aws]'") from None
    sign: Sign = MSKAuthTokenProvider.generate_auth_token
    return sign


def _region_of_environment() -> str:
    """The region of AWS_REGION, AWS_DEFAULT_REGION or the profile."""
    _signer()  # botocore comes with it
    from botocore.session import Session  # noqa: PLC0415 - of an extra

    found = os.environ.get("AWS_REGION", "").strip()
    try:
        found = found or str(Session().get_config_variable("region") or "")
    except Exception as error:  # noqa: BLE001 - a profile that is missing, a file that cannot be parsed
        raise IamError(f"{MECHANISM}: {' '.join(str(error).split())}") from None
    if not found:
        raise IamError(f"{MECHANISM} needs a region: {REGION}, or AWS_REGION in the environment")
    return found
