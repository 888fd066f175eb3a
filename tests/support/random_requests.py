"""Random requests to a random model: right ones, and right ones that went wrong somewhere."""

import copy
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from random import Random
from typing import Any

import numpy as np

from support.oip_reference import DTYPES, HALVES, WHOLE, to_bytes
from support.random_models import Input, RandomModel

MAX_SIZE = 4
UNLIKE = 0.03
"""Share of sizes that forget that they vary together with others."""
LARGE = 0.4
LARGE_BYTES = 5000
AUTO = -1
"""The header says where the JSON ends."""
RAW = 0.2
"""Share of what is sent, or asked for, as bytes."""
LETTERS = 'ab z0"\\/\n\x00\x7fäß\u2028日🌧'

TEXTS = ("", "a", "ü\n", '"\\', "\x00", "日本", "🌧", "north", "0")
JUNK = (None, True, 0, -1, 1.0, 1.5, 256, 2**63, 2**64, 10**30, "1", "", [], [1], {})
PARAMETERS = (
    {},
    {"null_is_missing": True},
    {"null_is_missing": False},
    {"priority": 5},
    {"classification": 2},
    {"a": None},
    {"a": []},
    [],
    None,
)


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: a body, and the value of `Inference-Header-Content-Length` if there is one."""

    body: bytes
    json_length: int | None = None


@dataclass(slots=True)
class _Draft:
    document: Any
    tensors: list[bytes] = field(default_factory=list)
    json_length: int | None = None
    ascii_only: bool = False
    indent: int | None = None
    tail: bytes = b""
    rewrite: Callable[[str], str] = str

    def request(self) -> Request:
        text = json.dumps(
            self.document, ensure_ascii=self.ascii_only, indent=self.indent, allow_nan=True
        )
        head = self.rewrite(text).encode("utf-8", "surrogatepass")
        length = len(head) if self.json_length == AUTO else self.json_length
        return Request(head + b"".join(self.tensors) + self.tail, length)


def draw(dice: Random, model: RandomModel) -> Request:
    """Return any request to the model; more than half of them are right."""
    if len(model.inputs) == 1 and dice.random() < RAW:
        return _raw(dice, model)
    draft = dice.choice((_usual, _usual, _right))(dice, model)
    for _ in range(dice.choice((0, 0, 0, 0, 0, 0, 1, 1, 1, 2))):
        dice.choice(CHANGES)(dice, draft, model)
    return draft.request()


def _raw(dice: Random, model: RandomModel) -> Request:
    tensor = model.inputs[0]
    shape = tuple(s if isinstance(s, int) else dice.randint(0, MAX_SIZE) for s in tensor.sizes)
    body = to_bytes(tensor.datatype, _array(dice, tensor.datatype, shape, for_json=False))
    if tensor.datatype == "BYTES":
        body = dice.choice((body, _text(dice).encode()))
    return Request(body + dice.choice((b"", b"", b"", b"\x00")), 0)


def _usual(dice: Random, model: RandomModel) -> _Draft:
    """Return what clients send: JSON where there can be, in the model's order, all outputs."""
    draft = _tensors(dice, model.inputs, binary=0, nested=0)
    if any(tensor.datatype in HALVES for tensor in model.signature.outputs):
        draft.document["parameters"] = {"binary_data_output": True}
    if dice.choice((True, False)):
        draft.document["id"] = f"r-{dice.randint(0, 99)}"
    if dice.random() < LARGE:
        draft.rewrite = _enlarged
    return draft


def _enlarged(text: str) -> str:
    """Return the same request as a large body, which is read in another way."""
    return text.replace("{", "{" + " " * LARGE_BYTES, 1)


