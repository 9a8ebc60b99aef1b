"""A model folder opened by transformers alone: the same ids, and the same logits to 1e-5.

    python benchmarks/opens_in_transformers.py write FOLDER logits.npz     where taesan is installed
    python benchmarks/opens_in_transformers.py compare FOLDER logits.npz   wherever torch and transformers are

The second needs no taesan, so that it can run beside another version of transformers.
"""

import sys

import numpy as np

TEXTS = (
    "정말 재미있게 봤어요",
    "배우는 좋은데 각본이 [SEP] 아쉽다 [CLS] [MASK]",
    "ㅋㅋㅋ 이게 뭐야 😀 13일까지만 상영",
    "끝까지 다 본 " + "영화 " * 40,
    "시간이 아깝다",
)


def write(folder: str, path: str) -> None:
    """What taesan's own session says, for each text by itself."""
    from taesan.engine.infer import run_items
    from taesan.engine.load import open_predictor
    from taesan.tasks.base import Example

    predictor, _ = open_predictor(folder)
    encoded = predictor.task.encode([Example((t,)) for t in TEXTS], predictor.tokenizer, (), predictor.options)
    items = [one.items[0] for one in encoded]
    logits = run_items(
        predictor.session, items, max_length=predictor.options.max_length, pad_id=predictor.tokenizer.pad_id
    )
    np.savez(path, logits=np.stack(logits), **{f"ids{i}": item.input_ids for i, item in enumerate(items)})
    print(f"wrote the logits of {len(items)} texts")


def compare(folder: str, path: str) -> None:
    import torch
    import transformers

    expected = np.load(path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, output_loading_info=True, torch_dtype=torch.float32
    )
    model.eval()
    same_ids = all(tokenizer(text)["input_ids"] == expected[f"ids{i}"].tolist() for i, text in enumerate(TEXTS))
    with torch.no_grad():
        logits = model(**tokenizer(list(TEXTS), padding=True, return_tensors="pt")).logits.numpy()
    difference = float(np.abs(logits - expected["logits"]).max())
    missing = [*info["missing_keys"], *info["unexpected_keys"]]
    print(
        f"transformers {transformers.__version__}: ids {'equal' if same_ids else 'DIFFER'}, "
        f"largest difference of a logit {difference:.1e}, keys missing or unexpected: {missing or 'none'}"
    )
    sys.exit(0 if same_ids and difference < 1e-5 and not missing else 1)


if __name__ == "__main__":
    {"write": write, "compare": compare}[sys.argv[1]](*sys.argv[2:])
