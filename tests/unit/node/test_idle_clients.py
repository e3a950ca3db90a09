"""`timeout` of CONFIG: who has sent nothing for so long is closed, and who waits for an answer is not."""

from tests.unit.node.drive import Client, Drive

from kubegrid.node.context import Session
from kubegrid.node.idle_clients import IdleClients


def quiet_ms(client: Session, now_ms: int) -> int:
    """Without the age of the connection, which is measured by a clock that does not stand still here."""
    return now_ms - client.active_ms


def pass_seconds(drive: Drive, seconds: int) -> None:
    drive.keyspace.now_ms += seconds * 1000


def test_nobody_is_closed_by_default() -> None:
    drive = Drive()
    client = drive.connect()
    pass_seconds(drive, 1_000_000)
    IdleClients(drive.node, quiet_ms).look()
    assert not client.closed


def test_clients_that_sent_nothing_for_longer_are_closed() -> None:
    drive = Drive()
    early, late = drive.connect(), drive.connect()
    late("CONFIG", "SET", "timeout", "10")
    idle = IdleClients(drive.node, quiet_ms)
    pass_seconds(drive, 6)
    late.active_ms = drive.keyspace.now_ms
    idle.look()
    assert (early.closed, late.closed) == (False, False)
    pass_seconds(drive, 5)
    idle.look()
    assert (early.closed, late.closed) == (True, False)
    late("CONFIG", "SET", "timeout", "0")
    pass_seconds(drive, 100)
    idle.look()
    assert not late.closed


def test_who_waits_for_an_answer_is_not_idle() -> None:
    drive = Drive()
    waiting, blocked, held_back = clients = [drive.connect() for _ in range(3)]
    waiting("CONFIG", "SET", "timeout", "1")
    waiting.waiting = "task"
    drive.node.blocked[blocked.id] = lambda as_error: None
    drive.node.held_back.add(held_back.id)
    pass_seconds(drive, 100)
    idle = IdleClients(drive.node, quiet_ms)
    idle.look()
    assert not any(client.closed for client in clients)


def test_somebody_looks_once_a_second() -> None:
    drive = Drive()
    looked: list[int] = []

    def counted(client: Session, now_ms: int) -> int:
        looked.append(now_ms)
        return 0

    client: Client = drive.connect()
    client("CONFIG", "SET", "timeout", "1")
    idle = IdleClients(drive.node, counted)
    for _ in range(25):
        drive.keyspace.now_ms += 100
        idle.look()
    assert len(looked) == 3
