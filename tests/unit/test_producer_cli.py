"""The replay command, run as a process: exit codes, one line for each mistake, the summary."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import __version__
from tests.replay_process import EXAMPLE, HEADER, ROOT, Done, finish, run, start

ROW = "tx1,2024-05-11 10:00:00,1\n"
KEYS = [
    "read",
    "sent",
    "delivered",
    "skipped_empty",
    "rejected",
    "failed",
    "seconds",
    "rows_per_second",
    "max_schedule_lag_ms",
    "next_row",
    "earlier_rows",
    "first_event_time",
    "last_event_time",
    "last_line_unfinished",
]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine where no server answers during the test."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def dry(*arguments: str | Path, text: str | bytes = "", **variables: str) -> Done:
    return run("replay", "-", "--dry-run", *arguments, text=text, **variables)


def test_help_and_version_go_to_standard_output_and_end_with_0() -> None:
    for arguments in (
        ["--help"],
        ["-h"],
        ["replay", "--help"],
        ["replay", "-h"],
        ["replay", "--version"],
        ["--version"],
    ):
        done = run(*arguments)
        assert (done.code, done.err) == (0, "")
        if "--version" in arguments:
            assert done.out == f"txwatch-replay, version {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "Missing command"),
        (["replay"], "FILE"),
        (["replay", "nowhere.csv"], "nowhere.csv: No such file or directory"),
        (["replay", "/"], "/: Is a directory"),
        (["replay", EXAMPLE, "--bogus"], "--bogus"),
        (["replay", EXAMPLE, "--pace", "fast"], "--pace"),
        (["replay", EXAMPLE, "--pace", "rate"], "--rate"),
        (["replay", EXAMPLE, "--rate", "5"], "--rate"),
        (["replay", EXAMPLE, "--rate", "5", "--dry-run"], "--rate"),
        (["replay", EXAMPLE, "--pace", "rate", "--rate", "0"], "--rate"),
        (["replay", EXAMPLE, "--speed", "0"], "--speed"),
        (["replay", EXAMPLE, "--speed", "nan"], "--speed"),
        (["replay", EXAMPLE, "--speed", "2", "--pace", "max"], "--speed"),
        (["replay", EXAMPLE, "--timezone", "Mars/Olympus"], "--timezone"),
        (["replay", EXAMPLE, "--timezone", "../etc"], "--timezone"),
        (["replay", EXAMPLE, "--timestamp-format", "%Q"], "--timestamp-format"),
        (["replay", EXAMPLE, "--columns", "sum=amount"], "--columns"),
        (["replay", EXAMPLE, "--columns", "amount"], "--columns"),
        (["replay", EXAMPLE, "--columns", "amount=betrag"], "betrag"),
        (["replay", EXAMPLE, "--delimiter", ";;"], "--delimiter"),
        (["replay", EXAMPLE, "--delimiter", ";"], "transaction_id"),
        (["replay", EXAMPLE, "--seed", "5"], "--seed"),
        (["replay", EXAMPLE, "--shuffle-ms", "-1"], "--shuffle-ms"),
        (["replay", EXAMPLE, "--start-row", "0"], "--start-row"),
        (["replay", EXAMPLE, "--repeat", "0", "--dry-run"], "--repeat"),
        (["replay", "-", "--repeat", "2"], "--repeat"),
        (["replay", EXAMPLE, "--topic", "a b"], "--topic"),
        (["replay", EXAMPLE, "--topic", "."], "--topic"),
        (["replay", EXAMPLE, "--bootstrap-servers", "localhost:port"], "--bootstrap-servers"),
        (["replay", EXAMPLE, "--bootstrap-servers", " "], "KAFKA_BOOTSTRAP_SERVERS'): is blank"),
        (
            ["replay", EXAMPLE, "--bootstrap-servers", " one:9092"],
            "KAFKA_BOOTSTRAP_SERVERS'): begins or ends with a space",
        ),
        (["replay", EXAMPLE, "--bootstrap-servers", "localhost:9092\u200b"], "ends with a space or an invisible"),
        (["replay", EXAMPLE, "--bootstrap-servers", "local\thost:9092"], "has a control character"),
        (["replay", EXAMPLE, "--rejects", "/nowhere/rejects.csv"], "--rejects"),
        (["replay", EXAMPLE, "--rejects", EXAMPLE], "--rejects"),
        (["replay", EXAMPLE, "--extra", "merchant"], "has no column 'merchant'"),
        (["replay", EXAMPLE, "--extra", "amount"], "--extra': amount is a field of each record already"),
        (["replay", EXAMPLE, "--extra", "one,two,one"], "--extra': one is there twice"),
        (["replay", EXAMPLE, "--extra", "one,,two"], "--extra': a column without a name"),
        (["replay", EXAMPLE, "--no-header", "--extra", "one"], "--extra: 'one' is not a column's number"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_that_names_it(arguments: list[str | Path], named: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert named in done.err


@pytest.mark.parametrize(
    ("variables", "arguments", "named"),
    [
        ({"KAFKA_PROPERTIES": "{"}, [], "KAFKA_PROPERTIES: not valid JSON"),
        ({"KAFKA_PROPERTIES": "[]"}, [], "KAFKA_PROPERTIES: not a JSON object"),
        ({"KAFKA_PROPERTIES": '{"acks": 1}'}, [], "KAFKA_PROPERTIES: acks"),
        ({"KAFKA_PROPERTIES": '{"enable.idempotence": false}'}, [], "KAFKA_PROPERTIES: enable.idempotence"),
        ({"KAFKA_PROPERTIES": '{"partitioner": "random"}'}, [], "KAFKA_PROPERTIES: partitioner"),
        ({"KAFKA_PROPERTIES": '{"bootstrap.servers": "x"}'}, [], "KAFKA_PROPERTIES: bootstrap.servers"),
        ({"KAFKA_PROPERTIES": '{"transactional.id": "x"}'}, [], "KAFKA_PROPERTIES: transactional.id"),
        ({"KAFKA_PROPERTIES": '{"linger.ms": null}'}, [], "KAFKA_PROPERTIES: linger.ms"),
        ({"KAFKA_PROPERTIES": '{"no.such": 1}'}, [], 'KAFKA_PROPERTIES: No such configuration property: "no.such"'),
        ({"KAFKA_PROPERTIES": '{"stats_cb": "x"}'}, [], "KAFKA_PROPERTIES: expected stats_cb"),
        ({"KAFKA_PROPERTIES": '{"security.protocol": "ssl", "ssl.ca.location": "/nowhere"}'}, [], "KAFKA_PROPERTIES"),
        ({"KAFKA_PROPERTIES": "[" * 100_000}, [], "KAFKA_PROPERTIES: not valid JSON"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "localhost:99999"}, [], "KAFKA_BOOTSTRAP_SERVERS"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "localhost:9092\n"}, [], "KAFKA_BOOTSTRAP_SERVERS"),
        ({"TOPICS_TRANSACTIONS": "a/b"}, [], "TOPICS_TRANSACTIONS"),
        ({"WINDOW_SIZE_MS": "10s"}, ["--align"], "WINDOW_SIZE_MS"),
    ],
)
def test_a_mistake_in_the_environment_is_one_line_that_names_the_variable(
    variables: dict[str, str], arguments: list[str], named: str
) -> None:
    done = run("replay", EXAMPLE, *arguments, **variables)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert named in done.err


def test_a_secret_never_appears_in_a_message() -> None:
    properties = '{"sasl.password": "hush", "sasl.mechanism": "NONE", "security.protocol": "sasl_plaintext"}'
    for text in (properties, properties[:-1], properties.replace('"NONE"', "null")):
        done = run("replay", EXAMPLE, KAFKA_PROPERTIES=text)
        assert done.code == 2
        assert "hush" not in done.err


def test_a_taken_metrics_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = dry("--metrics-port", str(taken.getsockname()[1]), text=HEADER, HTTP_HOST="127.0.0.1")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--metrics-port" in done.err


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", HEADER.encode("utf-16"), b"\0\x01\x02\n", b"a,b\n"])
def test_standard_input_that_is_no_csv_is_refused_in_one_line(data: bytes) -> None:
    done = dry(text=data)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "standard input" in done.err


def test_the_summary_is_the_last_line_and_has_exactly_its_keys() -> None:
    done = run("replay", EXAMPLE, "--dry-run", "--timezone", "Asia/Shanghai")
    assert (done.code, done.err) == (0, "")
    assert list(done.summary) == KEYS
    times = {"first_event_time": 1_715_392_800_000, "last_event_time": 1_715_392_810_000}
    others = {"read": 4, "next_row": 5, "last_line_unfinished": False, **times}
    assert done.summary | {"seconds": 0} == dict.fromkeys(KEYS, 0) | others


def test_a_header_without_rows_ends_with_0() -> None:
    done = dry(text=HEADER)
    assert (done.code, done.summary["read"], done.summary["next_row"]) == (0, 0, 1)


def test_rejected_rows_are_shown_counted_and_only_under_strict_a_failure() -> None:
    text = HEADER + ROW + "tx2,2024-05-11 10:00:00,a\x1bb\ntx3,,1\n" + ROW
    done = dry(text=text)
    assert done.code == 0
    assert done.err == (
        "txwatch-replay: line 3 rejected: amount 'a\\x1bb' is not a number: tx2,2024-05-11 10:00:00,a\\x1bb\n"
    )
    counts = {"read": 4, "rejected": 1, "skipped_empty": 1, "next_row": 5}
    assert done.summary | counts == done.summary
    assert (strict := dry("--strict", text=text)).summary | counts == strict.summary
    assert strict.code == 1
    assert dry("--strict", text=HEADER + ROW + "tx1,,1\n").code == 0


def test_of_many_rejected_rows_the_first_are_shown_and_the_others_counted() -> None:
    done = dry(text=HEADER + "x\n" * 25)
    assert done.err.count("\n") == 11
    assert done.err.endswith("15 more rows rejected; --rejects FILE keeps them all\n")


def test_the_file_of_rejects_holds_line_reason_and_the_row_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    raws = [b'a,"b\nc",x,y', b"t\xe9,2024-05-11 10:00:00,1", b'z,"q",""1', b"a\rb"]
    done = dry("--rejects", path, text=HEADER.encode() + b"\r\n".join([*raws[:3], ROW.encode()]))
    assert (done.code, done.err, done.summary["rejected"]) == (0, "", 3)
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        records = list(csv.reader(file, strict=True))
    assert records[0] == ["line", "reason", "raw"]
    assert [(line, raw.encode(errors="surrogateescape")) for line, _, raw in records[1:]] == [
        ("2", raws[0]),
        ("4", raws[1]),
        ("5", raws[2]),
    ]


def test_a_wrong_input_leaves_an_older_file_of_rejects_alone(tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    path.write_text("kept")
    assert run("replay", tmp_path / "nowhere.csv", "--rejects", path).code == 2
    assert path.read_text() == "kept"


def test_rows_before_the_start_row_are_neither_read_nor_rejected() -> None:
    done = dry("--start-row", "3", text=HEADER + "bad\n" + ROW + ROW)
    assert (done.code, done.err, done.summary["read"]) == (0, "", 1)


def test_other_columns_delimiters_and_formats_are_options() -> None:
    text = "when\tsum\twho\n2024-05-11T10:00:00+08:00\t1\ttx1\n"
    done = dry(
        *("--columns", "transaction_id=who, timestamp=when,amount=sum", "--delimiter", "\\t"),
        *("--timestamp-format", "iso8601"),
        text=text,
    )
    assert (done.code, done.err, done.summary["read"]) == (0, "", 1)


def test_properties_of_consumers_are_no_concern_of_the_producers(closed_port: int) -> None:
    properties = {"group.id": "x", "session.timeout.ms": 6000, "fetch.min.bytes": 5, "auto.offset.reset": "earliest"}
    done = run(
        *("replay", "-"),
        text=HEADER,
        KAFKA_PROPERTIES=json.dumps(properties),
        KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{closed_port}",
    )
    assert done.code == 0
    assert "propert" not in done.err


def test_undelivered_rows_end_with_1_and_say_why(closed_port: int) -> None:
    done = run(
        *("replay", EXAMPLE, "--pace", "max"),
        KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{closed_port}",
        KAFKA_PROPERTIES='{"message.timeout.ms": 1000}',
    )
    assert done.code == 1
    assert "no broker answers, still trying: " in done.err
    assert "4 rows undelivered: Local: Message timed out\n" in done.err
    counts = {"read": 4, "sent": 4, "delivered": 0, "failed": 4, "next_row": 1}
    assert done.summary | counts == done.summary


def interrupted(process: subprocess.Popen[bytes], number: int) -> tuple[Done, float]:
    began_s = time.monotonic()
    process.send_signal(number)
    return finish(process), time.monotonic() - began_s


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_waiting_for_a_broker_ends_with_0_and_nothing_sent(closed_port: int, number: int) -> None:
    with start("replay", EXAMPLE, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{closed_port}") as process:
        assert process.stderr is not None
        assert b"no broker answers" in process.stderr.readline()
        done, seconds = interrupted(process, number)
    assert (done.code, *done.counts("sent", "next_row")) == (0, 0, 1)
    assert seconds < 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_is_loading_ends_with_0_and_a_summary(number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "producer", "replay", str(EXAMPLE)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.split()[-1] == "click.exceptions")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["sent"], "Traceback" in err) == (0, 0, False)


@pytest.mark.parametrize(("where", "code"), [("gone", 0), ("/dev/full", 1)])
def test_a_summary_that_cannot_be_written_is_no_traceback(where: str, code: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    full = os.open("/dev/full", os.O_WRONLY)
    done = subprocess.run(
        [sys.executable, "-m", "producer", "replay", str(EXAMPLE), "--dry-run"],
        cwd=ROOT,
        stdout=writing if where == "gone" else full,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writing)
    os.close(full)
    said = [] if where == "gone" else ["txwatch-replay: standard output: No space left on device"]
    assert (done.returncode, done.stderr.splitlines()) == (code, said)


def test_metrics_show_a_running_replay_and_a_signal_ends_its_wait_for_standard_input() -> None:
    with start("replay", "-", "--dry-run", "--metrics-port", "0", HTTP_HOST="127.0.0.1") as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write((HEADER + ROW).encode())
        process.stdin.flush()
        address = process.stderr.readline().decode().rsplit(" ", 1)[1].strip()
        metrics = ""
        for _ in range(200):
            with urllib.request.urlopen(address) as answer:  # noqa: S310  the address is our own
                metrics = answer.read().decode()
            if "txwatch_replay_event_time_seconds" in metrics:
                break
            time.sleep(0.05)
        assert "txwatch_replay_event_time_seconds 1.7154216e+09" in metrics
        assert 'txwatch_replay_rows_total{outcome="rejected"} 0.0' in metrics
        done, seconds = interrupted(process, signal.SIGINT)
    assert (done.code, *done.counts("read", "next_row")) == (0, 1, 2)
    assert seconds < 2


def shown(process: subprocess.Popen[bytes], text: bytes) -> bytes:
    """What standard error shows, up to this text. A progress bar has no line end."""
    assert process.stderr is not None
    seen = b""
    while text not in seen and (more := os.read(process.stderr.fileno(), 65_536)):
        seen += more
    return seen


def test_progress_says_that_it_waits_for_rows_and_for_the_topic(closed_port: int) -> None:
    servers = f"127.0.0.1:{closed_port}"
    with start("replay", "-", "--progress", KAFKA_BOOTSTRAP_SERVERS=servers) as process:
        assert process.stdin is not None
        process.stdin.write(HEADER.encode())
        process.stdin.flush()
        assert b"waits for rows" in shown(process, b"waits for rows")
        process.stdin.write(ROW.encode())
        process.stdin.flush()
        assert b"waits for the topic" in shown(process, b"waits for the topic")
        done, _ = interrupted(process, signal.SIGTERM)
    assert (done.code, *done.counts("sent", "next_row")) == (0, 0, 1)


def test_progress_is_drawn_when_asked_for_and_says_rows_and_event_time() -> None:
    done = dry("--progress", text=HEADER + ROW)
    assert done.code == 0
    assert "standard input" in done.err
    assert "at 2024-05-11 10:00:00" in done.err
    assert list(done.summary) == KEYS
