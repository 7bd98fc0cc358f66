"""TLS, passwords, certificates and ACLs on a real broker: what works, and what is said where it does not."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from brokerkit.client import committed, create_topics, produce, read_all
from brokerkit.secured import PASSWORD, Acl, Secured, secured_broker
from brokerkit.service_process import ROOT, Names, ServiceProcess, running, transaction, wait_until
from histories.oracle import audit
from tests import replay_process
from tests.bad_target import bad_target, status
from tests.forwarding import alert_writer, settings_of

NOW_MS = 1_715_392_800_000
SERVICE, REPLAY, READER = "User:service", "User:replay", "User:reader"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One broker for all of these tests. At first no user has a permission."""
    with secured_broker(tmp_path_factory.mktemp("tls")) as found:
        for principal in (SERVICE, REPLAY, READER):
            found.add_user(principal.removeprefix("User:"))
        yield found


@pytest.fixture
def names(secured: Secured, unique: Callable[[str], str]) -> Iterator[Names]:
    """Topics that exist, with a good and a bad record; permissions are gone afterwards."""
    found = Names(unique)
    create_topics(secured, *topics_of(found), partitions=1)
    produce(secured, found.transactions, [transaction("tx1", NOW_MS, "9000"), ("tx1", "rubbish")])
    yield found
    for principal in (SERVICE, REPLAY, READER, "User:txwatch"):
        secured.forbid_everything(principal)


def topics_of(names: Names) -> list[str]:
    """All five."""
    return [names.transactions, names.alerts, names.aggregates, names.dead_letter, names.late]


def service_acls(names: Names) -> list[Acl]:
    """What the service needs, and no more: docs/security.md."""
    return [
        ("TOPIC", names.transactions, "READ"),
        *(("TOPIC", topic, "WRITE") for topic in topics_of(names)[1:]),
        *(("TOPIC", topic, "DESCRIBE_CONFIGS") for topic in topics_of(names)[1:]),
        ("TRANSACTIONAL_ID", f"{names.group}-one", "WRITE"),
        ("GROUP", names.group, "READ"),
    ]


def alerts_are_there(secured: Secured, names: Names) -> None:
    """The work is done: an alert, a dead letter, everything committed."""
    wait_until(lambda: len(read_all(secured, names.alerts)) == 1, 30)
    assert audit(secured, names).faults == []


def last_words(service: ServiceProcess) -> str:
    """The last line that it logged."""
    entry = service.log[-1]
    return str(entry.get("error", entry.get("line"))) + " " + str(entry.get("needs", ""))


def command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the service's, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def replayed(folder: Path, names: Names, environment: dict[str, str]) -> replay_process.Done:
    """A row, replayed."""
    rows = folder / "rows.csv"
    rows.write_text(replay_process.HEADER + "tx1,2024-05-11 10:00:00,5\n")
    arguments = ("replay", rows, "--topic", names.transactions, "--pace", "max")
    return replay_process.finish(replay_process.start(*arguments, **environment))


# ---- it works -------------------------------------------------------------------------------------------------


def test_with_a_password_over_tls_and_the_least_permissions_everything_works(
    secured: Secured, names: Names, tmp_path: Path
) -> None:
    secured.allow(SERVICE, *service_acls(names))
    secured.allow(REPLAY, ("TOPIC", names.transactions, "WRITE"))
    secured.allow(READER, ("TOPIC", names.alerts, "READ"))
    with running(secured.secure, names, secured.properties("service")) as service:
        alerts_are_there(secured, names)
        done = replayed(tmp_path, names, secured.properties("replay"))
        assert (done.code, done.summary["delivered"]) == (0, 1)
        assert service.stop() == 0
    read = command({**secured.properties("reader"), "TOPICS_ALERTS": names.alerts}, "alerts")
    assert (read.returncode, read.stdout.count("Anomaly detected"), read.stderr) == (0, 1, "")


def test_with_a_certificate_everything_works(secured: Secured, names: Names, tmp_path: Path) -> None:
    secured.allow("User:txwatch", *service_acls(names), ("TOPIC", names.transactions, "WRITE"))
    secured.allow("User:txwatch", ("TOPIC", names.alerts, "READ"))
    with running(secured.mutual, names, secured.certified()) as service:
        alerts_are_there(secured, names)
        assert replayed(tmp_path, names, secured.certified()).code == 0
        assert service.stop() == 0
    read = command({**secured.certified(), "TOPICS_ALERTS": names.alerts}, "alerts")
    assert (read.returncode, read.stdout.count("Anomaly detected"), read.stderr) == (0, 1, "")


