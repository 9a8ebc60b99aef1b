"""Rows chosen by chance and by class, the same on every machine and every version of Python for one seed."""

import random
from collections import defaultdict
from collections.abc import Sequence


def stratified_split(labels: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Positions to train on and positions held out, each in the file's order; `fraction` of each class is held out.

    A class of at least two rows is on both sides; one of a single row is trained on.
    """
    held = list[int]()
    for positions in _shuffled_classes(labels, seed):
        if len(positions) > 1:
            count = int(len(positions) * fraction + 0.5)
            held += positions[: min(max(count, 1), len(positions) - 1)]
    out = set(held)
    return [position for position in range(len(labels)) if position not in out], sorted(held)


def grouped_split(groups: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """The same, whole groups on one side: about `fraction` of the positions are held out, and at least one group.

    A single group is trained on.
    """
    members = defaultdict[str, list[int]](list)
    for position, group in enumerate(groups):
        members[group].append(position)
    chance = random.Random(seed)
    keys = {group: chance.random() for group in members}
    held, wanted = list[int](), fraction * len(groups)
    for group in sorted(members, key=lambda group: (keys[group], group))[: len(members) - 1]:
        if held and len(held) + len(members[group]) / 2 > wanted:
            break
        held += members[group]
    out = set(held)
    return [position for position in range(len(groups)) if position not in out], sorted(held)


def stratified_sample(labels: Sequence[str], size: int, seed: int) -> list[int]:
    """`size` positions in the file's order, each class with its share and, where `size` allows, at least one.

    The samples of one seed are nested: the one of 100 rows is contained in that of 1,000.
    """
    order = list[tuple[float, int, int]]()
    # One row of each class comes first, the large classes before the small; then a class's i-th of n at (i + ½)/n.
    for rank, positions in enumerate(_shuffled_classes(labels, seed)):
        for index, position in enumerate(positions):
            order.append(((index + 0.5) / len(positions) if index else 0.0, rank, position))
    return sorted(position for _, _, position in sorted(order)[:size])


def stratified_folds(labels: Sequence[str], count: int, seed: int) -> list[list[int]]:
    """`count` lists of positions, each in the file's order, that hold every position once and of each class its share.

    Where a class has fewer rows than there are folds, some of them have none of it.
    """
    folds: list[list[int]] = [[] for _ in range(count)]
    dealt = 0
    for positions in _shuffled_classes(labels, seed):
        for position in positions:
            folds[dealt % count].append(position)
            dealt += 1
    return [sorted(fold) for fold in folds]


def _shuffled_classes(labels: Sequence[str], seed: int) -> list[list[int]]:
    """The positions of each class in a random order, the largest class first."""
    # Of Python's generators only random() promises the same numbers in every version.
    chance = random.Random(seed)
    keys = [chance.random() for _ in labels]
    classes = defaultdict[str, list[int]](list)
    for position, label in enumerate(labels):
        classes[label].append(position)
    ordered = sorted(classes.items(), key=lambda item: (-len(item[1]), item[0]))
    return [sorted(positions, key=lambda position: (keys[position], position)) for _, positions in ordered]
