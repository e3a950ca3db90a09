"""Ctrl-C while a file is read: Arrow must not keep it to itself."""

import subprocess
import sys

INTERRUPTED_READS = """
import os, signal, threading
import pyarrow as pa
from pyarrow import csv
from kubegrid.cli.load import hear_every_interrupt

hear_every_interrupt()
text = pa.py_buffer(b"id,name" + b"".join(b"\\n%d,name of record %d" % (n, n) for n in range(100_000)))
heard = 0
for number in range(60):
    timer = threading.Timer(number % 30 / 1000, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        while not timer.finished.is_set() or timer.is_alive():
            csv.read_csv(text)
        csv.read_csv(text)
    except KeyboardInterrupt:
        heard += 1
    timer.join()
print(heard)
"""


def test_an_interrupt_while_csv_is_read_is_never_lost() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED_READS], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("60\n", "")
