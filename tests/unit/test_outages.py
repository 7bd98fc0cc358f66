"""What the replay says about its connections: one line for each kind of error, and one in all for a refusal."""

# ruff: noqa: SIM300 - expected == actual

from confluent_kafka import KafkaError

from producer.publisher import Publisher

WRONG_PASSWORD = KafkaError(KafkaError._AUTHENTICATION, "wrong password")
AWAY = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")


def publisher() -> Publisher:
    """One whose client connects to nothing, and reports nothing unless it is polled."""
    return Publisher("transactions", "127.0.0.1:1", {}, 0)


def test_a_refusal_before_the_first_row_has_no_line_of_its_own() -> None:
    sink = publisher()
    for error in (AWAY, WRONG_PASSWORD, AWAY):  # the client says of one attempt both that it failed and why
        sink._outages.note(error)
    assert [] == sink.take_notices()
    assert "wrong password" in sink._outages.refusal


def test_a_refusal_between_rows_is_said_once() -> None:
    sink = publisher()
    sink.sent = sink.failures["no answer in time"] = 1
    for _ in range(3):
        sink._outages.note(WRONG_PASSWORD)
    (line,) = sink.take_notices()
    assert line.startswith("authentication failed, still trying: wrong password")


def test_a_client_that_gives_up_before_the_first_row_says_why() -> None:
    sink = publisher()
    sink._outages.note(WRONG_PASSWORD)
    sink._outages.note_fatal(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, "denied"))
    sink.broken = True
    (_, line) = sink.take_notices()
    assert line.startswith("the client gives up: denied")


def test_brokers_that_are_away_are_said_before_the_first_row_too() -> None:
    sink = publisher()
    sink._outages.note(AWAY)
    (line,) = sink.take_notices()
    assert line.startswith("no broker answers, still trying: ")
