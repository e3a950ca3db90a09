"""grid.yaml: what holds, and how what does not hold is told."""

import pytest

from kubegrid.base import manifest
from kubegrid.base.document import ManifestError

HEAD = "apiVersion: kubegrid.io/v1alpha1\nkind: DataGrid\nmetadata: {name: demo}\nspec:\n"


def problems(spec: str, **arguments: object) -> list[str]:
    with pytest.raises(ManifestError) as raised:
        manifest.parse(HEAD + spec, **arguments)  # type: ignore[arg-type]
    return raised.value.problems


def test_every_key_of_the_contract_is_accepted() -> None:
    declared = manifest.parse(
        HEAD
        + """
  partitions: 4
  backups: 2
  minInSync: 2
  managers: 1
  memory: 1Gi
  onLoss: wait
  failback: manual
  failbackAfter: 1m30s
  primaries: {0: p0-1, 3: p3-2}
  antiAffinity: {hosts: required, zones: off}
  upgrade: {surge: 1}
  replaceAfter: 60s
  image: {repository: kubegrid, tag: "1", pullPolicy: IfNotPresent}
  pod: {labels: {a: b}, annotations: {}, nodeSelector: {}, tolerations: [], priorityClassName: "", resources: {}}
  managerPod: {storage: {size: 1Gi, className: ""}, zookeeperImage: "zookeeper:3.9", resources: {}}
  auth: {enabled: true, secretName: ""}
  tables: []
  paused: false
"""
    )
    spec = declared.spec
    assert (declared.name, spec.partitions, spec.copies, spec.min_in_sync) == ("demo", 4, 3, 2)
    assert (spec.memory_bytes, spec.failback, spec.failback_after_ms, spec.on_loss) == (2**30, False, 90_000, "wait")
    assert [spec.preferred_primary(number) for number in range(4)] == ["p0-1", "p1-0", "p2-0", "p3-2"]


def test_members_look_before_they_sleep_unless_said_otherwise() -> None:
    assert manifest.parse("").spec.busy_wait is True
    assert manifest.parse(HEAD + "  busyWait: false\n").spec.busy_wait is False


def test_the_empty_manifest_is_the_defaults() -> None:
    declared = manifest.parse("")
    assert declared.name == "local" and declared.spec == manifest.GridSpec()


def test_without_backups_a_loss_starts_empty_unless_said_otherwise() -> None:
    assert manifest.parse(HEAD + "  backups: 0\n").spec.on_loss == "startEmpty"
    assert manifest.parse(HEAD + "  backups: 0\n  onLoss: wait\n").spec.on_loss == "wait"


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("  partitons: 4\n", "line 5: spec.partitons is not a known key; did you mean 'partitions'?"),
        ("  onloss: wait\n", "line 5: spec.onloss is not a known key; did you mean 'onLoss'?"),
        ("  auth:\n    secretname: x\n", "line 6: spec.auth.secretname is not a known key; did you mean 'secretName'?"),
        ("  partitions: 0\n", "line 5: spec.partitions is 0; it must be a whole number from 1 to 1024"),
        ("  partitions: true\n", "line 5: spec.partitions must be a whole number from 1 to 1024, not true/false (True)"),
        ("  managers: 2\n", "line 5: spec.managers is 2; it must be 1 or 3"),
        ("  memory: 512Mo\n", "line 5: spec.memory '512Mo' is not an amount of memory such as 512Mi or 2Gi"),
        ("  memory: 1Mi\n", "line 5: spec.memory is 1Mi; it must be from 64Mi to 16Ti"),
        ("  failbackAfter: 30\n", "line 5: spec.failbackAfter '30' is not a duration such as 500ms, 30s or 5m"),
        (
            "  onLoss: startempty\n",
            "line 5: spec.onLoss is 'startempty'; it must be wait or startEmpty; did you mean 'startEmpty'?",
        ),
        ("  primaries: {1: p0-1}\n", "line 5: spec.primaries.1 is 'p0-1'; the members of partition 1 are p1-0, p1-1"),
        ("  primaries: {7: p7-0}\n", "line 5: spec.primaries.7 there is no partition 7: they are numbered 0 to 2"),
        ("  tables: {name: t}\n", "line 5: spec.tables must be a list of 1000 tables at most, each with name, columns and key"),
        ("  partitions: 3\n  partitions: 4\n", "line 6: 'partitions' stands here a second time; first on line 5"),
        ("  pod: [\n", "line 6: not valid YAML: expected the node content, but found '<stream end>'"),
    ],
)  # fmt: skip
def test_a_problem_names_key_line_and_remedy(spec: str, problem: str) -> None:
    assert problems(spec) == [problem]


