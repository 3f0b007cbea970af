"""What a collective that failed means, in the words of a user."""

from __future__ import annotations

import re
from pathlib import Path

import torch.distributed as dist

from swav_dali.errors import TrainingError
from swav_dali.ranks.flight import write_record

_OF_GLOO = re.compile(r"/gloo/|Application timeout|Timed out waiting|Connection (closed|reset) by peer|Socket closed")
_TIMED_OUT = re.compile(r"Timed out waiting (\d+)ms|Application timeout")


def lost_rank(error: BaseException, rank: int) -> TrainingError | None:
    """The error for a collective that failed because its other side has gone, None for any other failure.

    Args:
        error: as raised in this rank.
        rank: this rank, whose last collectives are written down if the other one did not answer in time.
    """
    text = str(error)
    if not isinstance(error, dist.DistError) and not (isinstance(error, RuntimeError) and _OF_GLOO.search(text)):
        return None
    timed_out = _TIMED_OUT.search(text)
    if timed_out is None:
        reason, record = (
            re.sub(r"^(\[\S*\] )+", "", text.split(" This is typically")[0].splitlines()[0]).rstrip("."),
            None,
        )
    else:
        seconds = f" within {int(timed_out[1]) / 1000:g} s" if timed_out[1] else ""
        reason = f"no answer{seconds}: it hangs, or the network between the machines does not work"
        record = write_record(rank)
    return TrainingError("the connection to another rank is lost", found=reason, fix=_fix(record))


def given_up(record: Path) -> TrainingError:
    """The error for a collective that NCCL gave up, once torch has written `record`."""
    all_of_them = f"{record.parent} -p {record.name.rstrip('0123456789')}"
    fix = f"torchfrtrace {all_of_them} compares what the ranks did last; {_fix(record)}"
    return TrainingError("a collective failed, or a rank did not come to it in time", fix=fix)


def _fix(record: Path | None) -> str:
    kept = "" if record is None else f"this rank's last collectives are in {record}; "
    return (
        f"{kept}the other's last words are above or on its machine; start again to continue from the newest checkpoint"
    )
