"""Inline commands: a line typed by a person, cut into words as Redis cuts it (`sdssplitargs`)."""

import re

_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}
_SPACES = b" \t\n\v\f\r"
_special = re.compile(rb"[\"'\0\v\f]").search


def split_words(line: bytes) -> list[bytes] | None:
    """The words of an inline command: blanks separate, quotes hold together, None when a quote is not closed.

    In double quotes a backslash escapes (`\\n`, `\\r`, `\\t`, `\\b`, `\\a`, `\\xHH`, anything else stands for itself); in
    single quotes only `\\'` does. A closing quote must be followed by a blank or the end.
    """
    words: list[bytes] = []
    if not _special(line):
        return line.split()
    line = line.split(b"\0", 1)[0]
    position = 0
    size = len(line)
    while True:
        while position < size and line[position] in _SPACES:
            position += 1
        if position >= size:
            return words
        word = bytearray()
        quote = 0
        while True:
            if position >= size:
                if quote:
                    return None
                break
            char = line[position]
            if quote:
                if (
                    char == 92
                    and quote == 34
                    and line[position + 1 : position + 2] == b"x"
                    and _is_hex(line, position + 2)
                ):
                    word.append(int(line[position + 2 : position + 4], 16))
                    position += 3
                elif char == 92 and quote == 34 and position + 1 < size:
                    position += 1
                    word.append(_ESCAPES.get(line[position], line[position]))
                elif char == 92 and quote == 39 and line[position + 1 : position + 2] == b"'":
                    position += 1
                    word.append(39)
                elif char == quote:
                    if position + 1 < size and line[position + 1] not in _SPACES:
                        return None
                    position += 1
                    break
                else:
                    word.append(char)
            elif char in b" \n\r\t":
                break
            elif char in (34, 39):
                quote = char
            else:
                word.append(char)
            position += 1
        words.append(bytes(word))


def _is_hex(line: bytes, position: int) -> bool:
    digits = line[position : position + 2]
    return len(digits) == 2 and all(d in b"0123456789abcdefABCDEF" for d in digits)
