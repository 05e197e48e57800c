"""Model files: what is written is read; what is damaged, foreign or false is refused."""

import base64
import json
import os
import struct
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

from cbackprop import Network, Posterior
from cbackprop.errors import InputError, InputTypeError, ModelFormatError
from cbackprop.network import model_file
from cbackprop.network.scaling import Scaling
from tensor_bytes import checksum, edited, joined, laid_out, mutated, parts, put, sealed


@pytest.fixture
def net():
    return Network((3, 4, 2), activation="tanh", output_activation="identity", seed=0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def scaled(net):
    net.input_scaling = Scaling([1, 2, 3e-300], [0.1, 2, 1 / 3])
    net.output_scaling = Scaling([-1, 1e300], [0.5, 7])
    return net


def with_posterior(net):
    P = net.n_parameters
    factor = np.tril(np.random.default_rng(1).uniform(0.1, 1, (P, P)))
    net.posterior = Posterior(factor, 1 / 3, 7e5, P - 1 / 7, net.parameters)
    return net


def value_of(net):
    """All that a file holds of a network, to the bit."""
    scalings = [
        s and (s.shift.tobytes(), s.scale.tobytes())
        for s in (net.input_scaling, net.output_scaling)
    ]
    known = net.posterior and (
        net.posterior.factor.tobytes(),
        [getattr(net.posterior, name) for name in model_file.POSTERIOR_NUMBERS],
        net.posterior.parameters.tobytes(),
    )
    return repr(net), net.parameters.tobytes(), scalings, json.dumps(net.annotations), known


# ------------------------------------------------------------------------------------- round trip


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("sizes", "activation"),
    [((3, 2), ()), ((3, 4, 2), "relu"), ((1, 1, 1), "tanh"), ((2, 3, 4, 1), ("tanh", "identity"))],
)
def test_what_is_written_is_read(path, sizes, activation, bias, dtype):
    net = Network(sizes, activation=activation, bias=bias, dtype=dtype, seed=1)
    net.save(path)
    got = Network.load(str(path))
    assert repr(got) == repr(net)
    np.testing.assert_array_equal(got.parameters, net.parameters)
    assert got.input_scaling is None
    assert got.annotations == {}
    for view in (*got.weights, *got.biases):
        assert np.shares_memory(view, got.parameters)


def test_scalings_and_annotations(path, net):
    scaled(net).annotations = {"classes": ["nein", "ja ✓"], "deep": {"a": [1, 2.5, None, True]}}
    net.save(path)
    got = Network.load(path)
    assert value_of(got) == value_of(net)
    X = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_array_equal(got.predict(X), net.predict(X))


@pytest.mark.parametrize("end", ["input", "output"])
def test_one_scaled_end_is_not_the_other(path, end):
    net = Network((2, 3, 2), seed=0)
    setattr(net, f"{end}_scaling", Scaling([1, 2], [3, 4]))
    net.save(path)
    assert value_of(Network.load(path)) == value_of(net)
    raw = path.read_bytes().replace(
        f"{end}_s".encode(), b"output_s" if end == "input" else b"input_s"
    )
    path.write_bytes(raw)
    with pytest.raises(ModelFormatError):
        Network.load(path)


def test_the_format(path, net):
    """The final format, spelled out: whoever changes it adds to VERSIONS."""
    scaled(net).save(path)
    header, data = parts(path.read_bytes())
    metadata = header["__metadata__"]
    assert metadata["sha256"] == checksum(header, data)
    del metadata["sha256"]
    assert header.pop("__metadata__") == {
        "format": "cbackprop",
        "format_version": "1",
        "sizes": "[3, 4, 2]",
        "activations": '["tanh", "identity"]',
        "bias": "true",
        "dtype": '"float64"',
        "annotations": "{}",
    }
    shapes = {name: (entry["dtype"], entry["shape"]) for name, entry in header.items()}
    assert shapes == {
        "W1": ("F64", [3, 4]),
        "b1": ("F64", [4]),
        "W2": ("F64", [4, 2]),
        "b2": ("F64", [2]),
        "input_shift": ("F64", [3]),
        "input_scale": ("F64", [3]),
        "output_shift": ("F64", [2]),
        "output_scale": ("F64", [2]),
    }
    # Any reader of safetensors files can take the arrays out.
    np.testing.assert_array_equal(safetensors.numpy.load_file(path)["W2"], net.weights[1])


