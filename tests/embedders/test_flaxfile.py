"""Files of flax's weights in a pickle: what is read is what was saved, and nothing that lies in a file is run."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from checkpoints.magiclens import SIDE, flax_bytes, magiclens_checkpoint, magiclens_tree
from hypothesis import given
from hypothesis import strategies as st

from evalkit.embedders.magiclens.flaxfile import bytes_in_pickle, read_arrays, read_shapes
from evalkit.embedders.magiclens.lens import MagicLens
from evalkit.embedders.magiclens.lenspixels import pixels
from evalkit.embedders.openaiclip import normalised
from evalkit.errors import EmbedderError, EvalkitError, UsageError

WAY_OUT = "get it again"
ONE = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test's file goes."""
    return tmp_path / "weights.pkl"


def saved(file: Path, tree: Any) -> Path:
    """A tree as flax and pickle save it."""
    file.write_bytes(pickle.dumps(flax_bytes(tree)))
    return file


def packed(file: Path, data: bytes) -> Path:
    """Bytes as pickle saves them."""
    file.write_bytes(pickle.dumps(data))
    return file


def extension(*parts: Any, kind: int = 1) -> msgpack.ExtType:
    """A leaf as flax has it, or something like it."""
    return msgpack.ExtType(kind, msgpack.packb(parts, use_bin_type=True))


def test_what_was_saved_is_read(file: Path) -> None:
    tree = {"params": {"a": {"w": ONE, "scale": np.asarray(4.5, dtype=np.float32)}, "b": ONE[:0]}}
    saved(file, tree)
    arrays = read_arrays(file, WAY_OUT)
    assert list(arrays) == ["params.a.w", "params.a.scale", "params.b"]
    np.testing.assert_array_equal(arrays["params.a.w"], ONE)
    assert arrays["params.a.scale"] == 4.5
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert read_shapes(file, WAY_OUT) == {"params.a.w": (2, 3), "params.a.scale": (), "params.b": (0, 3)}


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floating_point_numbers_become_float32(file: Path, dtype: str) -> None:
    saved(file, {"w": ONE.astype(dtype)})
    np.testing.assert_array_equal(read_arrays(file, WAY_OUT)["w"], ONE)


def test_bfloat16_is_the_upper_half_of_float32(file: Path) -> None:
    values = np.array([1, -2.5, 3.0e38, 0], dtype=np.float32)
    upper = (values.view(np.uint32) >> 16).astype("<u2")
    packed(file, msgpack.packb({"w": extension([2, 2], "bfloat16", upper.tobytes())}))
    found = read_arrays(file, WAY_OUT)["w"]
    assert found.shape == (2, 2)
    np.testing.assert_allclose(found.ravel(), values, rtol=2**-8)


def test_a_scalar_of_numpys_own_kind_is_an_array(file: Path) -> None:
    packed(file, msgpack.packb({"scale": extension([], "float32", np.float32(4.5).tobytes(), kind=3)}))
    assert read_arrays(file, WAY_OUT)["scale"] == 4.5


def test_an_array_in_pieces_is_made_whole(file: Path) -> None:
    numbers = np.arange(10, dtype=np.float32)
    cut = {
        "__msgpack_chunked_array__": True,
        "shape": {"0": 2, "1": 5},
        "chunks": {str(n): numbers[4 * n : 4 * n + 4] for n in range(3)},
    }
    saved(file, {"a": {"w": cut}})
    np.testing.assert_array_equal(read_arrays(file, WAY_OUT)["a.w"], numbers.reshape(2, 5))
    assert read_shapes(file, WAY_OUT) == {"a.w": (2, 5)}
    wrong: list[dict[str, Any]] = [
        {"shape": {"0": 3, "1": 5}},
        {"shape": {"0": -2, "1": -5}},
        {"shape": {"1": 10}},
        {"shape": {"0": True, "1": 10}},
        {"shape": 3},
        {"chunks": {}},
        {"chunks": {"0": numbers.reshape(2, 5)}},
        {"chunks": {"0": numbers[:5], "1": numbers[5:].astype(np.float64)}},
        {"chunks": {"0": {"0": numbers}}},
    ]
    for change in wrong:
        saved(file, {"w": cut | change})
        with pytest.raises(EmbedderError, match="holds w in pieces"):
            read_shapes(file, WAY_OUT)


