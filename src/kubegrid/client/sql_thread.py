"""Threads for calls to data pods: gRPC hears neither Ctrl-C nor a cancelled task, so somebody else has to wait for it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
THREAD = "kubegrid-sql"


def in_thread(call: Callable[[], T]) -> "Future[T]":
    """Run it in a thread that does not keep the process from ending, and that nobody has to wait for."""
    future: Future[T] = Future()

    def work() -> None:
        if not future.set_running_or_notify_cancel():  # from here on it cannot be cancelled, only be forgotten
            return
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name=THREAD, daemon=True).start()
    return future