VERSION_ONE = """\
IAMAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJhbm5vdGF0aW9ucyI6IntcImNsYXNzZXNcIjogW1wibm9cIiwgXCJ5ZXMgXFx1
MjcxM1wiXSwgXCJ0aHJlc2hvbGRcIjogMC4xfSIsInNpemVzIjoiWzIsIDMsIDFdIiwiYWN0aXZhdGlvbnMiOiJbXCJyZWx1
XCIsIFwidGFuaFwiXSIsImZvcm1hdCI6ImNiYWNrcHJvcCIsImJpYXMiOiJ0cnVlIiwic2hhMjU2IjoiNTgzM2UzYjBmZDE4
Y2MxMGVkMWMxNWYzMDU2YzA5NTY0OWJhZjNiMGQ5ZGQyNDU2OTc1MmEzMGI5MTExYWMzNCIsImR0eXBlIjoiXCJmbG9hdDMy
XCIiLCJmb3JtYXRfdmVyc2lvbiI6IjEifSwiaW5wdXRfc2NhbGUiOnsiZHR5cGUiOiJGNjQiLCJzaGFwZSI6WzJdLCJkYXRh
X29mZnNldHMiOlswLDE2XX0sImlucHV0X3NoaWZ0Ijp7ImR0eXBlIjoiRjY0Iiwic2hhcGUiOlsyXSwiZGF0YV9vZmZzZXRz
IjpbMTYsMzJdfSwib3V0cHV0X3NjYWxlIjp7ImR0eXBlIjoiRjY0Iiwic2hhcGUiOlsxXSwiZGF0YV9vZmZzZXRzIjpbMzIs
NDBdfSwib3V0cHV0X3NoaWZ0Ijp7ImR0eXBlIjoiRjY0Iiwic2hhcGUiOlsxXSwiZGF0YV9vZmZzZXRzIjpbNDAsNDhdfSwi
VzEiOnsiZHR5cGUiOiJGMzIiLCJzaGFwZSI6WzIsM10sImRhdGFfb2Zmc2V0cyI6WzQ4LDcyXX0sIlcyIjp7ImR0eXBlIjoi
RjMyIiwic2hhcGUiOlszLDFdLCJkYXRhX29mZnNldHMiOls3Miw4NF19LCJiMSI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpb
M10sImRhdGFfb2Zmc2V0cyI6Wzg0LDk2XX0sImIyIjp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlsxXSwiZGF0YV9vZmZzZXRz
IjpbOTYsMTAwXX19ICAgIAAAAAAAAMA/AAAAAAAAAEAAAAAAAAAkQAAAAAAAAPC/AAAAAAAA4D8AAAAAAAAUQAAAgD8AAADA
AAAAPwAAgD4AAEBAAABAvwAAwD8AAAC/AAAAQAAAAD8AAIC/AAAAAAAAAD4=
"""


def test_a_file_of_version_one_stays_readable(path):
    """Bytes as version 0.1 wrote them, on a little-endian machine as on any other."""
    path.write_bytes(base64.b64decode(VERSION_ONE))
    net = Network.load(path)
    assert repr(net) == (
        "Network((2, 3, 1), activation='relu', output_activation='tanh', bias=True, "
        "dtype='float32')"
    )
    assert net.weights[0].tolist() == [[1.0, -2.0, 0.5], [0.25, 3.0, -0.75]]
    assert net.biases[0].tolist() == [0.5, -1.0, 0.0]
    assert net.weights[1].tolist() == [[1.5], [-0.5], [2.0]]
    assert net.biases[1].tolist() == [0.125]
    assert net.input_scaling.shift.tolist() == [10.0, -1.0]
    assert net.input_scaling.scale.tolist() == [0.125, 2.0]
    assert net.output_scaling.shift.tolist() == [5.0]
    assert net.output_scaling.scale.tolist() == [0.5]
    assert net.annotations == {"classes": ["no", "yes ✓"], "threshold": 0.1}
    net.output_scaling = None
    Y_hat = net.predict([[10, -1], [18, -0.5], [2, -1.5]])
    np.testing.assert_allclose(Y_hat.ravel(), np.tanh([0.875, 2.75, 0.625]), rtol=1e-6)


