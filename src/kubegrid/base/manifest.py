"""`grid.yaml`: the DataGrid that a person declares, checked key by key.

Every problem says which key, on which line, what was wrong, and the nearest right spelling; all problems are found in
one pass, and an unknown key is one, because a typo that is skipped is a default that nobody chose. The same file serves
on Kubernetes, so keys that matter only there are checked for shape and otherwise left alone. Options of the command
line stand in for keys of `spec` and pass the same checks.

Text in, values out: reading the file is the caller's. Next on the path: `kubegrid.runtime.preparation`.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from kubegrid.base import document, manifest_tables
from kubegrid.base import manifest_rules as rules
from kubegrid.base.document import ManifestError, Node
from kubegrid.base.ids import GRID_NAME_DEFAULT, member_name
from kubegrid.base.tables import TableDefinition

API_VERSION = "kubegrid.io/v1alpha1"
KIND = "DataGrid"
PARTITIONS_MAX = 1024
BACKUPS_MAX = 3
_MEMBER = re.compile(r"p(\d{1,4})-(\d)")


class GridSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What one grid shall be, with every default filled in. Amounts are in bytes and milliseconds."""

    partitions: int = 3
    backups: int = 1
    min_in_sync: int = 1
    managers: int = 1
    memory_bytes: int = 512 * 2**20
    on_loss: str = "wait"
    failback: bool = True
    failback_after_ms: int = 30_000
    busy_wait: bool = True
    primaries: dict[int, str] = {}
    auth_enabled: bool | None = None
    """None: not said. Locally there is a password only if one is given."""

    @property
    def copies(self) -> int:
        return self.backups + 1

    def preferred_primary(self, partition: int) -> str:
        return self.primaries.get(partition, member_name(partition, 0))


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A checked grid.yaml."""

    name: str
    spec: GridSpec
    given: dict[str, Any]
    """`spec` as it was written, command line options included, without the secret and its place."""
    tables: tuple[TableDefinition, ...] = ()
    secret: str | None = None
    secret_file: str | None = None


def parse(text: str, *, options: Mapping[str, Any] | None = None, name: str | None = None) -> Manifest:
    """Check the text of a manifest; `options` (keys of spec) and `name` come from the command line and win over it.

    An empty text is the manifest of all defaults. Raises ManifestError with every problem found.
    """
    root = document.read(text)
    check = rules.Check()
    if root.value is None:
        root = Node({"apiVersion": Node(API_VERSION), "kind": Node(KIND)})
    top = check.section(root, "", _TOP)
    for key, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        if isinstance(root.value, dict) and key not in root.value:
            check.problem(key, root, f"is missing; it must be {expected}")
    _check_misplaced(check, root)
    declared_name = (top.get("metadata") or {}).get("name") or GRID_NAME_DEFAULT
    grid = declared_name if name is None else check.text_of_name(Node(name), "--name")
    spec_node = root.value.get("spec") if isinstance(root.value, dict) else None
    given = dict(spec_node.value) if spec_node is not None and isinstance(spec_node.value, dict) else {}
    given |= {key: document.from_plain(value) for key, value in (options or {}).items()}
    values = check.section(Node(given), "spec", _SPEC)
    _check_together(check, values, given)
    if check.problems:
        raise ManifestError(check.problems)
    auth = values.pop("auth", None) or {}
    plain = manifest_tables.plain(Node(given))
    if isinstance(plain.get("auth"), dict):
        plain["auth"] = {key: value for key, value in plain["auth"].items() if key not in ("secret", "secretFile")}
    fields = {_FIELD[key]: value for key, value in values.items() if key in _FIELD}
    fields["failback"] = values.get("failback", "auto") == "auto"
    return Manifest(
        name=str(grid),
        spec=GridSpec(**fields, auth_enabled=auth.get("enabled")),
        given=plain,
        tables=values.get("tables", ()),
        secret=auth.get("secret"),
        secret_file=auth.get("secretFile"),
    )


def _check_misplaced(check: rules.Check, root: Node) -> None:
    """Say where a key belongs that stands one level too high; the section's own complaint cannot know."""
    for key, node in root.value.items() if isinstance(root.value, dict) else ():
        if key in _SPEC and key not in _TOP:
            check.problem(key, node, "belongs below spec")


