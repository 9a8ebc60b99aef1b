"""The part of the page on what the techniques get wrong."""

from collections.abc import Sequence

from taesan.report.charts import Charts
from taesan.report.findings import Findings
from taesan.report.markup import NOTHING, Child, Html, classed, details, join, table, tag, typed
from taesan.report.mistakes import Mistakes, Slice, Wrong
from taesan.report.words import Both, whole


def mistakes_section(mistakes: Mistakes, charts: Charts, findings: Findings, texts: bool) -> Html | None:
    if not mistakes.techniques:
        return None
    best = typed(mistakes.confused)
    return join(
        [
            tag("h2", Both("What they get wrong", "무엇을 틀리나")),
            tag(
                "figure",
                tag(
                    "figcaption",
                    Both("Confusion of ", "혼동 행렬: "),
                    best,
                    tag("small", Both("Percent of each true class.", "각 정답 클래스에서의 비율(%)입니다.")),
                ),
                classed("div", "scroll", Html(charts.confusion)),
            )
            if charts.confusion
            else None,
            _doubtful(mistakes, texts),
            _wrongs(
                Both("The hardest rows", "가장 어려운 행"),
                Both(
                    "Test rows that most techniques and seeds get wrong.",
                    "대부분의 기법과 시드가 틀리는 평가 행입니다.",
                ),
                mistakes.hardest,
                mistakes,
                texts,
            ),
            _wrongs(
                Both("Where they disagree", "답이 갈리는 행"),
                Both(
                    "Test rows that some techniques always get right and others never.",
                    "어떤 기법은 늘 맞히고 어떤 기법은 늘 틀리는 평가 행입니다.",
                ),
                mistakes.disputed,
                mistakes,
                texts,
            ),
            _slices(
                Both("By class or type", "클래스나 유형별"),
                Both("class", "클래스"),
                mistakes.by_part,
                mistakes,
                findings,
            ),
            _slices(Both("By length", "길이별"), Both("characters", "글자 수"), mistakes.by_length, mistakes, findings),
        ]
    )


def _doubtful(mistakes: Mistakes, texts: bool) -> Html | None:
    if mistakes.doubtful is None:
        return None
    rows = [
        (whole(one.row), *([_text(one)] if texts else []), *_labels(one, mistakes, texts), f"{one.probability:.2f}")
        for one in mistakes.doubtful
    ]
    head: list[Child] = [Both("row", "행"), *([Both("text", "텍스트")] if texts else [])]
    head += [Both("label given", "붙은 레이블"), Both("model says", "모델의 답"), Both("confidence", "확신")]
    found = Both(
        f"{len(rows):,} training rows may be labelled wrongly: a model that had not seen them denies their label with "
        "more confidence than it has on average where it is right.",
        f"학습 행 {len(rows):,}개는 레이블이 잘못되었을 수 있습니다. 그 행을 보지 않은 모델이, 맞힐 때의 평균보다 더 "
        "확신하며 다른 답을 냈습니다.",
    )
    shown, rest = rows[:10], rows[10:]
    return join(
        [
            tag("h3", Both("Labels to look at again", "다시 볼 레이블")),
            classed("p", "note", found),
            table(head, shown, numbers=(0,)) if shown else None,
            details(Both(f"{len(rest):,} more", f"{len(rest):,}개 더"), table(head, rest, numbers=(0,)))
            if rest
            else None,
        ]
    )


def _labels(one: Wrong, mistakes: Mistakes, texts: bool) -> tuple[Child, ...]:
    """What is true and what was said; both may be parts of the text."""
    if not texts and not mistakes.classes:
        return (NOTHING, *(NOTHING for _ in one.answers))
    said = [
        typed(answer, 60) if answer == one.truth else classed("span", "wrong", typed(answer, 60) if answer else NOTHING)
        for answer in one.answers.values()
    ]
    return (typed(one.truth, 60) if one.truth else NOTHING, *said)


def _text(one: Wrong) -> Html:
    return join([typed(" ⏐ ".join(one.example.texts))])


def _wrongs(title: Both, note: Both, rows: Sequence[Wrong], mistakes: Mistakes, texts: bool) -> Html | None:
    if not rows:
        return None
    head: list[Child] = [Both("row", "행"), *([Both("text", "텍스트")] if texts else []), Both("label", "정답")]
    head += [typed(name) for name in mistakes.techniques]
    lines = [(whole(one.row), *([_text(one)] if texts else []), *_labels(one, mistakes, texts)) for one in rows]
    shown = table(head, lines, numbers=(0,))
    return join([tag("h3", title), classed("p", "note", note), classed("div", "wide broad" if texts else "", shown)])


def _slices(title: Both, what: Both, slices: Sequence[Slice], mistakes: Mistakes, findings: Findings) -> Html | None:
    if len(slices) < 2:
        return None
    head: list[Child] = [what, Both("rows", "행"), *(typed(name) for name in mistakes.techniques)]
    lines = [
        (
            typed(one.name, 40),
            whole(one.rows),
            *(
                NOTHING if (value := one.scores.get(name)) is None else findings.scale.show(value)
                for name in mistakes.techniques
            ),
        )
        for one in slices
    ]
    return join([tag("h3", title), table(head, lines, numbers=range(1, len(head)))])