# ------------------------------------------------------------------------------------ whole or not


def test_a_failed_write_leaves_the_old_file(path, net, monkeypatch):
    net.save(path)
    before = path.read_bytes()
    net.parameters[:] = 1

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        net.save(path)
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == before


def test_missing_folders_and_files(tmp_path, net):
    with pytest.raises(FileNotFoundError):
        net.save(tmp_path / "nowhere" / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="nothing"):
        Network.load(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match=r"path is .*, a folder; expected the name of a file"):
        net.save(tmp_path)
    with pytest.raises(OSError, match=r"."):
        Network.load(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX's")
def test_a_pipe_is_not_waited_for(path):
    os.mkfifo(path)
    with pytest.raises(ModelFormatError, match="a device or pipe; expected a file"):
        Network.load(path)


# ---------------------------------------------------------------------------------- refused to save


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_parameters_are_not_saved(path, net, bad):
    net.weights[1][2, 1] = bad
    with pytest.raises(InputError, match=rf"W2\[2, 1\] is {bad}; expected finite"):
        net.save(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ([1], "annotations is a list; expected a dict"),
        ({1: "a"}, "would not read back"),
        ({"a": (1, 2)}, "would not read back"),
        ({"a": np.int64(1)}, "not JSON serializable"),
        ({"a": float("nan")}, "annotations cannot be saved"),
        ({"a": {1, 2}}, "annotations cannot be saved"),
    ],
)
def test_annotations_that_json_would_change(path, net, annotations, words):
    net.annotations = annotations
    with pytest.raises(InputTypeError, match=words):
        net.save(path)


def test_annotations_that_contain_themselves(path, net):
    net.annotations["me"] = net.annotations
    with pytest.raises(InputTypeError, match="annotations cannot be saved"):
        net.save(path)


# ---------------------------------------------------------------------------------- refused to read


def refused(path, raw, words):
    """The file is refused in one line that has its name and these words."""
    put(path, raw)
    with pytest.raises(ModelFormatError, match=words) as caught:
        Network.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 300


