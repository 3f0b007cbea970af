"""The swapped prediction loss: every crop predicts the codes of the others (arXiv 2006.09882, section 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def swapped_loss(scores: Tensor, codes: Tensor, assign_crops: Sequence[int], temperature: float) -> Tensor:
    """Mean cross-entropy between the code of each assigned crop and the predictions of all other crops.

    With L_v = log_softmax(scores_v / temperature) and q_i the code of assigned crop i it is
    -1 / (A (V - 1) B) sum_i sum_b q_i . (sum_v L_v - L_i): one log-softmax for all pairs.

    Args:
        scores: cosines, (crops V, batch B, prototypes).
        codes: (assigned A, batch B, prototypes), without gradient.
        assign_crops: the A crops that `codes` belong to.
        temperature: of the predictions.

    Returns:
        The mean over this rank's batch, a scalar; ln K when the predictions say nothing.
    """
    log_p = (scores / temperature).log_softmax(dim=2)
    others = log_p.sum(dim=0) - torch.stack([log_p[crop] for crop in assign_crops])  # (assigned, batch, prototypes)
    num_terms = codes.shape[0] * codes.shape[1] * (scores.shape[0] - 1)
    return -(codes * others).sum() / num_terms