@given(data=st.binary(max_size=300), protocol=st.integers(3, pickle.HIGHEST_PROTOCOL))
def test_the_bytes_of_a_pickle_are_found(data: bytes, protocol: int) -> None:
    check_found(data, protocol)


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("count", [255, 256, 65_535, 65_536, 200_000])
def test_the_bytes_of_a_longer_pickle_are_found(count: int, protocol: int) -> None:
    """pickle writes them outside of its frames."""
    check_found(os.urandom(count), protocol)


def check_found(data: bytes, protocol: int) -> None:
    """Whether they lie where they are said to."""
    for write in (pickle.dumps, pickle._dumps):  # type: ignore[attr-defined] # in C, and in Python
        whole = write(data, protocol=protocol)
        with tempfile.TemporaryFile() as stream:
            stream.write(whole)
            stream.seek(0)
            start, length = bytes_in_pickle(stream)
        assert whole[start : start + length] == data


class _Runs:
    """What runs a command where it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("around", ["itself", "beside", "after"])
def test_a_pickle_that_would_run_code_runs_none(file: Path, tmp_path: Path, protocol: int, around: str) -> None:
    mark = tmp_path / "ran"
    runs = _Runs(f"touch {mark}")
    good = flax_bytes({"w": ONE})
    value = {"itself": runs, "beside": (good, runs), "after": [good, runs]}[around]
    file.write_bytes(pickle.dumps(value, protocol=protocol))
    for read in (read_shapes, read_arrays, _model):
        with pytest.raises(EmbedderError, match=r"weights\.pkl .* because a pickle can run any code \(instruction"):
            read(file, WAY_OUT)
    assert not mark.exists()
    pickle.loads(file.read_bytes())  # noqa: S301 # what the file would have done
    assert mark.exists(), "the pickle of this test is not one that runs code"


def _model(file: Path, _: str) -> object:
    (file.parent / "vocab.json").write_text("{}")
    (file.parent / "merges.txt").write_text("")
    return MagicLens(str(file), device="cpu")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value", ["text", 7, None, [b"a"], (b"a", b"b"), {"a": b"b"}, bytearray(b"abc"), ONE, {b"a"}], ids=repr
)
def test_a_pickle_of_anything_else_is_refused(file: Path, value: Any, protocol: int) -> None:
    file.write_bytes(pickle.dumps(value, protocol=protocol))
    with pytest.raises(EmbedderError, match=r"is no pickle of one bytes object, .* \(instruction [A-Z0-9_]+ at byte"):
        read_shapes(file, WAY_OUT)


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_bytes_of_older_pickles_would_need_a_call(file: Path, protocol: int) -> None:
    file.write_bytes(pickle.dumps(flax_bytes({"w": ONE}), protocol=protocol))
    with pytest.raises(EmbedderError, match=r"can run any code \(instruction GLOBAL at byte"):
        read_shapes(file, WAY_OUT)


def test_every_instruction_but_those_of_bytes_is_refused(file: Path) -> None:
    good = pickle.dumps(b"abc", protocol=4)
    known = {pickle.PROTO, pickle.FRAME, pickle.MEMOIZE, pickle.BINPUT, pickle.LONG_BINPUT}
    for code in (bytes([number]) for number in range(256)):
        if code in known or code == pickle.STOP:
            continue
        file.write_bytes(good[:-1] + code + good[-1:])
        with pytest.raises(EmbedderError, match=r"is no pickle of one bytes object|is cut off"):
            read_shapes(file, WAY_OUT)
    file.write_bytes(good[:-1] + pickle.MEMOIZE * 100 + good[-1:])
    with pytest.raises(EmbedderError, match="it has more than 16 instructions"):
        read_shapes(file, WAY_OUT)


def test_a_file_that_is_cut_off_is_refused_wherever_it_is(file: Path) -> None:
    whole = pickle.dumps(flax_bytes({"w": ONE}))
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(EmbedderError, match="is cut off"):
            read_arrays(file, WAY_OUT)
    file.write_bytes(b"\x80\x04\x8e" + (1 << 62).to_bytes(8, "little") + b"abc.")
    with pytest.raises(EmbedderError, match="is cut off: it has 15 bytes, and should have"):
        read_arrays(file, WAY_OUT)


HOSTILE: dict[str, tuple[Any, str]] = {
    "another extension": (msgpack.packb({"w": extension([1], "float32", b"abcd", kind=7)}), "extension type 7"),
    "a complex number": (msgpack.packb({"w": extension(1.0, 2.0, kind=2)}), "extension type 2"),
    "a time": (msgpack.packb({"w": msgpack.Timestamp(1)}), "w is a Timestamp, no array"),
    "objects": (msgpack.packb({"w": extension([1], "object", bytes(8))}), "dtype object; weights are float32"),
    "whole numbers": (msgpack.packb({"w": extension([1], "int64", bytes(8))}), "dtype int64"),
    "records": (msgpack.packb({"w": extension([1], "f4,O", bytes(12))}), "dtype f4,O"),
    "a dtype that is a number": (msgpack.packb({"w": extension([1], 7, bytes(4))}), "dtype 7"),
    "too few bytes": (msgpack.packb({"w": extension([2], "float32", bytes(4))}), r"\(2,\) with 4 bytes, not 8"),
    "too many bytes": (msgpack.packb({"w": extension([1], "float32", bytes(8))}), "with 8 bytes, not 4"),
    "no bytes": (msgpack.packb({"w": extension([1], "float32", None)}), "with no bytes, not 4"),
    "less than nothing": (msgpack.packb({"w": extension([-1, -1], "float32", bytes(4))}), "shape .-1, -1., which"),
    "true": (msgpack.packb({"w": extension([True], "float32", bytes(4))}), "shape .True., which is none"),
    "half": (msgpack.packb({"w": extension([1.0], "float32", bytes(4))}), "shape .1.0., which is none"),
    "a huge axis": (msgpack.packb({"w": extension([1 << 60, 0], "float32", b"")}), "which is none"),
    "many axes": (msgpack.packb({"w": extension([1] * 99, "float32", bytes(4))}), "no weights as flax saves them"),
    "two parts": (msgpack.packb({"w": extension([1], "float32")}), "not its shape, its dtype and its bytes"),
    "not an array": (msgpack.packb({"w": msgpack.ExtType(1, msgpack.packb("x"))}), "not its shape, its dtype"),
    "no msgpack within": (msgpack.packb({"w": msgpack.ExtType(1, b"\xc1")}), "no weights as flax saves them"),
    "nothing within": (msgpack.packb({"w": msgpack.ExtType(1, b"")}), "no weights as flax saves them"),
    "a list": (msgpack.packb({"w": [1]}), "no weights as flax saves them"),
    "an empty list": (msgpack.packb({"w": []}), "w is a list, no array"),
    "bytes": (msgpack.packb({"w": b"abc"}), "no weights as flax saves them"),
    "a number": (msgpack.packb({"a": {"w": 1}}), "a.w is a int, no array"),
    "text alone": (msgpack.packb("abc"), "all of it is a str, no array"),
    "names in bytes": (msgpack.packb({b"": 1}), "a name that is no text"),
    "names that are numbers": (msgpack.packb({1: 1}), "no weights as flax saves them"),
    "a name twice": (b"\x82\xa1w\x01\xa1w\x02", "holds a name twice"),
    "no text": (b"\x81\xa1\xff\x01", "no weights as flax saves them"),
    "a long name": (msgpack.packb({"w" * 5000: 1}), "no weights as flax saves them"),
    "nothing": (b"", "no weights as flax saves them"),
    "more than all": (msgpack.packb({"w": extension([1], "float32", bytes(4))}) + b"\x01", "no weights as flax"),
    "a claim of names": (b"\xdf\xff\xff\xff\xff", "no weights as flax saves them"),
    "a claim of values": (b"\x81\xa1w\xdd\xff\xff\xff\xff", "no weights as flax saves them"),
    "a claim of bytes": (b"\x81\xa1w\xc9\xff\xff\xff\xff\x01", "no weights as flax saves them"),
    "a bit deep": (b"\x81\xa1w" * 30 + b"\x80", "lies too deep"),
    "deep": (b"\x81\xa1w" * 100_000 + b"\x80", "no weights as flax saves them"),
    "wide": (msgpack.packb({str(a): {str(b): {} for b in range(300)} for a in range(300)}), "more than 65,536 names"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_flax_does_not_save_is_refused(file: Path, what: str) -> None:
    data, message = HOSTILE[what]
    packed(file, data)
    for read in (read_shapes, read_arrays):
        with pytest.raises(EmbedderError, match=message) as raised:
            read(file, WAY_OUT)
        assert str(raised.value).startswith(str(file))
        assert str(raised.value).endswith(": get it again")


@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]]
) -> None:
    whole = bytearray(pickle.dumps(flax_bytes({"params": {"a": {"w": ONE[0], "b": ONE[:1]}, "c": ONE.astype("f2")}})))
    for place, value in changes:
        whole[int(place * len(whole))] = value
    file = tmp_path_factory.getbasetemp() / "damaged.pkl"
    file.write_bytes(whole)
    try:
        arrays = read_arrays(file, WAY_OUT)
    except EvalkitError:
        return
    assert {name: array.shape for name, array in arrays.items()} == read_shapes(file, WAY_OUT)


def test_a_missing_file_or_package_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"weights\.pkl is missing: get it again"):
        read_shapes(file, WAY_OUT)
    saved(file, {"w": ONE})
    file.parent.joinpath("pipe.pkl").symlink_to("/dev/null")
    with pytest.raises(UsageError, match=r"pipe\.pkl cannot be read"):
        read_shapes(file.parent / "pipe.pkl", WAY_OUT)
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(UsageError, match=r"is read with msgpack, .* pip install 'evalkit\[magiclens\]'"):
        read_shapes(file, WAY_OUT)


def _without(tree: Any) -> None:
    del tree["params"]["clip"]["text"]["ln_final"]["bias"]


def _beside(tree: Any) -> None:
    tree["params"]["clip"]["text"]["adapter"] = {"w": ONE}


def _other_shape(tree: Any) -> None:
    layer = tree["params"]["multimodal_encoder"]["x_layers_1"]["ff_layer"]["ffn_layer1"]["linear"]
    layer["w"] = layer["w"][:, :-1]


def _uneven(tree: Any) -> None:
    layer = tree["params"]["multimodal_encoder"]["x_layers_0"]["self_attention"]["query"]
    layer["w"] = np.zeros((12, 5, 4), dtype=np.float32)


def _no_square(tree: Any) -> None:
    visual = tree["params"]["clip"]["visual"]
    visual["positional_embedding"] = visual["positional_embedding"][:-1]


def _empty(tree: Any) -> None:
    tree["params"]["clip"]["visual"]["conv1"]["kernel"] = np.zeros((0, 8, 3, 24), dtype=np.float32)


def _another(tree: Any) -> None:
    tree["params"] = {"encoder": {"w": ONE}, "decoder": {"w": ONE}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _without,
            r"it has params\.clip\.text\.ln_final\.bias missing; a MagicLens of these sizes has .* shape \(16,\)",
        ),
        (_beside, r"it has params\.clip\.text\.adapter\.w of shape \(2, 3\), which a MagicLens of these sizes has not"),
        (
            _other_shape,
            r"it has .*x_layers_1.*linear\.w \(12, 47\); a MagicLens of these sizes has it of shape \(12, 48\)",
        ),
        (_uneven, "it has 5 attention heads for the 12 numbers of the head's states"),
        (_no_square, "it has 16 positions of images, not one more than a square number"),
        (_empty, r"it has .*conv1\.kernel of shape \(0, 8, 3, 24\); a MagicLens's has 4 axes, none of them empty"),
        (_another, r"it has no params\.clip\.visual\.positional_embedding, .* 2 arrays, such as params\.decoder\.w"),
    ],
)
def test_weights_of_another_architecture_are_refused_before_they_are_loaded(
    tmp_path: Path, change: Callable[[Any], None], message: str
) -> None:
    file = magiclens_checkpoint(tmp_path)
    tree = copy.deepcopy(magiclens_tree(526))
    change(tree)
    saved(file, tree)
    with pytest.raises(UsageError, match=r"magic_lens_clip_base\.pkl is no MagicLens: " + message):
        MagicLens(str(file), device="cpu")


@pytest.mark.optional
def test_flax_reads_and_writes_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serialization = pytest.importorskip("flax.serialization")
    tree = magiclens_tree(50)
    assert flax_bytes(tree) == serialization.to_bytes(tree)
    expected = read_arrays(saved(file, tree), WAY_OUT)
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 400)
    found = read_arrays(packed(file, serialization.to_bytes(tree)), WAY_OUT)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.optional
@pytest.mark.parametrize("size", [(40, 30), (1, 1), (200, 3), (17, 333), (32, 32)])
def test_jax_resizes_the_same(size: tuple[int, int]) -> None:
    jax = pytest.importorskip("jax")
    import PIL.Image

    image = np.random.default_rng(0).integers(0, 200, (size[1], size[0], 3), dtype=np.uint8)
    values = jax.numpy.array(image)
    scaled = jax.image.resize(values / (values.max() + 1e-12), (SIDE, SIDE, 3), method="bilinear")
    found = pixels(PIL.Image.fromarray(image), SIDE)
    np.testing.assert_allclose(found, normalised(np.asarray(scaled)), atol=1e-4)
