"""What the collectives of a step cost on more GPUs than are at hand: a model, printed with what it assumes.

A collective of `bytes` over n ranks takes latency and bandwidth terms (alpha, beta). Ring: 2 (n - 1) alpha +
2 (n - 1) / n bytes / beta. Tree: 2 ceil(log2 n) alpha + 2 bytes / beta. The faster one is taken, as NCCL does. Over
several nodes the slower link sets beta, and a tree has its steps inside a node and those between nodes; a ring's steps
are all counted as if they crossed nodes. Gradients are reduced while backward goes on, so that of their time only what
exceeds backward is waited for; everything else is waited for in full.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_BACKWARD = 2 / 3
"""Of a step's arithmetic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The machine assumed.

    Attributes:
        gpus_per_node: ranks that share a node.
        node_gb: GB/s a rank has to the others of its node.
        net_gb: GB/s a rank has to other nodes.
        node_us: microseconds of one step of a collective inside a node.
        net_us: microseconds of one that crosses nodes.
    """

    gpus_per_node: int = 8
    node_gb: float = 300.0
    net_gb: float = 40.0
    node_us: float = 3.0
    net_us: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Collectives of one kind in a step.

    Attributes:
        name: what they are for.
        calls: in a step.
        num_bytes: of one call and rank.
        is_hidden: whether backward goes on meanwhile.
        within_node: whether the ranks of one node alone take part.
    """

    name: str
    calls: int
    num_bytes: float
    is_hidden: bool = False
    within_node: bool = False


def all_reduce_ms(num_bytes: float, ranks: int, links: Links) -> float:
    """Milliseconds of one all-reduce; 0 on one rank."""
    if ranks == 1:
        return 0.0
    inside, nodes = min(ranks, links.gpus_per_node), math.ceil(ranks / links.gpus_per_node)
    gb, step_us = (links.node_gb, links.node_us) if nodes == 1 else (links.net_gb, links.net_us)
    ms = num_bytes / gb / 1e6
    ring = 2 * (ranks - 1) * step_us / 1e3 + 2 * (ranks - 1) / ranks * ms
    steps_us = math.ceil(math.log2(inside)) * links.node_us + math.ceil(math.log2(nodes)) * links.net_us
    return min(ring, 2 * steps_us / 1e3 + 2 * ms)


def traffic_ms(traffic: Traffic, ranks: int, links: Links) -> float:
    """Milliseconds of all calls of a step."""
    taking_part = min(ranks, links.gpus_per_node) if traffic.within_node else ranks
    return traffic.calls * all_reduce_ms(traffic.num_bytes, taking_part, links)


def waited_ms(traffics: Sequence[Traffic], ranks: int, links: Links, *, step_ms: float) -> float:
    """Milliseconds that a step of `step_ms` without collectives becomes longer."""
    hidden = sum(traffic_ms(each, ranks, links) for each in traffics if each.is_hidden)
    open_ms = sum(traffic_ms(each, ranks, links) for each in traffics if not each.is_hidden)
    return open_ms + max(0.0, hidden - _BACKWARD * step_ms)


def table(traffics: Sequence[Traffic], links: Links, *, step_ms: float, sizes: Sequence[int]) -> list[str]:
    """A line per number of GPUs: milliseconds of each kind, what is waited for, and the share of ideal speed left."""
    heads = [each.name for each in traffics]
    lines = [f"{'GPUs':>5}  " + "  ".join(f"{head:>24}" for head in heads) + f"  {'waited ms':>10}  {'of ideal':>8}"]
    for ranks in sizes:
        waited = waited_ms(traffics, ranks, links, step_ms=step_ms)
        cells = "  ".join(f"{traffic_ms(each, ranks, links):>21.2f} ms" for each in traffics)
        lines.append(f"{ranks:>5}  {cells}  {waited:>10.2f}  {100 * step_ms / (step_ms + waited):>6.1f} %")
    return lines
