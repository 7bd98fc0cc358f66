"""What docs/reference.md says in words: one sentence for each thing that the code only names.

tools/reference.py refuses a thing without its sentence, and a sentence without its thing.
"""

from typing import Final

EVENTS: Final = {
    "forwarding": "`forward` has connected: which target it sends to, and what it reads.",
    "forward_target_fails": "The target fails, and the breaker opens: one request at a time tries it from now on.",
    "forward_target_works_again": "The target has answered well, and the breaker closes.",
    "alert_undelivered": "An alert is written to `TOPICS_UNDELIVERED`: why, and the target's last answer.",
    "older_than_retention": (
        "`rekey` has written records that are older than the target's `retention.ms`: the broker may delete them "
        "before they are read. At most one line a minute, with their number."
    ),
    "input_partitions_changed": "The input has another number of partitions, so the detectors' states are read back.",
    "states_being_restored": "How far the detectors' states are read back from `TOPICS_STATE`.",
    "states_restored": "The detectors' states of a partition have been read back.",
    "states_removed": "States are not used any more. The next txn removes them from `TOPICS_STATE`.",
    "abort_given_up": (
        "At the end of the process the open txn could not be aborted. The broker aborts it when it times out, or "
        "when the next producer of this name starts."
    ),
    "checkpoint": (
        "A txn was committed: the end of its newest window (null if no window closed), windows closed (one for "
        "each id), alerts, how long the commit took, partitions that moved, and records set aside. `rekey` commits "
        "several times a second and logs one of these lines a second."
    ),
    "close_given_up": (
        "The consumer did not leave the group in time at the end, or no thread could start for that (`after_s` is 0). "
        "The group forgets it when its session ends."
    ),
    "dead_owners_fenced": (
        "Instances that are gone had left txns open. Their producers were fenced, which ended these txns."
    ),
    "fatal": (
        "The process ends with exit 1 for this reason. `needs` names a missing ACL; `waits_in` is the function in "
        "which the loop stood still."
    ),
    "http_listening": "The pages are served at this host and port.",
    "ids_in_two_partitions": (
        "An id was seen in two partitions of this instance, so its sum is in two parts. [What to "
        "do](operations.md#txwatchidsintwopartitions)"
    ),
    "input_blocked": (
        "Another producer's open txn holds back records of these partitions. [What to "
        "do](operations.md#txwatchinputblocked)"
    ),
    "config_read": (
        "The settings were read again and have other detectors: the loop takes them over at the next boundary. "
        "`rules` is their hash."
    ),
    "config_reload_failed": (
        "The settings were read again and cannot be taken over. Nothing has changed: the detectors with the hash "
        "`rules` go on. [What to do](operations.md#txwatchconfigreloadfailed)"
    ),
    "config_reload_waits": (
        "The settings were read again, and Kafka does not answer a question about the topics of the new detectors. "
        "It is asked again every second."
    ),
    "config_unchanged": "The settings were read again, and have the same detectors.",
    "detectors_changed": (
        "Other detectors are in force. Every partition goes back to its committed offset, and is read on by these."
    ),
    "kafka_trouble": (
        "Kafka's client reports an error, and the call is tried again. Further errors are not logged before "
        "`kafka_well_again`."
    ),
    "kafka_well_again": "Kafka answers again.",
    "schema_registry_awaited": (
        "The schema registry does not answer, and a partition has records of a schema that is not known yet. It waits, "
        "and the registry is asked again."
    ),
    "schema_registry_well_again": "The schema registry has answered, and no partition waits for it.",
    "log_lines_dropped": (
        "`lines` log lines are missing at this place: standard error was not read, or was full or closed."
    ),
    "loop_goes_on": "The loop turns again, after `stood_s` seconds.",
    "loop_stands_still": (
        "The loop has not turned for `stood_s` seconds, and `waits_in` is where it waits. [What "
        "follows](operations.md#when-the-loop-stands-still)"
    ),
    "no_progress": "Partitions have records and do not move although Kafka answers. `/healthz` is 503.",
    "offset_out_of_range": "The next offset of this partition no longer exists. The service looks up where to go on.",
    "offset_reset": (
        "A partition starts at its earliest record instead of a committed offset. [What to "
        "do](operations.md#txwatchoffsetreset)"
    ),
    "partition_started": (
        "Reading starts at `offset`. `read` is the first offset that was never read before, and `watermark` is "
        "the one that was committed."
    ),
    "partitions_added": "The topic had fewer partitions than the input, and now has as many.",
    "partitions_assigned": "The group assigned these partitions to this instance.",
    "partitions_lost": "The group took these partitions away without asking: the session had ended.",
    "partitions_revoked": "These partitions go back to the group.",
    "records_expired_unread": "Retention deleted `records` records of this partition before they were read.",
    "rewind": (
        "What was not committed is dropped, for this reason, and read again from the committed offsets. An open "
        "txn is aborted."
    ),
    "started": "The service begins its loop, with these settings.",
    "stop_forced": (
        "The process was asked to stop and did not end in time, so it ends at once. Nothing uncommitted counts."
    ),
    "stopped": "The process ends with exit 0.",
    "stopped_while_waiting": "The process was asked to stop while it waited for Kafka, for this reason.",
    "throttled": (
        "Brokers throttle this client: `times` answers since the last such line, `seconds` seconds in all. [What to "
        "do](operations.md#under-quotas)"
    ),
    "topic_compacted": "This output topic is compacted and would lose records. `command` changes it.",
    "waiting_for_broker": (
        "The start waits for a broker. It says so every few seconds: at first as `info`, since a broker may just be "
        "starting, then as `warning`."
    ),
    "waiting_for_kafka": "A call in the middle of the work waits for Kafka. It says so every few seconds.",
    "waiting_for_transaction_coordinator": (
        "The start waits until the broker accepts the transactional producer. It says so every few seconds: at first "
        "as `info`, since a new broker creates its own topics first, then as `warning`."
    ),
    "windows_cut": (
        "The settings of windows have changed, so the windows that were open under the old ones are closed as they are."
    ),
}

