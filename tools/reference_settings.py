"""The settings on docs/reference.md, from their models."""

from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from typing import Final, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from service.settings import PROTECTED_PROPERTIES, Settings
from tools.reference_tables import described, table

NO_BOUND: Final = 10**15
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


def settings() -> Iterator[str]:
    """What they are for, and a table for each group."""
    yield _INTRODUCTION
    for group, info in Settings.model_fields.items():
        model = info.annotation
        assert isinstance(model, type)  # noqa: S101
        assert issubclass(model, BaseModel)  # noqa: S101
        rows = [
            (
                f"`{group}_{name}`".upper(),
                _default(one),
                _values(group, one),
                described(f"{group}.{name}", one.description),
            )
            for name, one in model.model_fields.items()
        ]
        yield f"### [{group}]\n"
        yield table(("variable", "default", "values", "meaning"), rows)
        if group == "kafka":
            names = ", ".join(f"`{name}`" for name in sorted(PROTECTED_PROPERTIES))
            yield "The guarantees rest on these properties, or they have a setting, so `KAFKA_PROPERTIES` refuses them:"
            yield f"{names}.\n"


def _default(info: FieldInfo) -> str:
    value = info.default
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
    bounds = {name: getattr(one, name) for one in info.metadata for name in ("ge", "le") if hasattr(one, name)}
    if bounds.get("ge") == 0 and bounds.get("le", 0) >= NO_BOUND:
        return "0 or more"
    if "ge" in bounds and "le" in bounds:
        return f"{bounds['ge']:,} to {bounds['le']:,}"
    if group == "topics" and kind is str:
        return "a topic's name"
    return "a number" if kind is Decimal else "text" if kind is str else "an object"
