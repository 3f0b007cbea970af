"""One rank's error ends every rank: same message, exit code not 0, within seconds, without a collective per step.

A rank that fails leaves the others waiting in a collective for as long as the process group's timeout. So every rank
has a thread that looks at the group's key-value store twice a second; the failing rank writes its error there and
waits until the others have read it, and their threads end their processes, because a rank inside a collective hears
no exception. A rank that is killed outright writes nothing: torchrun and srun end the others.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch.distributed as dist

from shards.errors import UserError
from swav_dali.errors import Stopped, stop_behind
from swav_dali.ranks.flight import record_path, written
from swav_dali.ranks.lost import given_up, lost_rank
from swav_dali.ranks.world import World

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 10.0
LOST_SECONDS = 2.0  # the lost rank will never hear
EXIT_CODE = 2
_ERROR, _HEARD = "abort/error", "abort/heard"


@contextlib.contextmanager
def abort_together(world: World, store: Store | None = None) -> Iterator[None]:
    """Within the block an exception on one rank, Ctrl-C included, ends all ranks; to be entered by every rank.

    The failing rank raises its own exception once the others know, at most PATIENCE_SECONDS later.

    Args:
        world: this rank.
        store: the ranks', where there is no process group yet.

    Raises:
        TrainingError: a collective failed because another rank is gone, in the words of a user.
    """
    if world.size == 1:
        yield
        return
    store = store or dist.distributed_c10d._get_default_store()
    is_over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(store, is_over), name="abort-watcher", daemon=True)
    watcher.start()
    if (record := record_path(world.rank)) is not None and world.device.type == "cuda":
        is_written = threading.Thread(target=_watch_record, args=(record, is_over), name="record-watcher", daemon=True)
        is_written.start()
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        is_over.set()
        lost = lost_rank(error, world.rank)
        patience = LOST_SECONDS if lost else PATIENCE_SECONDS
        watcher.join(patience)
        if watcher.is_alive():  # the store is beyond a cut cable: no one can be told
            _prepare_to_end(world, lost or error)
        else:
            _tell_all(store, world, lost or error, patience=patience)
        if lost is not None:
            atexit.register(_leave, _code(lost))
            raise lost from error
        raise
    finally:
        is_over.set()


def _watch(store: Store, is_over: threading.Event) -> None:
    while not is_over.wait(POLL_SECONDS):
        try:
            if not store.check([_ERROR]):
                continue
            message = store.get(_ERROR).decode()
            store.add(_HEARD, 1)
        except RuntimeError:  # the store went with a rank that is done; this one is about to be
            return
        _end(message)


def _watch_record(record: Path, is_over: threading.Event) -> None:
    """NCCL's own threads end the process some seconds after the record is written, and say nothing that helps."""
    before = last = written(record)
    while not is_over.wait(POLL_SECONDS):
        now = written(record)
        if now == last != before:
            _end(f"{EXIT_CODE} {given_up(record)}")
        last = now


def _tell_all(store: Store, world: World, error: BaseException, *, patience: float) -> None:
    message = _prepare_to_end(world, error)
    if isinstance(error, Stopped) and error.is_shared:
        return
    teller = threading.Thread(target=_tell, args=(store, world, message, patience), name="abort-teller", daemon=True)
    teller.start()
    teller.join(patience + POLL_SECONDS)  # the store may be out of reach


def _prepare_to_end(world: World, error: BaseException) -> str:
    """What the other ranks are told; this one leaves with it if it cannot end in a better way."""
    write_error_file(_text(error))
    message = f"{_code(error)} rank {world.rank}: {_text(error)}"
    if not (isinstance(error, Stopped) and error.is_shared):
        _end_later(message)
    return message


def _tell(store: Store, world: World, message: str, patience: float) -> None:
    """Write the error, unless another rank's is there already, and wait until every rank has read or written one."""
    try:
        store.set_timeout(timedelta(seconds=PATIENCE_SECONDS))
        store.compare_set(_ERROR, "", message)
        until = time.monotonic() + patience
        heard = store.add(_HEARD, 1)
        while heard < world.size and time.monotonic() < until:
            time.sleep(0.1)
            heard = store.add(_HEARD, 0)
    except RuntimeError:  # no store, no one to tell
        return


def _end_later(message: str) -> None:
    """Leave even if tearing down the process group waits for collectives that no one will join."""
    timer = threading.Timer(2 * PATIENCE_SECONDS, _end, [message])
    timer.daemon = True
    timer.start()


def _leave(code: int) -> None:
    """Skip Python's own end: it kills a thread that comes back from a dead store's C++, and with it the process."""
    with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _end(message: str) -> None:
    """`message` begins with the exit code."""
    code, _, text = message.partition(" ")
    write_error_file(text)
    print(f"error: {text}", file=sys.stderr, flush=True)
    os._exit(int(code))


def write_error_file(text: str) -> None:
    """Tell torchrun, if it started this process, what to repeat at the end of its own report."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not path:
        return
    extra = {"py_callstack": text, "timestamp": str(int(time.time()))}
    try:
        Path(path).write_text(json.dumps({"message": {"message": text, "extraInfo": extra}}), encoding="utf-8")
    except OSError as failure:  # the message itself has been printed
        print(f"warning: torchrun's error file cannot be written: {failure}", file=sys.stderr)


def _code(error: BaseException) -> int:
    if stop_behind(error):
        return Stopped.EXIT_CODE
    return 130 if isinstance(error, KeyboardInterrupt) else EXIT_CODE


def _text(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    error = stop_behind(error) or error
    return str(error) if isinstance(error, UserError | Stopped) else f"{type(error).__name__}: {error}"
