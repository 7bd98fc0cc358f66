"""Small ONNX models, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

Shape = Sequence[int | str | None]
OPSET = 18


def tensor(name: str, shape: Shape | None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def made(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """A model of these parts, of opset 18 with a domain of somebody else's, too."""
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("somebody.else", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def floats(name: str, *values: float) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.FLOAT, [len(values)], values)


def adding(width: int | str = 2, rows: int | str = "N") -> onnx.ModelProto:
    """Adds up a row's features, [N,1]."""
    return made(
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)],
        [tensor("x", [rows, width])],
        [tensor("y", [rows, 1])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )


def of_node(
    operator: str, output: onnx.ValueInfoProto, *, inputs: Sequence[onnx.ValueInfoProto] | None = None, **more: object
) -> onnx.ModelProto:
    """A model of one operator over `[N,2]`."""
    taken = inputs or [tensor("x", ["N", 2])]
    names = [one.name for one in taken]
    return made([helper.make_node(operator, names, [output.name], **more)], taken, [output])  # type: ignore[arg-type]


def saved(folder: Path, model: onnx.ModelProto | bytes) -> Path:
    """Write a model; returns the file."""
    file = folder / "model.onnx"
    file.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return file
