"""The columns of the two tables that describe crops to the kernels, as the constants compiled code wants.

`rows` float32 (crops, COLUMNS) is the drawn parameters themselves, see pipelines.crops.parameters. `places` int64
(crops, PLACES) is what the host derives from them: where the window begins and what is done to the crop.
"""

from __future__ import annotations

import triton.language as tl

from pipelines.crops import parameters as p
from pipelines.crops.kernels_blur import TAPS

COLUMNS = tl.constexpr(p.COLUMNS)
HEIGHT = tl.constexpr(p.HEIGHT)
WIDTH = tl.constexpr(p.WIDTH)
FLIP = tl.constexpr(p.FLIP)
BRIGHTNESS = tl.constexpr(p.BRIGHTNESS)
GRAY = tl.constexpr(p.GRAY)
SOLARIZE = tl.constexpr(p.SOLARIZE)

START = tl.constexpr(0)
"""Byte of the batch's pixels at which the window begins."""
PITCH = tl.constexpr(1)
"""Bytes from a row of the picture to the next."""
TABLES = tl.constexpr(2)
"""Where the weights of the window's rows begin in the chunk's table; those of its columns in the next column."""
ORDER = tl.constexpr(4)
"""The four jitter operations, two bits each, the first in the lowest."""
BEFORE = tl.constexpr(5)
"""How many of them come before the contrast."""
OPERATIONS = tl.constexpr(6)
"""How many are done at all: four or none."""
RADIUS = tl.constexpr(7)
"""Of the blur, in pixels; 0 where there is none."""
PLACES = tl.constexpr(8)

REACH = tl.constexpr(TAPS // 2 + 1)
"""Blur weights per crop, centre first."""
