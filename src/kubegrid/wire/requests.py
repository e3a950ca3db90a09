"""From a client's bytes to its requests: hiredis where it is right, our own strict parser everywhere else.

**Hot path**: speed beats form here; measure every change with `bench/`.

hiredis reads replies, not requests, and is kinder than a server may be. So it is used under guards, which cost 0.1 to
0.3 µs per request together (the search of guard 1 costs most, in proportion to the bytes):

1. *Before*: it allocates what an array's header announces. `_suspicious` finds a header of 100 elements and more, or an
   array right inside of another; such bytes, inline commands and clients that have not authenticated go to the strict
   parser. What is left can make it allocate about eighty times what was received, for the time of one read.
2. *After*, for a single request: its exact encoded length must be the length of what was received, and all elements
   strings. So nothing was left over, and none was sent in another form, unless the sender took pains to balance shorter
   forms (`+x`) against longer ones, which fools nobody but itself.
3. *After*, for several: all elements must be strings (joining them proves it), and a sentinel fed behind them must
   come back as a request of its own, which proves that nothing was left over. One leniency remains: in such a batch an
   element sent as a status line (`+x`) is taken as a string, which Redis would refuse.

Whatever does not pass is read again by the strict parser, from the same bytes, so the outcome is its outcome. hiredis
keeps nothing from one read to the next: an unfinished request at the end is cut off (its beginning is found by adding up
the encoded lengths of the requests before it) and held by the strict parser, which finishes just that one.

Next on the path of the data: `node.connection`.
"""

import re
from itertools import chain
from operator import itemgetter

import hiredis

from kubegrid.base.settings import ClientSettings, StoreSettings
from kubegrid.wire.strict_parser import ProtocolError, StrictParser

__all__ = ["ProtocolError", "RequestReader"]

HIREDIS_ARGUMENTS_MAX = 99
"""Elements of a request that hiredis may read; `_SUSPICIOUS` says the same in digits."""
LENGTHS_READY = 32 * 1024
"""Strings shorter than this have their encoded length ready; longer ones are read by the strict parser."""

_suspicious = re.compile(rb"\*(?:\d\d\d|\d+\r\n\*)").search
_encoded_lengths = tuple(len(b"$%d\r\n\r\n" % n) + n for n in range(LENGTHS_READY))
_header_lengths = (1 << 60, *(len(b"*%d\r\n" % n) for n in range(1, HIREDIS_ARGUMENTS_MAX + 1)))
"""An empty array is no request: its impossible length makes the sum wrong."""
_encoded_length = _encoded_lengths.__getitem__
_header_length = _header_lengths.__getitem__
_flatten = chain.from_iterable
_first = itemgetter(0)
_ONLY_BYTES = {bytes}
SENTINEL_REQUEST = [b"the end of a read"]
SENTINEL = b"*1\r\n$17\r\n%b\r\n" % SENTINEL_REQUEST[0]
"""Nobody can forge it: behind an unfinished request its first byte, `*`, becomes part of what comes out, and it has none."""


class RequestReader:
    """One client's requests. Invariant: between calls hiredis holds nothing, `_strict` the unfinished request."""

    __slots__ = ("_bulk_bytes_max", "_fast", "_gets", "_reader", "_strict")

    def __init__(self, client: ClientSettings, store: StoreSettings) -> None:
        self._strict = StrictParser(client, store)
        self._bulk_bytes_max = min(store.value_bytes_max, LENGTHS_READY - 1)
        self._fast = client.arguments_max >= HIREDIS_ARGUMENTS_MAX
        self._reader = hiredis.Reader()
        self._gets = self._reader.gets

    @property
    def authenticated(self) -> bool:
        """Whether the client may send large requests, and may be trusted to hiredis."""
        return self._strict.authenticated

    @authenticated.setter
    def authenticated(self, value: bool) -> None:
        self._strict.authenticated = value

    @property
    def unfinished(self) -> bool:
        """Whether the beginning of a request waits for the rest of it."""
        strict = self._strict
        return bool(strict._missing or strict._held_bytes)

    @property
    def unfinished_bytes(self) -> int:
        """What is kept of the beginning of a request."""
        return self._strict.unfinished_bytes

    def feed(self, data: bytes) -> list[list[bytes]]:
        """Every request that `data` completes, none empty, every element bytes.

        Raises ProtocolError, whose `requests` are those that were complete before it; nothing may be fed after that.
        """
        strict = self._strict
        if strict._missing or strict._held_bytes:
            requests, data = strict.finish(data)
            if not data:
                return requests
            try:
                requests += self.feed(data)
            except ProtocolError as error:
                error.requests = requests + error.requests
                raise
            return requests
        if not data:
            return []
        if data[0] != 42 or not strict.authenticated or not self._fast:
            return strict.feed(data)
        if data.find(b"*", 1) < 0:
            return self._single(data)
        if _suspicious(data):
            return strict.feed(data)
        try:
            self._reader.feed(data)
            requests = list(iter(self._gets, False))
        except Exception:  # not only its own errors: a map whose key is an array raises TypeError, for instance
            self._renew()
            return strict.feed(data)
        try:
            if requests:
                values = b"".join(_flatten(requests))
                list(map(_first, requests))
                if len(values) <= self._bulk_bytes_max or self._all_short(requests):
                    self._reader.feed(SENTINEL)
                    if self._gets() == SENTINEL_REQUEST:
                        return requests
        except Exception:  # an element that is no string, in one of the many ways in which that shows
            pass
        self._renew()
        return self._again(requests, data)

    def _single(self, data: bytes) -> list[list[bytes]]:
        """There is only one asterisk, at the beginning: one request or a part of it, and one header to be looked at."""
        if data.find(b"\r", 1, 4) > 0 and len(data) <= self._bulk_bytes_max:
            try:
                self._reader.feed(data)
                request = self._gets()
                if request is not False:
                    size = _header_lengths[len(request)]
                    for argument in request:
                        if type(argument) is not bytes:
                            break
                        size += _encoded_lengths[len(argument)]
                    else:
                        if size == len(data):
                            return [request]
            except Exception:  # as above
                pass
            self._renew()
        return self._strict.feed(data)

    def _all_short(self, requests: list[list[bytes]]) -> bool:
        return max(map(len, _flatten(requests))) <= self._bulk_bytes_max

    def _renew(self) -> None:
        """A reader in an unknown state is thrown away."""
        self._reader = hiredis.Reader()
        self._gets = self._reader.gets

    def _again(self, requests: list[list[bytes]], data: bytes) -> list[list[bytes]]:
        """hiredis got to an unfinished request, or to something odd: keep what it read only if that adds up."""
        try:
            if not requests or set(map(type, requests)) != {list}:
                return self._strict.feed(data)
            elements = list(_flatten(requests))
            lengths = list(map(len, elements))
            end = sum(map(_encoded_length, lengths)) + sum(map(_header_length, map(len, requests)))
            if set(map(type, elements)) != _ONLY_BYTES or max(lengths) > self._bulk_bytes_max:
                return self._strict.feed(data)
        except (TypeError, LookupError):
            return self._strict.feed(data)
        if data[end : end + 1] != b"*":
            return self._strict.feed(data)
        try:
            return requests + self._strict.feed(data[end:])
        except ProtocolError as error:
            error.requests = requests + error.requests
            raise
