"""Model files: what is written is read; what is damaged, foreign or false is refused."""

import hashlib
import json
import os
import stat
import struct

import numpy as np
import pytest
import safetensors.numpy

from cbackprop import Network, modelfile
from cbackprop.errors import InputError, InputTypeError, ModelFormatError
from cbackprop.scaling import Scaling


@pytest.fixture
def net():
    return Network((3, 4, 2), activation="tanh", output_activation="identity", seed=0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def parts(path):
    """(header, data) of a safetensors file."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def put(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


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


def test_scaling_and_annotations(path, net):
    net.input_scaling = Scaling([1, 2, 3e-300], [0.1, 2, 1 / 3])
    net.annotations = {"classes": ["nein", "ja ✓"], "deep": {"a": [1, 2.5, None, True]}}
    net.save(path)
    got = Network.load(path)
    assert got.annotations == net.annotations
    np.testing.assert_array_equal(got.input_scaling.shift, net.input_scaling.shift)
    np.testing.assert_array_equal(got.input_scaling.scale, net.input_scaling.scale)
    X = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_array_equal(got.predict(X), net.predict(X))


def test_the_format(path, net):
    """The final format, spelled out: whoever changes it raises FORMAT_VERSION."""
    net.input_scaling = Scaling([0, 0, 0], [1, 1, 1])
    net.save(path)
    header, _ = parts(path)
    metadata = header.pop("__metadata__")
    tensors = safetensors.numpy.load_file(path)
    in_order = ("W1", "b1", "W2", "b2", "input_shift", "input_scale")
    digest = hashlib.sha256(b"".join(tensors[name].astype("<f8").tobytes() for name in in_order))
    assert metadata.pop("sha256") == digest.hexdigest()
    assert metadata == {
        "format": "cbackprop",
        "format_version": "1",
        "sizes": "[3, 4, 2]",
        "activations": '["tanh", "identity"]',
        "bias": "true",
        "dtype": "float64",
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
    }


VERSION_ONE = (
    "78020000000000007b225f5f6d657461646174615f5f223a7b22616e6e6f746174696f6e73223a227b5c2263"
    "6c61737365735c223a205b5c226e6f5c222c205c227965735c225d7d222c2262696173223a2274727565222c"
    "2261637469766174696f6e73223a225b5c2272656c755c222c205c227369676d6f69645c225d222c22647479"
    "7065223a22666c6f61743332222c2273697a6573223a225b312c20322c20315d222c22666f726d61745f7665"
    "7273696f6e223a2231222c22666f726d6174223a22636261636b70726f70222c22736861323536223a223737"
    "3832656332346630346438306636386131393164633531333465303634383837313539623261383135643531"
    "356562343233656139363237653432616266227d2c22696e7075745f7363616c65223a7b226474797065223a"
    "22463634222c227368617065223a5b315d2c22646174615f6f666673657473223a5b302c385d7d2c22696e70"
    "75745f7368696674223a7b226474797065223a22463634222c227368617065223a5b315d2c22646174615f6f"
    "666673657473223a5b382c31365d7d2c225731223a7b226474797065223a22463332222c227368617065223a"
    "5b312c325d2c22646174615f6f666673657473223a5b31362c32345d7d2c225732223a7b226474797065223a"
    "22463332222c227368617065223a5b322c315d2c22646174615f6f666673657473223a5b32342c33325d7d2c"
    "226231223a7b226474797065223a22463332222c227368617065223a5b325d2c22646174615f6f6666736574"
    "73223a5b33322c34305d7d2c226232223a7b226474797065223a22463332222c227368617065223a5b315d2c"
    "22646174615f6f666673657473223a5b34302c34345d7d7d000000000000c03f00000000000024400000803f"
    "000000c000004040000080400000003f0000803e000080bf"
)


def test_a_file_of_version_one_stays_readable(path):
    """Bytes as version 0.1 wrote them."""
    path.write_bytes(bytes.fromhex(VERSION_ONE))
    net = Network.load(path)
    assert repr(net) == (
        "Network((1, 2, 1), activation='relu', output_activation='sigmoid', bias=True, "
        "dtype='float32')"
    )
    assert net.parameters.tolist() == [1.0, -2.0, 0.5, 0.25, 3.0, 4.0, -1.0]
    assert net.input_scaling.shift.tolist() == [10.0]
    assert net.input_scaling.scale.tolist() == [0.125]
    assert net.annotations == {"classes": ["no", "yes"]}


# ------------------------------------------------------------------------------------ whole or not


def test_a_failed_write_leaves_the_old_file(path, net, monkeypatch):
    net.save(path)
    before = path.read_bytes()
    net.parameters[:] = 1

    def full(*_):
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(OSError, match="No space left"):
                net.save(path)
        assert os.listdir(path.parent) == [path.name]
        assert path.read_bytes() == before


def test_interrupted_writes_leave_no_trace(path, net, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        net.save(path)
    assert os.listdir(path.parent) == []


def test_missing_folders_and_files(tmp_path, net):
    with pytest.raises(FileNotFoundError):
        net.save(tmp_path / "nowhere" / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="nothing"):
        Network.load(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match=r"path is .*, a folder; expected the name of a file"):
        net.save(tmp_path)
    with pytest.raises(OSError, match=r"."):
        Network.load(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_modes(tmp_path, net):
    path = tmp_path / "model"
    kept = os.umask(0o027)
    try:
        net.save(path)
    finally:
        os.umask(kept)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    net.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@pytest.mark.skipif(os.name != "posix", reason="links and devices are POSIX's")
def test_links_are_followed_and_devices_refused(tmp_path, net):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real" / "model")
    net.save(link)
    assert link.is_symlink()
    Network.load(tmp_path / "real" / "model")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a device or pipe"):
        net.save(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


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


def test_every_cut_is_noticed(path, net):
    net.save(path)
    whole = path.read_bytes()
    for length in [*range(12), len(whole) // 2, len(whole) - 8, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFormatError, match=r"model.safetensors: not a safetensors file, or"):
            Network.load(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ModelFormatError, match=r"model.safetensors: "):
        Network.load(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04" * 50, b"a,b\n1,2\n", b"\xff" * 100, b"{}"])
def test_other_files(path, content):
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"model.safetensors: not a safetensors file"):
        Network.load(path)


def test_a_safetensors_file_of_something_else(path):
    safetensors.numpy.save_file({"W1": np.ones(3)}, path)
    with pytest.raises(ModelFormatError, match=r"something else, not a cbackprop model"):
        Network.load(path)


def test_each_flipped_byte_of_a_tensor_is_noticed(path, net):
    net.save(path)
    header, data = parts(path)
    for i in range(0, len(data), 7):
        flipped = bytearray(data)
        flipped[i] ^= 1
        put(path, header, bytes(flipped))
        with pytest.raises(ModelFormatError, match=r"the checksum does not fit .*damaged"):
            Network.load(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "not a cbackprop model"),
        ({"format_version": "2"}, "format version 2, .* reads version 1; a newer cbackprop"),
        ({"format_version": "0"}, r"format version 0, and this cbackprop reads version 1$"),
        ({"format_version": "x"}, "format_version in its metadata is not JSON"),
        ({"format_version": None}, "no format_version in its metadata"),
        ({"sizes": None}, "no sizes in its metadata"),
        ({"sizes": "[3, 4"}, "sizes in its metadata is not JSON"),
        ({"sizes": "[" * 100_000}, "sizes in its metadata is not JSON"),
        ({"sizes": "[3, 4.0, 2]"}, "sizes is not a list of integers"),
        ({"sizes": "[3, true, 2]"}, "sizes is not a list of integers"),
        ({"sizes": '"342"'}, "sizes is not a list of integers"),
        ({"sizes": "[3, 4, NaN]"}, "sizes in its metadata is not JSON"),
        ({"sizes": "[]"}, "one name for each layer"),
        ({"sizes": "[3, 2]"}, "one name for each layer"),
        ({"sizes": "[1000000000000, 4, 2]"}, r"W1 .* \[3, 4\]; expected \[1000000000000, 4\]"),
        ({"sizes": "[4, 3, 2]"}, "W1 has shape"),
        ({"sizes": "[-3, 4, 2]"}, "W1 has shape"),
        ({"activations": '["tanh"]'}, "one name for each layer"),
        ({"activations": '["tanh", "os.system"]'}, "expected names among identity"),
        ({"activations": '["tanh", 3]'}, "one name for each layer"),
        ({"activations": "{}"}, "expected names among"),
        ({"bias": "1"}, "bias is 1; expected true or false"),
        ({"bias": "false"}, "b1, b2 missing or too many"),
        ({"dtype": "float16"}, "dtype is 'float16'; expected"),
        ({"dtype": None}, "dtype is None"),
        ({"dtype": "float32"}, "W1 is float64; expected float32"),
        ({"annotations": "[1]"}, "annotations is not an object"),
        ({"annotations": "Infinity"}, "annotations in its metadata is not JSON"),
        ({"annotations": None}, "no annotations"),
        ({"sha256": None}, "the checksum does not fit"),
        ({"sha256": "0"}, "the checksum does not fit"),
    ],
)
def test_false_metadata(path, net, change, words):
    net.save(path)
    header, data = parts(path)
    for key, text in change.items():
        if text is None:
            del header["__metadata__"][key]
        else:
            header["__metadata__"][key] = text
    put(path, header, data)
    with pytest.raises(ModelFormatError, match=words) as caught:
        Network.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def save_tensors(path, net, change):
    """A file with other tensors and a checksum that fits them."""
    net.save(path)
    metadata = parts(path)[0]["__metadata__"]
    tensors = safetensors.numpy.load_file(path) | change
    tensors = {name: A for name, A in tensors.items() if A is not None}
    order = ("W1", "b1", "W2", "b2", "input_shift", "input_scale")
    checked = {name: tensors[name] for name in order if name in tensors}
    metadata["sha256"] = modelfile._checksum(checked)
    safetensors.numpy.save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"b1": None}, "b1 missing or too many"),
        ({"W3": np.ones(2)}, "W3 missing or too many"),
        ({"input_shift": np.ones(3)}, "input_scale missing or too many"),
        ({"input_shift": np.ones(2), "input_scale": np.ones(2)}, r"input_shift has shape \[2\]"),
        ({"input_shift": np.ones(3), "input_scale": np.ones(3, "f4")}, "input_scale is float32"),
        ({"W1": np.ones((4, 3))}, r"W1 has shape \[4, 3\]; expected \[3, 4\]"),
        ({"W1": np.ones((3, 4), np.int64)}, "W1 is int64; expected float64"),
        ({"b2": np.array([1, np.nan])}, "a parameter is NaN or infinite"),
        ({"input_shift": np.full(3, np.inf), "input_scale": np.ones(3)}, "NaN or infinite"),
    ],
)
def test_false_tensors(path, net, change, words):
    save_tensors(path, net, change)
    with pytest.raises(ModelFormatError, match=words):
        Network.load(path)


def test_a_tensor_type_that_numpy_does_not_know(path, net):
    net.save(path)
    header, start = {"__metadata__": parts(path)[0]["__metadata__"]}, 0
    for name, shape in (("W1", [3, 4]), ("b1", [4]), ("W2", [4, 2]), ("b2", [2])):
        end = start + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
        start = end
    put(path, header, bytes(start))
    with pytest.raises(ModelFormatError, match=r"model.safetensors: W1 "):
        Network.load(path)


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
