"""Which tokens of a long text are read."""

import numpy as np
from numpy.typing import NDArray


def windows(length: int, room: int, policy: str) -> list[NDArray[np.int64]]:
    """Token numbers of every piece of at most `room` tokens that stands for a text of `length` tokens.

    `head`: the first. `head-tail`: the first half and the last (Sun et al. 2019, section 5.3.1, with equal shares).
    `windows`: pieces that overlap by half, the last one flush with the end, so that every token is read.
    """
    everything = np.arange(length)
    if length <= room:
        return [everything]
    if policy == "head":
        return [everything[:room]]
    if policy == "head-tail":
        tail = room // 2
        return [np.concatenate([everything[: room - tail], everything[length - tail :]])]
    stride = max(1, room // 2)
    starts = [*range(0, length - room, stride), length - room]
    return [everything[start : start + room] for start in starts]
