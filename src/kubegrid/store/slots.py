"""Which slot a key belongs to: the Redis Cluster rule, CRC16 of the key, or of its `{tag}` when it has one."""

from binascii import crc_hqx


def slot_of(key: bytes) -> int:
    """The slot (0–16383) of `key`. Only the first `{` counts, and only when the first `}` after it leaves a tag."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) & 16383
