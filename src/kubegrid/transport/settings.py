"""Limits of links, with their reasons."""

import msgspec

MIB = 1024 * 1024


class TransportSettings(msgspec.Struct, frozen=True):
    """What one link and one listener may use up."""

    frame_bytes_max: int = 128 * MIB
    """Longest frame: one entry, that is what one turn changed; `EXEC` and `MSET` are one entry whatever they hold, up to a
    request's limit (32 MiB) with its envelopes, and what a COPY adds. A longer one closes the link."""
    handshake_bytes_max: int = 4096
    """Longest frame before the handshake is done: whoever proved nothing makes us keep no more than this."""
    handshake_timeout_s: float = 3.0
    """A handshake that takes longer is given up. A healthy one takes a millisecond; this survives a busy machine."""
    handshakes_max: int = 64
    """Handshakes that a listener has open at once. The oldest goes when another comes: a flood cannot lock others out."""
    backlog_bytes_max: int = 256 * MIB
    """Bytes written and not taken by the peer: beyond it the link is closed, for the peer does not read."""
    silence_s: float = 3.0
    """A machine that acknowledges nothing for this long is given up, and the link made anew. The kernel itself would try ever
    more seldom, for a quarter of an hour: after a cut of a minute it may be another one before it tries again. Longer than
    any time of the replication protocol, which need not wait for it."""
    linger_s: float = 1.0
    """After `close`, what was written has this long to leave."""
