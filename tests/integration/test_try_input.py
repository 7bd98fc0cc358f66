"""`txwatch try-input` on a real topic: what it shows of each record, and what it leaves behind: nothing."""

import subprocess
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient

from brokerkit.broker import Broker
from brokerkit.client import create_topics, produce
from brokerkit.service_process import Names, run_command, transaction

NOW_MS = 1_715_392_810_000


def try_input(broker: Broker, names: Names, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return run_command(broker, names, "try-input", *arguments, **more)


def test_good_and_bad_records_are_shown_and_no_group_is_left(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions)
    produce(broker, names.transactions, [transaction("tx\x1b", NOW_MS, "12.50"), ("x", b"rubbish"), ("x", None)])
    done = try_input(broker, names)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "part      offset  event time                        amount  id",
        "   0           0  2024-05-11T02:00:10.000Z            12.5  tx\\x1b",
        "   0           1  rejected (not_json): JSON is malformed: invalid character",
        "                  (byte 0)",
        "   0           2  rejected (empty_value): the record has no value",
        f"3 records of {names.transactions}: 1 taken, 2 rejected",
    ]
    groups = AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_consumer_groups().result(10)
    assert not [one.group_id for one in groups.valid if one.group_id.startswith(names.group)]


def test_it_ends_after_as_many_as_it_may_show(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=2)
    produce(broker, names.transactions, [transaction(f"tx{n}", NOW_MS, "1") for n in range(12)])
    servers = ["--bootstrap-servers", broker.bootstrap_servers]
    done = try_input(broker, names, "--max", "3", *servers, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 5)
    default = try_input(broker, names)
    assert default.stdout.splitlines()[-1] == f"10 records of {names.transactions}: 10 taken"


def test_where_every_record_is_rejected_the_exit_code_is_1(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions)
    produce(broker, names.transactions, [("x", b"rubbish")])
    done = try_input(broker, names)
    assert (done.returncode, done.stderr, done.stdout.splitlines()[-1]) == (
        1,
        "",
        f"1 record of {names.transactions}: 1 rejected",
    )


@pytest.mark.parametrize("there", [False, True])
def test_a_topic_that_is_missing_or_empty_is_one_line(
    broker: Broker, unique: Callable[[str], str], *, there: bool
) -> None:
    names = Names(unique)
    line = f"there is no topic {names.transactions} on {broker.bootstrap_servers}"
    if there:
        create_topics(broker, names.transactions)
        line = f"topic {names.transactions} is empty"
    done = try_input(broker, names)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"txwatch: {line}\n")


def test_a_number_of_records_below_one_is_refused(broker: Broker, unique: Callable[[str], str]) -> None:
    done = try_input(broker, Names(unique), "--max", "0")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
