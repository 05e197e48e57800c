"""How a trace is shown: its formulas with their matrices, as text and as MathML for a notebook.

Formulas are written once, in the symbols of docs/mathematics.md ("delta_H = (delta_O W2^T) *
sigma'(H)"; * is elementwise): verbatim in text, and through `mathml` in a notebook.  Nothing is
computed here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from .. import losses
from ..activations import ACTIVATIONS

if TYPE_CHECKING:
    from .trace import LayerTrace, Trace

__all__ = ["as_html", "as_text", "mathml"]

# The most lines of a printed trace, about, and rows and columns of a matrix.
MOST_LINES = 80
EDGES = (3, 2, 1)  # rows and columns at each end of a cut matrix: the largest that fits


@dataclass(frozen=True)
class Step:
    """A line of a trace: a formula, its value, and a remark in words."""

    formula: str
    value: np.ndarray | float | None = None
    remark: str = ""
    given: bool = False  # an input or a parameter, the first to be left out

    hidden: bool = False  # only the matrix's shape is shown


def as_text(trace: "Trace") -> str:
    """The formulas and their matrices, in at most about 80 lines."""
    steps, edge = _fitting(trace)
    return "\n".join([_title(trace), *(line for step in steps for line in _lines(step, edge))])


def as_html(trace: "Trace") -> str:
    """The same as `as_text` in a table, with MathML; no scripts, no colours, nothing is loaded."""
    steps, edge = _fitting(trace)
    rows = "".join(_row(step, edge) for step in steps)
    return (
        f"<div><table><caption>{escape(_title(trace))}</caption><tbody>{rows}</tbody></table></div>"
    )


def _fitting(trace: "Trace") -> tuple[list[Step], int]:
    """The steps, and how much of each matrix, that fit in the allowed number of lines."""
    for edge, given, skipped in _ways(trace):
        steps = list(_steps(trace, skipped))
        if not given:  # steps with a remark, for example about a scaling, keep the rest of the line
            steps = [replace(s, hidden=s.given) for s in steps if s.remark or not s.given]
        if 1 + sum(len(_lines(step, edge)) for step in steps) <= MOST_LINES:
            break
    return steps, edge


def _ways(trace: "Trace") -> Iterator[tuple[int, bool, range]]:
    """Yield what to leave out, more and more: edges, the given matrices, middle layers."""
    n_layers = len(trace.layers)
    for given in (True, False):
        for edge in EDGES:
            yield edge, given, range(0)
    for kept in range(n_layers - 1, 1, -1):
        yield 1, False, range((kept + 1) // 2, n_layers - kept // 2)


def _title(trace: "Trace") -> str:
    return f"Trace of {trace.network} on {len(trace.X)} rows, loss {trace._kind!r}"


# --------------------------------------------------------------------------------------- the steps


def _steps(trace: "Trace", skipped: range) -> Iterator[Step]:
    """The lines in the order of the page, without the layers `skipped` in the middle."""
    layers = list(zip(trace._symbols(), trace.layers, strict=True))
    scaled = "scaled: (x - shift) * scale of the network's {} scaling"
    yield Step("X", trace.X, scaled.format("input") if trace._input_scaled else "", given=True)
    for i, ((H, Z), layer) in enumerate(layers):
        if i in skipped:
            if i == skipped.start:
                yield Step("", remark=_skipped(skipped))
            continue
        A = layers[i - 1][0][1] if i else "X"
        yield Step(f"W{i + 1}", layer.W, given=True)
        if layer.b is not None:
            yield Step(f"b{i + 1}", layer.b, given=True)
        yield Step(f"{H} = {A} W{i + 1}" + f" + b{i + 1}" * (layer.b is not None), layer.H)
        sigma = ACTIVATIONS[layer.activation].formula
        yield Step(f"{Z} = sigma({H})", layer.Z, f"{layer.activation}: sigma(h) = {sigma}")
    remark = scaled.format("output") if trace._output_scaled else ""
    yield Step("Y", trace.Y, remark, given=True)
    yield from _loss_steps(trace)
    for i in range(len(layers) - 1, -1, -1):
        (H, _), layer = layers[i]
        if i in skipped:
            if i == skipped[-1]:
                yield Step("", remark=_skipped(skipped))
            continue
        if i + 1 < len(layers):
            above = layers[i + 1][0][0]
            yield _derivative(layers[i])
            yield Step(f"delta_{H} = (delta_{above} W{i + 2}^T) * sigma'({H})", layer.delta)
        A = layers[i - 1][0][1] if i else "X"
        number = "(1)" if i + 1 == len(layers) else "(2)"
        yield Step(f"grad W{i + 1} = 1/N {A}^T delta_{H}", layer.grad_W, number)
        if layer.grad_b is not None:
            yield Step(f"grad b{i + 1} = 1/N sum_n delta_{H}", layer.grad_b)


def _loss_steps(trace: "Trace") -> Iterator[Step]:
    """N, L and delta_O."""
    layer = trace.layers[-1]
    name = losses.name_of(trace._kind)
    spec = losses.spec_of(trace._kind)
    assert spec is not None  # `Network.trace` takes no Python function
    L, delta, where = spec.formulas_for(layer.activation)
    w = "w * " if trace.weight is not None else ""
    parameter = spec.parameter_of(trace._kind)
    L, delta, where = (text.format(w=w, parameter=parameter) for text in (L, delta, where))
    if w:
        yield Step("w", trace.weight, "how often each target counts", given=True)
    counted = "" if len(trace.X) == trace.N else "the sum of the sample weights"
    yield Step("N", trace.N, counted)
    yield Step(f"L = {L}", trace.loss, name.replace("_", " "))
    if where:
        yield Step(where, remark="in L and delta_O" if name != "squared_error" else "")
    if "sigma'" in delta:
        yield _derivative((("O", "Y_hat"), layer))
    if name == "cross_entropy" and layer.activation == "softmax" and not w:
        sums = trace.Y.sum(axis=1)
        if (sums == 1).all():
            delta = "Y_hat - Y"
    yield Step(f"delta_O = {delta}", layer.delta)


def _derivative(named: "tuple[tuple[str, str], LayerTrace]") -> Step:
    """The line of a layer's sigma', in the layer's own symbols."""
    (H, Z), layer = named
    formula = ACTIVATIONS[layer.activation].derivative
    formula = re.sub(r"\b[hz]\b", lambda letter: H if letter[0] == "h" else Z, formula)
    equation = f"sigma'({H})" + (f" = {formula}" if formula else "")
    return Step(equation, layer.sigma_prime, layer.activation)