def test_with_the_properties_in_a_file_everything_works_and_nothing_shows_them(
    secured: Secured, names: Names, tmp_path: Path
) -> None:
    def in_a_file(user: str) -> dict[str, str]:
        properties = secured.properties(user)
        path = tmp_path / f"{user}.json"
        path.write_text(properties.pop("KAFKA_PROPERTIES") + "\n")
        return {**properties, "KAFKA_PROPERTIES_FILE": str(path), "LOG_LEVEL": "debug"}

    secured.allow(SERVICE, *service_acls(names))
    secured.allow(REPLAY, ("TOPIC", names.transactions, "WRITE"))
    secured.allow(READER, ("TOPIC", names.alerts, "READ"))
    with running(secured.secure, names, in_a_file("service")) as service:
        alerts_are_there(secured, names)
        done = replayed(tmp_path, names, in_a_file("replay"))
        assert (done.code, done.summary["delivered"]) == (0, 1)
        assert service.stop() == 0
        said = json.dumps(service.log)
    environment = {**in_a_file("reader"), "TOPICS_ALERTS": names.alerts}
    read, shown = command(environment, "alerts"), command(environment, "config")
    assert (read.returncode, read.stdout.count("Anomaly detected"), read.stderr) == (0, 1, "")
    assert (shown.returncode, shown.stdout.count("# environment KAFKA_PROPERTIES_FILE")) == (0, 1)
    for text in (said, done.out, done.err, read.stdout, shown.stdout):
        assert PASSWORD not in text


def test_a_backtest_needs_to_read_the_input_and_nothing_else(secured: Secured, names: Names) -> None:
    environment = {**names.environment(), **secured.properties("reader")}
    refused = command(environment, "backtest", "--from", "0")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert names.transactions in refused.stderr
    secured.allow(READER, ("TOPIC", names.transactions, "READ"))
    environment["WINDOW_SIZE_MS"] = "1000"  # so that the records' window is over soon

    def reported() -> dict[str, Any]:
        done = command(environment, "backtest", "--from", "0", "--format", "json")
        assert (done.returncode, done.stderr) == (0, "")
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    report = wait_until(lambda: (found := reported())["windows"] and found)
    assert (report["records"], report["rejected"], report["windows"]) == (2, {"not_json": 1}, 1)
    assert read_all(secured, names.alerts) == []


@pytest.mark.usefixtures("names")
def test_with_permission_to_create_the_service_makes_its_topics(secured: Secured, unique: Callable[[str], str]) -> None:
    fresh = Names(lambda name: unique(f"fresh.{name}"))
    secured.allow(SERVICE, *service_acls(fresh), ("CLUSTER", "kafka-cluster", "CREATE"))
    with running(secured.secure, fresh, secured.properties("service")) as service:
        service.wait_ready(4)
        assert service.stop() == 0


# ---- it does not ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", range(11))
def test_without_any_one_permission_it_ends_and_names_it(secured: Secured, names: Names, missing: int) -> None:
    acls = service_acls(names)
    kind, name, operation = acls.pop(missing)
    secured.allow(SERVICE, *acls)
    with running(secured.secure, names, {**secured.properties("service"), "LATE_POLICY": "divert"}) as service:
        assert service.process.wait(30) == 1
        words = last_words(service)
        assert name in words
        assert operation in words
        assert kind.lower().replace("_", " ") in words.lower()
    assert read_all(secured, names.alerts) == []


def crashing_at_exit(folder: Path) -> dict[str, str]:
    """What has a Python process die of SIGABRT in its handlers at exit.

    OpenSSL's can crash of their own while a client tries to connect again, but only now and then.
    """
    (folder / "sitecustomize.py").write_text("import atexit, os\natexit.register(os.abort)\n")
    return {"PYTHONPATH": str(folder)}


