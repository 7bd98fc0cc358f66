"""Loads an ONNX model for the `model` detector, and checks that it gives one number for each row of features.

A file of ONNX is data for ONNX Runtime's own operators: no code of the file runs. A model that wants more than its one
file, e.g. tensors in other files or operators of its own, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from service.settings import SettingsError
from service.wire.onnx_bytes import NotOnnxError, refers_to_files

MOST_BYTES: Final = 256 * 1024 * 1024
"""A larger file is refused before it is read into memory."""
ROWS_AT_ONCE: Final = 16_384
"""Rows that one call of the runtime gets: it bounds the memory between a model's layers."""
TRIAL_ROWS: Final = (1, 2, 3)

_FATAL: Final = 4
"""The log level of ONNX Runtime at which it is silent: its errors come as exceptions, too."""
_FLOATS: Final = ("tensor(float)", "tensor(double)")
_SHOWN: Final = 200

Score = Callable[[Sequence[Sequence[float]]], list[float]]
"""From rows of features to one number each."""


def load(file: Path, features: Sequence[str], *, where: str = "file") -> Score:
    """Load a model for these features, and try it on rows of zeros.

    Args:
        file: an ONNX file with one input `[N,F]` of float32 and one output `[N]` or `[N,1]` of floats.
        features: their names; F is their number.
        where: how an error line names the setting of the file.

    Raises:
        SettingsError: the extra is not installed, or the file is not such a model. The text is one line.
    """
    numpy, onnxruntime = _runtime()
    name = f"{where}: {file}"
    model = _read(file, name)
    try:
        if refers_to_files(model):
            raise SettingsError(f"{name} keeps tensors in other files; save it as one file")
    except NotOnnxError:
        raise SettingsError(f"{name} is no ONNX model") from None
    try:
        session = onnxruntime.InferenceSession(model, _options(onnxruntime), providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - the runtime's errors share no other class
        raise SettingsError(f"{name} cannot be loaded: {_one_line(error)}") from None
    input_name, output_name = _check_shapes(session, len(features), name)

    def run(rows: Sequence[Sequence[float]]) -> Any:  # noqa: ANN401 - numpy's array
        return session.run([output_name], {input_name: numpy.asarray(rows, dtype=numpy.float32)})[0]

    for count in TRIAL_ROWS:
        try:
            shape = run([[0.0] * len(features)] * count).shape
        except Exception as error:  # noqa: BLE001 - as above
            raise SettingsError(f"{name} fails on {count} rows of zeros: {_one_line(error)}") from None
        if shape not in {(count,), (count, 1)}:
            raise SettingsError(
                f"{name} gives an output of shape {list(shape)} for {count} rows; [N] or [N,1] is needed"
            )

    def score(rows: Sequence[Sequence[float]]) -> list[float]:
        found: list[float] = []
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            found += run(part).reshape(len(part)).tolist()
        return found

    return score


def _runtime() -> tuple[Any, Any]:
    try:
        import numpy as np  # noqa: PLC0415 - an extra
        import onnxruntime  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError("a model needs onnxruntime: pip install 'txwatch[model]'") from None
    return np, onnxruntime


def _read(file: Path, name: str) -> bytes:
    try:
        if not file.is_file():
            raise SettingsError(f"{name} is not a file" if file.exists() else f"{name}: No such file or directory")
        with file.open("rb") as opened:
            model = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{name}: {error.strerror}") from None
    if len(model) > MOST_BYTES:
        raise SettingsError(f"{name} has more than {MOST_BYTES} bytes")
    if not model:
        raise SettingsError(f"{name} is empty")
    return model


def _options(onnxruntime: Any) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """One thread, so that the service's use of the CPU stays what it is; nothing is written."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.load_model_format", "ONNX")  # ORT's own format is not checked above
    return options


def _check_shapes(session: Any, features: int, name: str) -> tuple[str, str]:  # noqa: ANN401 - as above
    """Return the names of the input and the output; a model whose declared shapes do not fit is refused."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1:
        raise SettingsError(f"{name} has {len(inputs)} inputs; one is needed, of shape [N,{features}]")
    if len(outputs) != 1:
        names = ", ".join(one.name for one in outputs)
        raise SettingsError(f"{name} has {len(outputs)} outputs ({names}); one is needed, of shape [N] or [N,1]")
    rows, found = inputs[0], outputs[0]
    if rows.type != _FLOATS[0]:
        raise SettingsError(f"{name} takes {rows.type}; tensor(float) is needed")
    if found.type not in _FLOATS:
        raise SettingsError(f"{name} gives {found.type}; tensor(float) is needed")
    if len(rows.shape) != 2:  # noqa: PLR2004 - rows and columns
        raise SettingsError(f"{name} takes an input of shape {_shape(rows)}; [N,{features}] is needed")
    count, width = rows.shape
    if isinstance(width, int) and width != features:
        raise SettingsError(f"{name} takes {width} features; {features} are configured")
    if isinstance(count, int):
        raise SettingsError(f"{name} takes exactly {count} rows; any number is needed: [N,{features}]")
    return rows.name, found.name


def _shape(tensor: Any) -> str:  # noqa: ANN401 - as above
    return str(["?" if size is None else size for size in tensor.shape]).replace("'", "")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
