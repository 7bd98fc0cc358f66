"""The job in Quix Streams, which has windows of event time only. Run by its own Python, with quixstreams installed."""

import os

from quixstreams import Application


def main() -> None:
    """Settings come from the environment, under the service's names."""
    application = Application(
        broker_address=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        consumer_group=os.environ["KAFKA_GROUP_ID"],
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=1.0,
        state_dir=os.environ["BENCH_STATE"],
        loglevel="WARNING",
    )
    frame = application.dataframe(application.topic(os.environ["TOPICS_TRANSACTIONS"], value_deserializer="json"))
    frame = frame.apply(lambda value: float(value["amount"])).tumbling_window(duration_ms=10_000, grace_ms=1_000).sum()
    sums = frame.final()
    alerts = application.topic(os.environ["TOPICS_ALERTS"], value_serializer="json")
    sums.filter(lambda found: found["value"] > 8_000).to_topic(alerts)  # noqa: PLR2004 - the example's limit
    application.run()


if __name__ == "__main__":
    main()