REFUSED = {
    "a wrong password": {"sasl_password": "not-" + PASSWORD},
    "an unknown user": {"sasl_username": "nobody"},
    "an authority that we do not trust": {"ssl_ca_location": "other-ca.pem"},
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_client_that_is_refused_says_in_one_line_which_setting_is_wrong(
    secured: Secured, names: Names, tmp_path: Path, what: str
) -> None:
    wrong = {k: str(secured.folder / v) if k == "ssl_ca_location" else v for k, v in REFUSED[what].items()}
    environment = {**names.environment(), **secured.properties("service", **wrong), **crashing_at_exit(tmp_path)}
    with running(secured.secure, names, environment) as service:
        assert service.process.wait(30) == 2
        assert last_words(service).startswith("txwatch: KAFKA_PROPERTIES: ")
        said = json.dumps(service.log)
    read = command(environment, "alerts")
    assert (read.returncode, read.stderr.count("\n")) == (2, 1)
    assert read.stderr.startswith("txwatch: KAFKA_PROPERTIES: ")
    done = replayed(tmp_path, names, environment)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("txwatch-replay: KAFKA_PROPERTIES: ")
    for text in (said, read.stdout + read.stderr, done.out + done.err):
        assert PASSWORD not in text


def test_windows_by_append_time_need_one_more(secured: Secured, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(secured, names.transactions, config={"message.timestamp.type": "LogAppendTime"})
    create_topics(secured, *topics_of(names)[1:])
    secured.allow(SERVICE, *service_acls(names))
    settings = {**secured.properties("service"), "WINDOW_CLOCK": "ingestion"}
    try:
        with running(secured.secure, names, settings) as service:
            assert service.process.wait(30) == 1
            assert f"ACL READ and DESCRIBE_CONFIGS on topic {names.transactions}," in last_words(service)
        secured.allow(SERVICE, ("TOPIC", names.transactions, "DESCRIBE_CONFIGS"))
        with running(secured.secure, names, settings) as service:
            service.wait_ready(1)
            produce(secured, names.transactions, [transaction("tx1", NOW_MS, "9000")])
            wait_until(lambda: len(read_all(secured, names.alerts)) == 1, 30)
            assert service.stop() == 0
    finally:
        secured.forbid_everything(SERVICE)


WITH_STATE = {"name": "high", "type": "threshold", "limit": 8000, "mode": "shadow", "resolve_after": 1}
DETECTOR_ACLS = [("state", "READ"), ("state", "WRITE"), ("state", "DESCRIBE_CONFIGS"), ("shadow", "WRITE"),
                 ("shadow", "DESCRIBE_CONFIGS")]  # fmt: skip


def detector_acls(names: Names) -> list[Acl]:
    """What the service needs besides for a detector with a state, in shadow mode."""
    return [("TOPIC", getattr(names, which), operation) for which, operation in DETECTOR_ACLS]


def with_a_detector(secured: Secured, names: Names) -> dict[str, str]:
    """Settings with such a detector, whose topics exist."""
    create_topics(secured, names.state, config={"cleanup.policy": "compact"})
    create_topics(secured, names.shadow)
    return {**secured.properties("service"), "DETECTORS": json.dumps([WITH_STATE])}


def test_a_detector_with_a_state_in_shadow_mode_works_with_the_least_permissions(
    secured: Secured, names: Names
) -> None:
    settings = with_a_detector(secured, names)
    secured.allow(SERVICE, *service_acls(names), *detector_acls(names))
    with running(secured.secure, names, settings) as service:
        wait_until(lambda: len(read_all(secured, names.shadow)) == 1)
        assert len(read_all(secured, names.state)) == 1
        assert service.stop() == 0
    assert read_all(secured, names.alerts) == []


@pytest.mark.parametrize("missing", range(len(DETECTOR_ACLS)))
def test_without_a_permission_for_detectors_it_ends_and_names_it(secured: Secured, names: Names, missing: int) -> None:
    settings = with_a_detector(secured, names)
    without = detector_acls(names)[missing]
    secured.allow(SERVICE, *service_acls(names), *detector_acls(names))
    if DETECTOR_ACLS[missing] == ("state", "READ"):  # a state topic without a record is not read
        with running(secured.secure, names, settings) as service:
            wait_until(lambda: read_all(secured, names.state))
            assert service.stop() == 0
    secured.forbid(SERVICE, without)
    before = len(read_all(secured, names.shadow))
    with running(secured.secure, names, settings) as service:
        assert service.process.wait(30) == 1
        words = last_words(service)
    outputs = f"{names.alerts} {names.aggregates} {names.late} {names.dead_letter} {names.shadow} {names.state}"
    assert f"WRITE and DESCRIBE_CONFIGS on topics {outputs}, READ " in words
    assert words.endswith(f" on topic {names.state}")
    assert len(read_all(secured, names.shadow)) == before


def test_partitions_are_added_to_the_state_topic_only_with_the_permission(secured: Secured, names: Names) -> None:
    settings = with_a_detector(secured, names)
    secured.allow(SERVICE, *service_acls(names), *detector_acls(names))
    secured.admin.create_partitions([NewPartitions(names.transactions, 2)])[names.transactions].result(30)
    with running(secured.secure, names, settings) as service:
        assert service.process.wait(30) == 1
        assert f"add partitions to topic {names.state}: " in last_words(service)
        assert f"READ (and ALTER, to add partitions) on topic {names.state}" in last_words(service)
    secured.allow(SERVICE, ("TOPIC", names.state, "ALTER"))
    with running(secured.secure, names, settings) as service:
        service.wait_for_event("partitions_added")
        service.wait_ready(2)
        assert service.stop() == 0


def test_an_heir_that_may_not_fence_the_dead_goes_on_without(secured: Secured, names: Names) -> None:
    secured.allow(SERVICE, *service_acls(names), ("TRANSACTIONAL_ID", f"{names.group}-heir", "WRITE"))
    with running(secured.secure, names, secured.properties("service")) as service:
        alerts_are_there(secured, names)
        service.kill()
    secured.forbid_everything(SERVICE)
    acls = [acl for acl in service_acls(names) if acl[0] != "TRANSACTIONAL_ID"]
    secured.allow(SERVICE, *acls, ("TRANSACTIONAL_ID", f"{names.group}-heir", "WRITE"))
    with running(secured.secure, names, {**secured.properties("service"), "KAFKA_INSTANCE_ID": "heir"}) as service:
        service.wait_ready(1, timeout_s=60)
        produce(secured, names.transactions, [transaction("tx2", NOW_MS, "9000")])
        wait_until(lambda: len(read_all(secured, names.alerts)) == 2, 30)
        assert service.events("dead_owners_fenced") == []
        assert service.stop() == 0


def rekey_acls(names: Names, target: str) -> list[Acl]:
    """What `rekey` needs, and no more: docs/security.md."""
    outputs = (target, names.dead_letter)
    return [
        ("TOPIC", names.transactions, "READ"),
        *(("TOPIC", topic, "WRITE") for topic in outputs),
        *(("TOPIC", topic, "DESCRIBE_CONFIGS") for topic in outputs),
        ("TRANSACTIONAL_ID", f"{names.group}-one-rekey", "WRITE"),
        ("GROUP", f"{names.group}-rekey", "READ"),
    ]


@pytest.mark.parametrize("missing", [None, 0, 1, 3, 5, 6])
def test_rekey_works_with_the_least_permissions_and_names_one_that_is_missing(
    secured: Secured, names: Names, missing: int | None
) -> None:
    target = f"{names.transactions}.by-id"
    create_topics(secured, target)
    acls = rekey_acls(names, target)
    without = None if missing is None else acls.pop(missing)
    secured.allow(SERVICE, *acls)
    with running(secured.secure, names, secured.properties("service"), arguments=["rekey", "--to", target]) as rekey:
        if without is None:
            wait_until(lambda: len(read_all(secured, target)) == 1)
            assert rekey.stop() == 0
            return
        kind, name, operation = without
        assert rekey.process.wait(30) == 1
        words = last_words(rekey)
    assert name in words
    assert operation in words
    assert kind.lower().replace("_", " ") in words.lower()
    assert read_all(secured, target) == []


def forward_acls(names: Names) -> list[Acl]:
    """What `forward` needs, and no more: docs/security.md."""
    return [
        ("TOPIC", names.alerts, "READ"),
        ("TOPIC", names.undelivered, "WRITE"),
        ("GROUP", f"{names.group}-forward-here", "READ"),
    ]


@pytest.mark.parametrize("missing", [None, 0, 1, 2])
def test_forward_works_with_the_least_permissions_and_names_one_that_is_missing(
    secured: Secured, names: Names, missing: int | None
) -> None:
    create_topics(secured, names.undelivered)
    alert_writer(secured, names)("tx0")
    acls = forward_acls(names)
    without = None if missing is None else acls.pop(missing)
    secured.allow(SERVICE, *acls)
    with bad_target() as target:
        target.behave = lambda _: status(400)
        settings = {**secured.properties("service"), **settings_of(target.url)}
        with running(secured.secure, names, settings, arguments=["forward", "--to", "here"]) as process:
            if without is None:
                wait_until(lambda: len(read_all(secured, names.undelivered)) == 1)
                wait_until(lambda: process.get("/readyz")[0] == 200)
                assert process.stop() == 0
                return
            kind, name, operation = without
            assert process.process.wait(30) == 1
            needs = process.events("fatal")[0]["needs"]
        assert f"{operation} on {kind.lower()} {name}" in needs
        assert target.requests == []


def test_a_timeline_needs_to_read_what_it_draws(secured: Secured, names: Names, tmp_path: Path) -> None:
    settings = {"TOPICS_TRANSACTIONS": names.transactions, "TOPICS_ALERTS": names.alerts}
    environment = {**secured.properties("reader"), **settings}
    output = tmp_path / "timeline.svg"
    secured.allow(READER, ("TOPIC", names.transactions, "READ"))
    drawn = command(environment, "timeline", "--output", str(output))
    assert (drawn.returncode, drawn.stderr.count("\n")) == (1, 1)
    assert names.alerts in drawn.stderr
    assert "authorization failed" in drawn.stderr.lower()
    secured.allow(READER, ("TOPIC", names.alerts, "READ"))
    drawn = command(environment, "timeline", "--output", str(output))
    assert (drawn.returncode, drawn.stderr) == (0, "")
    assert output.exists()


def test_a_reader_or_replay_without_permission_says_so(secured: Secured, names: Names, tmp_path: Path) -> None:
    read = command({**secured.properties("reader"), "TOPICS_ALERTS": names.alerts}, "alerts")
    assert (read.returncode, read.stderr.count("\n")) == (1, 1)
    assert names.alerts in read.stderr
    assert "authorization failed" in read.stderr.lower()
    done = replayed(tmp_path, names, secured.properties("replay"))
    assert done.code == 1
    (line,) = (line for line in done.err.splitlines() if "authorization failed" in line)
    assert f"needs ACL WRITE on topic {names.transactions}" in line
    assert "Traceback" not in done.err
    assert done.counts("sent", "next_row") == (0, 1)


def test_a_permission_that_is_taken_away_ends_the_service_and_loses_nothing(secured: Secured, names: Names) -> None:
    acls = service_acls(names)
    secured.allow(SERVICE, *acls)
    with running(secured.secure, names, secured.properties("service")) as service:
        alerts_are_there(secured, names)
        secured.forbid(SERVICE, ("TOPIC", names.dead_letter, "WRITE"))
        time.sleep(0.5)
        others = [transaction(f"tx{number}", NOW_MS, "9000") for number in range(1_000)]  # which go with the one
        produce(secured, names.transactions, [("tx1", "more rubbish"), *others])
        assert service.process.wait(60) == 1
        assert names.dead_letter in last_words(service)
    secured.allow(SERVICE, ("TOPIC", names.dead_letter, "WRITE"))
    with running(secured.secure, names, {**secured.properties("service"), "KAFKA_INSTANCE_ID": "one"}) as service:
        in_all = len(read_all(secured, names.transactions))
        wait_until(lambda: sum(p.offset for p in committed(secured, names.group, names.transactions)) == in_all, 60)
        assert service.stop() == 0
    assert audit(secured, names).faults == []
    assert len(read_all(secured, names.dead_letter)) == 2


def test_a_group_that_is_forbidden_to_a_running_member_ends_it(secured: Secured, names: Names) -> None:
    secured.allow(SERVICE, *service_acls(names))
    with running(secured.secure, names, secured.properties("service")) as service:
        alerts_are_there(secured, names)
        secured.forbid(SERVICE, ("GROUP", names.group, "READ"))
        assert service.process.wait(60) == 1
        assert "Group authorization failed" in last_words(service)
        assert f"ACL READ on group {names.group}" in last_words(service)


# ---- secrets --------------------------------------------------------------------------------------------------


def test_secrets_are_shown_nowhere(secured: Secured, names: Names) -> None:
    secured.allow(SERVICE, *service_acls(names))
    with running(secured.secure, names, {**secured.properties("service"), "LOG_LEVEL": "debug"}) as service:
        alerts_are_there(secured, names)
        pages = [service.get(path)[1] for path in ("/status", "/metrics", "/healthz", "/readyz")]
        command_line = Path(f"/proc/{service.process.pid}/cmdline").read_text()
        assert service.stop() == 0
        shown = command(service.environment, "config")
        assert "sasl.password" in shown.stdout
        for text in (*pages, command_line, json.dumps(service.log), shown.stdout, shown.stderr):
            assert PASSWORD not in text
