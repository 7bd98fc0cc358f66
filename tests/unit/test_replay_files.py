"""Files and their options, by command: what each option reads, what is refused, rejects of several runs."""

from __future__ import annotations

import csv
import gzip
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from producer.disorder import FileOrder
from producer.plan import Plan
from producer.ports import DryRun, RealClock
from producer.reading.layout import Layout
from producer.reading.source import Source
from producer.reading.times import DEFAULT_FORMAT, TimestampParser
from producer.rejects import ShownRejects
from producer.replay import AtRate, Batch, Replay
from producer.session import Session
from producer.stop import Stop
from tests.replay_process import EXAMPLE, HEADER, Done, finish, run, start

ROW = "tx1,2024-05-11 10:00:00,1\n"
AT = "2024-05-11 10:00:00"
READING = [
    "--columns",
    "--timestamp-format",
    "--timezone",
    "--decimal",
    "--thousands",
    "--amount-style",
    "--delimiter",
    "--encoding",
    "--skip-lines",
    "--no-header",
    "--reverse",
    "--max-gap",
    "--extra",
]


def dry(path: Path, *arguments: str | Path) -> Done:
    return run("replay", path, "--dry-run", *arguments)


def file(tmp_path: Path, data: str | bytes, name: str = "rows.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_help_has_a_group_for_reading_the_file() -> None:
    out = run("replay", "--help").out
    options, reading = out.split("\nReading the file:\n")
    assert re.findall(r"^  (--[a-z-]+)", reading, re.MULTILINE) == READING
    assert not set(READING) & set(re.findall(r"^  (--[a-z-]+)", options, re.MULTILINE))


@pytest.mark.parametrize(
    ("data", "arguments"),
    [
        (f"{HEADER}é,{AT},1\n".encode("utf-16"), ["--encoding", "utf-16"]),
        (f"{HEADER}é,{AT},1\n".encode("cp1252"), ["--encoding", "cp1252"]),
        (f'{HEADER}a,{AT},"1.234,5"\n', ["--decimal", ",", "--thousands", "."]),
        (f"{HEADER}a,{AT},1'234.5\n", ["--thousands", "'"]),
        (f"{HEADER}a,{AT},1\u202f234\n", ["--thousands", "space"]),
        (f"{HEADER}a,{AT},1 234\n", ["--thousands", " "]),
        (f"{HEADER}a,{AT},(5.00)\n", ["--amount-style", "accounting"]),
        (f"Bank\n{HEADER}{ROW}", ["--skip-lines", "1"]),
        (f"{AT},a,1\n", ["--no-header", "--columns", "transaction_id=2,timestamp=1"]),
        (f"a,2024-05-11,{AT[11:]},x,5\n", ["--no-header", "--columns", "transaction_id=1,timestamp=2+3,amount=5"]),
        ("who,d,t,c,b\na,2024-05-11,10:00:00,,5\n", ["--columns", "transaction_id=who,timestamp=d+t,amount=c-b"]),
        (f"sep=;\n{HEADER}{ROW}".replace(",", ";"), []),
        (f"{HEADER}a,1e+05,1\n", ["--timestamp-format", "epoch_us"]),
        (f"{HEADER}a,1715392800123456789,1\n", ["--timestamp-format", "epoch_ns"]),
        (HEADER + ROW, ["--reverse"]),
        (HEADER + ROW, ["--max-gap", "0.5"]),
        (HEADER + ROW, ["--speed", "1e-9"]),
        (HEADER + ROW, ["--speed", "1e300"]),
        (HEADER + ROW, ["--pace", "rate", "--rate", "1e-9"]),
        (f"\ufeff{HEADER}{ROW}".replace("\n", "\r\n"), []),
    ],
)
def test_each_option_reads_its_kind_of_file(tmp_path: Path, data: str | bytes, arguments: list[str]) -> None:
    done = dry(file(tmp_path, data), "--strict", *arguments)
    assert (done.code, done.err, done.summary["read"], done.summary["skipped_empty"]) == (0, "", 1, 0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--encoding", "base64"], "--encoding"),
        (["--decimal", "x"], "--decimal"),
        (["--decimal", ",", "--thousands", ","], "--thousands"),
        (["--thousands", "ab"], "--thousands"),
        (["--amount-style", "german"], "--amount-style"),
        (["--skip-lines", "-1"], "--skip-lines"),
        (["--skip-lines", "9"], "below the 9 lines skipped"),
        (["--no-header", "--columns", "amount=Betrag"], "--columns"),
        (["--no-header", "--columns", "amount=9"], "no column 9"),
        (["--columns", "amount=amount-debit"], "debit"),
        (["--max-gap", "0"], "--max-gap"),
        (["--max-gap", "1e-310"], "--max-gap"),
        (["--max-gap", "5", "--pace", "max"], "--max-gap"),
        (["--speed", "1e-310"], "--speed"),
        (["--pace", "rate", "--rate", "1e-310"], "--rate"),
        (["--timestamp-format", "epoch_min"], "--timestamp-format"),
    ],
)
def test_what_can_not_be_meant_is_one_line_that_names_it(arguments: list[str], named: str) -> None:
    done = run("replay", EXAMPLE, *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert named in done.err


def test_reverse_needs_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("-", tmp_path / "pipe"):
        done = run("replay", path, "--reverse", "--dry-run", text=HEADER + ROW)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert "--reverse" in done.err


def test_gzip_is_read_by_its_name_and_named_without_it(tmp_path: Path) -> None:
    packed = gzip.compress((HEADER + ROW).encode())
    assert dry(file(tmp_path, packed, "rows.csv.GZ")).summary["read"] == 1
    done = dry(file(tmp_path, packed))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "it is gzip" in done.err
    assert dry(file(tmp_path, HEADER, "plain.gz")).code == 2


@pytest.mark.parametrize("rows", ["a,b,c\n", "a,b,c\n,,\n", "a\n" * 600])
def test_all_rows_rejected_is_a_failure_without_strict(tmp_path: Path, rows: str) -> None:
    assert dry(file(tmp_path, HEADER + rows)).code == 1
    assert dry(file(tmp_path, HEADER + rows + ROW)).code == 0
    assert dry(file(tmp_path, HEADER + ",,\n")).code == 0


def test_a_replay_that_was_stopped_before_its_first_good_row_did_not_fail() -> None:
    with start("replay", "-", "--dry-run") as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write((HEADER + "bad\n").encode())
        process.stdin.flush()
        assert b"rejected" in process.stderr.readline()
        process.terminate()
        done = finish(process)
    assert (done.code, *done.counts("read", "rejected")) == (0, 1, 1)


def test_a_newest_first_file_is_named_and_read_in_order_from_its_end(tmp_path: Path) -> None:
    rows = [f"tx{number},2024-05-11 10:00:{59 - number:02},1\n" for number in range(30)]
    path = file(tmp_path, HEADER + "".join(rows))
    done = dry(path)
    assert done.err == (
        "txwatch-replay: 29 of 30 rows are earlier than a row before them and are sent without a wait; "
        "--reverse reads a newest-first file from its end\n"
    )
    assert done.out.splitlines()[0].endswith("10:00:30+00:00 to 2024-05-11 10:00:59+00:00, 0.000 s at this pace")
    times = (1_715_421_630_000, 1_715_421_659_000)
    assert done.counts("earlier_rows", "first_event_time", "last_event_time") == (29, *times)
    turned = dry(path, "--reverse", "--speed", "2")
    assert (turned.err, turned.out.splitlines()[0][-26:]) == ("", "29+00:00, 14.500 s at this pace"[-26:])
    assert turned.counts("earlier_rows", "first_event_time", "last_event_time") == (0, *times)


# ---- rejects ----


def reject_lines(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as rejects:
        return [record[0] for record in csv.reader(rejects)]


def test_rejects_of_a_resumed_run_are_added_and_those_of_a_new_one_replace_the_file(tmp_path: Path) -> None:
    path, rejects = file(tmp_path, HEADER + ROW + "b\n" + ROW + "d\n" + ROW), tmp_path / "rejects.csv"
    dry(path, "--rejects", rejects, "--start-row", "4")
    assert reject_lines(rejects) == ["line", "5"]
    dry(path, "--rejects", rejects, "--start-row", "5")
    dry(path, "--rejects", rejects, "--start-row", "2")
    assert reject_lines(rejects) == ["line", "5", "3", "5"]
    dry(path, "--rejects", rejects)
    assert reject_lines(rejects) == ["line", "3", "5"]


@pytest.mark.parametrize("text", ["important\n", "line,reason\n", "line,reason,raw,more\n", "x" * 10_000, "\n"])
@pytest.mark.parametrize("start_row", ["1", "2"])
def test_what_is_no_file_of_rejects_is_not_overwritten(tmp_path: Path, text: str, start_row: str) -> None:
    path, rejects = file(tmp_path, HEADER + ROW), file(tmp_path, text, "other.csv")
    done = dry(path, "--rejects", rejects, "--start-row", start_row)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "is not a file of rejects" in done.err
    assert rejects.read_text() == text


@pytest.mark.parametrize("text", ["", "line,reason,raw\n", '"line","reason","raw"\n1,x,y\n', "line,reason,raw\r\n"])
def test_an_empty_file_and_one_of_rejects_are(tmp_path: Path, text: str) -> None:
    path, rejects = file(tmp_path, HEADER + "bad\n" + ROW), file(tmp_path, text, "other.csv")
    assert dry(path, "--rejects", rejects).code == 0
    assert reject_lines(rejects) == ["line", "2"]


def test_rejects_may_go_to_what_is_no_file(tmp_path: Path) -> None:
    assert dry(file(tmp_path, HEADER + "bad\n" + ROW), "--rejects", "/dev/null").code == 0


def test_rejects_of_another_encoding_are_in_utf8(tmp_path: Path) -> None:
    path, rejects = file(tmp_path, f"{HEADER}Café,x,1\n{ROW}".encode("utf-16")), tmp_path / "rejects.csv"
    dry(path, "--rejects", rejects, "--encoding", "utf-16")
    assert "Café,x,1" in rejects.read_text(encoding="utf-8")


# ---- a last line without its end ----


def test_a_last_line_without_its_end_is_sent_and_said(tmp_path: Path) -> None:
    path = file(tmp_path, (HEADER + ROW + ROW).removesuffix("\n"))
    for done in (dry(path), run("replay", "-", "--dry-run", text=path.read_text())):
        assert (done.code, *done.counts("read", "next_row", "last_line_unfinished")) == (0, 2, 3, True)
        assert done.err == "txwatch-replay: line 3, the last one, has no end: it was read as it is\n"


def test_one_that_is_being_written_is_not_sent_and_comes_whole_with_the_next_replay(tmp_path: Path) -> None:
    path = file(tmp_path, f"{HEADER}a,{AT},1\nb,{AT},1")
    sent: list[int] = []

    class Sent(DryRun):
        def send(self, batch: Batch, keep_on: Callable[[], bool]) -> int:
            sent.extend(batch.rows.numbers)
            return super().send(batch, keep_on)

    def grow_once() -> None:
        # Row 2 has been read, and is sent half a second after row 1.
        if time.monotonic() - began_s > 0.2 and source.position == path.stat().st_size:
            with path.open("a") as out:
                out.write("00\n")

    stop, pace, said = Stop(), AtRate(2), list[str]()
    source = Source(str(path), stop.wait_readable, Layout(TimestampParser(DEFAULT_FORMAT, ZoneInfo("UTC"))))
    session = Session(
        Plan(pace, 1, 1, None, rebase=False, broker_wait_ns=0),
        source=source,
        replay=Replay(pace, FileOrder()),
        sink=Sent(),
        clock=RealClock(stop),
        rejects=ShownRejects(said.append),
        say=said.append,
        on_tick=grow_once,
    )
    began_s = time.monotonic()
    session.run()
    assert (sent, session.next_row) == ([1], 2)
    assert said == ["line 3 has no end, and the file has grown since: it was not sent"]
    after = dry(path, "--start-row", "2")
    assert after.counts("read", "next_row", "last_line_unfinished") == (1, 3, False)


# ---- the rest ----


def test_a_line_of_many_mib_costs_its_row_and_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w") as out:
        out.write(HEADER + ROW + "b,")
        for _ in range(60):
            out.write("x" * (1 << 20))
        out.write("\n" + ROW)
    began_s = time.monotonic()
    done = dry(path)
    assert (done.code, *done.counts("read", "rejected", "next_row")) == (0, 3, 1, 4)
    assert "line 3 rejected: line of more than 1 MiB: b,xxx" in done.err
    assert time.monotonic() - began_s < 30
