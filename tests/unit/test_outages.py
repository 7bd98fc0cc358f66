"""What the replay says about its connections: one line for each kind of error, and one in all for a refusal."""

# ruff: noqa: SIM300 - expected == actual

from confluent_kafka import KafkaError

from producer.outages import Outages

WRONG_PASSWORD = KafkaError(KafkaError._AUTHENTICATION, "wrong password")
AWAY = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")


def test_a_refusal_before_the_first_row_has_no_line_of_its_own() -> None:
    outages = Outages("transactions")
    for error in (AWAY, WRONG_PASSWORD, AWAY):  # the client says of one attempt both that it failed and why
        outages.note(error)
    assert [] == outages.take(0)
    assert "wrong password" in outages.refusal


def test_a_refusal_between_rows_is_said_once() -> None:
    outages = Outages("transactions")
    outages.sending = True
    for _ in range(3):
        outages.note(WRONG_PASSWORD)
    (line,) = outages.take(0)
    assert line.startswith("authentication failed, still trying: wrong password")


def test_brokers_that_are_away_are_said_before_the_first_row_too() -> None:
    outages = Outages("transactions")
    outages.note(AWAY)
    (line,) = outages.take(0)
    assert line.startswith("no broker answers, still trying: ")