LEVELS: Final = (
    ("info", "Normal work, and the first line of a wait that is usual at a start."),
    ("warning", "Something is slow or unusual. The service goes on by itself; some lines ask for a change."),
    ("error", "Records are lost or not read. An operator should look."),
    ("critical", "The process ends with exit 1."),
)
"""Level, when it is used."""

EVENT_FIELDS: Final = {
    "alert_id": "the alert's id; null where the record is no alert",
    "answer": "the target's answer in one line, or why there was none",
    "template": "what the target gets",
    "after": "the partitions that the topic has now",
    "after_s": "seconds from the request to stop",
    "anomalies": "alerts in the txn",
    "before": "the partitions that it had",
    "bootstrap_servers": "`KAFKA_BOOTSTRAP_SERVERS`",
    "broker": "the number of the broker that throttled last",
    "client": "`producer`, `consumer` or `admin`",
    "command": "the command line that changes the topic",
    "commit_ms": "milliseconds from the start of the checkpoint until its txn was committed",
    "committed": "the committed offset; null without one",
    "detectors": "the names of the configured detectors",
    "error": "the reason in one line, with Kafka's name of the error where there is one",
    "group": "`KAFKA_GROUP_ID`; of `forward` its own group",
    "host": "the address listened on",
    "ids": "how many such ids have been seen since the start",
    "instance": "`KAFKA_INSTANCE_ID`",
    "instances": "their `KAFKA_INSTANCE_ID`s, a list",
    "lateness_ms": "`WATERMARK_LATENESS_MS`",
    "limit": "`DETECT_LIMIT`, a text",
    "lines": "how many",
    "needs": "the missing ACL; absent where none is missing",
    "offset": "an offset in `partition`",
    "other_offset": "an offset of the same id in `other_partition`",
    "other_partition": "the other input partition with the id",
    "partition": "the number of the input partition",
    "partitions": "numbers of input partitions, a list; in `checkpoint` how many have moved",
    "port": "the port listened on",
    "read": "the first offset that was never read before; in `states_being_restored` how many records were read",
    "rules": "the hash of the detectors, as alerts carry it; null for the default detector",
    "rules_before": "the hash of the detectors that judged until then",
    "reason": "one of the [reasons](#reasons); of an undelivered alert `too_old`, `gave_up` or `refused`",
    "records": "how many",
    "retention_ms": "the topic's `retention.ms`",
    "seconds": "how many seconds: of these throttles together, or of the restore",
    "detector": "the name of the detector",
    "input_partitions": "how many partitions the input has",
    "states": "how many states of ids are written, read back or removed",
    "set_aside": "records in the txn that went to the late or dead-letter topic",
    "stood_s": "seconds without a turn of the loop",
    "target": "the topic to which `rekey` writes; of `forward` the name of the `[[forward]]`",
    "times": "throttled answers since the last such line",
    "topic": "the topic's name",
    "version": "txwatch's version",
    "waits_in": "the function of txwatch in which the loop waits, with file and line",
    "watermark": "epoch milliseconds; null without one",
    "why": "the cause and what follows from it, in words",
    "window_clock": "`WINDOW_CLOCK`",
    "window_end": "epoch milliseconds, exclusive; null if no window closed",
    "window_ms": "`WINDOW_SIZE_MS`",
    "windows": "closed windows in the txn, one for each id",
}

REASONS: Final = {
    "not_json": "The value is not JSON.",
    "not_utf8": "The value is not UTF-8.",
    "empty_value": "The record has no value.",
    "schema": "A field is missing, has the wrong type, or is out of its bounds.",
    "timestamp_too_small": "The timestamp is before March 1973: most likely seconds instead of milliseconds.",
    "timestamp_in_future": "The timestamp is further ahead of the wall clock than `WATERMARK_MAX_FUTURE_MS`.",
    "amount_not_finite": "The amount is `NaN` or infinite, or its exponent is beyond all measure.",
    "late": "The event time is below the watermark. Only in the late topic.",
}

