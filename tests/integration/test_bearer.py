"""Tokens on a real broker: IAM of AWS with a stand-in for its signer, and OIDC with a token server."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from brokerkit.client import create_topics, produce, read_all
from brokerkit.secured import PASSWORD, Secured, secured_broker
from brokerkit.service_process import Names, running, transaction, wait_until
from tests.integration.test_security import NOW_MS, command, last_words, replayed
from tests.token_server import SECRET, stand_in_signer, token_server

USER, LIFE_S = "bearer", 10


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One broker for all of these tests, where the user may do everything."""
    with secured_broker(tmp_path_factory.mktemp("tls")) as found:
        every = [("TOPIC", "*", "ALL"), ("GROUP", "*", "ALL"), ("TRANSACTIONAL_ID", "*", "ALL")]
        found.allow(f"User:{USER}", *every, ("CLUSTER", "kafka-cluster", "ALL"))
        yield found


def with_iam(secured: Secured, folder: Path, **other: str) -> dict[str, str]:
    """The environment of a client that signs in with IAM."""
    properties = {"sasl.mechanism": "AWS_MSK_IAM", "aws.region": "eu-central-1", **other}
    return {
        **secured.bearing(**properties),
        **stand_in_signer(folder, USER, LIFE_S),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def lets_all_in(secured: Secured, names: Names, folder: Path, environment: dict[str, str]) -> None:
    """Service, replay, rekey and readers work, and the service works on when its first token has ended."""
    create_topics(secured, names.transactions, partitions=1)
    produce(secured, names.transactions, [transaction("tx1", NOW_MS, "9000")])
    with running(secured.bearer, names, environment) as service:
        wait_until(lambda: len(read_all(secured, names.alerts)) == 1)
        began_s = time.monotonic()
        done = replayed(folder, names, environment)
        assert (done.code, done.summary["delivered"]) == (0, 1), done.err
        others = {**environment, "TOPICS_TRANSACTIONS": names.transactions, "TOPICS_ALERTS": names.alerts}
        read, tried = command(others, "alerts"), command(others, "try-input", "--max", "1")
        assert (read.returncode, read.stdout.count("Anomaly detected"), read.stderr) == (0, 1, "")
        assert (tried.returncode, tried.stderr) == (0, ""), tried
        drawn = command(others, "timeline", "--output", str(folder / "timeline.svg"))
        assert (drawn.returncode, drawn.stderr) == (0, "")
        target = f"{names.transactions}.by-id"
        with running(secured.bearer, names, environment, arguments=["rekey", "--to", target]) as rekey:
            wait_until(lambda: len(read_all(secured, target)) == 2)
            assert rekey.stop() == 0
        time.sleep(max(0.0, began_s + 1.5 * LIFE_S - time.monotonic()))
        produce(secured, names.transactions, [transaction("tx2", NOW_MS, "9000")])
        wait_until(lambda: len(read_all(secured, names.alerts)) == 2)
        assert service.stop() == 0
        assert SECRET not in json.dumps(service.log)


def test_iam_of_aws_lets_every_program_in_and_renews_its_token(
    secured: Secured, unique: Callable[[str], str], tmp_path: Path
) -> None:
    lets_all_in(secured, Names(unique), tmp_path, with_iam(secured, tmp_path))
    calls = (tmp_path / "calls").read_text().splitlines()
    assert set(calls) == {"eu-central-1"}


def test_a_token_that_cannot_be_renewed_is_used_until_its_end_and_the_log_says_why(
    secured: Secured, unique: Callable[[str], str], tmp_path: Path
) -> None:
    names = Names(unique)
    with running(secured.bearer, names, with_iam(secured, tmp_path)) as service:
        service.wait_ready(4)
        (tmp_path / "calls.broken").touch()
        wait_until(lambda: "the credentials have expired; the last token is used" in json.dumps(service.log))
        (tmp_path / "calls.broken").unlink()
        produce(secured, names.transactions, [transaction("tx1", NOW_MS, "9000")])
        wait_until(lambda: len(read_all(secured, names.alerts)) == 1, 60)
        assert service.stop() == 0


@pytest.mark.long
def test_oidc_lets_every_program_in_and_renews_its_token(
    secured: Secured, unique: Callable[[str], str], tmp_path: Path
) -> None:
    with token_server(LIFE_S) as server:
        lets_all_in(secured, Names(unique), tmp_path, secured.bearing(**server.properties(USER)))
        assert set(server.calls) == {USER}


def says_in_one_line(names: Names, folder: Path, environment: dict[str, str], expected: str) -> None:
    """Service, reader and replay each end with 2 and one line."""
    with running("", names, environment) as service:
        assert service.process.wait(60) == 2
        assert last_words(service).startswith("txwatch: KAFKA_PROPERTIES: ")
        assert expected in last_words(service)
        assert SECRET not in json.dumps(service.log)
    read = command({**environment, "TOPICS_ALERTS": names.alerts}, "alerts")
    assert (read.returncode, read.stderr.count("\n")) == (2, 1), read.stderr
    assert read.stderr.startswith("txwatch: KAFKA_PROPERTIES: ")
    assert expected in read.stderr
    done = replayed(folder, names, environment)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done.err
    assert done.err.startswith("txwatch-replay: KAFKA_PROPERTIES: ")
    assert expected in done.err


def test_without_credentials_of_aws_each_program_ends_with_one_line(
    secured: Secured, unique: Callable[[str], str], tmp_path: Path
) -> None:
    environment = with_iam(secured, tmp_path)
    (tmp_path / "calls.broken").touch()
    expected = "AWS_MSK_IAM: no token for region eu-central-1: the credentials have expired"
    says_in_one_line(Names(unique), tmp_path, environment, expected)


def test_a_client_that_the_token_server_refuses_ends_with_one_line(
    secured: Secured, unique: Callable[[str], str], tmp_path: Path
) -> None:
    with token_server() as server:
        environment = secured.bearing(**server.properties(USER, "not-" + SECRET))
        says_in_one_line(Names(unique), tmp_path, environment, "invalid_client")


def test_the_service_waits_for_a_token_server_that_does_not_answer(
    secured: Secured, unique: Callable[[str], str]
) -> None:
    with token_server() as server:
        environment = secured.bearing(**server.properties(USER))
    with running(secured.bearer, Names(unique), environment) as service:
        wait_until(lambda: "OAUTHBEARER token: Failed to connect" in service.get("/readyz")[1])
        assert service.process.poll() is None
        assert service.stop() == 0


def test_a_password_by_plain_works_as_well(secured: Secured, unique: Callable[[str], str], tmp_path: Path) -> None:
    names = Names(unique)
    create_topics(secured, names.transactions, partitions=1)
    secured.allow("User:plain", ("TOPIC", "*", "ALL"))
    environment = secured.properties("plain", sasl_mechanism="PLAIN")
    assert PASSWORD in environment["KAFKA_PROPERTIES"]
    assert replayed(tmp_path, names, environment).code == 0
    tried = command({**environment, "TOPICS_TRANSACTIONS": names.transactions}, "try-input")
    assert (tried.returncode, tried.stderr) == (0, "")
