"""Settings come from defaults, a file and flags, in this order, and nothing unknown or absurd is taken."""

import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taesan.config import FitConfig, LoopConfig, PretrainConfig, resolve
from taesan.errors import InputMissing, UsageError
from taesan.models.locate import EMBEDDED_FOLDER

KINDS = (FitConfig, PretrainConfig)


def test_flags_win_over_the_file_and_the_file_over_the_defaults(tmp_path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('epochs = 3\nseed = 7\nlong_text = "windows"\nlearning_rate = 1e-3\n')
    config = resolve(FitConfig, file=file, values={"seed": "8", "patience": None})
    assert (config.epochs, config.seed, config.long_text, config.learning_rate) == (3.0, 8, "windows", 1e-3)
    assert type(config.epochs) is float
    assert config == FitConfig(epochs=3.0, seed=8, long_text="windows", learning_rate=1e-3)
    assert resolve(FitConfig, values={}) == FitConfig()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"epoch": 3}, "there is no setting 'epoch'; did you mean epochs?"),
        ({"zzz": 3}, "there are: seed, learning_rate"),
        ({"seed": "x"}, "seed is 'x'; expected a whole number"),
        ({"seed": "1.5"}, "a whole number"),
        ({"seed": 1.0}, "a whole number"),
        ({"seed": True}, "a whole number"),
        ({"seed": -1}, "expected at least 0"),
        ({"epochs": "many"}, "epochs is 'many'; expected a number"),
        ({"epochs": True}, "expected a number"),
        ({"epochs": "nan"}, "expected at least 0"),
        ({"epochs": "inf"}, "expected a finite number"),
        ({"epochs": [1]}, "expected a number"),
        ({"batch_tokens": -1}, "expected at least 0"),
        ({"long_text": "middle"}, "expected one of head, head-tail, windows"),
        ({"long_text": 3}, "expected text"),
        ({"device": 0}, "expected text"),
    ],
)
def test_what_is_refused(values, said) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        resolve(FitConfig, values=values)


def test_what_is_read_from_text() -> None:
    config = resolve(PretrainConfig, values={"train_tokens": "10_000", "warm_embeddings": "false", "warmup": "0.5"})
    assert (config.train_tokens, config.warm_embeddings, config.warmup) == (10_000, False, 0.5)
    with pytest.raises(UsageError, match="true or false"):
        resolve(PretrainConfig, values={"warm_embeddings": "no"})


def test_files_that_cannot_be_read(tmp_path) -> None:
    with pytest.raises(InputMissing, match="no settings file"):
        resolve(FitConfig, file=tmp_path / "nothing.toml", values={})
    for content in (b"epochs 3", b"epochs = \xff", b"[epochs"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(UsageError, match="is not TOML"):
            resolve(FitConfig, file=tmp_path / "bad.toml", values={})
    (tmp_path / "table.toml").write_text("[fit]\nepochs = 3\n")
    with pytest.raises(UsageError, match="no setting 'fit'"):
        resolve(FitConfig, file=tmp_path / "table.toml", values={})


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_has_its_help_and_a_default_that_is_allowed(kind) -> None:
    for field in dataclasses.fields(kind):
        assert len(field.metadata["help"]) > 3
        assert type(field.default) in (int, float, str, bool)
        resolve(kind, values={field.name: field.default})
    assert dataclasses.asdict(resolve(kind, values=dataclasses.asdict(kind()))) == dataclasses.asdict(kind())
    with pytest.raises(dataclasses.FrozenInstanceError):
        kind().seed = 3


values = st.one_of(
    st.text(max_size=12), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.integers(), max_size=2)
)


@given(st.sampled_from([field.name for field in dataclasses.fields(FitConfig)]), values)
def test_a_value_is_of_the_type_or_refused(name: str, value: Any) -> None:
    try:
        config = resolve(FitConfig, values={name: value})
    except UsageError:
        with pytest.raises(UsageError, match=name):
            resolve(FitConfig, values={name: value})
        return
    assert type(getattr(config, name)) is type(getattr(FitConfig(), name))


def test_the_loop_needs_nothing_of_a_verb() -> None:
    shared = {field.name for field in dataclasses.fields(LoopConfig)}
    for kind in KINDS:
        assert shared < {field.name for field in dataclasses.fields(kind)}


RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.mark.parametrize(
    ("recipe", "backbone"), [("bert-mini", ""), ("bert-mini-2", "bert-mini"), ("gpt-mini", "gpt-mini")]
)
def test_the_recipes_are_what_the_backbones_were_made_by(recipe, backbone) -> None:
    config = resolve(PretrainConfig, file=RECIPES / f"{recipe}.toml", values={})
    if backbone:
        recorded = json.loads((EMBEDDED_FOLDER / backbone / "taesan.json").read_bytes())["config"]
        for name in tomllib.loads((RECIPES / f"{recipe}.toml").read_text("utf-8")):
            assert getattr(config, name) == recorded[name], name
