"""A restricted unpickler: it interprets the opcodes of a pickle, and calls nothing that the pickle names.

A name in a pickle, such as `collections.OrderedDict`, becomes a `Name`, if it is in one of the tables of
`rebuild.py`; any other name is refused. Nothing is imported. "Calling" a name looks up our own function in
that table.

The number of opcodes and the size of integers are bounded.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from typing import Any

from gantl_zoo.convert.limits import Use
from gantl_zoo.convert.rebuild import call, construct, fill, name_of
from gantl_zoo.convert.tree import key
from gantl_zoo.errors import WeightsError

MAX_INTEGER = 1 << 127
VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINSTRING", "SHORT_BINSTRING", "BYTEARRAY8"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_SET": set,
    "EMPTY_TUPLE": tuple,
}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
MARK = object()


class Machine:
    """Unpickles one value from `file`, at its position. `persistent` rebuilds what a persistent id means.

    Raises `WeightsError` for a name or an opcode that files of weights don't need, or above a limit.
    Raises other exceptions, such as `ValueError` or `IndexError`, for a damaged pickle.
    """

    def __init__(self, file: io.BytesIO, use: Use, persistent: Callable[[Any], Any] | None = None) -> None:
        self.file, self.use, self.persistent = file, use, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The value that the pickle describes."""
        for opcode, argument, _ in pickletools.genops(self.file):
            self.use.opcode()
            if opcode.name == "STOP":
                return self.pop()
            self.step(opcode.name, argument)
        raise WeightsError("it has no end")

    def step(self, opcode: str, argument: Any) -> None:
        """Execute one opcode."""
        if opcode in VALUES:
            if isinstance(argument, int) and abs(argument) > MAX_INTEGER:
                raise WeightsError("it has an integer of more than 128 bits")
            self.stack.append(argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        elif opcode in EMPTY:
            self.stack.append(EMPTY[opcode]())
        elif opcode in TUPLES:
            self.stack.append(tuple(reversed([self.pop() for _ in range(TUPLES[opcode])])))
        elif opcode in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = self.top()
        elif opcode in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif (action := getattr(self, f"on_{opcode.lower()}", None)) is not None:
            action(argument)
        elif opcode not in ("PROTO", "FRAME"):
            raise WeightsError(f"it uses the opcode {opcode}, which files of weights don't need")

    def on_mark(self, argument: Any) -> None:
        self.stack.append(MARK)

    def on_tuple(self, argument: Any) -> None:
        self.stack.append(tuple(self.marked()))

    def on_frozenset(self, argument: Any) -> None:
        self.stack.append(frozenset(map(key, self.marked())))

    def on_pop(self, argument: Any) -> None:
        self.pop()

    def on_append(self, argument: Any) -> None:
        value = self.pop()
        self.top(list).append(value)

    def on_appends(self, argument: Any) -> None:
        values = self.marked()
        self.top(list).extend(values)

    def on_additems(self, argument: Any) -> None:
        values = self.marked()
        self.top(set).update(map(key, values))

    def on_setitem(self, argument: Any) -> None:
        value, name = self.pop(), self.pop()
        self.top(dict)[key(name)] = value

    def on_setitems(self, argument: Any) -> None:
        values = self.marked()
        if len(values) % 2:
            raise WeightsError("it has a key without a value")
        self.top(dict).update(zip(map(key, values[::2]), values[1::2], strict=True))

    def on_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(name_of(module, name))

    def on_stack_global(self, argument: Any) -> None:
        name, module = self.pop(), self.pop()
        self.stack.append(name_of(module, name))

    def on_binpersid(self, argument: Any) -> None:
        if self.persistent is None:
            raise WeightsError("it refers to data outside the pickle")
        self.stack.append(self.persistent(self.pop()))

    def on_reduce(self, argument: Any) -> None:
        arguments, function = self.pop(), self.pop()
        self.stack.append(call(function, arguments, self.use))

    def on_newobj(self, argument: Any) -> None:
        arguments, of = self.pop(), self.pop()
        self.stack.append(construct(of, arguments))

    def on_build(self, argument: Any) -> None:
        state = self.pop()
        fill(self.use, self.top(), state)

    def pop(self) -> Any:
        """Take the last value off the stack."""
        if not self.stack or self.stack[-1] is MARK:
            raise WeightsError("it takes a value from an empty stack")
        return self.stack.pop()

    def top(self, expected: type = object) -> Any:
        """The last value on the stack, which stays there."""
        if not self.stack or self.stack[-1] is MARK or not isinstance(self.stack[-1], expected):
            raise WeightsError(f"it has another value where a {expected.__name__} belongs")
        return self.stack[-1]

    def marked(self) -> list[Any]:
        """Take all values above the last mark off the stack, and the mark."""
        values: list[Any] = []
        while self.stack and self.stack[-1] is not MARK:
            values.append(self.stack.pop())
        if not self.stack:
            raise WeightsError("it has no mark where one belongs")
        self.stack.pop()
        return values[::-1]
