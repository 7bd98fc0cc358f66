"""Whole files into a real broker: the recipes of docs/files.md, and errors that must not lose a row."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from brokerkit.broker import Broker
from brokerkit.client import create_topics, read_all
from producer.disorder import FileOrder
from producer.plan import Plan
from producer.ports import RealClock
from producer.publisher import Publisher
from producer.reading.csv_rows import CsvRows
from producer.reading.layout import Layout
from producer.reading.rows import Chunk
from producer.reading.source import Source
from producer.reading.times import TimestampParser
from producer.rejects import ShownRejects
from producer.replay import AsFast, Replay
from producer.session import Session
from producer.stop import Stop
from tests.replay_process import HEADER, ROOT, Done, run

Unique = Callable[[str], str]
Payment = tuple[str, str, str]
"""id, time as ISO 8601, amount as in the record."""

RECIPE = re.compile(
    r"^## (?P<kind>[^\n]+)\n(?:(?!^## ).)*?^```text\n(?P<file>.*?)^```\n"
    r"(?:(?!^## ).)*?^```sh\n(?P<command>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


class Recipe(NamedTuple):
    """A recipe of the page."""

    file: str
    arguments: list[str]


def recipes() -> dict[str, Recipe]:
    found = RECIPE.finditer((ROOT / "docs/files.md").read_text())
    return {each["kind"]: Recipe(each["file"], shlex.split(each["command"].replace("\\\n", " "))) for each in found}


EXPECTED: dict[str, tuple[Callable[[str], bytes], list[Payment], int]] = {
    "Stripe: payments": (
        str.encode,
        [("cus_Q2", "2024-05-11T09:12:55+00:00", "1250.00"), ("cus_Q1", "2024-05-11T10:41:07+00:00", "89.90")],
        1,
    ),
    "PayPal: activity": (
        lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
        [
            ("ann@example.com", "2024-05-11T09:41:07-07:00", "1250.00"),
            ("ben@example.com", "2024-05-11T10:02:44-07:00", "-80.50"),
        ],
        0,
    ),
    "A German bank: account statement": (
        lambda text: text.replace("\n", "\r\n").encode("cp1252"),
        [
            ("DE02500105170137075030", "2024-05-10T00:00:00+02:00", "3210.00"),
            ("DE02120300000000202051", "2024-05-11T00:00:00+02:00", "-12.50"),
        ],
        1,
    ),
    "A US card: statement": (
        str.encode,
        [
            ("4417", "2024-05-09T00:00:00-04:00", "1250.00"),
            ("4417", "2024-05-10T00:00:00-04:00", "-300.00"),
            ("9902", "2024-05-11T00:00:00-04:00", "4.75"),
        ],
        0,
    ),
    "A sensor's log": (
        lambda text: gzip.compress(text.encode()),
        [
            ("pump-7", "2024-05-11T02:00:00+00:00", "4.25"),
            ("pump-8", "2024-05-11T02:00:00.500+00:00", "-0.5"),
            ("pump-7", "2024-05-11T02:00:01+00:00", "4.5"),
        ],
        0,
    ),
}


def test_the_page_has_a_recipe_for_each_kind_of_file_that_is_tried_here() -> None:
    assert list(recipes()) == list(EXPECTED)


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_recipe_reads_its_file_as_the_page_has_them(
    broker: Broker, unique: Unique, tmp_path: Path, kind: str
) -> None:
    encoded, payments, skipped = EXPECTED[kind]
    text, arguments = recipes()[kind]
    assert arguments[:2] == ["txwatch-replay", "replay"]
    (tmp_path / arguments[2]).write_bytes(encoded(text))
    topic = unique("transactions")
    create_topics(broker, topic)
    dry = run_in(tmp_path, *arguments[1:], "--dry-run", "--strict")
    assert (dry.code, dry.err) == (0, "")
    assert dry.out.startswith("event times 2024-05-")
    done = run_in(
        tmp_path,
        *(*arguments[1:], "--pace", "max", "--strict"),
        KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers,
        TOPICS_TRANSACTIONS=topic,
    )
    assert (done.code, done.err) == (0, "")
    assert done.counts("delivered", "skipped_empty", "rejected", "earlier_rows") == (len(payments), skipped, 0, 0)
    assert [message.value() for message in read_all(broker, topic)] == [record(payment) for payment in payments]


def run_in(folder: Path, *arguments: str, **variables: str) -> Done:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "COVERAGE_PROCESS_CONFIG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "producer", *arguments],
        cwd=folder,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def record(payment: Payment) -> bytes:
    transaction_id, when, amount = payment
    time_ms = round(datetime.fromisoformat(when).timestamp() * 1000)
    return f'{{"transaction_id":"{transaction_id}","timestamp":{time_ms},"amount":{amount}}}'.encode()


# ---- what goes wrong costs no row ----

COUNT = 200_000
AT = "2024-05-11T10:00:00+08:00"


def numbered(path: Path, *last: str) -> Path:
    rows = "".join(f"tx{number % 50},{AT},{number}\n" for number in range(1, COUNT + 1))
    path.write_text(HEADER + rows + "".join(last))
    return path


@pytest.fixture
def topic(broker: Broker, unique: Unique) -> str:
    name = unique("transactions")
    create_topics(broker, name, partitions=4)
    return name


def amounts(broker: Broker, topic: str) -> list[int]:
    return sorted(json.loads(message.value() or b"")["amount"] for message in read_all(broker, topic))


def test_a_time_that_no_calendar_holds_costs_its_row_and_none_of_those_before_it(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    bad = ("tx1,0001-01-01T00:00:00+08:00,5\n", "tx1,9999-12-31T23:59:59-05:00,5\n")
    path = numbered(tmp_path / "rows.csv", *bad, f"tx1,{AT},{COUNT + 1}\n")
    done = run(
        *("replay", path, "--pace", "max", "--timestamp-format", "iso8601"),
        KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers,
        TOPICS_TRANSACTIONS=topic,
    )
    assert (done.code, *done.counts("delivered", "rejected", "next_row")) == (0, COUNT + 1, 2, COUNT + 4)
    assert amounts(broker, topic) == list(range(1, COUNT + 2))


def test_further_columns_arrive_as_fields_in_any_order_of_sending(broker: Broker, topic: str, tmp_path: Path) -> None:
    rows = [f"t{n},2024-05-11 10:00:{n:02d},{n},m\u00fcller {n},{n % 2 and 'EUR'}" for n in range(1, 40)]
    text = "\n".join(["transaction_id,timestamp,amount,shop,currency", *rows, ""]).replace(",0\n", ",\n")
    (tmp_path / "rows.csv").write_text(text, encoding="utf-8")
    options = ("--extra", "currency,shop", "--pace", "max", "--shuffle-ms", "9000", "--topic", topic)
    done = run_in(tmp_path, "replay", "rows.csv", *options, KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers)
    assert (done.code, done.counts("delivered", "rejected")) == (0, (39, 0))
    found = [json.loads(message.value() or b"") for message in read_all(broker, topic)]
    assert [*found[0]] == ["transaction_id", "timestamp", "amount", "currency", "shop"]
    assert {one["transaction_id"]: (one["currency"], one["shop"]) for one in found} == {
        f"t{n}": ("EUR" if n % 2 else None, f"m\u00fcller {n}") for n in range(1, 40)
    }


class Failing(Source):
    """A file whose reading fails after the rows of `numbered`, with an unforeseen error."""

    def open_pass(self, start_row: int) -> CsvRows:
        rows = super().open_pass(start_row)
        read = rows.__iter__

        class Rows(CsvRows):
            def __iter__(self) -> Iterator[Chunk]:
                for chunk in read():
                    if rows.next_row > COUNT:
                        raise OverflowError("date value out of range")
                    yield chunk

        rows.__class__ = Rows
        return rows


def test_an_unforeseen_error_loses_no_row_and_the_rest_comes_from_next_row_on(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    stop = Stop()
    path = numbered(tmp_path / "rows.csv", f"tx1,{AT},{COUNT + 1}\n")
    said: list[str] = []
    publisher = Publisher(topic, broker.bootstrap_servers, {}, 50)
    session = Session(
        Plan(AsFast(), 1, 1, None, rebase=False, broker_wait_ns=0),
        source=Failing(str(path), stop.wait_readable, Layout(TimestampParser("iso8601", ZoneInfo("UTC")))),
        replay=Replay(AsFast(), FileOrder(places=False)),
        sink=publisher,
        clock=RealClock(stop),
        rejects=ShownRejects(said.append),
        say=said.append,
        on_tick=lambda: None,
    )
    assert session.run() is None
    assert isinstance(session.failure, OverflowError)
    assert (publisher.sent, publisher.outstanding, publisher.failed) == (session.next_row - 1, 0, 0)
    assert COUNT - 600 < session.next_row <= COUNT + 1
    assert amounts(broker, topic) == list(range(1, session.next_row))
    rest = run(
        *("replay", path, "--pace", "max", "--timestamp-format", "iso8601", "--start-row", str(session.next_row)),
        KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers,
        TOPICS_TRANSACTIONS=topic,
    )
    assert rest.code == 0
    assert amounts(broker, topic) == list(range(1, COUNT + 2))


def test_gzip_that_is_cut_off_delivers_what_came_before_and_says_where_to_go_on(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(numbered(tmp_path / "rows.csv").read_bytes(), 1)[:-1000])
    done = run(
        *("replay", path, "--pace", "max", "--timestamp-format", "iso8601"),
        KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers,
        TOPICS_TRANSACTIONS=topic,
    )
    assert done.code == 2
    assert done.err.endswith("rows.csv.gz: the gzip data is cut off\n")
    (next_row,) = done.counts("next_row")
    assert amounts(broker, topic) == list(range(1, next_row))
    assert next_row > COUNT // 2
