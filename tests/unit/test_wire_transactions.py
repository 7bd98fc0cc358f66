"""Input records: what is taken, what is refused, and the reason that is given."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import pytest

from service.core.model import Reason, Transaction
from service.wire.amounts import short_amounts
from service.wire.decoder import Rejection
from service.wire.transactions import JsonDecoder, decode, encode_transaction

TIMESTAMP = 1_715_392_810_000


def record(transaction_id: str = '"tx1"', timestamp: str = str(TIMESTAMP), amount: str = "9000.0") -> bytes:
    """A record of these pieces of JSON."""
    return f'{{"transaction_id":{transaction_id},"timestamp":{timestamp},"amount":{amount}}}'.encode()


def rejection(value: bytes | None) -> Rejection:
    """The verdict on a record that must be refused."""
    with pytest.raises(Rejection) as caught:
        decode(value)
    return caught.value


def fields(transaction: Transaction) -> tuple[str, int, float | Decimal]:
    """A transaction to compare."""
    return transaction.transaction_id, transaction.timestamp, transaction.amount


def decode_good(values: Sequence[bytes | None]) -> list[Transaction]:
    """Decode a batch that must be good."""
    transactions, rejections, _ = JsonDecoder().decode_values(values)
    assert {} == rejections
    return transactions


def test_the_example_of_the_contract_is_taken() -> None:
    transaction = decode(b'{"transaction_id":"tx1","timestamp":1715392810000,"amount":9000.0}')
    assert ("tx1", TIMESTAMP, 9000.0) == fields(transaction)


@pytest.mark.parametrize("value", [None, b""])
def test_a_record_without_value_is_an_empty_value(value: bytes | None) -> None:
    assert Reason.EMPTY_VALUE is rejection(value).reason


NOT_JSON = {
    "blanks": b"  \n",
    "text": b"hello",
    "cut off": record()[:-1],
    "cut in a number": record()[:50],
    "something behind": record() + b"x",
    "two objects": record() + record(),
    "single quotes": record().replace(b'"', b"'"),
    "comma at the end": record()[:-1] + b",}",
    "no comma": record().replace(b",", b" "),
    "byte order mark": b"\xef\xbb\xbf" + record(),
    "leading zero": record(amount="01"),
    "no digit before the point": record(amount=".5"),
    "no digit after the point": record(amount="1."),
    "plus sign": record(amount="+1"),
    "hexadecimal": record(amount="0x10"),
    "thousands": record(amount="1,000"),
    "underscore": record(amount="1_000"),
    "control character in a string": record(transaction_id='"a\nb"'),
    "unknown escape": record(transaction_id=r'"\x41"'),
    "half a surrogate pair": record(transaction_id=r'"\ud800"'),
    "NaN in an ignored field": record()[:-1] + b',"x":NaN}',
    "NaN for a timestamp": record(timestamp="NaN"),
    "Java's object": b"\xac\xed\x00\x05".replace(b"\xac\xed", b"\x00\x01"),
    "comment": b"/* */" + record(),
}


@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_no_json_is_not_json(name: str) -> None:
    assert Reason.NOT_JSON is rejection(NOT_JSON[name]).reason


NOT_UTF8 = {
    "in the id": record().replace(b"tx1", b"tx\xff"),
    "Latin 1": record(transaction_id='"M\xfcller"').decode().encode("latin-1"),
    "UTF-16": record().decode().encode("utf-16"),
    "encoded surrogate": record().replace(b"tx1", b"\xed\xa0\x80"),
    "overlong": record().replace(b"tx1", b"\xc0\xaf"),
    "cut in a character": record().replace(b"tx1", b"\xf0\x9f\x98"),
    "Avro": b"\x00\x00\x00\x00\x01\x06tx1\x80\xff\xfe",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00",
    "and no json either": b"\xff\xfe{",
}


@pytest.mark.parametrize("name", NOT_UTF8)
def test_what_is_no_utf8_is_not_utf8(name: str) -> None:
    assert Reason.NOT_UTF8 is rejection(NOT_UTF8[name]).reason


SCHEMA = {
    "null": b"null",
    "number": b"1",
    "string": b'"tx1"',
    "array": b"[" + record() + b"]",
    "empty object": b"{}",
    "no id": b'{"timestamp":1715392810000,"amount":1}',
    "no timestamp": b'{"transaction_id":"tx1","amount":1}',
    "no amount": b'{"transaction_id":"tx1","timestamp":1715392810000}',
    "other capitals": record().replace(b"amount", b"Amount"),
    "id is a number": record(transaction_id="1"),
    "id is null": record(transaction_id="null"),
    "id is empty": record(transaction_id='""'),
    "id is an object": record(transaction_id="{}"),
    "timestamp is text": record(timestamp='"1715392810000"'),
    "timestamp is a date": record(timestamp='"2024-05-11T02:00:10Z"'),
    "timestamp has decimals": record(timestamp="1715392810000.5"),
    "timestamp has a point": record(timestamp="1715392810000.0"),
    "timestamp has an exponent": record(timestamp="1e12"),
    "timestamp is true": record(timestamp="true"),
    "timestamp is null": record(timestamp="null"),
    "timestamp is beyond 64 bits": record(timestamp=str(2**63)),
    "timestamp is endless": record(timestamp="1" * 5_000),
    "amount is text": record(amount='"9000.0"'),
    "amount is text that says NaN": record(amount='"NaN"'),
    "amount is text that says Infinity": record(amount='"Infinity"'),
    "amount is a monster in text": record(amount='"1e999999999"'),
    "amount is no number in text": record(amount='"abc"'),
    "amount is null": record(amount="null"),
    "amount is true": record(amount="true"),
    "amount is an array": record(amount="[1]"),
    "too many digits after the point": record(amount="0." + "0" * 400 + "1"),
    "an exponent far below zero": record(transaction_id='"a long enough id"', amount="1.0000000000000001e-9999"),
    "an exponent of many digits": record(amount="1e-" + "9" * 100),
    "nested too deeply": record()[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "an array nested too deeply": b"[" * 100_000,
}


@pytest.mark.parametrize("name", SCHEMA)
def test_json_that_is_no_transaction_is_schema(name: str) -> None:
    assert Reason.SCHEMA is rejection(SCHEMA[name]).reason


@pytest.mark.parametrize("timestamp", ["0", "-1", "1715392810", "99999999999", "-1715392810000"])
def test_seconds_are_a_timestamp_too_small(timestamp: str) -> None:
    assert Reason.TIMESTAMP_TOO_SMALL is rejection(record(timestamp=timestamp)).reason


@pytest.mark.parametrize("timestamp", [100_000_000_000, 2**63 - 1])
def test_the_least_and_the_greatest_timestamp_are_taken(timestamp: int) -> None:
    assert timestamp == decode(record(timestamp=str(timestamp))).timestamp


@pytest.mark.parametrize(
    "amount",
    [
        *["NaN", "nan", "-NaN", " NaN ", "Infinity", "-Infinity", "+Infinity", "inf"],
        *["1e400", "-1e400", "1E+400", "9" * 310, "1e" + "9" * 100, "1.8e308", "123456789e303"],
    ],
)
def test_an_amount_that_is_not_finite_says_so(amount: str) -> None:
    assert Reason.AMOUNT_NOT_FINITE is rejection(record(amount=amount)).reason


@pytest.mark.parametrize("sign", ["-", "+"])
@pytest.mark.parametrize("digits", [4, 6, 12, 100])
@pytest.mark.parametrize("transaction_id", ["t", "t" * 100], ids=["short id", "long id"])
def test_a_monstrous_exponent_is_refused(sign: str, digits: int, transaction_id: str) -> None:
    verdict = rejection(record(f'"{transaction_id}"', amount=f"1e{sign}{'9' * digits}"))
    assert verdict.reason in {Reason.AMOUNT_NOT_FINITE, Reason.SCHEMA}


AMOUNTS = {
    "0": "0",
    "-0": "0",
    "0.0": "0",
    "0e0": "0",
    "0.10": "0.1",
    "9e3": "9000",
    "9E+3": "9000",
    "1e-5": "0.00001",
    "-12.5": "-12.5",
    "8000.0001": "8000.0001",
    "8000.000000000000001": "8000.000000000000001",
    "123456789012345": "123456789012345",
    "1234567890123456": "1234567890123456",
    "9007199254740993": "9007199254740993",
    "0.30000000000000004": "0.30000000000000004",
    "0.1000000000000000055": "0.1000000000000000055",
    "12345678901234567890.12": "12345678901234567890.12",
    "0.000000000000000000001": "1e-21",
    "1e22": "1e22",
    "1e23": "1e23",
    "1e308": "1e308",
    "1.7976931348623157e308": "1.7976931348623157e308",
    "1" + "0" * 308: "1e308",
    "0." + "0" * 399 + "1": "1e-400",
    "0." + "3" * 400: "0." + "3" * 400,
}


@pytest.mark.parametrize("text", AMOUNTS, ids=lambda text: text[:30])
@pytest.mark.parametrize("transaction_id", ["t", "t" * 100, "\u00fc" * 50], ids=["short id", "long id", "umlauts"])
def test_an_amount_is_exactly_what_is_written(text: str, transaction_id: str) -> None:
    amount = decode(record(transaction_id=f'"{transaction_id}"', amount=text)).amount
    assert Decimal(AMOUNTS[text]) == Decimal(repr(amount) if isinstance(amount, float) else amount)


IDS = {
    "00123": '"00123"',
    "NA": '"NA"',
    "1e5": '"1e5"',
    "null": '"null"',
    " ": '" "',
    "\x00": r'"\u0000"',
    "tab\t": r'"tab\t"',
    '"': r'"\""',
    "a/b": r'"a\/b"',
    "M\u00fcller": '"M\u00fcller"',
    "M\u00fcllers": r'"M\u00fcllers"',
    "\U0001f600": r'"\ud83d\ude00"',
}


@pytest.mark.parametrize("transaction_id", IDS)
def test_an_id_is_whatever_text_is_written(transaction_id: str) -> None:
    assert transaction_id == decode(record(transaction_id=IDS[transaction_id])).transaction_id


TAKEN = {
    "blanks around everything": b'\r\n{ "transaction_id" : "tx1" ,\t"timestamp" :1715392810000, "amount" : 9000.0 } \n',
    "another order": b'{"amount":9000.0,"timestamp":1715392810000,"transaction_id":"tx1"}',
    "escaped names": record().replace(b"amount", rb"\u0061mount"),
    "more fields": record()[:-1] + b',"currency":"EUR","nested":{"amount":1,"transaction_id":2,"list":[1,[2],{}]}}',
    "an ignored number out of range": record()[:-1] + b',"x":1e400}',
    "an empty name": record()[:-1] + b',"":null}',
}


@pytest.mark.parametrize("name", TAKEN)
def test_the_way_it_is_written_makes_no_difference(name: str) -> None:
    assert ("tx1", TIMESTAMP, 9000.0) == fields(decode(TAKEN[name]))


@pytest.mark.parametrize(("name", "text"), [("transaction_id", '"tx0"'), ("timestamp", "5"), ("amount", "1.5")])
def test_a_duplicate_field_gives_one_transaction_or_one_verdict(name: str, text: str) -> None:
    for value in (record()[:-1] + f',"{name}":{text}}}'.encode(), f'{{"{name}":{text},'.encode() + record()[1:]):
        try:
            found: object = decode(value).transaction_id
        except Rejection as verdict:
            found = verdict.reason
        assert found in {"tx0", "tx1", Reason.TIMESTAMP_TOO_SMALL}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (record(timestamp="1715392810"), "seconds"),
        (record(timestamp='"x"'), "timestamp"),
        (record(amount="1e400"), "amount"),
        (record(amount="NaN"), "amount"),
        (record(amount='"1"'), "amount"),
        (b"{}", "transaction_id"),
        (record().replace(b"tx1", b"tx\xff"), "byte 21"),
        (b"", "no value"),
    ],
)
def test_the_words_name_the_field_or_the_place(value: bytes, said: str) -> None:
    verdict = rejection(value)
    assert said in verdict.why
    assert f"{verdict.reason}: {verdict.why}" == str(verdict)


TOO_LONG = "amount: more than 400 digits after the point, or an absurd exponent"
SAID = {
    "no value": (b"", "the record has no value"),
    "too deep": (SCHEMA["nested too deeply"], "nested too deeply"),
    "not a number": (record(amount="NaN"), "amount: not a finite number"),
    "seconds": (record(timestamp="1715392810"), "timestamp: too small for milliseconds, probably seconds"),
    "too many digits": (record(amount="0." + "0" * 400 + "1"), TOO_LONG),
}


@pytest.mark.parametrize(("value", "said"), SAID.values(), ids=SAID)
def test_a_rejection_says_in_these_words_what_is_wrong(value: bytes, said: str) -> None:
    assert said == rejection(value).why


@pytest.mark.parametrize(
    ("amount", "taken"),
    [
        ("1e-0400", True),
        ("1e-0401", False),
        ("1e-00400", False),
        ("0." + "0" * 399 + "1", True),
        ("0." + "0" * 400 + "1", False),
        ("0." + "0" * 797 + "1e+398", True),
        ("0." + "0" * 798 + "1e+399", False),
        ("10e-401", False),
    ],
    ids=lambda one: f"{one[:8]}...{len(one)}" if isinstance(one, str) else None,
)
def test_an_amount_has_400_digits_behind_the_point_at_most_and_an_exponent_of_five_characters(
    amount: str,
    taken: bool,  # noqa: FBT001
) -> None:
    value = record(amount=amount)
    if taken:
        assert Decimal(amount) == Decimal(str(decode(value).amount))
    else:
        assert (Reason.SCHEMA, TOO_LONG) == (rejection(value).reason, rejection(value).why)


def test_a_run_of_good_records_is_decoded_in_order() -> None:
    values = [record(f'"tx{number}"', amount=f"{number}.25") for number in range(100)]
    assert [fields(decode(value)) for value in values] == [fields(one) for one in decode_good(values)]


def test_one_long_amount_in_a_run_is_exact_and_so_are_its_neighbours() -> None:
    values = [record(amount="0.1"), record(amount="8000.000000000000001"), record('"' + "x" * 500 + '"', amount="0.2")]
    assert [0.1, Decimal("8000.000000000000001"), 0.2] == [one.amount for one in decode_good(values)]


BAD = {
    "no value": None,
    "empty": b"",
    "no json": b"x",
    "no utf8": record().replace(b"tx1", b"\xff"),
    "no transaction": b"{}",
    "not finite": record(amount="1e400"),
    "too many digits": record(amount="0." + "0" * 400 + "1"),
    "text": record(amount='"1"'),
    "too deep": SCHEMA["nested too deeply"],
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("amounts", [("1.5", "2.5"), ("-1.5", "8000.000000000000001")], ids=["usual", "unusual"])
def test_one_bad_record_is_rejected_and_its_neighbours_are_taken(
    bad: str, place: int, amounts: tuple[str, str]
) -> None:
    values: list[bytes | None] = [record(amount=amount) for amount in amounts]
    values.insert(place, BAD[bad])
    transactions, rejections, _ = JsonDecoder().decode_values(values)
    assert [Decimal(amount) for amount in amounts] == [Decimal(str(one.amount)) for one in transactions]
    assert {place: str(rejection(BAD[bad]))} == {index: str(one) for index, one in rejections.items()}


def test_a_batch_of_bad_records_has_a_rejection_for_each() -> None:
    transactions, rejections, _ = JsonDecoder().decode_values(list(BAD.values()))
    assert [] == transactions
    assert list(range(len(BAD))) == list(rejections)


def test_an_empty_batch_is_nothing() -> None:
    assert ([], {}) == JsonDecoder().decode_values([])[:2]


class Counted(list[bytes | None]):
    """A batch that counts how often it is gone through."""

    passes = 0

    def __iter__(self) -> Iterator[bytes | None]:
        self.passes += 1
        return super().__iter__()


@pytest.mark.parametrize("bad", BAD)
def test_a_batch_with_a_bad_record_is_gone_through_twice(bad: str) -> None:
    values = Counted([record(), BAD[bad], record(amount="-1")])
    JsonDecoder().decode_values(values)
    assert 2 == values.passes


def test_a_transaction_is_written_as_the_contract_has_it() -> None:
    expected = b'{"transaction_id":"tx1","timestamp":1715392810000,"amount":9000.0}'
    assert expected == encode_transaction("tx1", TIMESTAMP, "9000.0")


@pytest.mark.parametrize("amount", ["0.10", "1e5", "12345678901234567890.12", "-0"])
def test_an_amount_is_written_as_it_is_given(amount: str) -> None:
    assert f'"amount":{amount}}}'.encode() in encode_transaction("tx1", TIMESTAMP, amount)


def test_digits_elsewhere_in_a_record_make_no_difference() -> None:
    """A long number where no amount is only makes the amount be looked at."""
    more = b',"card":"4000000000000002","price":8000.00000000000000001,"pad":"' + b"x" * 100 + b'"}'
    for text in ("8000.1", "8000.10000000000000001", "0", "-8000.1", "-8000.10000000000000001"):
        values = [record()[:-1] + more, record(amount=text)[:-1] + more]
        assert [Decimal("9000.0"), Decimal(text)] == [Decimal(str(one.amount)) for one in decode_good(values)]


@pytest.mark.parametrize(
    "amount", ["1234567890123456", "123456789012345.6", "0.1234567890123456", "1234567890.123456e3"]
)
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize(
    "form",
    [
        '{{"transaction_id":"{i}","timestamp":{t},"amount":{a}}}',
        '{{ "transaction_id" : "{i}" , "timestamp" : {t} , "amount" : {a} }}',
        '{{"amount":{a},"timestamp":{t},"transaction_id":"{i}"}}',
        '{{"x":{{"amount":1.5}},"\\u0061mount":{a},"timestamp":{t},"transaction_id":"{i}","y":"\\"amount\\":1.5"}}',
    ],
)
def test_sixteen_digits_are_found_wherever_they_stand(form: str, sign: str, amount: str) -> None:
    text = sign + amount
    # Every second byte is looked at: the number may begin at either kind of place.
    values = [
        form.format(i=name, t=TIMESTAMP, a=text).encode() for name in ("an id of some length", "and one of another")
    ]
    values.append(form.format(i="one that is odd", t=TIMESTAMP, a=text).encode())
    assert [Decimal(text)] * 3 == [one.amount for one in decode_good(values)]
    assert [[Decimal(text)]] * 3 == [[one.amount for one in decode_good([value])] for value in values]


@pytest.mark.parametrize(
    "texts", [[b"10.25", b"30.75", b"50.25", b"70.75"], [b"1.5", b"-2.25", b"3e2"], [b"12345678901234", b"0.1"]]
)
def test_short_amounts_are_read_together_wherever_their_digits_stand(texts: list[bytes]) -> None:
    assert list(map(float, texts)) == short_amounts(texts)


@pytest.mark.parametrize("text", [b"0", b"1234567890123456", b"1e-999", b"1e999", b'"1"', b"[1]", b"null"])
def test_an_amount_that_needs_a_closer_look_is_not_read_together_with_others(text: bytes) -> None:
    assert short_amounts([b"1.5", text, b"2.5"]) is None
