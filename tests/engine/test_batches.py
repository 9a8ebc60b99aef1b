"""Every row once an epoch, no batch over its budget, and any step at any time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taesan.engine.batches import EpochBatches, GroupBatches, pack, pad, plan

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=120).map(lambda one: np.array(one, dtype=np.int32))


@given(lengths, st.integers(1, 200), st.integers(0, 3), st.integers(0, 3))
def test_a_plan_has_every_row_once_within_the_budget(lengths, budget, seed, epoch) -> None:
    batches = plan(lengths, budget_tokens=budget, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) * lengths[rows].max() <= budget or len(rows) == 1
    again = plan(lengths, budget_tokens=budget, seed=seed, epoch=epoch)
    assert [rows.tolist() for rows in again] == [rows.tolist() for rows in batches]


def test_neighbours_are_of_like_length_and_epochs_differ() -> None:
    chance = np.random.default_rng(0)
    lengths = np.minimum(chance.geometric(0.03, 20_000) + 2, 512).astype(np.int32)
    batches = plan(lengths, budget_tokens=1024, seed=1, epoch=0)
    padded = sum(len(rows) * int(lengths[rows].max()) for rows in batches)
    assert padded / lengths.sum() < 1.12  # at random, in batches of 30, it is over 2
    whole = [tuple(rows.tolist()) for rows in batches]
    other = [tuple(rows.tolist()) for rows in plan(lengths, budget_tokens=1024, seed=1, epoch=1)]
    assert len(set(whole) & set(other)) < 5
    longest = [int(lengths[rows].max()) for rows in batches]
    assert abs(np.corrcoef(longest[:-1], longest[1:])[0, 1]) < 0.15  # and the batches come in no order of length


def test_the_batches_of_a_small_set_are_of_several_neighbourhoods() -> None:
    lengths = np.minimum(np.random.default_rng(0).geometric(0.06, 1000) + 2, 128).astype(np.int32)
    batches = plan(lengths, budget_tokens=640, seed=1, epoch=0)
    around = sum(lengths[rows].min() < 13 < lengths[rows].max() for rows in batches)
    assert around >= 3  # sorted as one, one or two batches hold both shorter and longer rows
    padded = sum(len(rows) * int(lengths[rows].max()) for rows in batches)
    assert padded / lengths.sum() < 1.25  # at random, in batches of 32, over 3


@pytest.mark.parametrize("rows", [901, 902, 1003, 3001])
def test_odd_rows_are_no_batch_of_their_own(rows) -> None:
    lengths = np.minimum(np.random.default_rng(0).geometric(0.06, rows) + 2, 128).astype(np.int32)
    plans = [plan(lengths, budget_tokens=640, seed=seed, epoch=0) for seed in range(10)]
    assert sum(len(batch) <= 3 for batches in plans for batch in batches) < 10  # else there is one in every plan


def collate(rows: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
    return {"rows": rows, "noise": random.integers(0, 1 << 30, len(rows))}


def epoch_batches(lengths: np.ndarray, **changes) -> EpochBatches:
    options = {"budget_tokens": 80, "accumulation": 1, "seed": 3, "epochs": 3.0} | changes
    return EpochBatches(lengths, collate, **options)


def flat(step: list[dict[str, np.ndarray]]) -> list[list[list[int]]]:
    return [[batch["rows"].tolist(), batch["noise"].tolist()] for batch in step]


@given(lengths, st.sampled_from([1, 2, 3]), st.randoms(use_true_random=False))
def test_any_step_at_any_time_is_that_of_the_whole_run(lengths, accumulation, chance) -> None:
    batches = epoch_batches(lengths, accumulation=accumulation)
    whole = [flat(batches.step(number)) for number in range(batches.steps)]
    numbers = list(range(batches.steps))
    chance.shuffle(numbers)
    fresh = epoch_batches(lengths, accumulation=accumulation)
    for number in numbers:
        assert flat(fresh.step(number)) == whole[number]


@given(lengths, st.sampled_from([1, 2, 3]))
def test_the_steps_of_an_epoch_hold_every_row_once(lengths, accumulation) -> None:
    batches = epoch_batches(lengths, accumulation=accumulation)
    for epoch in range(3):
        first = epoch * batches.steps_per_epoch
        steps = [flat(batches.step(first + place)) for place in range(batches.steps_per_epoch)]
        seen = [row for step in steps for rows, _ in step for row in rows]
        assert sorted(seen) == list(range(len(lengths)))
        assert all(step for step in steps)  # a step without a batch would divide by no labels


def test_every_row_comes_once_where_epochs_differ_in_their_number_of_batches() -> None:
    for seed in range(6):
        lengths = np.minimum(np.random.default_rng(seed).geometric(0.05, 3000) + 2, 512).astype(np.int32)
        batches = epoch_batches(lengths, budget_tokens=64, seed=seed)
        counts = {len(plan(lengths, budget_tokens=64, seed=seed, epoch=epoch)) for epoch in range(3)}
        assert len(counts) > 1
        for epoch in range(3):
            numbers = range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch)
            seen = np.concatenate([batch["rows"] for number in numbers for batch in batches.step(number)])
            assert sorted(seen.tolist()) == list(range(3000))


def test_a_run_is_as_long_as_was_asked_for() -> None:
    lengths = np.full(100, 10, dtype=np.int32)  # 8 rows a batch: 13 batches
    assert epoch_batches(lengths).steps == 39
    assert epoch_batches(lengths, epochs=0.5).steps == 6
    assert epoch_batches(lengths, epochs=2.0, accumulation=4).steps == 8
    assert epoch_batches(lengths[:1], epochs=0.01).steps == 1


def group_batches(groups: list[np.ndarray], tokens: int) -> tuple[GroupBatches, list[int]]:
    """Batches of rows numbered through all groups, and which groups were opened, in order."""
    opened, firsts = [], np.cumsum([0, *map(len, groups)])

    def opener(number: int) -> EpochBatches:
        def numbered(rows: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
            return collate(rows + firsts[number], random)

        opened.append(number)
        return EpochBatches(groups[number], numbered, budget_tokens=80, accumulation=2, seed=3)

    openers = [lambda number=number: opener(number) for number in range(len(groups))]
    return GroupBatches(openers, tokens=tokens, seed=5), opened


@given(st.lists(lengths, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_groups_hold_every_row_once_an_epoch_one_open_at_a_time(groups, chance) -> None:
    total = int(sum(group.sum() for group in groups))
    batches, opened = group_batches(groups, tokens=3 * total)
    assert opened == list(range(len(groups)))
    assert batches.steps % 3 == 0
    an_epoch = batches.steps // 3
    whole = [flat(batches.step(number)) for number in range(batches.steps)]
    for epoch in range(3):
        steps = whole[epoch * an_epoch : (epoch + 1) * an_epoch]
        assert sorted(row for step in steps for rows, _ in step for row in rows) == list(range(sum(map(len, groups))))
    assert len(opened) <= 4 * len(groups)  # once to count, once an epoch
    numbers = list(range(batches.steps))
    chance.shuffle(numbers)
    fresh, _ = group_batches(groups, tokens=3 * total)
    for number in numbers:
        assert flat(fresh.step(number)) == whole[number]


def test_groups_come_in_another_order_each_time() -> None:
    groups = [np.full(8, 10, dtype=np.int32)] * 6  # one step a group
    batches, _ = group_batches(groups, tokens=5 * 480)
    orders = {tuple(flat(batches.step(e * 6 + p))[0][0][0] // 8 for p in range(6)) for e in range(5)}
    assert len(orders) > 2
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert group_batches(groups, tokens=240)[0].steps == 3


def test_pad() -> None:
    arrays = [np.array([1, 2, 3]), np.array([], dtype=int), np.array([4])]
    assert pad(arrays, 9).tolist() == [[1, 2, 3], [9, 9, 9], [4, 9, 9]]
    assert pad(arrays, 0, 4).shape == (3, 4)
    with pytest.raises(ValueError, match="broadcast"):
        pad(arrays, 0, 2)


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 50), st.integers(0, 5))
def test_packed_rows_hold_every_item_once(lengths, room, seed) -> None:
    groups = pack(np.array(lengths, dtype=np.int32), room, seed)
    assert sorted(int(row) for group in groups for row in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or sum(lengths[row] for row in group) <= room
    assert [list(group) for group in groups] == [list(group) for group in pack(np.array(lengths, np.int32), room, seed)]
