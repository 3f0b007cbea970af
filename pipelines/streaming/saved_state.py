"""DALI's saved state taken apart, to carry it between graphs that share operators of the same names.

DALI restores a state only into the very graph it came from. The graphs of pipelines.streaming.mending have fewer
or more operators than the training graph, so each operator's part is moved by its name. The bytes are a protobuf
message: field 1, repeated, is an operator's name and state; what follows belongs to the pipeline. The tests would
notice another layout.
"""

from __future__ import annotations

_OPERATOR = 1
_BYTES = 2


def transplant(state: bytes, into: bytes) -> bytes:
    """The state of graph `into` with every operator that `state` also knows as it is there.

    Args:
        state: saved by one graph.
        into: saved by the other before its first batch.
    """
    known = {_name(content): whole for field, content, whole in _fields(state) if field == _OPERATOR}
    operators = [known.get(_name(content), whole) for field, content, whole in _fields(into) if field == _OPERATOR]
    rest = [whole for field, _, whole in _fields(state) if field != _OPERATOR]
    return b"".join([*operators, *rest])


def _name(operator: bytes) -> bytes:
    return next(content for field, content, _ in _fields(operator) if field == 1)


def _fields(message: bytes) -> list[tuple[int, bytes, bytes]]:
    """Number, content and whole encoding of every field; all of them are length-delimited."""
    found, start = [], 0
    while start < len(message):
        tag, at = _varint(message, start)
        assert tag & 7 == _BYTES, "DALI's saved state has another layout than 2.4's"
        length, at = _varint(message, at)
        found.append((tag >> 3, message[at : at + length], message[start : at + length]))
        start = at + length
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