def _check_together(check: rules.Check, values: dict[str, Any], given: dict[str, Node]) -> None:
    """What no key can be judged on alone; fills in the one default that depends on another key."""
    defaults = GridSpec()
    backups = values.get("backups", defaults.backups)
    partitions = values.get("partitions", defaults.partitions)
    values.setdefault("onLoss", "startEmpty" if backups == 0 else "wait")
    least = values.get("minInSync", 1)
    if least > backups + 1:
        check.problem(
            "spec.minInSync",
            given.get("minInSync"),
            f"is {least}, but with backups: {backups} there are only {backups + 1} copies; 1 to {backups + 1} are possible",
        )
    for partition, member in values.get("primaries", {}).items():
        place = f"spec.primaries.{partition}"
        match = _MEMBER.fullmatch(member)
        node = given["primaries"].value.get(str(partition))
        if partition >= partitions:
            check.problem(place, node, f"there is no partition {partition}: they are numbered 0 to {partitions - 1}")
        elif match is None or int(match[1]) != partition or int(match[2]) > backups:
            names = ", ".join(member_name(partition, ordinal) for ordinal in range(backups + 1))
            check.problem(place, node, f"is {member!r}; the members of partition {partition} are {names}")


_anywhere = rules.choice("required", "preferred", "off")
_SPEC: dict[str, rules.Rule] = {
    "partitions": rules.integer(1, PARTITIONS_MAX),
    "backups": rules.integer(0, BACKUPS_MAX),
    "minInSync": rules.integer(1, BACKUPS_MAX + 1),
    "managers": rules.integer(1, 3, one_of=(1, 3)),
    "memory": rules.memory,
    "onLoss": rules.choice("wait", "startEmpty"),
    "failback": rules.choice("auto", "manual"),
    "failbackAfter": rules.duration,
    "busyWait": rules.boolean,
    "primaries": rules.primaries,
    "antiAffinity": rules.nested(hosts=_anywhere, zones=_anywhere),
    "upgrade": rules.nested(surge=rules.integer(0, BACKUPS_MAX)),
    "replaceAfter": rules.duration,
    "image": rules.nested(
        repository=rules.text, tag=rules.text, pullPolicy=rules.choice("IfNotPresent", "Always", "Never")
    ),
    "pod": rules.nested(
        labels=rules.mapping,
        annotations=rules.mapping,
        nodeSelector=rules.mapping,
        tolerations=rules.list_of_anything,
        priorityClassName=rules.text,
        resources=rules.mapping,
    ),
    "managerPod": rules.nested(
        storage=rules.nested(size=rules.storage, className=rules.text),
        zookeeperImage=rules.text,
        resources=rules.mapping,
    ),
    "auth": rules.nested(enabled=rules.boolean, secretName=rules.text, secret=rules.secret, secretFile=rules.text),
    "tables": manifest_tables.tables,
    "paused": rules.boolean,
}
_FIELD = {
    "partitions": "partitions",
    "backups": "backups",
    "minInSync": "min_in_sync",
    "managers": "managers",
    "memory": "memory_bytes",
    "onLoss": "on_loss",
    "failbackAfter": "failback_after_ms",
    "busyWait": "busy_wait",
    "primaries": "primaries",
}
_METADATA: dict[str, rules.Rule] = {
    "name": lambda check, node, path: check.text_of_name(node, path),
    "namespace": rules.text,
    "labels": rules.mapping,
    "annotations": rules.mapping,
} | dict.fromkeys(  # what `kubectl get -o yaml` adds
    ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "finalizers", "ownerReferences"),
    rules.anything,
)
_TOP: dict[str, rules.Rule] = {
    "apiVersion": rules.exactly(API_VERSION),
    "kind": rules.exactly(KIND),
    "metadata": rules.nested(**_METADATA),
    "spec": rules.mapping,
    "status": rules.anything,
}
