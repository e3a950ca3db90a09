"""Writers that never stop, and remember exactly what was acknowledged.

Each writer is a thread with its own unmodified redis-py `RedisCluster`, writing keys that nobody else writes. A write
whose call returned is acknowledged and must be there at the end; one that raised has an unknown outcome, is counted and
never claimed. The longest pause between two acknowledgements of one partition's keys, around the time of a kill, is the
outage as an application sees it.
"""

import threading
import time
from collections import defaultdict

from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from kubegrid.base.settings import ReplicationSettings

PAUSE_AFTER_ERROR_S = 0.01


def connect(port: int, *, patient: bool = True) -> RedisCluster:
    """A redis-py client of the grid; `patient` is redis-py's default way of retrying, else an error surfaces at once."""
    if patient:
        return RedisCluster(host="127.0.0.1", port=port)
    return RedisCluster(host="127.0.0.1", port=port, retry=Retry(NoBackoff(), 0), socket_timeout=1.0)


class Writer(threading.Thread):
    """Writes `write:<number>:<n>` = n for n = 0, 1, 2 … until stopped."""

    def __init__(self, number: int, port: int, owner: dict[int, int]) -> None:
        super().__init__(daemon=True, name=f"writer-{number}")
        self.number = number
        self.client = connect(port, patient=False)
        self.owner = owner
        self.stopping = threading.Event()
        self.acknowledged: dict[str, str] = {}
        self.unknown = 0
        self.last_ack: dict[int, float] = {}
        self.gaps: dict[int, list[tuple[float, float]]] = defaultdict(list)
        """Partition → (start, end) of every pause of more than 50 ms between two acknowledgements, monotonic seconds."""

    def run(self) -> None:
        n = 0
        while not self.stopping.is_set():
            key, value = f"write:{self.number}:{n}", str(n)
            n += 1
            try:
                self.client.set(key, value)
            except (RedisError, RedisClusterException, OSError):
                self.unknown += 1
                time.sleep(PAUSE_AFTER_ERROR_S)
                continue
            self.acknowledged[key] = value
            self._acknowledged_now(self.owner[self.client.keyslot(key)])

    def _acknowledged_now(self, partition: int) -> None:
        now = time.monotonic()
        before = self.last_ack.get(partition, now)
        if now - before > 0.05:
            self.gaps[partition].append((before, now))
        self.last_ack[partition] = now

    def stop(self) -> None:
        self.stopping.set()
        self.join(timeout=30)


def outage_ms(writers: list[Writer], partition: int, killed_at: float) -> float | None:
    """Milliseconds from the kill until the first writer had a write of this partition acknowledged again.

    None while none has. Writers stand in for many clients: the partition serves again when any of them is served. What the
    dead primary had acknowledged may still arrive on a busy machine; a successor can't before the grace.
    """
    under_way_s = ReplicationSettings().grace_ms / 2000
    back = [
        end for writer in writers for start, end in writer.gaps[partition] if start <= killed_at + under_way_s < end
    ]
    return (min(back) - killed_at) * 1000 if back else None


def lost_writes(client: RedisCluster, writers: list[Writer]) -> list[str]:
    """The keys of acknowledged writes that are not there, or have another value. Every one is read."""
    lost = []
    for writer in writers:
        items = list(writer.acknowledged.items())
        for start in range(0, len(items), 500):
            part = items[start : start + 500]
            pipe = client.pipeline(transaction=False)
            for key, _ in part:
                pipe.get(key)
            for (key, value), found in zip(part, pipe.execute(), strict=True):
                if found is None or found.decode() != value:
                    lost.append(key)
    return lost
