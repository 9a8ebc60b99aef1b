"""Thrift's compact protocol, in which Parquet says what it holds: as much of it as reads any struct, and trusts none.

After thrift-compact-protocol.md of Apache Thrift. What the bytes claim is compared with how many there are.
"""

from collections.abc import Callable
from typing import Any

MAX_DEPTH = 32
Struct = dict[int, Any]  # a field's number to its value: bool, int, bytes, list, Struct; a float or a map is None

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


class ThriftError(ValueError):
    """The bytes are no struct."""


class TooShortError(ThriftError):
    """They may be the beginning of one."""


def read_struct(data: bytes) -> tuple[Struct, int]:
    """The struct at the beginning of these bytes, and how many of them it takes.

    Raises: ThriftError, of it TooShortError where more bytes might complete it.
    """
    reader = _Reader(data)
    return reader.struct(0), reader.at


class _Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0
        self._read: dict[int, Callable[[int], Any]] = {
            _TRUE: self._bool,
            _FALSE: self._bool,
            _BYTE: lambda _: self._take(1)[0],
            _I16: lambda _: self._integer(),
            _I32: lambda _: self._integer(),
            _I64: lambda _: self._integer(),
            _DOUBLE: lambda _: self._take(8) and None,
            _BINARY: lambda _: self._take(self._varint()),
            _LIST: self._list,
            _SET: self._list,
            _MAP: self._map,
            _STRUCT: self.struct,
        }

    def struct(self, depth: int) -> Struct:
        if depth > MAX_DEPTH:
            raise ThriftError(f"structs more than {MAX_DEPTH} deep")
        found, number = Struct(), 0
        while (head := self._take(1)[0]) != 0:
            kind, step = head & 15, head >> 4
            number = number + step if step else self._integer()
            # The value of a boolean field is its type.
            found[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth + 1)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        read = self._read.get(kind)
        if read is None:
            raise ThriftError(f"a value of the unknown type {kind}")
        return read(depth)

    def _list(self, depth: int) -> list[Any]:
        head = self._take(1)[0]
        kind, size = head & 15, head >> 4
        size = self._varint() if size == 15 else size
        self._refuse_more(size)
        return [self._value(kind, depth + 1) for _ in range(size)]

    def _map(self, depth: int) -> None:
        size = self._varint()
        self._refuse_more(size)
        if size:
            kinds = self._take(1)[0]
            for _ in range(size):
                self._value(kinds >> 4, depth + 1)
                self._value(kinds & 15, depth + 1)

    def _bool(self, _: int) -> bool:
        return self._take(1)[0] == _TRUE

    def _refuse_more(self, size: int) -> None:
        # No value takes less than a byte.
        if size > len(self.data) - self.at:
            raise TooShortError(f"a list of {size:,} in {len(self.data) - self.at:,} bytes")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ThriftError("an integer of more than 64 bits")

    def _take(self, count: int) -> bytes:
        start, self.at = self.at, self.at + count
        if self.at > len(self.data):
            raise TooShortError(f"{count:,} bytes wanted, {len(self.data) - start:,} there")
        return self.data[start : self.at]
