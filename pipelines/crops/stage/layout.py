"""Columns of pipelines.crops.parameters and pipelines.crops.stage.columns as the constants compiled kernels want."""

from __future__ import annotations

import triton.language as tl

from pipelines.crops import parameters as p
from pipelines.crops.stage import columns as c

COLUMNS = tl.constexpr(p.COLUMNS)
HEIGHT, WIDTH = tl.constexpr(p.HEIGHT), tl.constexpr(p.WIDTH)
FLIP, GRAY, SOLARIZE = tl.constexpr(p.FLIP), tl.constexpr(p.GRAY), tl.constexpr(p.SOLARIZE)
BRIGHTNESS = tl.constexpr(p.BRIGHTNESS)

PLACES = tl.constexpr(c.PLACES)
START, PITCH, TABLES = tl.constexpr(c.START), tl.constexpr(c.PITCH), tl.constexpr(c.TABLES)
ORDER, BEFORE, OPERATIONS = tl.constexpr(c.ORDER), tl.constexpr(c.BEFORE), tl.constexpr(c.OPERATIONS)
RADIUS, REACH = tl.constexpr(c.RADIUS), tl.constexpr(c.REACH)
