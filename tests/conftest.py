"""What many tests share: tiny backbones that transformers saved, small labelled files, the catalogue of bad inputs."""

import ctypes
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

from taesan.text.tokenizer import Tokenizer
from taesan.text.train import train_wordpiece

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: the models here are too small for two
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.append(str(Path(__file__).parent / "data"))  # the table of bad inputs
sys.path.append(str(Path(__file__).parent / "report"))  # records that nobody measured
# Shared machines stall: a slow example is no failure, and no run depends on the last one's.
settings.register_profile("taesan", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("taesan")

SENTENCES = (
    "오늘은 날씨가 맑아서 아이들과 강가를 오래 걸었다.",
    "이 영화는 배우들의 연기가 좋아서 끝까지 재미있게 보았다.",
    "줄거리가 지루하고 음악도 시끄러워서 중간에 나왔다.",
    "서울에서 부산까지 기차로 두 시간 반이 걸린다고 한다.",
    "김 선생님은 학교 앞 가게에서 사과와 배를 샀다.",
    "비가 와서 길이 미끄러우니 조심해서 걸어야 한다.",
    "새로 산 전화기는 화면이 밝고 소리가 또렷하다. ㅋㅋㅋ",
    "값은 비싼데 맛은 별로여서 다시 가지 않을 것이다.",
    "The film was good, and the music was even better in 2024.",
    "재미있다! 정말 좋다. 별로다, 나쁘다; 지루하다?",
)
REVIEWS = (
    ("배우들의 연기가 좋아서 재미있게 보았다", "긍정"),
    ("음악도 좋고 화면이 밝아서 정말 좋다", "긍정"),
    ("아이들과 끝까지 재미있게 보았다!", "긍정"),
    ("맑은 날씨처럼 밝은 영화, 다시 보고 싶다", "긍정"),
    ("good film, better music", "긍정"),
    ("길고 긴 강가 장면이 오래 남는다", "긍정"),
    ("줄거리가 지루하고 시끄러워서 나왔다", "부정"),
    ("값은 비싼데 맛은 별로", "부정"),
    ("별로다. 중간에 나왔다", "부정"),
    ("소리가 시끄러워서 다시 가지 않을 것이다", "부정"),
    ("지루하다, 나쁘다, 지루하다", "부정"),
    ("기차에서 두 시간 반을 보낸 것처럼 지루했다", "부정"),
)
PAIRS = (
    ("오늘은 날씨가 맑다", "비가 오지 않는다", "함의"),
    ("서울에서 부산까지 기차로 간다", "기차가 부산에 간다", "함의"),
    ("김 선생님은 사과를 샀다", "선생님이 과일을 샀다", "함의"),
    ("비가 와서 길이 미끄럽다", "길이 말라 있다", "모순"),
    ("화면이 밝고 소리가 또렷하다", "소리가 잘 들리지 않는다", "모순"),
    ("값은 비싼데 맛은 별로다", "값이 싸다", "모순"),
    ("아이들과 강가를 걸었다", "아이들은 셋이다", "중립"),
    ("전화기를 새로 샀다", "전화기는 검다", "중립"),
    ("학교 앞에 가게가 있다", "가게는 두 시에 연다", "중립"),
)
ENTITIES = (
    ("서울에서 부산까지 기차로 두 시간 반이 걸린다", ((0, 2, "장소"), (5, 7, "장소"))),
    ("김 선생님은 학교 앞 가게에서 사과를 샀다", ((0, 1, "사람"), (7, 9, "장소"))),
    ("아이들과 강가를 오래 걸었다", ((0, 3, "사람"), (5, 7, "장소"))),
    ("오늘은 날씨가 맑아서 걸어야 한다", ()),
    ("배우들의 연기가 좋아서 부산까지 걸었다", ((0, 3, "사람"), (13, 15, "장소"))),
    ("비가 와서 서울에서 나왔다", ((6, 8, "장소"),)),
)
QUESTIONS = (
    ("어디까지 가는가?", "서울에서 부산까지 기차로 간다.", ("부산",)),
    ("무엇을 샀는가?", "김 선생님은 가게에서 사과와 배를 샀다.", ("사과와 배", "사과")),
    ("얼마나 걸리는가?", "기차로 두 시간 반이 걸린다. 비가 와서 길이 미끄럽다.", ("두 시간 반",)),
    ("누가 걸었는가?", "아이들과 강가를 오래 걸었다.", ("아이들",)),
    ("값은 얼마인가?", "화면이 밝고 소리가 또렷하다.", ()),
    ("날씨는 어떤가?", "오늘은 날씨가 맑아서 걸었다. " * 12, ("맑아서",)),
)
PROMPTS = (
    ("오늘 날씨는?", "맑아서 걷기 좋다."),
    ("영화는 어땠어?", "끝까지 재미있게 보았다."),
    ("어디 가니?", "서울에서 부산까지 간다."),
    ("무엇을 샀어?", "사과와 배를 샀다."),
    ("비가 오니?", "길이 미끄러우니 조심해서 걸어야 한다. " * 5),
    ("전화기는 어때?", "화면이 밝고 소리가 또렷하다. ㅋㅋㅋ"),
)
# What the tiny vocabularies know of the labels above.
WORDS = {
    "classification": {"긍정": "좋다", "부정": "별로"},
    "pair": {"함의": "좋다", "모순": "별로", "중립": "정말"},
}
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
MASKED = ("bert", "roberta-prelayernorm")
MAX_LENGTH = 64


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """A WordPiece tokenizer of our own, of a few hundred entries."""
    return train_wordpiece(SENTENCES, size=400)


@pytest.fixture(scope="session")
def byte_tokenizer() -> Tokenizer:
    """A byte-level BPE as GPT-2 has it: one control token, no class token, nothing put around a text."""
    backend = Backend(BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
    )
    backend.train_from_iterator(SENTENCES, trainer)
    return Tokenizer(backend, {name: "<|endoftext|>" for name in ("bos_token", "eos_token", "unk_token")})


def save_masked(folder: Path, architecture: str, tokenizer: Tokenizer, **shape: object) -> Path:
    """A two-layer masked model, as transformers saves it."""
    import torch
    import transformers

    name = {"bert": "Bert", "roberta-prelayernorm": "RobertaPreLayerNorm"}[architecture]
    positions = MAX_LENGTH if architecture == "bert" else MAX_LENGTH + tokenizer.pad_id + 1
    torch.manual_seed(7)
    config = getattr(transformers, f"{name}Config")(
        **SHAPE,
        vocab_size=tokenizer.vocabulary_size,
        max_position_embeddings=positions,
        pad_token_id=tokenizer.pad_id,
        type_vocab_size=2,
        initializer_range=0.2,
        **shape,
    )
    return _save(folder, getattr(transformers, f"{name}ForMaskedLM")(config), tokenizer, token_types=True)


def save_causal(folder: Path, tokenizer: Tokenizer, *, max_length: int = MAX_LENGTH, **shape: object) -> Path:
    """A two-layer GPT-2, as transformers saves it."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(7)
    ending = tokenizer.backend.token_to_id("<|endoftext|>")
    config = GPT2Config(
        vocab_size=tokenizer.vocabulary_size,
        n_positions=max_length,
        n_embd=32,
        n_layer=2,
        n_head=2,
        initializer_range=0.2,
        bos_token_id=ending,
        eos_token_id=ending,
        **shape,
    )
    return _save(folder, GPT2LMHeadModel(config), tokenizer, token_types=False, max_length=max_length)


def _save(folder: Path, model, tokenizer: Tokenizer, *, token_types: bool, max_length: int = MAX_LENGTH) -> Path:
    model.save_pretrained(folder)
    for name, content in tokenizer.files(max_length=max_length, token_types=token_types).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def masked_backbones(tmp_path_factory, tokenizer) -> dict[str, Path]:
    """Folders of masked backbones, by architecture."""
    root = tmp_path_factory.mktemp("masked")
    return {name: save_masked(root / name, name, tokenizer) for name in MASKED}


@pytest.fixture(scope="session")
def masked_backbone(masked_backbones) -> Path:
    return masked_backbones["bert"]


@pytest.fixture(scope="session")
def causal_backbone(tmp_path_factory, byte_tokenizer) -> Path:
    return save_causal(tmp_path_factory.mktemp("causal") / "gpt2", byte_tokenizer)


@pytest.fixture(scope="session")
def long_backbone(tmp_path_factory, byte_tokenizer) -> Path:
    """The same with room for shots, whose every syllable is three bytes."""
    return save_causal(tmp_path_factory.mktemp("long") / "gpt2", byte_tokenizer, max_length=512)


@pytest.fixture(scope="session")
def backbones(masked_backbones, causal_backbone) -> dict[str, Path]:
    """Every tiny backbone, by architecture."""
    return {**masked_backbones, "gpt2": causal_backbone}


def squad(rows=QUESTIONS) -> str:
    """(question, context, answers) as a SQuAD document."""
    paragraphs = [
        {
            "context": context,
            "qas": [
                {
                    "id": f"q{number}",
                    "question": question,
                    "answers": [{"text": answer, "answer_start": context.index(answer)} for answer in answers],
                    "is_impossible": not answers,
                }
            ],
        }
        for number, (question, context, answers) in enumerate(rows)
    ]
    return json.dumps({"version": "2.0", "data": [{"title": "글", "paragraphs": paragraphs}]}, ensure_ascii=False)


@pytest.fixture(scope="session")
def labelled(tmp_path_factory) -> dict[str, Path]:
    """A labelled file for each task."""
    folder = tmp_path_factory.mktemp("labelled")
    rows = {
        "classification": [dict(zip(("text", "label"), row, strict=True)) for row in REVIEWS],
        "pair": [dict(zip(("premise", "hypothesis", "label"), row, strict=True)) for row in PAIRS],
        "ner": [
            {"text": text, "entities": [dict(zip(("start", "end", "label"), span, strict=True)) for span in spans]}
            for text, spans in ENTITIES
        ],
        "generation": [dict(zip(("prompt", "completion"), row, strict=True)) for row in PROMPTS],
    }
    for task, values in rows.items():
        lines = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
        (folder / f"{task}.jsonl").write_text(lines, "utf-8")
    (folder / "qa.json").write_text(squad(), "utf-8")
    return {task: folder / f"{task}.jsonl" for task in rows} | {"qa": folder / "qa.json"}


@pytest.fixture(scope="session")
def models(masked_backbone, causal_backbone, labelled, tmp_path_factory) -> dict[str, Path]:
    """A fine-tuned model of every task, to be read only."""
    import taesan
    from taesan.config import FitConfig

    root, config = tmp_path_factory.mktemp("models"), FitConfig(epochs=1, device="cpu", threads=1)
    backbones = dict.fromkeys(labelled, masked_backbone) | {"generation": causal_backbone}
    return {
        task: taesan.fit(
            task, file, output=root / task, backbone=str(backbones[task]), config=config, quiet=True
        ).folder
        for task, file in labelled.items()
    }


@pytest.fixture
def modes_count():
    """What a file's mode forbids is forbidden to the superuser too: capabilities(7), of this thread, until the end."""
    if os.geteuid() != 0:
        yield
        return
    libc, header = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this thread
    held = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, and the same for those above 31
    assert libc.capget(header, held) == 0
    override, search = 1 << 1, 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, (ctypes.c_uint32 * 6)(held[0] & ~(override | search), *held[1:])) == 0
    yield
    assert libc.capset(header, held) == 0
