"""A safetensors file as bytes: taken apart, put together, sealed, damaged.

Written from docs/modelfile.md, not with the package, so that it can be held against the package.
"""

import hashlib
import json
import math
import struct


def parts(raw):
    """(header, data)."""
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def joined(header, data):
    """The file of a header, given as an object or as text."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text)) + text + data


def checksum(header, data):
    names = sorted(set(header) - {"__metadata__"})
    described = {n: {key: header[n][key] for key in ("dtype", "shape")} for n in names}
    texts = {key: text for key, text in header["__metadata__"].items() if key != "sha256"}
    described["__metadata__"] = texts
    text = json.dumps(described, sort_keys=True, separators=(",", ":"))
    arrays = [data[slice(*header[name]["data_offsets"])] for name in names]
    return hashlib.sha256(b"".join([text.encode(), *arrays])).hexdigest()


def sealed(header, data):
    """The file with the checksum that fits, where there is one."""
    header["__metadata__"]["sha256"] = checksum(header, data)
    return joined(header, data)


def laid_out(metadata, arrays):
    """A sealed file of arrays [(name, type, shape, bytes)], one after the other."""
    header, data = {"__metadata__": dict(metadata)}, b""
    for name, code, shape, content in arrays:
        end = len(data) + len(content)
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [len(data), end]}
        data += content
    return sealed(header, data)


def put(path, raw):
    """A new file: some file systems bring one that is overwritten to the disk at once."""
    path.unlink(missing_ok=True)
    path.write_bytes(raw)


# ------------------------------------------------------------------------------------------- damage

JUNK = [
    *(None, True, -1, 0, 1, 2, 3, 8, 1 << 31, 1 << 63, 1 << 64, 10**40, 0.5, 3.0, 1e300),
    *("", "W1", "b1", "F16", "BF16", "F32", "F64", "float32", "[3, 4]", "NaN", "1e999", "\ud800"),
    *([], [0], [0, 0], [1, 1], [3, 4], [4, 3], [1 << 40, 1 << 40], [[]], {}, {"dtype": "F64"}),
]


def mutated(raw, rng):
    """A file that differs from `raw`: in its bytes, or in its header's JSON."""
    how = rng.choice([_in_bytes, _in_length, _in_header, _in_header])
    return how(raw, rng)


def edited(raw, rng):
    """The same for a header whose checksum then fits again: only its meaning can be wrong."""
    header, data = parts(raw)
    edit_json(header, rng)
    try:
        return sealed(header, data)
    except Exception:  # what it says cannot be found in the file
        return joined(header, data)


def edited_text(raw, rng):
    """The same for what stands, as JSON, in one of the metadata's texts."""
    header, data = parts(raw)
    texts = header["__metadata__"]
    key = str(rng.choice([key for key, text in texts.items() if text.startswith('{"')]))
    value = json.loads(texts[key])
    edit_json(value, rng)
    texts[key] = json.dumps(value)
    return sealed(header, data)


def edited_number(raw, rng):
    """The same for a number in one of the arrays, all of float64."""
    header, data = parts(raw)
    at = 8 * int(rng.integers(len(data) // 8))
    number = rng.choice([math.nan, -math.inf, -1.0, 0.5, 1.0, 2.0, 7.0, 100.0, 2.0**53, 1e300])
    return sealed(header, data[:at] + struct.pack("<d", number) + data[at + 8 :])


def _in_bytes(raw, rng):
    raw, n = bytearray(raw), len(raw)
    at, other = sorted(rng.integers(0, n, 2))
    some = rng.bytes(int(rng.integers(1, 20)))
    match rng.integers(0, 7):
        case 0:
            raw[at] ^= 1 << int(rng.integers(0, 8))
        case 1:
            raw[at : at + len(some)] = some
        case 2:
            del raw[at:]
        case 3:
            raw[at:at] = some
        case 4:
            del raw[at : other + 1]
        case 5:
            raw += raw[at:]
        case 6:
            raw[at : other + 1] = bytes(other + 1 - at)
    return bytes(raw)


def _in_length(raw, rng):
    (length,) = struct.unpack("<Q", raw[:8])
    lengths = [0, 1, length - 1, length + 1, len(raw), len(raw) - 8, 1 << 32, (1 << 64) - 1]
    return struct.pack("<Q", lengths[rng.integers(0, len(lengths))]) + raw[8:]


def _in_header(raw, rng):
    header, data = parts(raw)
    match rng.integers(0, 6):
        case 0:  # a name twice
            text = json.dumps(header)
            name = str(rng.choice([*header, *header["__metadata__"]]))
            value = header.get(name) or header["__metadata__"][name]
            place = 1 if name in header else text.index("{", 1) + 1
            return joined(f"{text[:place]}{json.dumps({name: value})[1:-1]}, {text[place:]}", data)
        case 1:  # deep
            depth = 10 ** int(rng.integers(1, 6))
            return joined("[" * depth + "]" * depth * int(rng.integers(0, 2)), data)
        case 2:  # two arrays change places
            one, two = rng.choice([name for name in header if name != "__metadata__"], 2)
            header[one], header[two] = header[two], header[one]
            return joined(header, data)
        case _:
            for _ in range(rng.integers(1, 4)):
                edit_json(header, rng)
            return joined(header, data)


def edit_json(value, rng):
    """Change something somewhere in an object: a member less, more, renamed or of another value."""
    while True:
        key = rng.choice(list(value)) if isinstance(value, dict) else int(rng.integers(len(value)))
        key = str(key) if isinstance(value, dict) else key
        child = value[key]
        if isinstance(child, (dict, list)) and child and rng.random() < 0.8:
            value = child
            continue
        match rng.integers(0, 5):
            case 0:
                del value[key]
            case 1 if isinstance(value, dict):
                value[str(JUNK[rng.integers(len(JUNK))])] = child
            case 2 if isinstance(value, dict):
                value[key + "_"] = value.pop(key)
            case 3 if isinstance(child, str) and child:
                at = int(rng.integers(len(child)))
                value[key] = child[:at] + chr(int(rng.integers(32, 127))) + child[at + 1 :]
            case _:
                value[key] = JUNK[rng.integers(len(JUNK))]
        return