TABLES = """  tables:
    - name: flights
      columns:
        - {name: carrier, type: varchar, nullable: false}
        - {name: day, type: DATE, default: 2013-01-31}
      key: [carrier]
      indexes: [{columns: [day], kind: ordered}]
      ttl: 1h
"""


def test_tables_are_read_and_kept_as_they_were_given() -> None:
    declared = manifest.parse(HEAD + TABLES)
    (flights,) = declared.tables
    assert (flights.name, flights.names, flights.key, flights.ttl) == (
        "flights",
        ("carrier", "day"),
        ("carrier",),
        3600,
    )
    assert declared.given["tables"][0]["columns"][1]["default"] == "2013-01-31"
    assert manifest.parse("", options=declared.given).tables == declared.tables


def test_every_problem_of_a_table_is_told_with_its_line_and_key() -> None:
    told = problems(TABLES.replace("varchar", "vachar").replace("1h", "soon"))
    assert [problem.split(" ")[:3] for problem in told] == [
        ["line", "8:", "spec.tables[0].columns[0].type:"],
        ["line", "12:", "spec.tables[0].ttl:"],
    ]
    assert "did you mean 'VARCHAR'?" in told[0]
    (told_of_index,) = problems(TABLES.replace("[day]", "[dya]"))
    assert told_of_index.startswith("line 11: spec.tables[0].indexes[0]") and "'day'" in told_of_index


def test_two_tables_of_one_name_are_refused() -> None:
    again = TABLES + TABLES.removeprefix("  tables:\n").replace("flights", "Flights")
    assert problems(again) == ["line 13: spec.tables[1].name is 'Flights', but there is 'flights' already"]


def test_more_copies_in_sync_than_there_are_is_refused() -> None:
    assert "minInSync is 3, but with backups: 1 there are only 2 copies" in problems("  minInSync: 3\n")[0]


def test_all_problems_are_told_at_once() -> None:
    assert len(problems("  a: 1\n  b: 2\n  memory: x\n")) == 3


def test_a_key_of_spec_that_stands_too_high_is_told_where_it_belongs() -> None:
    assert "line 5: partitions belongs below spec" in problems("partitions: 3\n")


def test_an_option_wins_and_is_named_when_it_is_wrong() -> None:
    assert manifest.parse(HEAD + "  partitions: 2\n", options={"partitions": 5}).spec.partitions == 5
    assert problems("  partitions: 2\n", options={"partitions": 5000}) == [
        "--partitions is 5000; it must be a whole number from 1 to 1024"
    ]


def test_a_name_must_be_one_that_kubernetes_takes_too() -> None:
    assert "--name is 'A b'" in problems("", name="A b")[0]


def test_another_kind_or_version_is_refused() -> None:
    with pytest.raises(ManifestError) as raised:
        manifest.parse("apiVersion: v1\nkind: Pod\n")
    assert raised.value.problems == [
        "line 1: apiVersion is 'v1'; it must be kubegrid.io/v1alpha1",
        "line 2: kind is 'Pod'; it must be DataGrid",
    ]


@pytest.mark.parametrize(
    "text", ["- a", "a", "a: b: c", "\t", "a: *b", "---\n---\n", "!!python/object:os.x {}", "? [a]\n: b"]
)
def test_what_is_no_manifest_is_refused_without_a_traceback(text: str) -> None:
    with pytest.raises(ManifestError):
        manifest.parse(text)


def test_aliases_cannot_blow_up() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ManifestError, match="more than 100000 values"):
        manifest.parse("\n".join(lines))
    with pytest.raises(ManifestError, match="deep"):
        manifest.parse("a: &a [*a]")


def test_the_secret_is_not_kept_with_what_was_given() -> None:
    declared = manifest.parse(HEAD + "  auth: {secret: hush, enabled: true}\n")
    assert declared.secret == "hush" and "hush" not in repr(declared.given)
