"""Which commands took long: the entries of SLOWLOG, and the events of LATENCY.

Reading a clock twice costs a twentieth of a short command, so it is not done for each (`dispatch`): a command that may take
long, or has many words, is measured every time; one that takes the same few microseconds whatever is stored, one time in
sixteen. Where somebody asks for commands shorter than `EACH_BELOW_US`, every command is measured, and plain GETs and SETs
are executed one by one.

Pure: it is told times and keeps them. What a client reads of it is in `session_slowlog` and `session_latency`.
"""

from collections import deque
from typing import NamedTuple

SAMPLE_MASK = 15
"""The first call and one in sixteen of a short command are measured."""
EACH_BELOW_US = 1000
ENTRIES_MAX = 10_000
"""Most entries that may be asked to be kept."""
WORDS_MAX = 32
WORD_BYTES_MAX = 128
"""What is kept of a request, as in Redis."""
SAMPLES_MAX = 160
"""Seconds of an event that are kept, as in Redis."""
REDACTED = b"(redacted)"


class Entry(NamedTuple):
    """One slow command. `took_us` is the time it was worked on, not the time it waited."""

    number: int
    at_s: int
    took_us: int
    words: list[bytes]
    peer: str
    name: bytes


class Event:
    """The worst time of each second in which something took long; the oldest seconds are forgotten."""

    __slots__ = ("longest_ms", "samples")

    def __init__(self) -> None:
        self.samples: deque[tuple[int, int]] = deque(maxlen=SAMPLES_MAX)
        self.longest_ms = 0

    def add(self, at_s: int, took_ms: int) -> None:
        self.longest_ms = max(self.longest_ms, took_ms)
        if self.samples and self.samples[-1][0] == at_s:
            took_ms = max(took_ms, self.samples.pop()[1])
        self.samples.append((at_s, took_ms))


class SlowLog:
    """Invariant: `entries` are at most `length_max`, newest first; `least_s` is the shortest time that anybody asks for."""

    def __init__(self) -> None:
        self.slower_than_us = 10_000
        """Commands that take so long get an entry. Negative: none does."""
        self.length_max = 128
        self.latency_ms = 0
        """Commands that take so long count as an event of LATENCY. 0: none does."""
        self.entries: deque[Entry] = deque(maxlen=self.length_max)
        self.events: dict[str, Event] = {}
        self.least_s = 0.0
        self._number = 0
        self._change()

    def set_slower_than(self, slower_than_us: int) -> None:
        self.slower_than_us = slower_than_us
        self._change()

    @property
    def wants_each(self) -> bool:
        """Whether somebody asks for commands so short that every one has to be measured."""
        return 0 <= self.slower_than_us < EACH_BELOW_US

    def set_latency(self, latency_ms: int) -> None:
        self.latency_ms = latency_ms
        self._change()

    def set_length_max(self, length_max: int) -> None:
        self.length_max = length_max
        self.entries = deque(list(self.entries)[:length_max], maxlen=length_max)

    def _change(self) -> None:
        logged_s = self.slower_than_us / 1e6 if self.slower_than_us >= 0 else float("inf")
        event_s = self.latency_ms / 1000 if self.latency_ms else float("inf")
        self.least_s = min(logged_s, event_s)

    def note(self, at_s: int, took_s: float, words: list[bytes], peer: str, name: bytes, fast: bool) -> None:
        """A command was executed, and took `least_s` or longer. `fast`: it is one of those that should not."""
        took_us = int(took_s * 1e6)
        if 0 <= self.slower_than_us <= took_us:
            self.entries.appendleft(Entry(self._number, at_s, took_us, _shown(words), peer, name))
            self._number += 1
        took_ms = took_us // 1000
        if self.latency_ms and took_ms >= self.latency_ms:
            self.events.setdefault("fast-command" if fast else "command", Event()).add(at_s, took_ms)

    def reset(self) -> None:
        self.entries.clear()

    def reset_events(self, names: list[str]) -> int:
        """Forget these events, or all; how many there were."""
        found = [name for name in names or list(self.events) if name in self.events]
        for name in found:
            del self.events[name]
        return len(found)


def _shown(words: list[bytes]) -> list[bytes]:
    """A request as it is kept: without passwords, and no longer than its entry is worth."""
    words = _without_passwords(words)
    kept = words if len(words) <= WORDS_MAX else words[: WORDS_MAX - 1]
    shown = [
        word
        if len(word) <= WORD_BYTES_MAX
        else b"%b... (%d more bytes)" % (word[:WORD_BYTES_MAX], len(word) - WORD_BYTES_MAX)
        for word in kept
    ]
    if len(words) > WORDS_MAX:
        shown.append(b"... (%d more arguments)" % (len(words) - WORDS_MAX + 1))
    return shown


def _without_passwords(words: list[bytes]) -> list[bytes]:
    name = words[0].lower()
    if name == b"auth":
        return [words[0], *[REDACTED] * (len(words) - 1)]
    if name == b"hello":
        shown = list(words)
        for index, word in enumerate(words):
            if word.lower() == b"auth" and index >= 2:
                shown[index + 1 : index + 3] = [REDACTED] * len(words[index + 1 : index + 3])
                break
        return shown
    return words
