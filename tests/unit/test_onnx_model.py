"""ONNX models: what is loaded and how it is served, and that anything else stops the start with one line."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from service.app import onnx_model
from service.app.onnx_model import load
from service.settings import SettingsError
from service.wire.onnx_bytes import DATA_LOCATION, EXTERNAL_DATA, INNER, NotOnnxError, refers_to_files
from tests.unit.onnx_files import adding, floats, made, of_node, saved, tensor

TWO = ("sum", "count")


def refusal(file: Path, features: tuple[str, ...] = TWO) -> str:
    """Why a file is refused, without its name."""
    with pytest.raises(SettingsError) as caught:
        load(file, features, where="detector m: file")
    line = str(caught.value)
    assert 1 == len(line.splitlines())
    assert line.startswith(f"detector m: file: {file}")
    return line.removeprefix(f"detector m: file: {file}").strip(" :")


# ---- what is loaded -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("width", [2, "F"])
def test_a_model_gives_one_number_for_each_row(tmp_path: Path, keepdims: int, width: int | str) -> None:
    model = adding(width)
    model.graph.node[0].attribute[0].i = keepdims
    if not keepdims:
        model.graph.output[0].CopyFrom(tensor("y", ["N"]))
    score = load(saved(tmp_path, model), TWO)
    assert [3.0, 7.0, -1.0] == score([(1, 2), (3.0, 4.0), (0.5, -1.5)])
    assert [] == score([])


def test_an_output_of_doubles_is_taken(tmp_path: Path) -> None:
    model = adding()
    model.graph.node[0].output[0] = "sum"
    model.graph.node.append(helper.make_node("Cast", ["sum"], ["y"], to=TensorProto.DOUBLE))
    model.graph.output[0].CopyFrom(tensor("y", ["N", 1], TensorProto.DOUBLE))
    assert [3.5] == load(saved(tmp_path, model), TWO)([(1.5, 2)])


def test_more_rows_than_the_runtime_gets_at_once_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_model, "ROWS_AT_ONCE", 3)
    score = load(saved(tmp_path, adding()), TWO)
    assert [float(row) for row in range(10)] == score([(row, 0) for row in range(10)])


def test_the_runtime_gets_float32(tmp_path: Path) -> None:
    assert [0.0] == load(saved(tmp_path, adding()), TWO)([(16_777_216.0, -16_777_217.0)])


def test_loading_and_serving_write_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    load(saved(tmp_path, adding()), TWO)([(1, 2)])
    assert ["model.onnx"] == os.listdir(tmp_path)  # noqa: PTH208


def test_one_thread_serves(tmp_path: Path) -> None:
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208

    load(saved(tmp_path, adding()), TWO)([(1, 2)])  # the runtime's first session may start threads of its own
    before = threads()
    score = load(saved(tmp_path, adding()), TWO)
    score([(1, 2)] * 10_000)
    assert threads() <= before


# ---- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"not a model", "is no ONNX model"),
        (b"\x80\x04\x95\x00.", "is no ONNX model"),
        (b"\x08\x08", "cannot be loaded"),
        (b"\x18\x00\x00\x00ORTM" + bytes(64), "is no ONNX model"),
    ],
    ids=["empty", "text", "pickle", "no graph", "ORT's own format"],
)
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    assert refusal(saved(tmp_path, content)).startswith(why)


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    whole = adding().SerializeToString()
    for end in range(1, len(whole), 7):
        assert refusal(saved(tmp_path, whole[:end]))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such file or directory" == refusal(tmp_path / "none.onnx")
    assert "is not a file" == refusal(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    assert "is not a file" == refusal(tmp_path / "fifo")
    monkeypatch.setattr(onnx_model, "MOST_BYTES", 10)
    assert "has more than 10 bytes" == refusal(saved(tmp_path, adding()))


@pytest.mark.parametrize("missing", ["onnxruntime", "numpy"])
def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SettingsError, match=r"^a model needs onnxruntime: pip install 'txwatch\[model\]'$"):
        load(saved(tmp_path, adding()), TWO)


ONE = tensor("y", ["N", 1])


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (adding(3), "takes 3 features; 2 are configured"),
        (adding(rows=1), "takes exactly 1 rows; any number is needed: [N,2]"),
        (of_node("Identity", tensor("y", ["N", 2])), "gives an output of shape [1, 2] for 1 rows"),
        (of_node("Transpose", tensor("y", [2, "N"])), "gives an output of shape [2, 1] for 1 rows"),
        (of_node("ReduceMax", tensor("y", [1, 1])), "gives an output of shape [1, 1] for 2 rows"),
        (of_node("ReduceMax", tensor("y", []), keepdims=0), "gives an output of shape [] for 1 rows"),
        (
            of_node("Flatten", tensor("y", ["N", 2]), inputs=[tensor("x", ["N", 1, 2])]),
            "takes an input of shape [N, 1, 2]",
        ),
        (of_node("Identity", tensor("y", ["N"]), inputs=[tensor("x", ["N"])]), "takes an input of shape [N]"),
        (of_node("Cast", tensor("y", ["N", 2], TensorProto.INT64), to=TensorProto.INT64), "gives tensor(int64)"),
        (
            of_node(
                "Identity",
                tensor("y", ["N", 2], TensorProto.DOUBLE),
                inputs=[tensor("x", ["N", 2], TensorProto.DOUBLE)],
            ),
            "takes tensor(double)",
        ),
        (
            of_node("Add", tensor("y", ["N", 2]), inputs=[tensor("x", ["N", 2]), tensor("z", ["N", 2])]),
            "has 2 inputs; one is needed, of shape [N,2]",
        ),
        (
            made(
                [helper.make_node("Identity", ["x"], ["label"]), helper.make_node("Identity", ["x"], ["scores"])],
                [tensor("x", ["N", 2])],
                [tensor("label", ["N", 2]), tensor("scores", ["N", 2])],
            ),
            "has 2 outputs (label, scores); one is needed, of shape [N] or [N,1]",
        ),
        (of_node("Steal", ONE, domain="somebody.else"), "cannot be loaded"),
        (of_node("NoSuchOperator", ONE), "cannot be loaded"),
        (
            made(
                [helper.make_node("Gather", ["x", "at"], ["y"], axis=1)],
                [tensor("x", ["N", "F"])],
                [ONE],
                [helper.make_tensor("at", TensorProto.INT64, [1], [7])],
            ),
            "fails on 1 rows of zeros",
        ),
    ],
)
def test_a_model_of_another_shape_is_refused(
    tmp_path: Path, model: onnx.ModelProto, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert refusal(saved(tmp_path, model)).startswith(why)
    assert ("", "") == capfd.readouterr()


# ---- tensors in other files ---------------------------------------------------------------------------------


def elsewhere(name: str = "w", location: str = "weights") -> onnx.TensorProto:
    """A tensor whose values are in another file."""
    found = onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    found.external_data.add(key="location", value=location)
    return found


def as_initializer(model: onnx.ModelProto, one: onnx.TensorProto) -> None:
    model.graph.initializer.append(one)


def as_attribute(model: onnx.ModelProto, one: onnx.TensorProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["w"], value=one))


def in_a_subgraph(model: onnx.ModelProto, one: onnx.TensorProto) -> None:
    branch = helper.make_graph([], "branch", [], [tensor("w", [1])], [one])
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch))


def in_a_function(model: onnx.ModelProto, one: onnx.TensorProto) -> None:
    node = helper.make_node("Constant", [], ["w"], value=one)
    function = helper.make_function("somebody.else", "f", [], ["w"], [node], [helper.make_opsetid("", 18)])
    model.functions.append(function)


def in_a_sparse_tensor(model: onnx.ModelProto, one: onnx.TensorProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(one)


def in_a_list(model: onnx.ModelProto, one: onnx.TensorProto) -> None:
    attribute = model.graph.node[0].attribute.add(name="list", type=onnx.AttributeProto.TENSORS)
    attribute.tensors.extend([floats("v", 1.0), one])


def for_training(model: onnx.ModelProto, one: onnx.TensorProto) -> None:
    model.training_info.add().algorithm.initializer.append(one)


PLACES: list[Callable[[onnx.ModelProto, onnx.TensorProto], None]] = [
    as_initializer,
    as_attribute,
    in_a_subgraph,
    in_a_function,
    in_a_sparse_tensor,
    in_a_list,
    for_training,
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("location", ["weights", "../../etc/passwd", "*/_ORT_MEM_ADDR_/*"])
def test_a_tensor_in_another_file_is_found_wherever_it_is(
    tmp_path: Path, place: Callable[[onnx.ModelProto, onnx.TensorProto], None], location: str
) -> None:
    (tmp_path / "weights").write_bytes(bytes(4))
    model = adding()
    place(model, floats("w", 1.0))
    assert not refers_to_files(model.SerializeToString())
    model = adding()
    place(model, elsewhere(location=location))
    assert "keeps tensors in other files; save it as one file" == refusal(saved(tmp_path, model))


@pytest.mark.parametrize("field", ["external_data", "data_location"])
def test_one_of_the_two_fields_is_enough(field: str) -> None:
    one, model = elsewhere(), adding()
    one.ClearField(field)
    as_initializer(model, one)
    assert refers_to_files(model.SerializeToString())


@pytest.mark.parametrize("value", [b"\x70\x01", b"\x70\x81\x00", b"\x72\x00", b"\x6a\x00"])
def test_a_field_of_an_odd_form_counts_too(value: bytes) -> None:
    graph = b"\x2a" + bytes([len(value)]) + value
    assert refers_to_files(b"\x3a" + bytes([len(graph)]) + graph)


def test_the_fields_are_those_of_onnx() -> None:
    def leads_to(name: str) -> dict[int, str]:
        fields = getattr(onnx, name).DESCRIPTOR.fields
        return {
            one.number: one.message_type.name for one in fields if one.message_type and one.message_type.name in INNER
        }

    assert {name: leads_to(name) for name in INNER} == INNER
    numbers = {one.name: one.number for one in onnx.TensorProto.DESCRIPTOR.fields}
    assert (numbers["external_data"], numbers["data_location"]) == (EXTERNAL_DATA, DATA_LOCATION)


@given(st.binary(max_size=60), st.integers(0, 400))
def test_no_bytes_are_more_than_no_model(noise: bytes, at: int) -> None:
    whole = adding().SerializeToString()
    for data in (noise, whole[:at] + noise + whole[at:]):
        try:
            refers_to_files(data)
        except NotOnnxError:
            continue
