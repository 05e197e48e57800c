"""The command line's readers: .csv, .npz and FANN files, labels, and parts of a data set.

Every file is made here, and each mistake in one is answered by a message that names its place.
"""

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from cbackprop.commandline import csv_file, fann_file
from cbackprop.commandline import data as data_module
from cbackprop.commandline.coding import Coding, classes_of
from cbackprop.commandline.data import Data, Part, read_matching, read_training
from cbackprop.errors import InputError, MissingExtraError, ModelFormatError
from cbackprop.training.splits import is_one_hot


@pytest.fixture
def file(tmp_path):
    """Writes a file, text or bytes, and gives its name."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------- .csv


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_dialects(file, delimiter, line_end, mark):
    lines = [
        '"a ""x"", b"|"c; d"|kind',
        "1|-2.5e3|one",
        '"3"| 4 |"t""wo, w;o"',
        "",
        "||",
        "5|6|one ",
    ]
    text = mark + line_end.join(lines).replace("|", delimiter)
    data, coding = read_training(file("data.csv", text))
    assert coding.features == ('a "x", b', "c; d")
    assert coding.targets == ("kind",)
    assert coding.classes == ("one", 't"wo, w;o')
    assert_array_equal(data.X, [[1, -2500], [3, 4], [5, 6]])
    assert_array_equal(data.Y, [[1, 0], [0, 1], [1, 0]])


def test_csv_targets_by_name_in_their_order(file):
    path = file("data.csv", "y1,a,id,b,y0\n1,2,u,3,4\n5,6,v,7,8\n")
    data, coding = read_training(path, targets=["y0", "y1"], ignore=["id"])
    assert coding == Coding(("a", "b"), ("y0", "y1"))
    assert_array_equal(data.X, [[2, 3], [6, 7]])
    assert_array_equal(data.Y, [[4, 1], [8, 5]])


def test_csv_numbers_are_classes_only_when_asked(file):
    path = file("data.csv", "a,y\n1,10\n2,9\n3,10\n")
    data, coding = read_training(path)
    assert coding.classes is None
    assert_array_equal(data.Y, [[10], [9], [10]])
    data, coding = read_training(path, classify=True)
    assert coding.classes == ("9", "10")
    assert_array_equal(data.Y, [[0, 1], [1, 0], [0, 1]])


def test_csv_one_hot_columns_are_classes(file):
    path = file("data.csv", "x,cat,dog\n1,0,1\n2,1,0\n")
    data, coding = read_training(path, targets=["cat", "dog"])
    assert coding.classes == ("cat", "dog")
    assert coding.decode(data.Y) == ["dog", "cat"]


BAD_CSV = {
    "a,b,y\n1,2,3\n1,,3\n": "line 3, column 'b': the cell is empty",
    "a,b,y\n1,2,3\n\n1,red,3\n": "line 4, column 'b': 'red' is not a finite number",
    "a,b,y\n1,nan,3\n": "line 2, column 'b': 'nan' is not a finite number",
    "a,b,y\n1,1e999,3\n": "line 2, column 'b': '1e999' is not a finite number",
    "a,b,y\n1,1_0,3\n": "line 2, column 'b': '1_0' is not a finite number",
    "a,b,y\n1,2,3\n1,2,n/a\n": "line 3, column 'y': 'n/a' is not a finite number",
    "a,b,y\n1,2,3\n1,2,\n": "line 3, column 'y': the target is missing",
    "a,b,y\n1,2,inf\n1,2,4\n": "line 2, column 'y': 'inf' is not a finite number",
    "a,b,y\n1,2\n": "line 2: number of fields 2, in the header 3",
    'a,b,y\n1,2,"3\n4,5,6\n': "line 3: unexpected end of data",
    "1,2,3\n4,5,6\n": "the first line must name the columns",
    "a,b,a\n4,5,6\n": "two columns are named 'a'",
    "a,b,y\n": "there are no rows after the header",
    "y\n1\n": "besides the target it has no column to learn from",
    "a,y\n1,u\n2,u\n": "all rows have the same class, 'u'",
    "a,y\n" + "".join(f"1,name{k}\n" for k in range(50)): "50 different labels in 50 rows",
    b"a,b\n1,2\n1,caf\xe9\n": "line 3: byte 0xe9 is not UTF-8 text",
    "a,b\n1,\0\n": "zero bytes",
}


@pytest.mark.parametrize("content", BAD_CSV)
def test_bad_csv_names_the_place(file, content):
    path = file("data.csv", content)
    with pytest.raises(InputError) as caught:
        read_training(path)
    assert str(caught.value).startswith(path)
    assert BAD_CSV[content] in str(caught.value)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"targets": ["z"]}, "there is no column 'z'; the columns are: a, b, y"),
        ({"ignore": ["z"]}, "there is no column 'z'"),
        ({"targets": ["b", "y"]}, "column 'y': one column of labels, or several of numbers"),
    ],
)
def test_bad_column_options(file, options, message):
    path = file("data.csv", "a,b,y\n1,2,u\n3,4,v\n")
    with pytest.raises(InputError, match=message):
        read_training(path, **options)


finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=1
).filter(lambda name: name.strip() == name and csv_file._number(name) is None)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(names, min_size=3, max_size=3, unique=True),
    st.lists(st.tuples(finite, finite, st.sampled_from(["u", "v", 'a "q", b;\n\tc'])), min_size=2),
    st.sampled_from(csv_file.DELIMITERS),
)
def test_csv_gives_back_what_was_written(header, rows, delimiter):
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    sheet = csv_file.Sheet("data.csv", buffer.getvalue().encode())
    assert sheet.names == header
    assert_array_equal(sheet.numbers(header[:2]), [row[:2] for row in rows])
    assert sheet.cells(header[2]) == [row[2] for row in rows]


def test_matching_csv_finds_columns_by_name(file):
    coding = Coding(("a", "b"), ("kind",), ("u", "v"), label_column=True)
    path = file("new.csv", "kind,b,extra,a\nv,1,x,2\nu,3,y,4\n")
    data = read_matching(path, coding, 2, 2)
    assert_array_equal(data.X, [[2, 1], [4, 3]])
    assert_array_equal(data.Y, [[0, 1], [1, 0]])
    for text in ("b,a\n1,2\n3,4\n", "b,a,kind\n1,2,\n3,4,\n"):  # no targets, or none filled in
        data = read_matching(file("new.csv", text), coding, 2, 2)
        assert_array_equal(data.X, [[2, 1], [4, 3]])
        assert data.Y is None


@pytest.mark.parametrize(
    "content, message",
    [
        ("a,kind\n1,u\n", "there is no column 'b'"),
        ("a,b,kind\n1,2,w\n", "the label 'w' .row 1. is none of the classes .*: u, v"),
    ],
)
def test_csv_that_does_not_match(file, content, message):
    coding = Coding(("a", "b"), ("kind",), ("u", "v"), label_column=True)
    with pytest.raises(InputError, match=message):
        read_matching(file("new.csv", content), coding, 2, 2)


def test_csv_for_a_network_without_names_goes_by_position(file):
    data = read_matching(file("new.csv", "p,q\n1,2\n"), Coding(None, None), 2, 1)
    assert_array_equal(data.X, [[1, 2]])
    with pytest.raises(InputError, match="2 inputs a row where the network takes 3"):
        read_matching(file("new.csv", "p,q\n1,2\n"), Coding(None, None), 3, 1)


# ------------------------------------------------------------------------------------------- FANN


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(finite, min_size=5, max_size=5), min_size=1, max_size=20), st.data())
def test_fann_gives_back_what_was_written(rows, data):
    blank = st.sampled_from([" ", "\n", "\r\n", "\t ", " \n\n"])
    words = [repr(value) for row in rows for value in row]
    body = "".join(word + data.draw(blank) for word in words)
    X, Y = fann_file.read("data", f"{len(rows)} 3 2\n{body}".encode())
    assert_array_equal(np.hstack([X, Y]), rows)
    assert X.flags.c_contiguous and Y.flags.c_contiguous


def test_fann_by_its_content(file):
    data, coding = read_training(file("set.train", "2 1 2\n0.5\n0 1\n.25\n1 0\n"))
    assert_array_equal(data.X, [[0.5], [0.25]])
    assert coding.classes == ("0", "1")
    data, coding = read_training(file("set.train", "2 1 2\n0.5\n0 1\n.25\n1 1\n"))
    assert coding == Coding(None, None)


BAD_FANN = {
    "3 1 1\n1\n2\n3\n4\n": "announces 3 rows of 1 inputs and 1 outputs, 6 numbers, but 4 follow",
    "2 2 1\n1 2\n3\n4\n5\n": "but 5 follow (line 4 holds 1 where 2 were expected)",
    "2 1 1\n1\n2\n3\n4\n5\n": "4 numbers, but 5 follow",
    "9999999999999 9 9\n1\n": "but 1 follow",
    "1 1 1": "2 numbers, but 0 follow",
    "1 1 1\n \n": "2 numbers, but 0 follow",
    "2 1 1\n1\n2\n3\nx4\n": "line 5: 'x4' is not a number",
    "2 1 1\n1\n2\n3 1,5\n": "line 4: '1,5' is not a number",
    "2 1 1\n1\n2\nnan\n4\n": "line 4: 'nan' is not finite",
    "2 1 1\n1\n-1e999\n3\n4\n": "line 3: '-1e999' is not finite",
    "0 1 1\n": "each must be at least 1",
    "1 1\n1\n1\n": "unknown kind of data",
    b"\x89PNG\r\n\x1a\n\0\0": "unknown kind of data",
    "": "the file is empty",
    " \n": "the file is empty",
}


@pytest.mark.parametrize("content", BAD_FANN)
def test_bad_fann_names_the_place(file, content):
    path = file("set.train", content)
    with pytest.raises(InputError) as caught:
        read_training(path)
    assert str(caught.value).startswith(path)
    assert BAD_FANN[content] in str(caught.value)


def test_fann_has_no_column_names(file):
    path = file("set.train", "2 1 1\n1\n2\n3\n4\n")
    with pytest.raises(InputError, match=r"--target and --ignore name columns of a .csv"):
        read_training(path, targets=["y"])


# ------------------------------------------------------------------------------------------- .npz


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f8", "int16", "bool"])
def test_npz_numbers(file, dtype):
    X, y = np.arange(6).reshape(3, 2).astype(dtype), np.array([3, 4, 5])
    data, coding = read_training(file("data.npz", npz(X=np.asfortranarray(X), y=y)))
    assert_array_equal(data.X, X.astype(float))
    assert data.X.dtype == (np.float32 if dtype == "float32" else np.float64)
    assert_array_equal(data.Y, [[3], [4], [5]])
    assert coding == Coding(None, None)


def test_npz_labels(file):
    X = np.zeros((3, 1))
    _, coding = read_training(file("data.npz", npz(X=X, Y=np.array(["v", "u", "v"]))))
    assert coding.classes == ("u", "v")
    path = file("data.npz", npz(X=X, Y=np.array([10.0, 9.0, 10.0])))
    data, coding = read_training(path, classify=True)
    assert coding.classes == ("9", "10")
    assert_array_equal(read_matching(path, coding, 1, 2).Y, data.Y)
    assert read_matching(file("new.npz", npz(X=X)), coding, 1, 2).Y is None


BAD_NPZ = {
    "no X": (dict(Z=np.zeros(2)), "no array X (rows, inputs), it holds: Z"),
    "no Y": (dict(X=np.zeros((2, 1))), "no array Y"),
    "1-D X": (dict(X=np.zeros(2), Y=np.zeros(2)), "X must be 2-D"),
    "empty": (
        dict(X=np.zeros((0, 2)), Y=np.zeros(0)),
        "X must be 2-D (rows, inputs) and not empty",
    ),
    "rows": (dict(X=np.zeros((2, 1)), Y=np.zeros(3)), "Y must have a row for each of the 2 rows"),
    "complex": (dict(X=np.zeros((2, 1), complex), Y=np.zeros(2)), "its dtype is complex128"),
    "nan": (dict(X=np.array([[0, 1], [2, np.nan]]), Y=np.zeros(2)), "X[1, 1] is nan"),
    "objects": (dict(X=np.array([[None]]), Y=np.zeros(1)), "an array of Python objects"),
    "two names": (dict(X=np.zeros((2, 1)), Y=np.zeros(2), y=np.zeros(2)), "both Y and y"),
    "wide text": (dict(X=np.zeros((2, 1)), Y=np.array([["a", "b"]] * 2)), "must have one column"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_bad_npz(file, case):
    arrays, message = BAD_NPZ[case]
    path = file("data.npz", npz(**arrays))
    with pytest.raises(InputError) as caught:
        read_training(path)
    assert str(caught.value).startswith(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("damage", ["cut short", "flipped", "text", "single array"])
def test_damaged_npz(file, damage):
    content = npz(X=np.zeros((50, 20)), Y=np.zeros(50))
    if damage == "cut short":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content = content[:2000] + b"\xff" + content[2001:]
    elif damage == "text":
        content = b"X and Y"
    else:
        buffer = io.BytesIO()
        np.save(buffer, np.zeros(3))
        content = buffer.getvalue()
    with pytest.raises(InputError, match=r"data.npz: (not a whole .npz file|a single array)"):
        read_training(file("data.npz", content))


def test_whole_numbers_only_are_classes(file):
    path = file("data.npz", npz(X=np.zeros((2, 1)), Y=np.array([1.0, 1.5])))
    with pytest.raises(InputError, match=r"the target in row 2 is 1.5; only whole numbers"):
        read_training(path, classify=True)
    path = file("data.npz", npz(X=np.zeros((2, 1)), Y=np.ones((2, 3))))
    with pytest.raises(InputError, match="there are 3 columns"):
        read_training(path, classify=True)


# ----------------------------------------------------------------------------------------- digits


def test_digits():
    datasets = pytest.importorskip("sklearn.datasets")
    data, coding = read_training("digits")
    X, y = datasets.load_digits(return_X_y=True)
    assert_array_equal(data.X, X)
    assert coding.classes == tuple("0123456789")
    assert_array_equal(data.Y, np.eye(10)[y])
    assert_array_equal(read_matching("digits", coding, 64, 10).Y, data.Y)


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r'pip install "cbackprop\[sklearn\]"'):
        read_training("digits")


# ----------------------------------------------------------------------------------------- coding


def test_label_order():
    assert classes_of(["b", "a", "10", "9", "b"]) == ("10", "9", "a", "b")
    assert classes_of(["10", "9", "-1", "10"]) == ("-1", "9", "10")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(min_size=1), min_size=1))
def test_labels_come_back(labels):
    coding = Coding(None, ("kind",), classes_of(labels), label_column=True)
    Y = coding.encode("data", labels)
    assert coding.decode(Y) == labels
    if len(coding.classes) > 1:
        assert is_one_hot(Y)


@pytest.mark.parametrize(
    "Y, expected",
    [
        ([[0, 1], [1, 0]], True),
        ([[0, 1], [1, 1]], False),
        ([[0, 1], [0, 0]], False),
        ([[0.5, 0.5]], False),
        ([[2, -1]], False),
        ([[1], [1]], False),
    ],
)
def test_is_one_hot(Y, expected):
    assert is_one_hot(np.array(Y, float)) is expected


@pytest.mark.parametrize(
    "coding",
    [
        Coding(("a", "b"), ("kind",), ("u", "v", "w"), label_column=True),
        Coding(("a", "b"), ("x", "y", "z")),
        Coding(None, None, ("0", "1", "2")),
        Coding(None, None),
    ],
)
def test_annotation_round_trip(coding):
    import json

    annotation = coding.as_annotation()
    assert json.loads(json.dumps(annotation)) == annotation
    assert Coding.from_annotation(annotation, 2, 3) == coding


@pytest.mark.parametrize(
    "annotation",
    [
        {},
        [],
        "x",
        {"features": ["a"]},
        {"features": "ab"},
        {"features": [1, 2]},
        {"targets": ["a"]},
        {"classes": ["u", "v"]},
        {"targets": ["kind"], "label_column": True},
    ],
)
def test_annotations_are_not_trusted(annotation):
    with pytest.raises(ModelFormatError):
        Coding.from_annotation(annotation, 2, 3)


# ------------------------------------------------------------------------------------------ parts


@pytest.mark.parametrize("rows", [None, [7, 0, 3, 4, 9]])
@pytest.mark.parametrize("block", [1, 2, 4, 1000])
def test_a_part_gives_its_rows_block_by_block(monkeypatch, rows, block):
    monkeypatch.setattr(data_module, "_BLOCK", 3 * block)
    X, Y = np.arange(20.0).reshape(10, 2), np.arange(10.0)[:, None]
    part = Part(Data("data", "npz", X, Y), None if rows is None else np.array(rows))
    blocks = list(part.blocks())
    index = np.arange(10) if rows is None else rows
    assert len(part) == len(index)
    assert all(len(A) <= block for A, _ in blocks)
    assert_array_equal(np.concatenate([A for A, _ in blocks]), X[index])
    assert_array_equal(np.concatenate([B for _, B in blocks]), Y[index])
    assert_array_equal(part.targets, Y[index])
    assert rows is not None or all(np.shares_memory(A, X) for A, _ in blocks)