def _skipped(layers: range) -> str:
    if len(layers) == 1:
        return f"... and layer {layers[0] + 1}: trace.layers[{layers[0]}]"
    return (
        f"... and layers {layers[0] + 1} to {layers[-1] + 1}: trace.layers[{layers[0]}] to "
        f"trace.layers[{layers[-1]}]"
    )


# ---------------------------------------------------------------------------------------- as text


def _lines(step: Step, edge: int) -> list[str]:
    """A formula with its remark and shape, then the matrix; a single line where there is room."""
    remark = f"   {step.remark}" if step.remark else ""
    if not isinstance(step.value, np.ndarray):
        number = "" if step.value is None else f" = {step.value:.6g}"
        return [f"{step.formula}{number}{remark}".strip()]
    first = f"{step.formula}   {_shape(step.value)}{remark}"
    if step.hidden:
        return [first]
    matrix = np.array2string(
        step.value + 0.0,  # no -0
        max_line_width=100,
        precision=4,
        suppress_small=False,
        threshold=0,
        edgeitems=edge,
        floatmode="maxprec",
        separator=" ",
        sign="-",
    ).splitlines()
    return [first, *(f"    {line}" for line in matrix)]


def _shape(A: np.ndarray) -> str:
    return f"({' x '.join(map(str, A.shape))})"


# -------------------------------------------------------------------------------------- as MathML


def _row(step: Step, edge: int) -> str:
    """A row of the table: the formula with its value, and what it is."""
    if not step.formula:
        return f'<tr><td colspan="3" style="text-align: left">{escape(step.remark)}</td></tr>'
    shape, value = "", ""
    if isinstance(step.value, np.ndarray):
        value = "" if step.hidden else _matrix(step.value, edge)
        shape = _shape(step.value).replace("x", "×")
    elif step.value is not None:
        value = _number(step.value)
    content = mathml(step.formula) + (f"<mo>=</mo>{value}" if value else "")
    return (
        f'<tr><td style="text-align: left"><math alttext={quoteattr(step.formula)}>'
        f'<mrow>{content}</mrow></math></td><td style="white-space: nowrap">{shape}</td>'
        f'<td style="text-align: left">{_remark(step.remark)}</td></tr>'
    )


def _remark(remark: str) -> str:
    """A remark in words, a formula after its colon as MathML."""
    words, colon, formula = remark.partition(": ")
    if not formula.startswith("sigma("):
        return escape(remark)
    math = f"<math alttext={quoteattr(formula)}><mrow>{mathml(formula)}</mrow></math>"
    return f"{escape(words)}{colon}{math}"


