"""asyncapi.yaml by AsyncAPI's own parser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

import yaml

from tools import contracts
from tools.npm_packages import run_node

READ: Final = """
const { Parser, fromFile } = require("@asyncapi/parser");
const read = async (file) => {
    const { document, diagnostics } = await fromFile(new Parser(), file).parse();
    return {
        faults: diagnostics.filter((one) => one.severity < 2).map((one) => `${one.path.join(".")}: ${one.message}`),
        hints: diagnostics.filter((one) => one.severity >= 2).map((one) => one.code),
        channels: document && document.allChannels().all().map((one) => [one.id(), one.address(),
            one.messages().all().map((message) => [message.id(), !!message.payload(), !!message.headers()])]),
    };
};
Promise.all(process.argv.slice(1).map(read)).then((found) => console.log(JSON.stringify(found)));
"""
"""Errors and warnings are faults; the parser has hints, too."""
WRONG: Final = {
    "an action that is none": ("asyncapi.yaml", "action: send", "action: sent"),
    "a channel that is missing": ("asyncapi.yaml", "#/channels/alerts", "#/channels/alarms"),
    "a schema that is missing": ("asyncapi.yaml", "./schemas/alert.json", "./schemas/alarm.json"),
    "a field that is none": ("asyncapi.yaml", "protocol: kafka", "protocols: kafka"),
    "a type that is none": ("schemas/alert.json", '"type": "integer"', '"type": "whole"'),
}


def parsed(*files: Path) -> list[dict[str, Any]]:
    """What the parser makes of documents."""
    done = run_node("--eval", READ, *files)
    assert (done.returncode, done.stderr) == (0, "")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_the_parser_has_nothing_to_complain_about_and_finds_each_channel() -> None:
    (found,) = parsed(contracts.ASYNCAPI)
    assert found["faults"] == []
    assert set(found["hints"]) <= {"asyncapi-latest-version"}
    document = yaml.safe_load(contracts.ASYNCAPI.read_text(encoding="utf-8"))
    addresses = {name: one["address"] for name, one in document["channels"].items()}
    assert {name: address for name, address, _ in found["channels"]} == addresses
    messages = [message for *_, messages in found["channels"] for message in messages]
    assert {name for name, _, _ in messages} == set(document["components"]["messages"])
    assert {name for name, payload, _ in messages if not payload} == set()
    assert {name for name, _, headers in messages if not headers} == {"transaction", "aggregate", "state"}


def test_the_parser_finds_what_is_wrong(tmp_path: Path) -> None:
    for what, (file, before, after) in WRONG.items():
        shutil.copytree(contracts.SCHEMAS, tmp_path / what / "schemas")
        shutil.copy2(contracts.ASYNCAPI, tmp_path / what)
        changed = tmp_path / what / file
        text = changed.read_text(encoding="utf-8")
        assert before in text, what
        changed.write_text(text.replace(before, after), encoding="utf-8")
    found = parsed(*(tmp_path / what / contracts.ASYNCAPI.name for what in WRONG))
    assert [what for what, one in zip(WRONG, found, strict=True) if not one["faults"]] == []
