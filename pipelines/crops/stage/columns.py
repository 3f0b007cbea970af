"""What the host works out of every crop for the kernels, as the columns of an int64 row, and how much of it there is.

`places` int64 (crops, PLACES) lies beside `rows` float32 (crops, parameters.COLUMNS), the drawn parameters as they
are, and `gauss` float32 (crops, REACH), the blur's weights.
"""

from __future__ import annotations

from pipelines.crops.kernels_blur import TAPS

START = 0
"""Byte of the batch's pixels at which the window begins."""
PITCH = 1
"""Bytes from a row of the picture to the next."""
TABLES = 2
"""Where the resize weights of the window's rows begin in the chunk's table; those of its columns in the next column."""
ORDER = 4
"""The four jitter operations, two bits each, the first in the lowest."""
BEFORE = 5
"""How many of them come before the contrast."""
OPERATIONS = 6
"""How many are done at all: four or none."""
RADIUS = 7
"""Of the blur, in pixels; 0 where there is none."""
PLACES = 8

REACH = TAPS // 2 + 1
"""Blur weights of a crop, centre first."""
