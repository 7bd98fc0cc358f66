"""The topics of detectors: created where they are used, checked where they exist."""

import json
from collections.abc import Callable, Mapping

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from brokerkit.broker import Broker
from brokerkit.client import create_topics
from brokerkit.service_process import Names, ServiceProcess, running
from service.kafka.admin import ClusterAdmin
from service.loop.errors import Fatal, Retriable

HIGH = {"name": "high", "type": "threshold", "limit": 8000}
ODD = {"name": "odd", "type": "deviation"}
SILENT = {"name": "silent", "type": "inactivity", "after_ms": 60_000}
EPISODES = {**HIGH, "resolve_after": 1}
COMPACT = {"cleanup.policy": "compact"}

Table = Mapping[str, object]


def admin_of(broker: Broker) -> AdminClient:
    """A client of the test's own."""
    return AdminClient({"bootstrap.servers": broker.bootstrap_servers})


def partitions(broker: Broker, topic: str) -> int:
    """How many it has; 0 where it does not exist."""
    found = admin_of(broker).list_topics(timeout=10).topics.get(topic)
    return 0 if found is None else len(found.partitions)


def config(broker: Broker, topic: str, name: str) -> str:
    """A setting of a topic."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = admin_of(broker)  # its answers end with it
    return str(admin.describe_configs([resource])[resource].result(30)[name].value)


def set_config(broker: Broker, topic: str, name: str, value: str) -> None:
    """Change a setting of a topic."""
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = admin_of(broker)
    admin.incremental_alter_configs([resource])[resource].result(30)


def with_detectors(*tables: Table, **settings: str) -> dict[str, str]:
    """The settings of a service."""
    return {"DETECTORS": json.dumps(tables), **settings}


def last_line(service: ServiceProcess) -> str:
    """The line of a start that failed."""
    assert service.process.wait(30) == 2
    return str(service.log[-1]["line"]).removeprefix("txwatch: ")


def starts(broker: Broker, names: Names, settings: dict[str, str]) -> list[dict[str, object]]:
    """Start and stop the service; returns its log."""
    with running(broker, names, settings) as service:
        service.wait_for_event("started")
        assert service.stop() == 0
        return service.log


# ---- created --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tables", [[HIGH, ODD], [SILENT], [EPISODES]])
def test_the_state_topic_is_created_compacted_with_the_inputs_partitions(
    broker: Broker, unique: Callable[[str], str], tables: list[Table]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=3)
    log = starts(broker, names, with_detectors(*tables))
    assert partitions(broker, names.state) == 3
    assert config(broker, names.state, "cleanup.policy") == "compact"
    assert config(broker, names.state, "segment.bytes") == "52428800"
    assert [one["event"] for one in log if one["event"] in {"topic_compacted", "partitions_added"}] == []
    assert (partitions(broker, names.shadow), partitions(broker, names.alerts)) == (0, 4)
    (started,) = (one for one in log if one["event"] == "started")
    assert (started["detectors"], "limit" in started) == ([one["name"] for one in tables], False)


def test_on_a_new_cluster_all_are_created(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    starts(broker, names, with_detectors({**ODD, "mode": "shadow"}, TOPICS_PARTITIONS="2"))
    topics = (names.transactions, names.state, names.shadow)
    assert [partitions(broker, topic) for topic in topics] == [2, 2, 2]
    assert config(broker, names.shadow, "cleanup.policy") == "delete"


@pytest.mark.parametrize("settings", [{}, with_detectors(HIGH)])
def test_what_no_detector_uses_is_not_created(
    broker: Broker, unique: Callable[[str], str], settings: dict[str, str]
) -> None:
    names = Names(unique)
    starts(broker, names, settings)
    assert [partitions(broker, topic) for topic in (names.alerts, names.state, names.shadow)] == [4, 0, 0]


# ---- checked --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_state_topic_that_would_lose_records_is_refused_with_the_command_that_changes_it(
    broker: Broker, unique: Callable[[str], str], policy: str
) -> None:
    names = Names(unique)
    create_topics(broker, names.state, partitions=4, config={"cleanup.policy": policy})
    with running(broker, names, with_detectors(ODD)) as service:
        line = last_line(service)
    command = (
        f"kafka-configs.sh --bootstrap-server {broker.bootstrap_servers} --alter --entity-type topics"
        f" --entity-name {names.state} --add-config cleanup.policy=compact"
    )
    assert line == (
        f"TOPICS_STATE: topic {names.state} has cleanup.policy={policy} and would lose what detectors remember;"
        f" change it with: {command}"
    )
    set_config(broker, names.state, *command.rpartition(" ")[2].split("="))  # what the command does
    starts(broker, names, with_detectors(ODD))


def test_a_state_topic_with_fewer_partitions_than_the_input_gets_the_missing_ones(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=5)
    create_topics(broker, names.state, partitions=2, config=COMPACT)
    log = starts(broker, names, with_detectors(ODD))
    (added,) = (one for one in log if one["event"] == "partitions_added")
    assert (added["topic"], added["before"], added["after"]) == (names.state, 2, 5)
    assert partitions(broker, names.state) == 5


def test_without_the_permission_to_create_it_is_refused_with_the_command_that_adds_them(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    names = Names(unique)
    starts(broker, names, {})
    create_topics(broker, names.state, partitions=2, config=COMPACT)
    with running(broker, names, with_detectors(ODD, TOPICS_CREATE="false")) as service:
        assert last_line(service) == (
            f"TOPICS_CREATE is off, and topic {names.state} has 2 partitions, but {names.transactions} 4; add them"
            f" with: kafka-topics.sh --bootstrap-server {broker.bootstrap_servers} --alter --topic {names.state}"
            " --partitions 4"
        )
    assert partitions(broker, names.state) == 2
    ClusterAdmin(admin_of(broker)).add_partitions(names.state, 4)
    starts(broker, names, with_detectors(ODD, TOPICS_CREATE="false"))


@pytest.mark.parametrize(("table", "which"), [(ODD, "state"), ({**HIGH, "mode": "shadow"}, "shadow")])
def test_without_the_permission_to_create_a_missing_one_is_named(
    broker: Broker, unique: Callable[[str], str], table: Table, which: str
) -> None:
    names = Names(unique)
    starts(broker, names, {})
    with running(broker, names, with_detectors(table, TOPICS_CREATE="false")) as service:
        assert last_line(service) == f"TOPICS_CREATE is off, and there is no topic {getattr(names, which)}"


def test_more_partitions_than_the_input_has_are_left_alone(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(broker, names.transactions, partitions=2)
    create_topics(broker, names.state, partitions=6, config=COMPACT)
    log = starts(broker, names, with_detectors(ODD))
    assert [one for one in log if one["event"] == "partitions_added"] == []
    assert partitions(broker, names.state) == 6


@pytest.mark.parametrize(
    ("table", "which", "what"), [(ODD, "state", "a record"), ({**HIGH, "mode": "shadow"}, "shadow", "an alert")]
)
def test_one_that_would_not_take_every_record_stops_the_start(
    broker: Broker, unique: Callable[[str], str], table: Table, which: str, what: str
) -> None:
    names, topic = Names(unique), unique(which)
    create_topics(broker, topic, partitions=4, config={**COMPACT, "max.message.bytes": 100_000})
    with running(broker, names, with_detectors(table)) as service:
        assert last_line(service) == f"topic {topic}: max.message.bytes is 100000, {what} may take 300000"


def test_a_shadow_topic_that_is_compacted_is_a_warning(broker: Broker, unique: Callable[[str], str]) -> None:
    names = Names(unique)
    create_topics(broker, names.shadow, config=COMPACT)
    log = starts(broker, names, with_detectors({**ODD, "mode": "shadow"}))
    assert [one["topic"] for one in log if one["event"] == "topic_compacted"] == [names.shadow]


# ---- partitions added while the service runs ------------------------------------------------------------------


def test_partitions_that_another_instance_has_added_are_no_error(broker: Broker, unique: Callable[[str], str]) -> None:
    topic = unique("state")
    create_topics(broker, topic, partitions=2)
    admin = ClusterAdmin(admin_of(broker))
    admin.add_partitions(topic, 4)
    assert (partitions(broker, topic), admin.partition_count(topic)) == (4, 4)
    for count in (4, 3):
        admin.add_partitions(topic, count)
        assert (partitions(broker, topic), admin.partition_count(topic)) == (4, 4)


def test_errors_of_adding_partitions_are_sorted(broker: Broker, unique: Callable[[str], str]) -> None:
    topic = unique("state")
    with pytest.raises(Fatal, match=f"^add partitions to topic {topic}: .*UNKNOWN_TOPIC_OR_PART"):
        ClusterAdmin(admin_of(broker)).add_partitions(topic, 4)
    nobody = AdminClient({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    with pytest.raises(Retriable, match=f"^add partitions to topic {topic}: "):
        ClusterAdmin(nobody).add_partitions(topic, 4)


def test_a_topic_that_a_broker_has_not_heard_of_yet_is_asked_for_again(
    broker: Broker, unique: Callable[[str], str]
) -> None:
    """A cluster's brokers hear of a new topic one after the other. Here one asks of a topic that nobody has."""
    admin = ClusterAdmin(admin_of(broker))
    for ask in (admin.cleanup_policies, admin.max_message_bytes):
        with pytest.raises(Retriable, match="does not know it yet"):
            ask([unique("new")])
