"""Imports point down only, and what need not load torch does not."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import taesan

SOURCE = Path(taesan.__file__).parent
# Upper floors may import lower ones and their own; `taesan` itself is the version and the lazy public functions.
FLOORS = (
    ("__main__",),
    ("cli",),
    ("serve", "verbs"),  # the verb `serve` starts the server, which asks the other verbs
    ("report", "engine", "store"),
    ("methods",),
    ("models", "tasks"),
    ("data", "text"),
    ("config", "progress"),
    ("errors",),
    ("",),
)
HEIGHT = {part: -number for number, floor in enumerate(FLOORS) for part in floor}
LIGHT = (
    *("tasks", "text", "data", "models.locate", "models.linear", "store", "report", "cli"),
    *(
        "engine.infer",
        "engine.linear",
        "engine.scoring",
        "engine.asking",
        "engine.output",
        "engine.generate",
        "engine.load",
    ),
    *("engine.onnx_graph", "engine.onnx_rows", "engine.onnx_session"),
    *("verbs.check", "verbs.show", "verbs.predict", "verbs.evaluate", "verbs.serve"),
)


def part_of(module: str) -> str:
    return module.removeprefix("taesan").removeprefix(".").split(".")[0]


def imports(path: Path) -> set[str]:
    """The names under `taesan` that a file imports, also inside functions; `TYPE_CHECKING` blocks count."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            bare = node.module == "taesan"
            found |= {f"taesan.{name.name}" for name in node.names} if bare else {str(node.module)}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {"taesan" if name.startswith("taesan.__") else name for name in found if name.split(".")[0] == "taesan"}


def test_imports_point_down() -> None:
    wrong = []
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE).with_suffix("").parts
        if path == SOURCE / "__init__.py":
            continue
        own = place[0]
        assert own in HEIGHT, f"{path} has no floor"
        wrong += [f"{path}: {name}" for name in imports(path) if HEIGHT[part_of(name)] > HEIGHT[own]]
        # Side by side on one floor, and yet apart.
        if own in ("models", "tasks"):
            wrong += [f"{path}: {name}" for name in imports(path) if part_of(name) in {"models", "tasks"} - {own}]
    assert not wrong


def test_the_loop_knows_neither_tasks_nor_verbs() -> None:
    for name in ("train", "batches", "checkpoint", "objectives", "process", "run"):
        known = {part_of(one) for one in imports(SOURCE / "engine" / f"{name}.py")}
        assert not known & {"tasks", "methods", "verbs"}, name


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


@pytest.mark.parametrize("module", LIGHT)
def test_no_torch(module: str) -> None:
    code = f"import sys, json, taesan.{module}; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    loaded = set(json.loads(run(code).stdout))
    assert not loaded & {"torch", "transformers", "accelerate", "peft", "sklearn"}


HELP = "import sys; sys.argv = ['taesan', '--help']; from taesan.cli import main\ntry: main()\nexcept SystemExit: pass"


@pytest.mark.parametrize("code", ["import taesan", HELP], ids=["import", "help"])
def test_it_starts_at_once(code: str) -> None:
    """Neither torch nor transformers, under 0.3 s of CPU: the least of several, as other work may disturb one."""
    measure = (
        "\nimport resource, sys; used = resource.getrusage(resource.RUSAGE_SELF)"
        "\nassert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
        "\nsys.stderr.write(str(used.ru_utime + used.ru_stime))"
    )
    assert min(float(run(code + measure).stderr) for _ in range(4)) < 0.3


def test_the_public_names_are_those_of_the_design() -> None:
    """DESIGN.md names the verbs; those that are not built yet are not offered. Adding one is a decision."""
    verbs = {"check", "demo", "evaluate", "export", "fill", "fit", "generate", "next_words", "predict", "pretrain"}
    verbs |= {"compare", "show"}
    assert set(taesan.__all__) == verbs
    assert set(dir(taesan)) == verbs | {"__version__"}
    for name in sorted(verbs):
        function = getattr(taesan, name)
        assert callable(function)  # the function, which no module shadows
        assert function.__name__ == name
        assert function.__module__ == f"taesan.verbs.{name}"
        parameters = function.__code__
        assert not parameters.co_flags & 0x08, f"{name} takes **kwargs"
    with pytest.raises(AttributeError):
        taesan.nothing  # noqa: B018
