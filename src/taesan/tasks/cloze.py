"""A task of a few labels in the text view, learnt: a template with a blank, and the words that may fill it."""

from collections.abc import Mapping, Sequence

import numpy as np

from taesan.tasks.base import IGNORED, Encoded, EncodeOptions, Example, HeadKind, Item, Learnt
from taesan.tasks.classification import Classification
from taesan.tasks.fitting import fit_slots
from taesan.tasks.templates import Template, label_words, read
from taesan.text.tokenizer import Ids, Tokenizer


class Cloze(Classification):
    """The same task, its items with a mask where the answer belongs, or, for a causal model, up to the answer."""

    head: HeadKind = "choice"

    def __init__(self, task: Classification, template: Template, words: Mapping[str, str], *, masked: bool):
        super().__init__(task.name, task.usage, task.fields)
        self.template, self.words, self.masked = template, words, masked

    def mask_id(self, tokenizer: Tokenizer) -> int | None:
        """The blank's id; a causal model has none."""
        return tokenizer.mask_id if self.masked else None

    def choices(self, tokenizer: Tokenizer) -> tuple[tuple[int, ...], ...]:
        """The ids of each label's word, as it stands behind the template's text."""
        before = self.template.prompt(dict.fromkeys(self.slots, "")).before
        space = " " if before[-1:].isspace() and not self.masked else ""
        return tuple(tuple(ids.tolist()) for ids in tokenizer.ids([space + word for word in self.words.values()]))

    def encode(
        self, examples: Sequence[Example], tokenizer: Tokenizer, learnt: Learnt, options: EncodeOptions
    ) -> list[Encoded]:
        number = {label: index for index, label in enumerate(learnt.labels)}
        encoded: list[Encoded] = []
        for example in examples:
            target = np.array(number.get(example.label, IGNORED), dtype=np.int64)
            slots, cut = fit_slots(
                dict(zip(self.slots, example.texts, strict=True)),
                lambda slots: len(self._ids(slots, tokenizer)),
                options.max_length,
                tokenizer,
                policy=options.long_text,
                names=self.slots,
            )
            ids = self._ids(slots, tokenizer)
            encoded.append(Encoded([Item(ids, np.zeros_like(ids), target)], cut))
        return encoded

    def _ids(self, slots: Mapping[str, str], tokenizer: Tokenizer) -> Ids:
        prompt = self.template.prompt(slots)
        if not self.masked:
            (before,) = tokenizer.ids([prompt.before.rstrip()])
            return np.concatenate([tokenizer.layout.prefix, before]).astype(np.int32)
        before, after = tokenizer.ids([prompt.before, prompt.after])
        return tokenizer.join(np.concatenate([before, np.full(1, tokenizer.mask_id), after]).astype(np.int32))[0]


def read_cloze(task: Classification, template: bytes, learnt: Learnt, *, masked: bool) -> Cloze:
    """As `fit` stored it in `template.toml`. Raises: UsageError where that is no template of the task."""
    given = read(template, "template.toml", task.slots)
    (own,) = given.templates
    return Cloze(task, own, label_words(learnt.labels, own, given, {}), masked=masked)
