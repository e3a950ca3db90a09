"""Shapes: the field names that many small hashes have in common, kept once.

The idea is that of the hidden classes of Self and V8: records of one kind have the same fields in the same order, so a
small hash holds only its values and points to its shape. A shape lives while a hash uses it. The table of shapes is
bounded in number, in fields per shape and in the length of names, so that hashes with random fields cannot fill the
memory with it: beyond the bounds a hash keeps its names for itself (`shards`). Next: `hashes`.
"""

from typing import Final
from weakref import WeakValueDictionary

SHAPES_MAX: Final = 1024
"""Shapes known at once; with the two limits below the table stays under about 11 MB at worst."""
SHAPE_FIELDS_MAX: Final = 64
"""Fields of a small hash. Above it a dictionary of its own is worth its memory."""
SHAPE_NAME_BYTES_MAX: Final = 64
"""Longest field name that is worth sharing."""


class Shape:
    """An ordered set of field names. Invariant: `index[fields[i]] == i`."""

    __slots__ = ("__weakref__", "fields", "index")

    def __init__(self, fields: tuple[bytes, ...]) -> None:
        self.fields = fields
        self.index = {field: i for i, field in enumerate(fields)}


_shapes: WeakValueDictionary[tuple[bytes, ...], Shape] = WeakValueDictionary()


def shape_of(fields: tuple[bytes, ...]) -> Shape | None:
    """The shape with exactly these different names in this order, or None when the limits do not allow one."""
    shape = _shapes.get(fields)
    if shape is None:
        if len(fields) > SHAPE_FIELDS_MAX or len(_shapes) >= SHAPES_MAX:
            return None
        if fields and max(map(len, fields)) > SHAPE_NAME_BYTES_MAX:
            return None
        shape = _shapes[fields] = Shape(fields)
    return shape


def known_shape(fields: tuple[bytes, ...]) -> Shape | None:
    """The shape of these names if some hash has it now. Names that stand twice have none."""
    return _shapes.get(fields)
