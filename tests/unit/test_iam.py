"""IAM of AWS: which properties the client gets, and what its callback answers. The signer is Amazon's own."""

from __future__ import annotations

import base64
import logging
import sys
import time
from urllib.parse import parse_qs, urlparse

import pytest

from producer.client import client_config as replay_config
from service.app.clients import check_properties
from service.process import iam
from service.process.iam import IamError, Tokens, with_tokens
from service.settings import KafkaSettings, Settings, SettingsError

LOG = logging.getLogger("test.iam")
ASKED = {"sasl.mechanism": "AWS_MSK_IAM", "aws.region": "eu-central-1"}
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION",
               "AWS_DEFAULT_REGION")  # fmt: skip


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without credentials, and no tokens of earlier tests."""
    monkeypatch.setattr(iam, "_tokens", {})
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example-secret")


@pytest.mark.usefixtures("credentials")
def test_the_client_gets_amazons_token_with_its_end_in_seconds() -> None:
    found = with_tokens(ASKED, LOG)
    assert found.keys() == {"security.protocol", "sasl.mechanism", "oauth_cb"}
    assert (found["security.protocol"], found["sasl.mechanism"]) == ("SASL_SSL", "OAUTHBEARER")
    token, end_s = found["oauth_cb"]("")
    url = urlparse(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    assert url.hostname == "kafka.eu-central-1.amazonaws.com"
    assert parse_qs(url.query)["Action"] == ["kafka-cluster:Connect"]
    assert 800 < end_s - time.time() <= 900


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_may_come_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "us-west-2")
    token, _ = with_tokens({"sasl.mechanisms": "AWS_MSK_IAM"}, LOG)["oauth_cb"]("")
    assert b"kafka.us-west-2." in base64.urlsafe_b64decode(token + "==")


@pytest.mark.usefixtures("credentials")
def test_the_users_other_properties_stay() -> None:
    found = with_tokens({**ASKED, "security.protocol": "SASL_PLAINTEXT", "linger.ms": 7}, LOG)
    assert (found["security.protocol"], found["linger.ms"]) == ("SASL_PLAINTEXT", 7)


def test_other_mechanisms_are_left_alone() -> None:
    properties = {"sasl.mechanism": "PLAIN", "sasl.username": "u"}
    assert with_tokens(properties, LOG) == properties


def test_the_last_token_is_given_again_when_none_can_be_signed_and_a_new_one_afterwards(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers: list[tuple[str, int] | Exception] = [("first", 5_000), OSError("no\nroute"), ("second", 9_000)]

    def sign(_: str) -> tuple[str, int]:
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        return answer

    tokens = Tokens("r", sign, LOG)
    assert tokens.for_client("") == ("first", 5.0)
    assert caplog.messages == ["AWS_MSK_IAM: no token for region r: no route; the last token is used until its end"]
    assert tokens.for_client("") == ("second", 9.0)


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        (ASKED, "AWS_MSK_IAM: no token for region eu-central-1: no credentials were found"),
        ({"sasl.mechanism": "AWS_MSK_IAM"}, "AWS_MSK_IAM needs a region: aws.region, or AWS_REGION in the environment"),
        ({"aws.region": "x"}, 'aws.region goes with "sasl.mechanism": "AWS_MSK_IAM" only'),
        ({**ASKED, "sasl.oauthbearer.method": "oidc"}, "sasl.oauthbearer.method does not go with AWS_MSK_IAM"),
        ({**ASKED, "sasl.mechanisms": "PLAIN"}, "sasl.mechanisms does not go with AWS_MSK_IAM"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_by_both_programs(properties: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as service:
        check_properties(Settings(kafka=KafkaSettings(properties=properties)))
    assert str(service.value) == f"KAFKA_PROPERTIES: {says}"
    with pytest.raises(IamError) as replay:
        replay_config("localhost:9092", properties, 5)
    assert str(replay.value) == says


def test_a_profile_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(IamError, match="nobody"):
        with_tokens({"sasl.mechanism": "AWS_MSK_IAM"}, LOG)


def test_without_the_extra_the_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)
    with pytest.raises(IamError) as found:
        with_tokens(ASKED, LOG)
    assert str(found.value) == "AWS_MSK_IAM needs the extra `aws`: pip install 'txwatch[aws]'"


def test_an_empty_token_which_the_client_would_take_is_refused() -> None:
    with pytest.raises(IamError, match="the signer gave an empty one"):
        Tokens("r", lambda _: ("", 5_000), LOG)
