"""What a person sees on stderr while a grid starts or stops: notes as lines, the present obstacle as one moving line."""

import sys
from types import TracebackType

from kubegrid.runtime.supervisor import Event


class Teller:
    """On a terminal the line of what is being waited for is rewritten in place; into a file it is left out."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._line = ""

    def __enter__(self) -> "Teller":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def tell(self, event: Event) -> None:
        if event.kind == "waiting":
            self._wait(f"waiting: {event.text}")
        elif event.kind != "ready":
            self.note(event.text)
            if event.remedy:
                self.note(event.remedy)

    def note(self, text: str) -> None:
        self.clear()
        print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._line:
            print(f"\r{' ' * len(self._line)}\r", end="", file=sys.stderr, flush=True)
            self._line = ""

    def _wait(self, text: str) -> None:
        line = text.splitlines()[0][:118]
        if self._terminal and line != self._line:
            self.clear()
            print(line, end="", file=sys.stderr, flush=True)
            self._line = line
