"""Asks the two backbones twenty prompts and prints what they say as Markdown: python recipes/prompts.py

The prompts were written before the answers were seen, and all answers stand in docs/backbones.md as they came.
"""

import taesan
from taesan.engine.vocabulary import Candidate

FILL = (
    "대한민국의 수도는 [MASK]이다.",
    "이 영화는 정말 [MASK]다.",
    "배우들의 [MASK]가 좋았다.",
    "그는 대학에서 [MASK]을 전공했다.",
    "1950년 6월 25일 한국 [MASK]이 일어났다.",
    "봄이 오면 [MASK]이 핀다.",
    "비가 와서 [MASK]을 썼다.",
    "아침에 일어나서 [MASK]를 마셨다.",
    "이 법은 [MASK]부터 시행한다.",
    "티끌 [MASK] 태산",
)
NEXT = (
    "이 영화는",
    "시간 가는 줄 모르고",
    "정말 감동적인",
    "내가 본 영화 중에",
    "대한민국의",
    "그는 서울대학교를",
    "1945년",
    "국가는 국민의",
    "함수를 호출하면",
    "티끌 모아",
)


def line(text: str, candidates: list[Candidate]) -> str:
    shown = ", ".join(f"{one.text.strip() or repr(one.text)} {100 * one.probability:.1f}%" for one in candidates)
    return f"| {text} | {shown} |"


if __name__ == "__main__":
    print("| `taesan fill taesan:bert-mini` | the five likeliest |\n|---|---|")
    for text in FILL:
        print(line(text, taesan.fill("taesan:bert-mini", text).blanks[0][1]))
    print("\n| `taesan next taesan:gpt-mini` | the five likeliest |\n|---|---|")
    for text in NEXT:
        print(line(text, taesan.next_words("taesan:gpt-mini", text).candidates))
