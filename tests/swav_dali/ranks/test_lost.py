"""Failures of a collective are told from other errors, and said in one line."""

from __future__ import annotations

import pytest
import torch.distributed as dist

from swav_dali.ranks.lost import lost_rank

GLOO = "[/builds/third_party/gloo/gloo/transport/tcp/pair.cc:561] "


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (RuntimeError(f"{GLOO}Timed out waiting 15000ms for recv operation to complete"), "no answer within 15 s:"),
        (RuntimeError("Application timeout caused pair closure"), "no answer:"),
        (
            RuntimeError(f"{GLOO}Connection closed by peer [10.0.0.2]:201. This is typically caused by a crash."),
            "Connection closed by peer [10.0.0.2]:201;",
        ),
        (dist.DistNetworkError("Broken pipe\nframe #0: somewhere"), "Broken pipe;"),
    ],
)
def test_a_lost_rank_is_one_line(error: Exception, found: str) -> None:
    lost = lost_rank(error, 0)
    assert lost is not None
    assert str(lost).startswith(f"the connection to another rank is lost, found {found}")
    assert str(lost).endswith("start again to continue from the newest checkpoint")
    assert "\n" not in str(lost)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("shape mismatch"), ValueError("Timed out waiting 3ms"), KeyError("pair"), KeyboardInterrupt()],
)
def test_any_other_error_is_left_alone(error: BaseException) -> None:
    assert lost_rank(error, 0) is None