def _right(dice: Random, model: RandomModel) -> _Draft:
    inputs = dice.sample(model.inputs, len(model.inputs))
    draft = _tensors(dice, inputs, binary=dice.choice((RAW, RAW, RAW, RAW, 1)), nested=0.5)
    draft.ascii_only = dice.choice((True, False))
    draft.indent = dice.choice((None, None, 1))
    _ask(dice, draft, model)
    if dice.choice((True, False)):
        draft.document["id"] = dice.choice(("", "r-1", 'ö"\\\n', "x" * 40))
    return draft


def _tensors(dice: Random, inputs: Sequence[Input], *, binary: float, nested: float) -> _Draft:
    """Return a request with these inputs, some of them as bytes and some nested."""
    named: dict[str | None, int] = {}
    draft = _Draft({"inputs": []})
    for tensor in inputs:
        shape = tuple(_size(dice, tensor, axis, named) for axis in range(len(tensor.sizes)))
        told: dict[str, Any] = {
            "name": tensor.name,
            "shape": list(shape),
            "datatype": tensor.datatype,
        }
        is_binary = tensor.datatype in HALVES or dice.random() < binary
        array = _array(dice, tensor.datatype, shape, for_json=not is_binary)
        if is_binary:
            raw = to_bytes(tensor.datatype, array)
            draft.tensors.append(raw)
            told["parameters"] = {"binary_data_size": len(raw)}
            draft.json_length = AUTO
        else:
            told["data"] = (array if dice.random() < nested else array.reshape(-1)).tolist()
        draft.document["inputs"].append(told)
    return draft


def _size(dice: Random, tensor: Input, axis: int, named: dict[str | None, int]) -> int:
    wanted = tensor.sizes[axis]
    if isinstance(wanted, int):
        return wanted
    size = dice.choice((1, 2, 3, 1, 2, 3, 0, MAX_SIZE))
    if dice.random() < UNLIKE:
        return size
    return size if wanted is None and axis else named.setdefault(wanted, size)


def _array(
    dice: Random, datatype: str, shape: tuple[int, ...], *, for_json: bool
) -> np.ndarray[Any, Any]:
    values = [_value(dice, datatype, for_json=for_json) for _ in range(prod(shape))]
    if datatype != "BYTES" and not for_json:
        dtype = np.dtype(DTYPES[datatype])
        return np.frombuffer(b"".join(dtype.type(v).tobytes() for v in values), dtype).reshape(
            shape
        )
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


def _value(dice: Random, datatype: str, *, for_json: bool) -> Any:
    if datatype == "BYTES":
        return _text(dice)
    if datatype == "BOOL":
        return dice.choice((True, False))
    if datatype in WHOLE:
        low, high = WHOLE[datatype]
        return dice.choice((low, high, 0, 1, dice.randint(low, high)))
    bits = np.frombuffer(dice.randbytes(8), np.dtype(DTYPES[datatype]))[0]
    if not for_json:
        return dice.choice((bits, bits, DTYPES[datatype](dice.choice((0.0, -0.0, 1.5, np.inf)))))
    easy = dice.choice((0.0, -0.0, 0.1, 1e-46, 5e-324, 3.4028234e38, 3.4028236e38, 16777217))
    whole = dice.choice((0, 1, -1, 2**53 + 1, 2**63, 2**64 - 1, 2**64, -(2**63)))
    anything = float(bits) if np.isfinite(bits) else 1.5
    return dice.choice((easy, whole, anything, anything, dice.gauss(0, 100)))


def _text(dice: Random) -> str:
    drawn = "".join(dice.choices(LETTERS, k=dice.randint(0, 6)))
    return dice.choice((*TEXTS, drawn, drawn, drawn))


def _ask(dice: Random, draft: _Draft, model: RandomModel) -> None:
    names = [tensor.name for tensor in model.signature.outputs]
    has_halves = any(tensor.datatype in HALVES for tensor in model.signature.outputs)
    if has_halves or dice.random() < RAW:
        every = has_halves or dice.choice((True, False))
        draft.document["parameters"] = {"binary_data_output": every}
    if dice.choice((True, False)):
        return
    asked: list[dict[str, Any]] = [{"name": name} for name in dice.sample(names, len(names))]
    for output in asked:
        if dice.random() < RAW:
            output["parameters"] = {"binary_data": dice.choice((True, True, False))}
    draft.document["outputs"] = asked[: dice.randint(0, len(asked))]


