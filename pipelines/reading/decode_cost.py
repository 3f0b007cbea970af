"""What decoding one picture of a shard set costs a CPU core, so that a slow pipeline can be told which part is slow."""

from __future__ import annotations

import io
import statistics
import time

from PIL import Image

from shards.tars.index import parse_index
from shards.tars.shardset import ShardSet

_PICTURES = 16


def decode_milliseconds(shards: ShardSet) -> float:
    """Median CPU-milliseconds of this thread to decode a picture of the first shard to RGB, with Pillow.

    Pillow and DALI decode JPEG with the same library, so the figure holds for both.

    Raises:
        OSError: the shard cannot be read, or a picture not decoded.
    """
    shard = shards.shards[0]
    samples = parse_index(shard.idx.read_bytes(), where=shard.idx)[:_PICTURES]
    times: list[float] = []
    with shard.tar.open("rb") as tar:
        for members in samples:
            picture = max(members, key=lambda member: member.size)  # beside it only a label and a number
            tar.seek(picture.offset)
            content = tar.read(picture.size)
            began = time.thread_time()
            Image.open(io.BytesIO(content)).convert("RGB")
            times.append(time.thread_time() - began)
    return 1000 * statistics.median(times)
