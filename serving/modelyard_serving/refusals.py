"""Why a model cannot be served, in one sentence that says what to do; from onnxruntime's own words."""

import re
from collections.abc import Callable, Iterable, Mapping

import onnxruntime

from modelyard_serving import codec

MAX_SENTENCE = 300
ONNX_DOMAIN = "ai.onnx"
KNOWN_DOMAINS = frozenset({"", ONNX_DOMAIN, "ai.onnx.ml", "com.microsoft"})
NOISE = (
    re.compile(r"/\S+:\d+ .*?\) (?:const )?(?=[A-Za-z\[])"),
    re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : "),
    re.compile(r"\b\w+\.(?:cc|h):\d+ \w+ "),
)
"""Where in onnxruntime's source an error comes from, and its codes."""

OPSET = re.compile(
    r"Opset (\d+) is under development.*support for domain (\S+) is till opset (\d+)", re.DOTALL
)
IR_VERSION = re.compile(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)")
CUSTOM = (
    re.compile(r"Fatal error: (?P<domain>[^\s:]*):(?P<operator>[^\s(]+)\("),
    re.compile(r'In Node, \(".*?", (?P<operator>\S+), "(?P<domain>.*?)", -?\d+\)'),
)
OPERATOR = re.compile(
    r'In Node, \(".*?", \S+, "(.*?)", .*No Op registered for (\S+) with domain_version of (\d+)',
    re.DOTALL,
)

TYPE_ADVICE: Mapping[str, str] = {
    "seq(map": "convert the classifier without it: skl2onnx takes options={'zipmap': False}",
    "map": "convert the model so that it gives the values as a tensor, with zipmap=False",
    "seq": "give every element a tensor of its own, or join them with ConcatFromSequence",
    "optional": "declare the tensor itself, with an empty one where there is no value",
    "sparse_tensor": "declare a dense tensor",
}
"""What to do about a type, by how onnxruntime's name of it begins."""


def unservable_type(what: str, kind: str) -> str:
    """Return why an input or output of this type cannot be served.

    >>> unservable_type("output 'y'", "sparse_tensor(float)")
    "output 'y' is sparse_tensor(float); only plain tensors can be served: declare a dense tensor"
    """
    known = ", ".join(sorted(name.removeprefix("tensor") for name in codec.ONNX_TYPES))
    advice = next(
        (advice for begin, advice in TYPE_ADVICE.items() if kind.startswith(begin)),
        f"use one of the element types {known}",
    )
    return f"{what} is {kind}; only plain tensors can be served: {advice}"


def loading_failure(error: Exception) -> str:
    """Return why onnxruntime cannot load a model."""
    text = str(error)
    explained = (explain(text) for explain in EXPLANATIONS)
    plain = f"{_runtime()} cannot load the model: {first_line(error)}"
    return next(filter(None, explained), plain)


def _runtime() -> str:
    return f"onnxruntime {onnxruntime.__version__}"


def _opset(text: str) -> str:
    if (found := OPSET.search(text)) is None:
        return ""
    opset, domain, highest = found.groups()
    return (
        f"the model needs opset {opset} of {domain}, {_runtime()} knows them up to "
        f"{highest.rstrip('.')}: export it with an older one"
    )


def _ir_version(text: str) -> str:
    if (found := IR_VERSION.search(text)) is None:
        return ""
    version, highest = found.groups()
    return (
        f"the model has IR version {version}, {_runtime()} reads them up to {highest}: "
        "save it with an older one"
    )


def _custom_operator(text: str) -> str:
    found: Iterable[re.Match[str]] = filter(None, (pattern.search(text) for pattern in CUSTOM))
    for match in found:
        if match["domain"] not in KNOWN_DOMAINS:
            return (
                f"the model uses operator {match['operator']} of domain {match['domain']!r}, which "
                f"{_runtime()} does not have: export it with operators of ONNX, custom ones are "
                "not served"
            )
    return ""


def _operator(text: str) -> str:
    if (found := OPERATOR.search(text)) is None:
        return ""
    domain, operator, opset = found.groups()
    return (
        f"the model uses operator {operator}, which opset {opset} of {domain or ONNX_DOMAIN} does "
        "not have: export it anew, or name the opset that has it"
    )


EXPLANATIONS: tuple[Callable[[str], str], ...] = (_opset, _ir_version, _custom_operator, _operator)


def first_line(error: Exception) -> str:
    """Return what an error says, without onnxruntime's codes and source positions."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    for noise in NOISE:
        line = noise.sub("", line)
    return line[:MAX_SENTENCE]
