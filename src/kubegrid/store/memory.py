"""What a key costs: the constants by which memory is counted, measured on CPython 3.11 (64 bits).

Python offers no cheap way to ask what an object costs with its share of the tables that hold it, so the keyspace counts
`length + constant`. The constants were measured as growth of the resident set (`tests/unit/store/test_memory.py`
measures them again): pymalloc rounds up to 16 bytes, a `bytes` object has 33 bytes beside its content, and an entry of a
dictionary costs between 27 and 55 bytes depending on how full it is (about 37 at 61 keys a slot, one million keys).
They lean to the high side: counting too much refuses a write early, counting too little gets the process killed.
"""

from typing import Final

KEY_OVERHEAD_BYTES: Final = 132
"""A key with a string value: two `bytes` objects with their rounding (82 … 98) and an entry of the slot's dictionary."""
EXPIRY_OVERHEAD_BYTES: Final = 136
"""A key that expires: an entry of the slot's second dictionary, an integer, and possibly a second copy of the key."""
HASH_OVERHEAD_BYTES: Final = 104
"""An empty compact hash, beyond what `KEY_OVERHEAD_BYTES` counts for a string value: object and list with its array."""
COMPACT_FIELD_OVERHEAD_BYTES: Final = 52
"""A field of a compact hash: a `bytes` object with its rounding and its place in the list. Names are shared."""
SHARDED_FIELD_OVERHEAD_BYTES: Final = 132
"""A field of a large hash: as much as a key with a string value; the field's name is counted as well."""
SHARDED_OVERHEAD_BYTES: Final = 400
"""A large hash without its fields: object, list of shards, first dictionary."""
COLD_ROW_BYTES: Final = 32
"""A row of a block, beyond its key: the integer that stands for it. Its columns are counted with the block."""
INDEX_ENTRY_BYTES: Final = 12
"""A record in an index: its place in a list, with what the list keeps free."""
INDEX_VALUE_BYTES: Final = 168
"""A value of an index that some record has: an entry of a dictionary, the value, and a list."""
REQUEST_OVERHEAD_BYTES: Final = 180
"""A reply that is kept for a client that may ask again."""
REQUESTS_CLIENT_BYTES: Final = 600
"""A client with numbered requests: its identity, times and the dictionary of its replies."""