# what goes wrong


def _one(dice: Random, draft: _Draft) -> dict[str, Any]:
    inputs = draft.document.get("inputs")
    tensors = [t for t in inputs if isinstance(t, dict)] if isinstance(inputs, list) else []
    return dice.choice(tensors) if tensors else {}


def _set_a_field(dice: Random, draft: _Draft, _: RandomModel) -> None:
    key = dice.choice(("inputs", "outputs", "id", "parameters"))
    draft.document[key] = dice.choice((*JUNK, *PARAMETERS))


def _drop_a_field(dice: Random, draft: _Draft, _: RandomModel) -> None:
    place = dice.choice((draft.document, _one(dice, draft)))
    if place:
        del place[dice.choice(sorted(place))]


def _change_an_input(dice: Random, draft: _Draft, _: RandomModel) -> None:
    tensor = _one(dice, draft)
    key = dice.choice(sorted(WRONG_FIELDS))
    tensor[key] = copy.deepcopy(dice.choice(WRONG_FIELDS[key]))


def _change_a_size(dice: Random, draft: _Draft, _: RandomModel) -> None:
    tensor = _one(dice, draft)
    if isinstance(tensor.get("shape"), list) and tensor["shape"]:
        axis = dice.randrange(len(tensor["shape"]))
        tensor["shape"][axis] = dice.randint(-1, 5)


def _innermost(dice: Random, tensor: dict[str, Any]) -> list[Any]:
    place = tensor.get("data")
    while isinstance(place, list) and place and isinstance(place[0], list):
        place = dice.choice(place)
    return place if isinstance(place, list) else []


def _change_an_element(dice: Random, draft: _Draft, _: RandomModel) -> None:
    place = _innermost(dice, _one(dice, draft))
    if not place:
        return
    index = dice.randrange(len(place))
    match dice.choice(("junk", "one more", "one less", "a number")):
        case "junk":
            place[index] = dice.choice(JUNK)
        case "one more":
            place.append(place[index])
        case "one less":
            del place[index]
        case "a number":
            place[index] = dice.choice((1e300, -1e39, 2**31, -(2**31) - 1, 65536, 70000.0, -129))


def _say_nulls(dice: Random, draft: _Draft, _: RandomModel) -> None:
    tensor = _one(dice, draft)
    place = _innermost(dice, tensor)
    if place:
        tensor["parameters"] = {"null_is_missing": dice.choice((True, True, True, False, 1))}
        place[dice.randrange(len(place))] = None


def _change_the_inputs(dice: Random, draft: _Draft, _: RandomModel) -> None:
    inputs = draft.document.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        return
    index = dice.randrange(len(inputs))
    match dice.choice(("twice", "gone", "junk")):
        case "twice":
            inputs.append(copy.deepcopy(inputs[index]))
        case "gone":
            del inputs[index]
        case "junk":
            inputs[index] = dice.choice(JUNK)


def _change_the_outputs(dice: Random, draft: _Draft, model: RandomModel) -> None:
    names = [tensor.name for tensor in model.signature.outputs]
    asked: list[dict[str, Any]] = [{"name": dice.choice(names)} for _ in range(dice.randint(0, 3))]
    if asked and dice.choice((True, False)):
        dice.choice(asked)["name"] = dice.choice(("", "unknown", None, 1))
    for output in asked:
        if dice.choice((True, False)):
            wrong = ({"binary_data": 1}, {"binary_data": "true"}, *PARAMETERS)
            output["parameters"] = dice.choice(wrong)
    draft.document["outputs"] = asked


