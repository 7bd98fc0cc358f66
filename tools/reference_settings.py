"""The settings on docs/reference.md, from their models."""

from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from typing import Final, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from service.settings import PROTECTED_PROPERTIES
from service.settings.detectors import TYPES, DetectorSettings
from service.settings.forward import ForwardSettings
from service.settings.model import GROUPS
from tools.reference_tables import described, table

NO_BOUND: Final = 10**15
_MADE: Final = {
    "inactivity.clock": "`event` for `key`, else `wall`",
    "threshold.limit": "required, unless `limits` has `*`",
}
"""Defaults that depend on other fields."""
_TAKEN: Final = {
    "detectors.name": "1 to 40 of `a-z 0-9 -`",
    "detectors.type": "a type",
    "forward.name": "1 to 40 of `a-z 0-9 -`",
    "forward.headers": "a table",
    "threshold.limit": "a number",
    "threshold.limits": "a table of numbers",
    "model.features": "a list of names",
}
"""Values whose type does not say enough."""
_INTRODUCTION: Final = """\
A setting has one name: `WINDOW_SIZE_MS` in the environment is `[window] size_ms` in the TOML file. The environment wins
over the file, and the file over the default. The file is `--config FILE`, or `config/service.toml` where that exists.
`txwatch config` prints what is in force and where it came from.

`WINDOW_SIZE_MS_FILE` names a file that holds the value, as Docker and Kubernetes hand over secrets. One newline at its
end is removed. The variable and its file together are refused. No error shows what the file holds.

An unknown name in one of the groups stops the start. So does a near miss, with the name that is meant: `TOPIC_ALERTS`,
`DETECTOR_LIMIT`, `BOOTSTRAP_SERVERS`. Other programs' variables are left alone: `HTTP_PROXY`, `HTTPS_…`, `SMTP_…`,
`SFTP_…`, `PORT`, `HOST`, `INSTANCE_ID`, and the links that Kubernetes sets for a Service.

`txwatch-replay` reads `KAFKA_BOOTSTRAP_SERVERS`, `KAFKA_PROPERTIES`, `TOPICS_TRANSACTIONS`, `HTTP_HOST` (for
`--metrics-port`) and `WINDOW_SIZE_MS` (for `--align`) from the environment, or from the files that `…_FILE` names. It
reads no TOML.
"""
_DETECTORS: Final = """\
Each `[[detectors]]` is a table in the TOML file. `DETECTORS` in the environment is the same as a JSON list, and
replaces the file's:

```toml
[[detectors]]
name = "large-sum"
type = "threshold"
limit = 8000
limits = { "shop-*" = 50000, "shop-7" = 1000.50 }
```

```sh
DETECTORS='[{"name": "large-sum", "type": "threshold", "limit": 8000}]'
```

Without any there is one: `threshold`, of type `threshold`, on the sum, with `DETECT_LIMIT`. With any, `DETECT_LIMIT` is
refused. Numbers are taken as they are written: limits are compared exactly. A wrong table stops the start with a line
that names the detector (by its number where it has no valid name) and the field.

A package brings a type by an entry point of the group `txwatch.detectors`: the entry point's name is the type. What it
names is called with the table's own fields as keyword arguments, and with `of` if it has a parameter of that name. A
number with a point arrives as a Decimal.
"""


def settings() -> Iterator[str]:
    """What they are for, and a table for each group."""
    yield _INTRODUCTION
    for group, model in GROUPS.items():
        rows = [(f"`{group}_{name}`".upper(), *_cells(group, name, one)) for name, one in model.model_fields.items()]
        yield f"### [{group}]\n"
        yield table(("variable", "default", "values", "meaning"), rows)
        if group == "kafka":
            names = ", ".join(f"`{name}`" for name in sorted(PROTECTED_PROPERTIES))
            yield "The guarantees rest on these properties, or they have a setting, so `KAFKA_PROPERTIES` refuses them:"
            yield f"{names}.\n"

    yield from _detectors()
    yield "### [[forward]]\n"
    yield "Where `forward` sends alerts: [forwarding.md](forwarding.md). `FORWARD` in the environment is a JSON list.\n"
    fields = ForwardSettings.model_fields.items()
    titles = ("field", "default", "values", "meaning")
    yield table(titles, ((f"`{name}`", *_cells("forward", name, one)) for name, one in fields))


def _detectors() -> Iterator[str]:
    yield "### [[detectors]]\n"
    yield _DETECTORS
    common = DetectorSettings.model_fields
    titles = ("field", "default", "values", "meaning")
    yield table(titles, ((f"`{name}`", *_cells("detectors", name, one)) for name, one in common.items()))
    for kind, model in TYPES.items():
        own = {name: one for name, one in model.model_fields.items() if name not in common}
        yield f"`{kind}`: {_sentence(model)}\n"
        yield table(titles, ((f"`{name}`", *_cells(kind, name, one)) for name, one in own.items()))


def _sentence(model: type[BaseModel]) -> str:
    text = " ".join((model.__doc__ or "").split())
    return f"{text[:1].lower()}{text[1:]}"


def _cells(group: str, name: str, info: FieldInfo) -> tuple[str, str, str]:
    """Default, values, meaning."""
    default = _MADE.get(f"{group}.{name}") or _default(info)
    values = _TAKEN.get(f"{group}.{name}") or _values(group, info)
    return default, values, described(f"{group}.{name}", info.description)


def _default(info: FieldInfo) -> str:
    value = info.default
    if info.is_required():
        return "required"
    if value is PydanticUndefined:
        return "`{}`" if info.default_factory is dict else "the host name"
    if value is None:
        return "none"
    if value == "":
        return "empty"
    shown = value.value if isinstance(value, Enum) else value
    return f"`{str(shown).lower() if isinstance(shown, bool) else shown}`"


def _values(group: str, info: FieldInfo) -> str:
    """What may be set, by type and bounds."""
    kind = info.annotation
    options = [one for part in (kind, *get_args(kind)) for one in get_args(part) if isinstance(one, str)]
    if isinstance(kind, type) and issubclass(kind, Enum):
        options = [one.value for one in kind]
    if options:
        return ", ".join(f"`{one}`" for one in dict.fromkeys(options))
    if kind is bool:
        return "`true`, `false`"
    if (bounds := _bounds(info)) is not None:
        return bounds
    if group == "topics" and kind is str:
        return "a topic's name"
    return "a number" if kind in {Decimal, float} else "text" if kind is str else "an object"


def _bounds(info: FieldInfo) -> str | None:
    """From where to where a number may be; None without bounds."""
    bounds = {name: getattr(one, name) for one in info.metadata for name in ("ge", "gt", "le") if hasattr(one, name)}
    if not bounds:
        return None
    least = f"above {bounds['gt']:,}," if "gt" in bounds else f"{bounds['ge']:,}"
    return f"{least} or more" if bounds["le"] >= NO_BOUND else f"{least} to {bounds['le']:,}"
