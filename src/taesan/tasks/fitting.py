"""Texts that are too long for their place in a template: shortened as strings, at the edges of tokens."""

from collections.abc import Callable, Mapping, Sequence

from taesan.errors import UsageError
from taesan.text.tokenizer import Tokenizer
from taesan.text.windows import windows

Slots = Mapping[str, str]


def fit_slots(
    slots: Slots,
    size: Callable[[Slots], int],
    room: int,
    tokenizer: Tokenizer,
    *,
    policy: str,
    names: Sequence[str],
) -> tuple[Slots, bool]:
    """`slots` so that `size` of them, in tokens, is at most `room`: of the longest text head and tail, or the head.

    Whether anything was cut comes with them. Only the texts of `names` may be. Raises: UsageError where the template
    alone is too long.
    """
    over, cut = size(slots) - room, False
    while over > 0:
        lengths = {name: len(tokenizer.ids([slots[name]])[0]) for name in names}
        longest = max(lengths, key=lambda name: lengths[name])
        if lengths[longest] <= 1:
            raise UsageError(
                f"the template and its shots take {over:,} tokens more than the {room:,} that are left; expected fewer "
                "shots or a shorter template"
            )
        text = _shortened(slots[longest], max(1, lengths[longest] - over), tokenizer, policy)
        if len(text) >= len(slots[longest]):  # bytes of one character may be several tokens
            text = slots[longest][:-1]
        slots, cut = {**slots, longest: text}, True
        over = size(slots) - room
    return slots, cut


def _shortened(text: str, tokens: int, tokenizer: Tokenizer, policy: str) -> str:
    (encoding,) = tokenizer.encode([text])
    kept = windows(len(encoding.ids), tokens, "head" if policy == "head" else "head-tail")[0].tolist()
    gap = next((place for place in range(1, len(kept)) if kept[place] != kept[place - 1] + 1), len(kept))
    head = text[: int(encoding.offsets[kept[gap - 1], 1])]
    return head if gap == len(kept) else head + text[int(encoding.offsets[kept[gap], 0]) :]