def _change_binary_sizes(dice: Random, draft: _Draft, _: RandomModel) -> None:
    size = dice.choice((0, 1, 4, 8, -1, 10**12, 4.0, "4", True, None))
    _one(dice, draft)["parameters"] = {"binary_data_size": size}


def _change_the_bytes(dice: Random, draft: _Draft, _: RandomModel) -> None:
    if not draft.tensors:
        draft.tail = dice.randbytes(dice.randint(1, 9))
        return
    index = dice.randrange(len(draft.tensors))
    raw = draft.tensors[index]
    at = dice.randint(0, len(raw))
    draft.tensors[index] = dice.choice(
        (
            raw[:at],
            raw + b"\x00",
            raw[:at] + b"\xff" + raw[at + 1 :],
            raw[:at] + b"\x02" + raw[at:],
            raw[:at] + b"\x02" + raw[at + 1 :],
            struct.pack("<I", 2**32 - 1) + raw[4:],
        )
    )


def _change_the_header(dice: Random, draft: _Draft, _: RandomModel) -> None:
    draft.json_length = dice.choice((None, AUTO, 1, 10, 10**6))


def _change_the_text(dice: Random, draft: _Draft, _: RandomModel) -> None:
    before, change = draft.rewrite, dice.choice(REWRITES)
    draft.rewrite = lambda text: change(before(text))


CHANGES: tuple[Callable[[Random, _Draft, RandomModel], None], ...] = (
    _set_a_field,
    _drop_a_field,
    _change_an_input,
    _change_a_size,
    _change_an_element,
    _change_an_element,
    _change_an_element,
    _change_an_element,
    _say_nulls,
    _change_the_inputs,
    _change_the_outputs,
    _change_binary_sizes,
    _change_the_bytes,
    _change_the_bytes,
    _change_the_header,
    _change_the_text,
)
WRONG_FIELDS: dict[str, tuple[Any, ...]] = {
    "name": ("x", "y", "", 5, None),
    "datatype": (*DTYPES, "BYTES", "fp32", "FLOAT", "", None, 1),
    "shape": ([], [1], [2, 1], [-1], [1.0], ["1"], [True], 1, None, [0, 9], [0, 2**40]),
    "data": JUNK,
    "parameters": PARAMETERS,
}
REWRITES: tuple[Callable[[str], str], ...] = (
    lambda text: "",
    lambda text: text[:-1],
    lambda text: text + "}",
    lambda text: "\ufeff" + text,
    lambda text: f"[{text}]",
    lambda text: text.replace("{", '{"id": "first", ', 1),
    lambda text: text.replace("{", '{"id": "\\ud800", ', 1),
    lambda text: text.replace("{", '{"é": [[{}]], ', 1),
    lambda text: text.replace("{", '{"inputs": 5, ', 1),
    lambda text: text.replace('"data"', '"data": [1], "data"', 1),
    lambda text: text.replace('"shape"', '"shape": [1], "shape"', 1),
    lambda text: text.replace('"name"', '"name": "x", "name"', 1),
    lambda text: text.replace("1", "NaN", 1),
    lambda text: text.replace("1", "1e5", 1),
    lambda text: text.replace("1", "1E+2", 1),
    lambda text: text.replace("1", "1e400", 1),
    lambda text: text.replace("1", "01", 1),
    lambda text: text.replace("1", "+1", 1),
    lambda text: text.replace("1", "1.", 1),
    lambda text: text.replace("0.1", "0.10000000000000000000001"),
    lambda text: text.replace("1", "-0", 1),
    lambda text: text.replace("1", "123456789012345678901234567890", 1),
    lambda text: text.replace('"a"', '"\ud800"', 1),
    lambda text: text.replace('"a"', '"\x01"', 1),
    lambda text: text.replace(",", ",,", 1),
    lambda text: text.replace("}", ", }", 1),
    lambda text: text.replace(" ", "\n\t\r ", 3),
)
