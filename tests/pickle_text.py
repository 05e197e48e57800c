"""A pickle as text that a person can read, and back to the very same bytes.

The text is the pickle's opcodes in their order, by the names that pickletools gives them, and short
forms of the most frequent ones:

    'sizes'          a text (BINUNICODE, from protocol 4 on SHORT_BINUNICODE)
    latin1(...)      one of characters below 256, by their numbers (so protocol 2 holds bytes)
    bytes(...)       bytes, in base 16 (SHORT_BINBYTES, BINBYTES)
    7                a whole number (BININT1, BININT2, BININT, LONG1: the shortest)
    0x1.8p+0         a float, in hexadecimal (BINFLOAT)
    None True False  (NONE, NEWTRUE, NEWFALSE)
    {} [] () ( )1    EMPTY_DICT, EMPTY_LIST, EMPTY_TUPLE, MARK, TUPLE1; )2, )3 and ) likewise
    import call new  STACK_GLOBAL, REDUCE, NEWOBJ
    state =          BUILD, SETITEM; === SETITEMS
    @3               what stands in the memo under number 3 (BINGET)
    GLOBAL(a b)      the object b of module a

Among the digits of base 16, {40} are 40 bytes of zero.  In their place, mt19937(3) is the key of
NumPy's RandomState(3) after its first number, which NumPy promises never to change (NEP 19).

PROTO, FRAME and STOP are left out, and so is what puts the object on top into the memo under the
next number (MEMOIZE, BINPUT) after all that is MEMOIZED: ! says that it is not put there, and *
that another is.
"""

import pickletools
import re
import struct

import numpy as np

TOKEN = re.compile(r"GLOBAL\(\S* \S*\)|'[^']*'|\S+")

# The numbers of the opcodes without an argument, by name.
PLAIN = {
    opcode.name: opcode.code.encode("latin1")
    for opcode in pickletools.opcodes
    if opcode.arg is None and opcode.name not in ("STOP", "MEMOIZE")
}

SHORT = {
    "NONE": "None", "NEWTRUE": "True", "NEWFALSE": "False",
    "EMPTY_DICT": "{}", "EMPTY_LIST": "[]", "EMPTY_TUPLE": "()",
    "MARK": "(", "TUPLE1": ")1", "TUPLE2": ")2", "TUPLE3": ")3", "TUPLE": ")",
    "STACK_GLOBAL": "import", "REDUCE": "call", "NEWOBJ": "new",
    "BUILD": "state", "SETITEM": "=", "SETITEMS": "===",
}  # fmt: skip
LONG = {short: name for name, short in SHORT.items()}

# What is put into the memo as a rule.
MEMOIZED = re.compile(r"'|latin1|bytes|GLOBAL|([)][123]?|\[\]|{}|import|call|new)$")


def key_of(seed):
    """The bytes of mt19937(seed)."""
    stream = np.random.RandomState(seed)
    stream.random_sample()
    return stream.get_state()[1].astype("<u4").tobytes()


KEYS = {key_of(seed): seed for seed in range(10)}


# --------------------------------------------------------------------------------- bytes to text


def disassembled(raw):
    """The text of a pickle of one frame."""
    (_, protocol, _), *rest = pickletools.genops(raw)
    tokens, expected = [], False
    for opcode, value, _ in rest:
        token = _token(opcode.name, value)
        if expected != (token == "*"):
            tokens.append("!" if expected else "*")
        expected = bool(MEMOIZED.match(token))
        if token not in ("", "*"):
            tokens.append(token)
    text = " ".join(tokens)
    if assembled(protocol, text) != raw:
        raise ValueError("the text does not stand for the bytes")
    return text


def _token(name, value):
    if name in ("FRAME", "STOP"):
        return ""
    if name in ("BINUNICODE", "SHORT_BINUNICODE"):
        if value.isascii() and value.isprintable() and "'" not in value:
            return f"'{value}'"
        return f"latin1({_digits(value.encode('latin1'))})"
    if name in ("SHORT_BINBYTES", "BINBYTES"):
        return f"bytes({_digits(value)})"
    if name in ("BININT1", "BININT2", "BININT", "LONG1"):
        return str(value)
    if name == "BINFLOAT":
        return hexadecimal(value)
    if name in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
        return "*"
    if name in ("BINGET", "LONG_BINGET"):
        return f"@{value}"
    if name == "GLOBAL":
        return f"GLOBAL({value})"
    if name in PLAIN:
        return SHORT.get(name, name)
    raise ValueError(f"no text is known for the opcode {name}")