def test_every_cut_is_noticed(path, net):
    net.save(path)
    whole = path.read_bytes()
    for length in [*range(12), len(whole) // 2, len(whole) - 8, len(whole) - 1]:
        refused(path, whole[:length], "cut short")
    refused(path, whole + b"\0", "too long: 209 bytes of arrays; expected 208")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" * 50, b"a,b\n1,2\n", b"\xff" * 100, b"{}"])
def test_other_files(path, content):
    refused(path, content, "not a safetensors file")


def test_a_safetensors_file_of_something_else(path):
    safetensors.numpy.save_file({"W1": np.ones(3)}, path)
    refused(path, path.read_bytes(), "of format None, not 'cbackprop'")


def header_of(text):
    text = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (header_of("[]"), "its header is not an object"),
        (header_of("3"), "its header is not an object"),
        (header_of(""), "its header is not JSON"),
        (header_of("{"), "its header is not JSON"),
        (header_of(b'{"\xff": 1}'), "its header is not UTF-8"),
        (header_of("{}".encode("utf-16")), "its header is not"),
        (header_of("\ufeff{}"), "its header is not JSON"),
        (header_of("[" * 100_000), "its header is not JSON"),
        (header_of('{"a":' * 100_000), "its header is not JSON"),
        (header_of('{"a": 1' + "0" * 5000 + "}"), "its header is not JSON"),
        (header_of('{"a": 1, "a": 1}'), "its header is not JSON .'a' stands there twice"),
        (header_of('{"a": 1e999}'), "1e999 is not a finite number"),
        (header_of('{"a": NaN}'), "NaN is not a finite number"),
        (header_of('{"__metadata__": 1}'), "metadata is not an object of texts"),
        (header_of('{"__metadata__": {"format": 1}}'), "metadata is not an object of texts"),
        (
            header_of(" " * (1 << 22) + "{}"),
            "its header has 4194306 bytes; expected at most 4194304",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_headers_that_are_none(path, raw, words):
    refused(path, raw, words)


def test_each_flipped_byte_is_noticed(path, net):
    net.annotations = {"classes": ["a", "b"]}
    net.save(path)
    whole = path.read_bytes()
    for i in range(len(whole)):
        refused(path, whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :], ".")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "of format 'other', not 'cbackprop'"),
        ({"format": "cbackprop checkpoint"}, "of format 'cbackprop checkpoint', not 'cbackprop'"),
        ({"format_version": "3"}, "format version 3, .* reads versions 1 to 2; a newer cbackprop"),
        ({"format_version": "0"}, r"format version 0, and this cbackprop reads versions 1 to 2$"),
        ({"format_version": "2"}, "missing arrays: 'posterior_factor', 'posterior_numbers'"),
        ({"format_version": "true"}, "format version True"),
        ({"format_version": "x"}, "format_version in its metadata is not JSON"),
        ({"format_version": None}, "no format_version in its metadata"),
        ({"sizes": None}, "missing metadata: 'sizes'"),
        ({"colour": "1"}, "unexpected metadata: 'colour'"),
        ({"sizes": "[3, 4"}, "sizes in its metadata is not JSON"),
        ({"sizes": "[" * 100_000}, "sizes in its metadata is not JSON"),
        ({"sizes": "[3, 4.0, 2]"}, "sizes is not a list of integers"),
        ({"sizes": "[3, true, 2]"}, "sizes is not a list of integers"),
        ({"sizes": '"342"'}, "sizes is not a list of integers"),
        ({"sizes": "[3, 4, NaN]"}, "sizes in its metadata is not JSON"),
        ({"sizes": "[]"}, "one name for each layer"),
        ({"sizes": "[3]", "activations": "[]"}, "one name for each layer"),
        ({"sizes": "[3, 2]"}, "one name for each layer"),
        ({"sizes": "[1000000000000, 4, 2]"}, r"W1 has shape .3, 4.; expected .1000000000000, 4."),
        ({"sizes": f"[{10**4000}, 4, 2]"}, r"W1 has shape .3, 4.; expected .1000"),
        ({"sizes": "[4, 3, 2]"}, "W1 has shape"),
        ({"sizes": "[-3, 4, 2]"}, "W1 has shape"),
        ({"activations": '["tanh"]'}, "one name for each layer"),
        (
            {"activations": '["tanh", "os.system"]'},
            "output_activation is 'os.system'; expected one",
        ),
        ({"activations": '["tanh", 3]'}, "activations is not a list of names"),
        ({"activations": "{}"}, "activations is not a list of names"),
        ({"bias": "1"}, "bias is 1; expected true or false"),
        ({"bias": "false"}, "unexpected arrays: 'b1', 'b2'"),
        ({"dtype": '"float16"'}, "dtype is 'float16'; expected"),
        ({"dtype": "[]"}, r"dtype is \[\]; expected"),
        ({"dtype": None}, "missing metadata: 'dtype'"),
        ({"dtype": '"float32"'}, "W1 has the type F64; expected float32"),
        ({"annotations": "[1]"}, "annotations is not an object"),
        ({"annotations": "Infinity"}, "annotations in its metadata is not JSON"),
        ({"annotations": '{"a": -1e400}'}, "annotations in its metadata is not JSON"),
        ({"annotations": '{"a": {"b": 1, "b": 1}}'}, "'b' stands there twice"),
        ({"annotations": None}, "missing metadata: 'annotations'"),
    ],
)
def test_false_metadata(path, net, change, words):
    net.save(path)
    header, data = parts(path.read_bytes())
    for key, text in change.items():
        if text is None:
            del header["__metadata__"][key]
        else:
            header["__metadata__"][key] = text
    refused(path, sealed(header, data), words)


