"""The identity under which a statement writes, so that running it again does nothing twice.

Members remember under KG.ONCE what they answered to a client's numbered requests. A statement is such a request in every
partition that it touches: its id is the client, or client and number, and each attempt and part of it has a number that
follows from its own. Whoever runs it again asks with the same numbers and is given the same answers.

    <32 hex digits>-<number>-<acked>     statement `number` of a session; those below `acked` are answered
    anything else                        a session with one statement

Members keep ten thousand sessions for ten minutes: who runs many statements numbers them (our client does).
"""

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

from kubegrid.sql.errors import SyntaxProblem

ID_CHARS_MAX = 200
PARTS_MAX = 1024
ATTEMPTS_MAX = 60
"""Of one part, each computed anew because others changed the records meanwhile."""
_SPAN = 1 << 16
"""Numbers of requests that one statement may use."""
_NUMBERED = re.compile(r"([0-9a-f]{32})-([0-9]{1,12})-([0-9]{1,12})")


@dataclass(frozen=True, slots=True)
class StatementId:
    client: bytes
    """16 bytes."""
    number: int
    acked: int
    named: bool = False
    """Chosen by a person or program, which may have run it before; our client says of its own numbers when it did."""

    @classmethod
    def of(cls, text: str) -> Self:
        """Raises SyntaxProblem."""
        if not 0 < len(text) <= ID_CHARS_MAX:
            raise SyntaxProblem(f"a statement's id has 1 to {ID_CHARS_MAX} characters")
        match = _NUMBERED.fullmatch(text)
        if match is None:
            return cls(blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest(), 0, 0, True)
        number, acked = int(match[2]), int(match[3])
        if acked > number:
            raise SyntaxProblem(f"statement {number} cannot be answered before it is run (all below {acked} are)")
        return cls(bytes.fromhex(match[1]), number, acked)

    def request(self, part: int, attempt: int) -> tuple[bytes, int, int]:
        """Client, number of the request, and the number below which all are answered, as KG.ONCE has them."""
        assert part < PARTS_MAX and attempt < ATTEMPTS_MAX
        return self.client, self.number * _SPAN + part * 64 + attempt, self.acked * _SPAN
