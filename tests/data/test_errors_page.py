"""The page of errors names every code that reading can give."""

import re
from pathlib import Path

import bad_answers
import bad_entities
import bad_parquet
from bad_inputs import CASES, PAIRS

ROOT = Path(__file__).parents[2]
KNOWN = {
    case.code
    for case in (*CASES, *PAIRS, *bad_answers.CASES, *bad_answers.PAIRS, *bad_answers.PREDICTIONS, *bad_entities.CASES,
                 *bad_parquet.CASES)
}  # fmt: skip
CODE = re.compile(r'(?:Problem|Oddity|_Fault|_FaultError|_QuoteError|_ValueError|_problem)\(\s*"([a-z-]+)"')


def test_every_code_is_on_the_page() -> None:
    page = (ROOT / "docs" / "errors.md").read_text("utf-8")
    documented = {
        code for line in page.splitlines() if line.startswith("| `") for code in re.findall("`([a-z-]+)`", line)
    }
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "src/taesan/data").glob("*.py"))
    codes = set(CODE.findall(sources))
    assert codes <= documented
    assert KNOWN - {""} <= codes
    # All that are there and not in the catalogue are tested beside their reader.
    assert codes - KNOWN == {
        "changed", "class-imbalance", "label-names", "label-unnamed", "labels-many", "line-ends-mixed",
    }  # fmt: skip