@pytest.mark.parametrize("checksum", [None, "", "0" * 64])
def test_a_false_checksum(path, net, checksum):
    net.save(path)
    header, data = parts(path.read_bytes())
    del header["__metadata__"]["sha256"]
    if checksum is not None:
        header["__metadata__"]["sha256"] = checksum
    refused(path, joined(header, data), "missing metadata: 'sha256'|the checksum does not fit")


@pytest.mark.parametrize(
    "change",
    [
        {"activations": '["relu", "identity"]'},
        {"annotations": '{"a": 1}'},
        {"format_version": "1 "},
    ],
)
def test_the_checksum_covers_the_metadata(path, net, change):
    net.save(path)
    header, data = parts(path.read_bytes())
    header["__metadata__"].update(change)
    refused(path, joined(header, data), "the checksum does not fit .*damaged")


def arrays_of(header, data):
    """[[name, type, shape, bytes], ...] in the order of the file."""
    entries = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
    return [
        [name, entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])]]
        for name, entry in sorted(entries, key=lambda item: item[1]["data_offsets"])
    ]


def doubles(*values):
    return struct.pack(f"<{len(values)}d", *values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"b1": None}, "missing arrays: 'b1'"),
        ({"W3": ("F64", [2], doubles(1, 1))}, "unexpected arrays: 'W3'"),
        ({"input_shift": ("F64", [3], doubles(1, 1, 1))}, "missing arrays: 'input_scale'"),
        ({"output_scale": ("F64", [2], doubles(1, 1))}, "unexpected arrays: 'output_scale'"),
        ({"W1": ("F64", [4, 3], bytes(96))}, r"W1 has shape .4, 3.; expected .3, 4."),
        ({"W1": ("F64", [12], bytes(96))}, r"W1 has shape .12,.; expected .3, 4."),
        ({"W1": ("F64", [1, 3, 4], bytes(96))}, "'W1' has the shape .*; expected one or two"),
        ({"W1": ("F64", [], bytes(8))}, "'W1' has the shape .*; expected one or two"),
        ({"W1": ("F64", [3, 4.0], bytes(96))}, "'W1' has the shape .*; expected one or two"),
        ({"W1": ("F64", [-3, -4], bytes(96))}, "'W1' has the shape .*; expected one or two"),
        ({"W1": ("F64", [1 << 70, 0], b"")}, "'W1' has the shape .*; expected one or two"),
        ({"W1": ("F64", [1 << 40, 1 << 40], b"")}, "'W1' lies at .*; expected 9671406556917033397"),
        ({"W1": ("F64", [3, 4], bytes(95))}, "'W1' lies at .*; expected 96 bytes"),
        ({"W1": ("I64", [3, 4], bytes(96))}, "'W1' has the type 'I64'; expected F64 or F32"),
        ({"W1": ("BF16", [3, 4], bytes(24))}, "'W1' has the type 'BF16'; expected F64 or F32"),
        ({"W1": (["F64"], [3, 4], bytes(96))}, "'W1' has the type .*; expected F64 or F32"),
        ({"W1": ("F32", [3, 4], bytes(48))}, "W1 has the type F32; expected float64"),
        ({"b2": ("F64", [2], doubles(1, np.nan))}, "a parameter is NaN or infinite"),
        ({"b2": ("F64", [2], doubles(-np.inf, 1))}, "a parameter is NaN or infinite"),
        (
            {
                "input_shift": ("F64", [3], doubles(1, np.inf, 1)),
                "input_scale": ("F64", [3], bytes(24)),
            },
            r"shift\[1\] is inf; expected finite",
        ),
        (
            {
                "output_shift": ("F64", [2], bytes(16)),
                "output_scale": ("F64", [2], doubles(1, np.nan)),
            },
            r"scale\[1\] is nan; expected finite",
        ),
        (
            {"input_shift": ("F64", [2], bytes(16)), "input_scale": ("F64", [2], bytes(16))},
            r"input_s.* has shape .2,.; expected .3,.",
        ),
    ],
)
def test_false_arrays(path, net, change, words):
    net.save(path)
    header, data = parts(path.read_bytes())
    arrays = {name: rest for name, *rest in arrays_of(header, data)} | change
    arrays = [(name, *rest) for name, rest in arrays.items() if rest is not None]
    refused(path, laid_out(header["__metadata__"], arrays), words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"W1": [0, 96], "b1": [88, 120]}, "'b1' begins at byte 88; expected 96"),
        ({"W1": [0, 96], "b1": [0, 32]}, "begins at byte 0; expected 32"),
        ({"W1": [8, 104], "b1": [104, 136]}, "begins at byte 8; expected 0"),
        ({"W1": [0, 96], "b1": [-32, 0]}, "'b1' has the offsets .*; expected a pair"),
        ({"W1": [96, 0]}, "'W1' lies at .* expected 96 bytes"),
        ({"W1": [0, 96, 96]}, "'W1' has the offsets .*; expected a pair"),
        ({"W1": [0, 96.0]}, "'W1' has the offsets .*; expected a pair"),
        ({"W1": None}, "'W1' has the offsets None; expected a pair"),
        ({"W1": [1 << 62, (1 << 62) + 96]}, "expected 0|expected 96"),
    ],
)
def test_false_offsets(path, net, change, words):
    net.save(path)
    header, data = parts(path.read_bytes())
    arrays = sorted(
        arrays_of(header, data), key=lambda array: ["W1", "b1", "W2", "b2"].index(array[0])
    )
    header, data = parts(laid_out(header["__metadata__"], arrays))
    for name, offsets in change.items():
        header[name]["data_offsets"] = offsets
    refused(path, joined(header, data), words)


