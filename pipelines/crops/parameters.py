"""The numbers that decide one crop, as the columns of a float32 row: drawn once, read by every path.

A group of `num` crops is one tensor (num, COLUMNS). Windows are whole pixels of the decoded image; coins are
0 or 1; ORDER counts the 24 orders of the four jitter operations; SIGMA is 0 where the crop is not blurred;
SOLARIZE is 1 where every level of 128 and above is inverted, the last step before normalization.
The columns are plain integers so that compiled kernels, DALI graphs and tests index with the same names.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

TOP, LEFT, HEIGHT, WIDTH = 0, 1, 2, 3
FLIP, JITTER, ORDER = 4, 5, 6
BRIGHTNESS, CONTRAST, SATURATION, HUE = 7, 8, 9, 10
GRAY, SIGMA, SOLARIZE = 11, 12, 13
COLUMNS = 14

ORDERS = np.array(list(permutations(range(4))), dtype=np.int64)
"""(24, 4): the operations of each ORDER, first to last; operation k has its factor in column BRIGHTNESS + k."""