UNDELIVERED_REASONS: Final = {
    "too_old": "The alert is older than the target's `max_age_ms`.",
    "gave_up": "The target did not take it for `give_up_after_ms`.",
    "refused": "The target refused this alert, or the record is no alert.",
}

RESET_REASONS: Final = {
    "beyond_end": "The committed offset is beyond the partition's end: the topic was truncated or created again.",
    "expired": "Retention deleted the record at the committed offset.",
    "no_offset": "The group has no committed offset for this topic.",
    "new_partition": "The group has offsets for other partitions of the topic, and none for this one.",
}

HEADERS: Final = {
    "txwatch.source.topic": "`rekey`: the input topic",
    "txwatch.source.partition": "`rekey`: the input partition",
    "txwatch.source.offset": "`rekey`: the record's offset there",
    "ce_id": "the `alert_id`",
    "ce_type": "what the record is, with the version of its form",
    "ce_source": "the input topic and partition",
    "ce_specversion": "the version of CloudEvents",
    "ce_time": "when the window closed by the service's wall clock, ISO 8601",
    "content-type": "how the value is written",
    "__connect.errors.topic": "the input topic",
    "__connect.errors.partition": "the input partition",
    "__connect.errors.offset": "the record's offset there",
    "__connect.errors.stage": "`VALUE_CONVERTER` for a rejected record, `TRANSFORMATION` for a late one",
    "__connect.errors.exception.class.name": "always the same",
    "__connect.errors.exception.message": "what is wrong, in words",
    "txwatch.reason": "what is wrong, one of the [reasons](#reasons)",
    "txwatch.timestamp": "the record's own Kafka timestamp, epoch milliseconds. Absent where it had none",
    "txwatch.truncated_from": "how many bytes the value had before it was cut to fit into the topic",
    "txwatch.key_truncated_from": "how many bytes the key had before it was cut to fit into the topic",
    "txwatch.headers_dropped": (
        "the record's own headers did not fit and were dropped: how many, or `not_utf8` where a header's name is "
        "not UTF-8"
    ),
}

STATUS: Final = {
    "ready": "whether `/readyz` is 200",
    "reason": "why it is not ready; null if it is",
    "throttled": "which client a quota holds up, and for how long; null if none",
    "watermark": "the least watermark over partitions that are not idle, epoch milliseconds; null without one",
    "partitions": "the assigned partitions, each with:",
    "topic": "the input topic",
    "partition": "its number",
    "position": "the offset of the next record to be read",
    "lag": "records still to be read; null if not known",
    "idle": "whether it is read to its end and silent for `WATERMARK_IDLE_AFTER_MS`",
    "open_keys": "ids in its open windows",
    "blocked_ms": "how long it has waited for `waits_for`; null if it does not wait",
    "waits_for": "what it waits for; null if nothing",
    "state_keys": "states of ids that detectors keep; null if none keeps states",
    "open_episodes": "how many episodes are open, by detector",
}
"""Fields of /status; ``watermark`` is that of the partition, too."""

SUMMARY: Final = {
    "read": "rows read from the file",
    "sent": "rows handed to Kafka's client",
    "delivered": "rows that the brokers have acknowledged",
    "skipped_empty": "rows without an id, a time or an amount",
    "rejected": "rows that are malformed",
    "failed": "rows that were given up",
    "seconds": "from the first row's due time to the last acknowledgement",
    "rows_per_second": "delivered rows a second",
    "max_schedule_lag_ms": "how late the latest row was handed over",
    "next_row": "the first row that was not delivered; use it as `--start-row`",
    "earlier_rows": "rows whose event time is earlier than that of a row before them",
    "first_event_time": "the earliest event time, epoch milliseconds; null without a row",
    "last_event_time": "the latest event time, epoch milliseconds; null without a row",
    "last_line_unfinished": "whether the file's last line has no line end",
}

EXIT_CODES: Final = (
    (
        "both",
        "0",
        (
            "The work is done, or SIGTERM or SIGINT ended it. A reader that has closed standard output, as `head` "
            "does, ends `txwatch` in this way, too."
        ),
    ),
    (
        "`txwatch`",
        "1",
        "The work failed. The last line says why: a `fatal` event of the service, or a line `txwatch: …`.",
    ),
    (
        "`txwatch`",
        "2",
        "Wrong usage or settings, or too few threads: one line names what is wrong.",
    ),
    (
        "`txwatch-replay`",
        "1",
        "Rows were not delivered, all rows were rejected, or one was rejected under `--strict`.",
    ),
    (
        "`txwatch-replay`",
        "2",
        "Wrong usage, settings or input file: one line names it.",
    ),
)
"""Program, code, meaning."""
