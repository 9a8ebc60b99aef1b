"""A model folder opened by transformers alone: the same ids, and the same outputs to 1e-5.

    python benchmarks/opens_in_transformers.py write FOLDER outputs.npz     where taesan is installed
    python benchmarks/opens_in_transformers.py compare FOLDER outputs.npz   wherever torch and transformers are

FOLDER is fitted for any task. The second needs no taesan, so that it can run beside another version of transformers.
"""

import sys
from typing import Any

import numpy as np

TEXTS = (
    "정말 재미있게 봤어요",
    "배우는 좋은데 각본이 [SEP] 아쉽다 [CLS] [MASK]",
    "ㅋㅋㅋ 이게 뭐야 😀 13일까지만 상영",
    "끝까지 다 본 " + "영화 " * 40,
    "시간이 아깝다",
)
CLASSES = {
    "sequence": "AutoModelForSequenceClassification",
    "token": "AutoModelForTokenClassification",
    "span": "AutoModelForQuestionAnswering",
    "language_model": "AutoModelForCausalLM",
}


def write(folder: str, path: str) -> None:
    """What taesan's own session says, for each text, or pair of texts, by itself."""
    from taesan.engine.infer import run_items
    from taesan.engine.load import open_predictor
    from taesan.tasks.base import Example

    predictor, _ = open_predictor(folder)
    pairs = predictor.task.name in ("pair", "qa", "generation")
    texts = list(zip(TEXTS, TEXTS[::-1], strict=True)) if pairs else [(text,) for text in TEXTS]
    examples = [Example(text) for text in texts]
    encoded = predictor.task.encode(examples, predictor.tokenizer, predictor.learnt, predictor.options)
    items = [one.items[0] for one in encoded]
    options = {"max_length": predictor.options.max_length, "pad_id": predictor.tokenizer.pad_id}
    outputs = run_items(predictor.session, items, **options)
    arrays: dict[str, Any] = {"head": predictor.task.head, "pairs": pairs}
    for number, (item, output) in enumerate(zip(items, outputs, strict=True)):
        arrays |= {f"output{number}": output, f"ids{number}": item.input_ids}
        arrays |= {f"types{number}": item.token_type_ids, f"labels{number}": item.labels}
    np.savez(path, **arrays)
    print(f"wrote the outputs for {len(items)} texts")


def compare(folder: str, path: str) -> None:
    import torch
    import transformers

    expected = np.load(path)
    head = str(expected["head"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    kind = getattr(transformers, CLASSES[head])
    model, info = kind.from_pretrained(folder, output_loading_info=True, torch_dtype=torch.float32)
    model.eval()
    same_ids, largest = True, 0.0
    for number, text in enumerate(TEXTS):
        texts = (text, TEXTS[-1 - number]) if expected["pairs"] else (text,)
        ids, labels = expected[f"ids{number}"], expected[f"labels{number}"]
        theirs = tokenizer(*texts)["input_ids"]
        same_ids = same_ids and theirs == ids.tolist()[: len(theirs)]
        batch = {"input_ids": torch.from_numpy(ids[None].astype(np.int64))}
        if getattr(model.config, "type_vocab_size", 0) > 1:
            batch["token_type_ids"] = torch.from_numpy(expected[f"types{number}"][None].astype(np.int64))
        with torch.no_grad():
            out = model(**batch)
        if head == "span":
            found = torch.stack([out.start_logits, out.end_logits], -1)[0].numpy()
        elif head == "language_model":  # a token's mean, of the sum that taesan's session gives
            rows = torch.log_softmax(out.logits[0].double(), -1).numpy()
            places = np.flatnonzero(labels >= 0)
            found = rows[places, labels[places]].sum()
        else:
            found = out.logits[0].numpy()
        scale = max(1, int((labels >= 0).sum())) if head == "language_model" else 1
        largest = max(largest, float(np.abs(found - expected[f"output{number}"]).max()) / scale)
    missing = [*info["missing_keys"], *info["unexpected_keys"]]
    print(
        f"transformers {transformers.__version__}, {CLASSES[head]}: ids {'equal' if same_ids else 'DIFFER'}, "
        f"largest difference {largest:.1e}, keys missing or unexpected: {missing or 'none'}"
    )
    sys.exit(0 if same_ids and largest < 1e-5 and not missing else 1)


if __name__ == "__main__":
    {"write": write, "compare": compare}[sys.argv[1]](*sys.argv[2:])