@pytest.mark.parametrize("entry", [None, [], {}, {"dtype": "F64", "shape": [3, 4]}])
def test_false_entries(path, net, entry):
    net.save(path)
    header, data = parts(path.read_bytes())
    for false in (entry, {**header["W1"], "strides": [4, 1]}):
        header["W1"] = false
        refused(path, joined(header, data), "'W1' has not just dtype, shape and data_offsets")


@pytest.mark.parametrize("name", ["__metadata__", "W1", "sizes"])
def test_a_name_given_twice(path, net, name):
    """The library takes the last, so that two readers could see two networks in one file."""
    net.save(path)
    raw = path.read_bytes()
    header, data = parts(raw)
    text, begin = json.dumps(header), f'"{name}": '
    again = json.dumps({name: header.get(name) or header["__metadata__"][name]})[1:-1]
    refused(path, joined(text.replace(begin, f"{again}, {begin}", 1), data), f"'{name}' stands")


@pytest.mark.skipif(os.name != "posix", reason="a file with holes would really be written")
@pytest.mark.parametrize("size", [1 << 23, 1 << 32, 1 << 35])
def test_nothing_large_is_allocated_for_a_large_file(path, net, size):
    """A file's length is cheap to claim."""
    net.save(path)
    raw = path.read_bytes()
    header, data = parts(raw)
    header["__metadata__"]["sizes"] = f"[{size // 8}, 1, 2]"
    header["W1"] |= {"shape": [size // 8, 1], "data_offsets": [0, size]}
    for content in (struct.pack("<Q", size) + raw[8:], raw, joined(header, data)):
        with open(path, "wb") as file:
            file.write(content)
            file.truncate(8 + size)
        tracemalloc.start()
        try:
            with pytest.raises(ModelFormatError):
                Network.load(path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1 << 18


def test_annotations_too_long_for_a_header_are_not_saved(path, net):
    net.save(path)
    before = path.read_bytes()
    net.annotations = {"text": "x" * (1 << 22)}
    with pytest.raises(
        InputError, match=r"the header would have .* bytes; expected at most 4194304"
    ):
        net.save(path)
    assert path.read_bytes() == before


FEW_AND_MANY = [300, pytest.param(10_000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", FEW_AND_MANY)
def test_a_damaged_file_is_refused_or_loads_unchanged(path, net, count):
    scaled(net).annotations = {"classes": ["a", "b"], "deep": [[1, 2.5], {"x": None}]}
    net.save(path)
    whole, value, rng = path.read_bytes(), value_of(net), np.random.default_rng(count)
    refusals = 0
    for _ in range(count):
        put(path, mutated(whole, rng))
        try:
            assert value_of(Network.load(path)) == value
        except ModelFormatError:
            refusals += 1
    assert count // 2 < refusals < count


@pytest.mark.parametrize("count", FEW_AND_MANY)
def test_a_false_file_with_the_right_checksum_is_refused_or_loads(path, net, count):
    """As a network that can be used, saved and loaded again."""
    scaled(net).annotations = {"classes": ["a", "b"]}
    net.save(path)
    whole, rng = path.read_bytes(), np.random.default_rng(count)
    X, loads = np.ones((2, 3)), 0
    for _ in range(count):
        put(path, edited(whole, rng))
        try:
            got = Network.load(path)
        except ModelFormatError:
            continue
        loads += 1
        assert got.predict(X[:, : got.sizes[0]]).shape == (2, got.sizes[-1])
        got.save(path)
        assert value_of(Network.load(path)) == value_of(got)
    assert 0 < loads < count // 2


# ---------------------------------------------------------------------------------- a posterior


def test_a_posterior_is_written_and_read(path, dtype):
    net = Network((3, 4, 2), output_activation="tanh", dtype=dtype, seed=2)
    net.output_scaling = Scaling([-1, 1e3], [0.5, 7])
    with_posterior(net)
    net.save(path)
    got = Network.load(path)
    assert value_of(got) == value_of(net)
    x = np.random.default_rng(0).normal(size=(5, 3))
    for mine, theirs in zip(
        net.predict(x, return_std=True), got.predict(x, return_std=True), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_the_format_with_a_posterior(path, net):
    net.save(path)
    plain, _ = parts(path.read_bytes())
    with_posterior(net).save(path)
    header, _ = parts(path.read_bytes())
    metadata = header.pop("__metadata__")
    assert metadata.pop("format_version") == "2"
    before = plain.pop("__metadata__")
    assert before.pop("format_version") == "1"
    assert {**metadata, "sha256": None} == {**before, "sha256": None}
    entries = {name: (entry["dtype"], entry["shape"]) for name, entry in header.items()}
    assert entries.pop("posterior_factor") == ("F64", [26, 26])
    assert entries.pop("posterior_numbers") == ("F64", [3])
    assert entries == {name: (entry["dtype"], entry["shape"]) for name, entry in plain.items()}
    arrays = safetensors.numpy.load_file(path)
    np.testing.assert_array_equal(arrays["posterior_factor"], net.posterior.factor)
    assert arrays["posterior_numbers"].tolist() == [1 / 3, 7e5, 26 - 1 / 7]


@pytest.mark.parametrize("change", ["parameters", "input_scaling", "output_scaling", "none"])
def test_a_posterior_of_other_parameters_is_not_saved(path, net, change):
    net.save(path)
    before = parts(path.read_bytes())
    with_posterior(net)
    if change == "parameters":
        net.parameters[3] += 1
    elif change == "none":
        net.posterior = None
    else:
        n = net.sizes[0 if change == "input_scaling" else -1]
        setattr(net, change, Scaling([0] * n, [2] * n))
    net.save(path)
    assert Network.load(path).posterior is None
    assert parts(path.read_bytes())[0]["__metadata__"]["format_version"] == "1"
    if change == "none":
        assert parts(path.read_bytes()) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"posterior_factor": None}, "missing arrays: 'posterior_factor'"),
        ({"posterior_numbers": None}, "missing arrays: 'posterior_numbers'"),
        (
            {"posterior_factor": ("F64", [26, 25], bytes(5200))},
            r"posterior_factor has shape .26, 25.; expected .26, 26.",
        ),
        (
            {"posterior_factor": ("F64", [676], bytes(5408))},
            r"posterior_factor has shape .676,.; expected .26, 26.",
        ),
        (
            {"posterior_factor": ("F32", [26, 26], bytes(2704))},
            "posterior_factor has the type F32; expected float64",
        ),
        (
            {"posterior_factor": ("F64", [26, 26], bytes(5408))},
            r"its posterior is invalid: factor\[0, 0\] is 0; expected a diagonal above 0",
        ),
        (
            {"posterior_factor": ("F64", [26, 26], (-np.eye(26)).tobytes())},
            r"factor\[0, 0\] is -1; expected a diagonal above 0",
        ),
        (
            {"posterior_factor": ("F64", [26, 26], (np.eye(26) + np.eye(26, k=1)).tobytes())},
            "posterior_factor has numbers above its diagonal; expected zeros",
        ),
        (
            {"posterior_factor": ("F64", [26, 26], np.full((26, 26), np.nan).tobytes())},
            r"factor\[0, 0\] is nan; expected finite",
        ),
        (
            {
                "posterior_factor": (
                    "F64",
                    [26, 26],
                    (np.eye(26) + np.diag([np.inf], -25)).tobytes(),
                )
            },
            r"factor\[25, 0\] is inf; expected finite",
        ),
        (
            {"posterior_numbers": ("F64", [2], doubles(1, 1))},
            "numbers has shape .2,.; expected .3,.",
        ),
        ({"posterior_numbers": ("F64", [3], doubles(-1, 1, 1))}, "alpha is -1"),
        ({"posterior_numbers": ("F64", [3], doubles(1, 0, 1))}, "beta is 0"),
        ({"posterior_numbers": ("F64", [3], doubles(1, np.nan, 1))}, "beta is nan"),
        ({"posterior_numbers": ("F64", [3], doubles(1, 1, np.inf))}, "effective_parameters is inf"),
        ({"posterior_numbers": ("F64", [3], doubles(1, 1, 27))}, "27; expected at most 26"),
        ({"format_version": "1"}, "unexpected arrays: 'posterior_factor', 'posterior_numbers'"),
    ],
)
def test_false_posteriors(path, net, change, words):
    with_posterior(net).save(path)
    header, data = parts(path.read_bytes())
    change = dict(change)
    if "format_version" in change:
        header["__metadata__"]["format_version"] = change.pop("format_version")
    arrays = {name: rest for name, *rest in arrays_of(header, data)} | change
    arrays = [(name, *rest) for name, rest in arrays.items() if rest is not None]
    refused(path, laid_out(header["__metadata__"], arrays), words)


def test_a_damaged_file_with_a_posterior_is_refused_or_loads_unchanged(path, net):
    with_posterior(net).save(path)
    whole, value, rng = path.read_bytes(), value_of(net), np.random.default_rng(3)
    for _ in range(300):
        put(path, mutated(whole, rng))
        try:
            assert value_of(Network.load(path)) == value
        except ModelFormatError:
            continue


def test_loading_makes_a_network_of_its_own(path, net):
    """It writes into no network that is there, so none can be hit during its fit."""
    net.save(path)
    before = net.parameters.copy()
    claim = object()
    net._begin_fit("fit", claim)
    try:
        net.parameters[:] = 0
        assert net.load(path) is not net
        assert not net.parameters.any()
    finally:
        net._end_fit(claim)
    np.testing.assert_array_equal(Network.load(path).parameters, before)