def _matrix(A: np.ndarray, edge: int) -> str:
    """Brackets around a table of numbers; long rows and columns are cut as NumPy cuts them."""
    A = np.atleast_2d(A)
    lines = [
        "".join(f"<mtd>{_cell(A, i, k)}</mtd>" for k in _kept(A.shape[1], edge))
        for i in _kept(len(A), edge)
    ]
    table = "".join(f"<mtr>{line}</mtr>" for line in lines)
    return f"<mrow><mo>[</mo><mtable>{table}</mtable><mo>]</mo></mrow>"


def _kept(n: int, edge: int) -> list[int | None]:
    """The indices to show; None is where some are left out."""
    if n <= 2 * edge:
        return [*range(n)]
    return [*range(edge), None, *range(n - edge, n)]


def _cell(A: np.ndarray, i: int | None, k: int | None) -> str:
    if i is None or k is None:
        return f"<mo>{'⋱' if i is k else '⋮' if i is None else '⋯'}</mo>"
    return _number(float(A[i, k]))


def _number(value: float) -> str:
    text = f"{value + 0.0:.4g}"  # no -0
    sign = "<mo>−</mo>" * text.startswith("-")
    return f"<mrow>{sign}<mn>{text.lstrip('-')}</mn></mrow>"


# A formula's words, longest first.
_TOKENS = re.compile(
    r"(?P<space>\s+)|(?P<fraction>1/\(2N\)|1/N|dl/dO)|(?P<sum>sum(?:_\w)?\b)|(?P<grad>grad\b)"
    r"|(?P<delta>delta_)|(?P<hat>Y_hat\b)|(?P<prime>sigma')|(?P<name>[A-Za-z]+)(?P<index>\d*)"
    r"|(?P<number>[\d.]+)|(?P<power>\^\w)|(?P<at_most><=)|(?P<sign>.)"
)
_GREEK = {"sigma": "σ", "delta": "δ"}
_WORDS = {"where", "else"}
_FRACTIONS = {"1/N": ("<mn>1</mn>", "<mi>N</mi>"), "dl/dO": ("<mi>dl</mi>", "<mi>dO</mi>")}
_FRACTIONS["1/(2N)"] = ("<mn>1</mn>", "<mrow><mn>2</mn><mi>N</mi></mrow>")
_SIGNS = {"*": "⊙", "-": "−"}


def mathml(formula: str) -> str:
    """Presentation MathML of a formula, without the <math> around it."""
    groups: list[list[str]] = [[]]
    prefix = ""
    for token in _TOKENS.finditer(formula):
        kind, text = str(token.lastgroup), token[0]
        kind = "name" if kind == "index" else kind
        if kind == "space":
            continue
        if kind == "delta":
            prefix = "δ"
            continue
        if text == "(":
            groups.append(["<mo>(</mo>"])
            continue
        if text == ")" and len(groups) > 1:
            piece = "<mrow>" + "".join([*groups.pop(), "<mo>)</mo>"]) + "</mrow>"
        elif kind == "power":
            exponent = "<mi>T</mi>" if text[1] == "T" else f"<mn>{text[1]}</mn>"
            piece = f"<msup>{groups[-1].pop()}{exponent}</msup>"
        else:
            piece = _piece(kind, token)
        if prefix:
            piece, prefix = f"<msub><mi>{prefix}</mi>{piece}</msub>", ""
        groups[-1].append(piece)
    return "".join(part for group in groups for part in group)


def _piece(kind: str, token: "re.Match[str]") -> str:
    text = token[0]
    if kind == "fraction":
        above, below = _FRACTIONS[text]
        return f"<mfrac>{above}{below}</mfrac>"
    if kind == "sum":
        _, _, index = text.partition("_")
        return f"<munder><mo>∑</mo><mi>{index}</mi></munder>" if index else "<mo>∑</mo>"
    if kind == "grad":
        return "<mo>∇</mo>"
    if kind == "hat":
        return '<mover accent="true"><mi>Y</mi><mo>^</mo></mover>'
    if kind == "prime":
        return "<msup><mi>σ</mi><mo>′</mo></msup>"
    if kind == "name":
        name = _GREEK.get(token["name"], token["name"])
        if name in _WORDS:
            return f"<mtext>&#160;{name}&#160;</mtext>"
        letter = f"<mi>{name}</mi>"
        return f"<msub>{letter}<mn>{token['index']}</mn></msub>" if token["index"] else letter
    if kind == "number":
        return f"<mn>{text}</mn>"
    return f"<mo>{escape('≤' if kind == 'at_most' else _SIGNS.get(text, text))}</mo>"
