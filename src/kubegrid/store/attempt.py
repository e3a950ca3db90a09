"""Commands that are executed together or not at all: what the first of them did is taken back when a later one may not be.

By the same undo records that a deposed primary uses; nothing of it gets into the log. What they do is one entry of the log
and one frame, so it has a limit: a few words can ask for a large value to be made again and again.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubegrid.store.keyspace import Keyspace


class Attempt:
    """Begun before the first of the commands; ends with `keep` or `take_back`."""

    def __init__(self, keyspace: "Keyspace") -> None:
        self._keyspace = keyspace
        self._recording = keyspace.recording
        self._effects, self._undo = len(keyspace.effects), len(keyspace.undo)
        self._written = len(keyspace.written)
        self._made_bytes_max = keyspace.made_bytes + keyspace.settings.atomic_bytes_max
        keyspace.recording = True

    @property
    def too_large(self) -> bool:
        """Whether the commands made more bytes of values than one entry may have beside their requests."""
        return self._keyspace.made_bytes > self._made_bytes_max

    def keep(self) -> None:
        keyspace = self._keyspace
        if not self._recording:
            del keyspace.effects[self._effects :], keyspace.undo[self._undo :]
        keyspace.recording = self._recording

    def take_back(self) -> None:
        keyspace = self._keyspace
        keyspace.revert(keyspace.undo[self._undo :])
        del keyspace.effects[self._effects :], keyspace.undo[self._undo :], keyspace.written[self._written :]
        keyspace.recording = self._recording