def hexadecimal(number):
    """float.hex without zeros at the end; zero is 0x0."""
    return re.sub(r"\.?0*p", "p", number.hex()).replace("0x0p+0", "0x0")


def _digits(content):
    if content in KEYS:
        return f"mt19937({KEYS[content]})"
    runs = re.findall(rb"\0{8,}|(?:(?!\0{8}).)+", content, re.DOTALL)
    return "".join(run.hex() if run.strip(b"\0") else f"{{{len(run)}}}" for run in runs)


# --------------------------------------------------------------------------------- text to bytes


def assembled(protocol, text, replaced=()):
    """The pickle of a text; ``replaced`` maps whole texts in it to others."""
    replaced = dict(replaced)
    body, n_memos = [], 0
    for token, is_put in _with_puts(text):
        if token != "*":
            body.append(_opcode(protocol, token, replaced))
        if is_put:
            body.append(_put(protocol, n_memos))
            n_memos += 1
    content = b"".join(body) + b"."
    if protocol >= 4:
        content = b"\x95" + struct.pack("<Q", len(content)) + content
    return b"\x80" + bytes([protocol]) + content


def _with_puts(text):
    """Each token, and whether what it leaves on top goes into the memo."""
    tokens = TOKEN.findall(text)
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        if token != "!":
            yield token, token == "*" or (bool(MEMOIZED.match(token)) and following != "!")


def _put(protocol, number):
    if protocol >= 4:
        return b"\x94"
    return b"q" + bytes([number]) if number < 256 else b"r" + struct.pack("<I", number)


def _opcode(protocol, token, replaced):
    if token.startswith("'"):
        value = token[1:-1]
        return _text(protocol, replaced.get(value, value).encode())
    if token.startswith("GLOBAL"):
        return "c{}\n{}\n".format(*token[7:-1].split(" ")).encode()
    if match := re.fullmatch(r"latin1\((.*)\)", token):
        return _text(protocol, _content(match[1]).decode("latin1").encode())
    if match := re.fullmatch(r"bytes\((.*)\)", token):
        content = _content(match[1])
        if len(content) < 256:
            return b"C" + bytes([len(content)]) + content
        return b"B" + struct.pack("<I", len(content)) + content
    if token.startswith("@"):
        number = int(token[1:])
        return b"h" + bytes([number]) if number < 256 else b"j" + struct.pack("<I", number)
    if re.fullmatch(r"-?\d+", token):
        return _whole(int(token))
    if re.fullmatch(r"-?(0x.*|inf|nan)", token):
        return b"G" + struct.pack(">d", float.fromhex(token))
    return PLAIN[LONG.get(token, token)]


def _content(digits):
    match = re.fullmatch(r"mt19937\((\d+)\)", digits)
    if match:
        return key_of(int(match[1]))
    return bytes.fromhex(re.sub(r"\{(\d+)\}", lambda run: "00" * int(run[1]), digits))


def _text(protocol, content):
    if protocol >= 4 and len(content) < 256:
        return b"\x8c" + bytes([len(content)]) + content
    return b"X" + struct.pack("<I", len(content)) + content


def _whole(value):
    if 0 <= value < 1 << 8:
        return b"K" + bytes([value])
    if 0 <= value < 1 << 16:
        return b"M" + struct.pack("<H", value)
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def objects_named(protocol, text):
    """(module, name) of every object that the pickle names."""
    if protocol < 4:
        yield from re.findall(r"GLOBAL\((\S*) (\S*)\)", text)
        return
    # STACK_GLOBAL takes the two texts below it, each of which may come from the memo.
    stack, memo = [], []
    for token, is_put in _with_puts(text):
        if token == "import":
            yield stack[-2], stack[-1]
        if token.startswith("@"):
            stack.append(memo[int(token[1:])])
        elif token != "*":
            stack.append(token[1:-1] if token.startswith("'") else None)
        if is_put:
            memo.append(stack[-1])
