"""What this server's commands are: number of arguments, flags, where the keys stand. From `commands_data`.

A `CommandInfo` knows facts only; what a command does is found in `store` and `node`, which look it up here by its
name in lower case. Also here: finding the keys in a request (routing, COMMAND GETKEYS) and the texts of errors that
follow from these facts. Next on the path of the data: `node.dispatch`.
"""

from dataclasses import dataclass, field

from kubegrid.wire import resp
from kubegrid.wire.commands_data import ROWS

ARGUMENTS_SHOWN_BYTES_MAX = 128
"""How much of a request the error for an unknown command repeats, as in Redis."""


@dataclass(frozen=True, slots=True)
class KeySpec:
    """Where some of a command's keys stand and how it uses them."""

    flags: tuple[str, ...]
    index: int
    last: int
    """Relative to `index`; negative: counted from the end."""
    step: int
    limit: int


@dataclass(frozen=True, slots=True)
class CommandInfo:
    """The facts about one command, or one subcommand (`container|subcommand`)."""

    name: str
    arity: int
    """Number of arguments with the name itself; negative: at least as many."""
    flags: tuple[str, ...]
    first_key: int
    last_key: int
    key_step: int
    categories: tuple[str, ...]
    tips: tuple[str, ...]
    key_specs: tuple[KeySpec, ...]
    group: str
    since: str
    complexity: str
    summary: str
    deprecated_since: str
    replaced_by: str
    subcommands: "dict[bytes, CommandInfo]" = field(default_factory=dict)
    """By their names alone, in lower case. Filled while the table is built, fixed from then on."""

    def accepts(self, count: int) -> bool:
        """Whether a request of `count` arguments has the right number of them."""
        return count == self.arity if self.arity > 0 else count >= -self.arity

    def arity_error(self) -> bytes:
        return resp.error(f"ERR wrong number of arguments for '{self.name}' command")

    def keys(self, args: list[bytes]) -> list[bytes]:
        """The keys in `args` (which have the right number), in order."""
        if not self.first_key:
            return []
        last = self.last_key if self.last_key >= 0 else len(args) + self.last_key
        return args[self.first_key : last + 1 : self.key_step]


def _build() -> dict[bytes, CommandInfo]:
    table: dict[bytes, CommandInfo] = {}
    for name, arity, flags, (
        first,
        last,
        step,
    ), categories, tips, specs, group, since, complexity, summary, old in ROWS:
        deprecated_since, _, replaced_by = old.partition(" ")
        info = CommandInfo(
            name,
            arity,
            tuple(flags.split()),
            first,
            last,
            step,
            tuple(categories.split()),
            tuple(tips.split()),
            tuple(_key_spec(spec) for spec in specs.split(";") if spec),
            group,
            since,
            complexity,
            summary,
            deprecated_since,
            replaced_by,
        )
        container, _, subcommand = name.partition("|")
        if subcommand:
            table[container.encode()].subcommands[subcommand.encode()] = info
        else:
            table[name.encode()] = info
    return table


def _key_spec(text: str) -> KeySpec:
    flags, index, last, step, limit = text.split(",")
    return KeySpec(tuple(flags.split()), int(index), int(last), int(step), int(limit))


COMMANDS: dict[bytes, CommandInfo] = _build()
"""Every command by its name in lower case."""


def find(name: bytes) -> CommandInfo | None:
    """A command, or with `container|subcommand` a subcommand, by its name in any case."""
    container, _, subcommand = name.lower().partition(b"|")
    info = COMMANDS.get(container)
    return info.subcommands.get(subcommand) if info is not None and subcommand else info


def find_request(args: list[bytes]) -> CommandInfo | None:
    """The command or subcommand that a request asks for; None when there is none such."""
    info = COMMANDS.get(args[0].lower())
    if info is None or not info.subcommands or len(args) < 2:
        return info
    return info.subcommands.get(args[1].lower())


def unknown_command(args: list[bytes]) -> bytes:
    """The error for a command that does not exist, with the beginning of its arguments."""
    shown = b""
    for argument in args[1:]:
        if len(shown) >= ARGUMENTS_SHOWN_BYTES_MAX:
            break
        shown += b"'%b' " % _text(argument)[: ARGUMENTS_SHOWN_BYTES_MAX - len(shown)]
    name = _text(args[0])[:ARGUMENTS_SHOWN_BYTES_MAX]
    return resp.error(b"ERR unknown command '%b', with args beginning with: %b" % (name, shown))


def unknown_subcommand(args: list[bytes]) -> bytes:
    """The error for a subcommand that does not exist."""
    name = _text(args[1])[:ARGUMENTS_SHOWN_BYTES_MAX]
    return resp.error(b"ERR unknown subcommand '%b'. Try %b HELP." % (name, _text(args[0]).upper()))


def wrong_count(args: list[bytes]) -> bytes:
    """The error of subcommands that count their arguments themselves, because some of them may be left out."""
    return resp.error(
        b"ERR unknown subcommand or wrong number of arguments for '%b'. Try %b HELP." % (args[1], args[0].upper())
    )


def _text(raw: bytes) -> bytes:
    """Redis formats these as C strings: they end at a zero byte."""
    return raw.split(b"\0", 1)[0]
