"""The catalogue of bad inputs for named entities, as a table: what is written, and what must be said of it.

Each file goes through the reader here, and through `check` and `fit` elsewhere: exit status 0 or 65 by its `outcome`.
Where the second of three sentences is the bad one, it begins in line 5 of CoNLL, in line 2 of the other formats.
"""

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Tagged = Sequence[tuple[str, str]]
Entity = tuple[int, int, str]

FIRST: Tagged = (("이순신", "B-PS"), ("장군은", "O"), ("걸었다", "O"))
LAST: Tagged = (("서울", "B-LC"), ("시청", "I-LC"), ("앞에서", "O"), ("만났다", "O"))
LABELS = ("PS", "LC", "OG")
STATUS = {"accept": 0, "warning": 0, "error": 65}
# The letters of a text file's catalogue that another part of the program answers for: what a model is too short for.
ELSEWHERE = frozenset({"N22", "N23", "N26"})
MARK = "\u241e"


@dataclass(frozen=True)
class Case:
    """`outcome` is accept, warning or error; `place` the line and column of the problem `code`.

    `count` is how many errors there are, `fix` a part of what the problem proposes. `text` and `entities` are what the
    row at `row_line` must hold. `labels` are given to the reader as those known.
    """

    id: str
    name: str
    content: bytes
    outcome: str
    code: str = ""
    place: tuple[int, int] = (0, 0)
    count: int = 1
    fix: str = ""
    text: str | None = None
    entities: tuple[Entity, ...] | None = None
    row_line: int = 0
    labels: tuple[str, ...] | None = None


def conll(*sentences: Tagged, between: str = "\t", end: str = "\n", last: str = "\n\n") -> str:
    """Sentences as lines of tokens and tags."""
    return (end * 2).join(end.join(f"{token}{between}{tag}" for token, tag in one) for one in sentences) + last


def characters(text: str, spans: Sequence[Entity], space: str = " ") -> Tagged:
    """A text as characters with BIO tags."""
    tags = ["O"] * len(text)
    for start, end, label in spans:
        tags[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return [(space if token == " " else token, tag) for token, tag in zip(text, tags, strict=True)]


def marked(text: str, spans: Sequence[Entity]) -> str:
    for start, end, label in sorted(spans, reverse=True):
        text = f"{text[:start]}<{text[start:end]}:{label}>{text[end:]}"
    return text


def klue(*rows: tuple[str, str, Sequence[Entity]], space: str = " ") -> str:
    """Ids, texts and spans in KLUE's form."""
    return "".join(
        f"## {identity}\t{marked(text, spans)}\n{conll(characters(text, spans, space))}"
        for identity, text, spans in rows
    )


def lines(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False).replace("\ud800", r"\ud800") + "\n" for row in rows)


A, B = "서울에 산다.", "이순신 장군과 한국은행"
A_SPANS, B_SPANS = [(0, 2, "LC")], [(0, 3, "PS"), (8, 12, "OG")]
GOOD_A = {"text": A, "entities": [{"start": 0, "end": 2, "label": "LC", "text": "서울"}]}
GOOD_B = {"text": B, "entities": [[0, 3, "PS"], [8, 12, "OG"]]}
KLUE = klue(("1", A, A_SPANS), ("2", B, B_SPANS))
LONG = "아버지가 방에 들어가신다 그리고 밥을 맛있게 드신다"


def conll_cases() -> Iterator[Case]:
    def of(
        identity: str,
        *second: str,
        code: str = "",
        place: tuple[int, int] = (5, 0),
        outcome: str = "error",
        **more: object,
    ) -> Case:
        """A good file whose second sentence has these lines."""
        content = conll(FIRST) + "".join(line + "\n" for line in second) + "\n" + conll(LAST)
        return Case(identity, "rows.conll", content.encode(), outcome, code, place, **more)  # type: ignore[arg-type]

    def whole(
        identity: str,
        content: str,
        code: str = "",
        place: tuple[int, int] = (1, 0),
        outcome: str = "error",
        **more: object,
    ) -> Case:
        return Case(identity, "rows.tsv", content.encode(), outcome, code, place, **more)  # type: ignore[arg-type]

    both = {"text": "서울 시청 앞에서 만났다", "entities": ((0, 5, "LC"),)}
    yield whole("N00", conll(FIRST, LAST), outcome="accept", row_line=5, **both)
    yield whole("N00-space", conll(FIRST, LAST, between=" "), outcome="accept", row_line=5, **both)
    yield whole("N00-crlf", conll(FIRST, LAST, end="\r\n"), outcome="accept", row_line=5, **both)
    yield whole("N00-return", conll(FIRST, LAST, end="\r", last="\r"), outcome="accept", row_line=5, **both)
    yield of("N01", "한국\tB-LC", "은\tNN\tO", "크다\tO", code="columns-uneven", place=(6, 1))
    yield whole("N01-five", "한국\tNNP\tN\tN\tB-LC\n", "columns-uneven", (1, 1))
    yield of("N02-space", "한국 B-LC", "은\tO", code="columns-separator", place=(5, 3))
    yield whole("N02-tab", "한국 B-LC\n은\tO\n", "columns-separator", (2, 2))
    yield whole("N02-many", "한국 B-LC\n은  O\n", "columns-separator", (2, 3))
    yield whole("N02-last", "한국 B-LC\n은 O \n", "columns-separator", (2, 4))
    token = "가나\tO\n"
    million = conll(FIRST) + token * 1_000_000 + "\n" + conll(LAST)
    yield whole("N03", million, "sentence-long", (5, 0), row_line=1_000_006, **both)
    wide = conll(FIRST) + ("가" * 60_000 + "\tO\n") * 20 + "\n" + conll(LAST)
    yield whole("N03-characters", wide, "sentence-long", (5, 0))
    yield whole(
        "N03-json", lines(GOOD_A, {"text": "가나 " * 400_000, "entities": [[0, 2, "LC"]]}), "sentence-long", (2, 0)
    )
    spaces = conll(FIRST)[:-1] + "  \t \n" + conll(LAST)
    yield whole("N04", spaces, outcome="accept", row_line=5, **both)
    yield whole("N05", conll(FIRST, LAST, last=""), outcome="accept", row_line=5, **both)
    yield whole("N05-one", conll(FIRST, LAST, last="\n"), outcome="accept", row_line=5, **both)
    yield of("N06", "한국\tB-LC", "\tO", code="token-empty", place=(6, 1))
    yield whole("N06-json", lines({"tokens": ["한국", ""], "ner_tags": ["B-LC", "O"]}), "token-empty")
    yield of("N07", "뉴 욕\tB-LC", "은\tO", code="token-space", place=(5, 0))
    yield of("N07-nbsp", "한국\tB-LC", "10\xa0000\tO", code="token-space", place=(6, 0))
    yield of("N08", "한국\tB-LC", "은", code="tag-missing", place=(6, 2))
    yield of("N08-empty", "한국\tB-LC", "은\t", code="tag-missing", place=(6, 3))
    space = conll(characters(A, A_SPANS)).replace(" \tO", " \t")
    yield whole("N08-character", space, "tag-missing", (4, 3))
    yield of("N09", "한국\tLOCATION", "은\tO", code="tag-scheme", place=(5, 0))
    yield of("N09-o", "한국\tB-LC", "은\to", code="tag-style", place=(6, 0))
    column = conll([(f"낱말{index}", f"뜻{index}") for index in range(200)])
    yield whole("N09-column", conll(FIRST) + column, "tag-scheme", (105, 0), count=101)
    yield of("N10", "한국\tO", "은행\tI-OG", code="tag-orphan", place=(6, 0))
    yield of("N10-first", "한국은행\tI-OG", "은\tO", code="tag-orphan", place=(5, 0))
    inside = conll([("이순신", "I-PS"), ("장군", "O")], [("서울", "I-LC"), ("시청", "I-LC"), ("부산", "B-LC")])
    yield whole(
        "N10-iob1",
        inside,
        "tags-read",
        outcome="warning",
        row_line=4,
        text="서울 시청 부산",
        entities=((0, 5, "LC"), (6, 8, "LC")),
    )
    yield of("N11", "한국\tB-LC", "은행\tI-OG", "은\tO", code="tag-orphan", place=(6, 0))
    yield of("N12", "한국\tB-OG", "은행\tE-OG", "은\tO", code="tags-mixed", place=(6, 0))
    yield of("N12-single", "한국\tS-LC", "은\tO", code="tags-mixed", place=(5, 0))
    mixed = conll([("서울", "I-LC"), ("과", "O"), ("부산", "I-LC")], [("대구", "B-LC"), ("로", "O")])
    yield whole("N12-iob1", mixed, "tags-mixed", (5, 0))
    ended = [("한국", "B-OG"), ("은행", "E-OG"), ("서울", "S-LC"), ("지점", "O")]
    yield whole(
        "N12-bioes",
        conll(ended, ended),
        "tags-read",
        (2, 0),
        outcome="warning",
        row_line=6,
        text="한국 은행 서울 지점",
        entities=((0, 5, "OG"), (6, 8, "LC")),
    )
    bilou = [(token, tag.replace("E-", "L-").replace("S-", "U-")) for token, tag in ended]
    yield whole(
        "N12-bilou",
        conll(bilou, bilou),
        "tags-read",
        (2, 0),
        outcome="warning",
        row_line=6,
        text="한국 은행 서울 지점",
        entities=((0, 5, "OG"), (6, 8, "LC")),
    )
    yield whole("N12-unended", conll(ended, [("부산", "B-LC"), ("은", "O")]), "tags-mixed", (6, 0))
    yield whole("N12-orphan", conll(ended, [("부산", "E-LC"), ("은", "O")]), "tag-orphan", (6, 0))
    yield whole("N12-letters", conll(ended, [("부산", "U-LC"), ("은", "O")]), "tags-mixed", (6, 0))
    for identity, tag, right in (
        ("under", "B_LC", "'B-LC'"),
        ("lower", "b-lc", "'B-lc'"),
        ("suffix", "LC-B", "'B-LC'"),
        ("suffix-under", "LC_B", "'B-LC'"),
    ):
        yield of(f"N13-{identity}", f"한국\t{tag}", "은\tO", code="tag-style", fix=right)
    # One spelling is one error, however often it stands.
    yield whole("N13-whole", conll([("서울", "LC_B"), ("시청", "LC_I"), ("은", "O")] * 9), "tag-style", (1, 0), count=2)
    yield of("N14", "한국\tB-", "은\tO", code="tag-type")
    yield of("N14-bare", "한국\tB", "은\tO", code="tag-type")
    yield of("N15", "한국은행\tB-ORG", "은\tO", code="label-unknown", labels=LABELS)
    yield of("N15-case", "한국은행\tB-Og", "은\tO", code="label-variant", labels=LABELS)
    yield whole("N16", conll([("나는", "O"), ("간다", "O")]), "no-entities", (0, 0))
    yield whole("N16-json", lines({"text": A, "entities": []}), "no-entities", (0, 0))
    yield whole("N17", conll(FIRST, characters(LONG, [(0, 3, "PS")])), "tokens-mixed", (9, 0))
    yield whole("N17-words", conll(characters(A, A_SPANS), LAST, FIRST), "tokens-mixed", (9, 0), count=2)
    yield whole("N17-no-space", conll(FIRST, characters(LONG.replace(" ", ""), [(0, 3, "PS")])), "tokens-mixed", (5, 0))
    yield whole("N17-klue", KLUE + "## 3\t서울 시청\n" + conll([("서울", "O"), ("시청", "O")]), "tokens-mixed", (25, 0))
    yield whole(
        "N17-klue-token",
        KLUE + "## 3\t서울 앞\n" + conll([("서울", "O"), (" ", "O"), ("앞", "O")]),
        "tokens-mixed",
        (25, 0),
    )
    spread = conll(characters(LONG.replace(" ", ""), [(0, 3, "PS")]))
    yield whole("N17-without", spread, "tokens-no-space", outcome="warning", row_line=1, text=LONG.replace(" ", ""))
    yield whole(
        "N18",
        conll(characters(LONG, [(0, 3, "PS")], "_"), characters(A, A_SPANS, "_")),
        outcome="accept",
        row_line=30,
        text=A,
        entities=((0, 2, "LC"),),
    )
    yield whole("N18-short", conll(characters(A, A_SPANS, "_")), outcome="accept", row_line=1, text=A)
    yield whole("N18-klue", klue(("1", A, A_SPANS), space="_"), outcome="accept", row_line=1, text=A)
    yield whole("N18-literal", conll(characters("서울 ^_^", A_SPANS)), outcome="accept", row_line=1, text="서울 ^_^")
    yield whole(
        "N18-both", conll(characters(LONG, [(0, 3, "PS")], "_"), characters(A, A_SPANS)), "tokens-mixed", (33, 0)
    )
    yield whole("N19", KLUE, outcome="accept", row_line=10, text=B, entities=tuple(B_SPANS))
    comments = "## 토큰 구분자 : \\n\n## 주석 : ##\n## 컬럼명 : CHAR\tNE_TAG\n"
    yield whole("N19-comments", comments + KLUE, "comment", outcome="warning", row_line=13, text=B)
    yield whole("N19-plain", KLUE.replace("<서울:LC>", "서울"), outcome="accept", row_line=1, text=A)
    yield whole("N19-text", KLUE.replace("장군과 <", "장군님과 <"), "tokens-text", (10, 17))
    yield whole("N19-tag", KLUE.replace("<한국은행:OG>", "<한국은행:PS>"), "tokens-text", (10, 25))
    yield whole("N19-space", KLUE.replace(" \tO\n", "", 1), "tokens-text", (1, 14))
    yield whole("N19-alone", KLUE + "## 3\t끝.\n", "tokens-text", (24, 1))
    yield whole("N19-inside", KLUE.replace("\n\n##", "\n##"), "comment-line", (9, 1))
    start = "-DOCSTART- -X- -X- O\n\n"
    four = "서울 NNP B-NP B-LC\n은 JX I-NP O\n\n"
    yield whole(
        "N20", start + four + start + four, outcome="accept", row_line=8, text="서울 은", entities=((0, 2, "LC"),)
    )
    yield of("N20-tab", "-DOCSTART-\tO", "", "한국\tB-LC", "은\tO", outcome="accept", text="한국 은", row_line=7)
    yield of(
        "N21",
        "# 번호 = 2",
        "한국\tB-LC",
        "#\tO",
        "#여행\tO",
        outcome="warning",
        code="comment",
        text="한국 # #여행",
        row_line=6,
    )
    yield of("N21-inside", "한국\tB-LC", "# 설명", "은\tO", code="comment-line", place=(6, 1))
    yield whole("N21-space", "# B-PS\n1 O\n# 2 = b\n\n# 3\n둘 O\n셋 O\n", "comment-line", (3, 1))
    decomposed = unicodedata.normalize("NFD", "한국")
    yield of(
        "N24",
        f"{decomposed}\tB-LC",
        "은\tO",
        outcome="warning",
        code="text-nfd",
        text=f"{decomposed} 은",
        row_line=5,
        entities=((0, 6, "LC"),),
    )
    pieces = characters(f"{decomposed} 길", [(0, 6, "LC")])
    yield whole(
        "N24-characters", conll(pieces), outcome="warning", code="text-nfd", text=f"{decomposed} 길", row_line=1
    )
    headed = KLUE.replace("서울:", unicodedata.normalize("NFD", "서울") + ":")
    yield whole("N24-header", headed, "tokens-text", (1, 7), fix="NFC")
    table = [(digit, "O") for digit in "01230120123012301230123"]
    yield of(
        "N17-digits",
        *(f"{token}\t{tag}" for token, tag in table),
        outcome="accept",
        row_line=5,
        text=" ".join("01230120123012301230123"),
    )
    yield of("N25", "한국\tB-LC", "\u200b\tO", code="token-empty", place=(6, 0))
    yield whole(
        "N25-character",
        conll(characters("서울\u200b 산", A_SPANS)),
        outcome="warning",
        code="text-zero-width",
        place=(3, 0),
        text="서울\u200b 산",
        row_line=1,
    )
    yield of("N27", "B-LC\t한국", "은\tO", code="columns-order", place=(5, 1))
    yield whole("N27-whole", conll([("O", "나는"), ("B-LC", "서울")]), "columns-order", (1, 1))
    yield whole("N27-counted", "1\t서울\tB-LC\n2\t은\tO\n", "columns-order", (1, 1))
    yield whole("N28", four + conll(FIRST, between=" "), "columns-uneven", (4, 1), count=3)
    yield whole("N28-later", conll(FIRST, between=" ") + four, "columns-uneven", (5, 1), count=2)
    yield whole("N33", klue(("1", A, A_SPANS), ("2", B, B_SPANS), ("1", B, B_SPANS)), "id-duplicate", (24, 4))
    yield of("N34", "한국\tB-LC\r\r", "은\tO", code="tag-return", place=(5, 8))
    # One \r before the line's end is a part of that end: lines may end in different ways.
    yield of("N34-end", "한국\tB-LC\r", "은\tO", outcome="accept", row_line=5, text="한국 은", entities=((0, 2, "LC"),))
    yield whole("N34-all", conll(FIRST, LAST, end="\r\r\n"), "tag-return", (2, 1), count=0)
    yield whole("N35", conll([("서울", "3"), ("시청", "4"), ("은", "0")]), "tag-number", (1, 0), count=3)
    yield of("N36", "한국\tB-LC", "은", code="tag-missing", place=(6, 2))
    # What any text file may hold, as a token.
    yield of("T12", "한국\tB-LC", "나\0라\tO", code="text-nul", place=(6, 0))
    yield of("T06", "\ufeff한국\tB-LC", "은\tO", code="bom-inside", place=(5, 1))
    yield of("T30", "[SEP]\tB-LC", "<s>\tO", outcome="accept", text="[SEP] <s>", row_line=5)
    yield whole("N00-header", "word\ttag\n" + conll(FIRST), "entities-format", (1, 0))
    for identity, content in {
        "csv": "text,label\n서울에 산다,LC\n",
        "tsv": "sentence\tentities\n서울에 산다\tLC\n",
        "text": "서울에 산다.\n",
    }.items():
        yield whole(f"N00-{identity}", content, "entities-format", (1, 0))
    yield whole("N00-empty", "## 토큰 구분자\n\n", "no-rows", (0, 0))


def markup_cases() -> Iterator[Case]:
    def of(identity: str, line: str, code: str = "", column: int = 0, outcome: str = "error", **more: object) -> Case:
        content = f"{A}{MARK}<서울:LC>에 산다.\n{line}\n{B}{MARK}{marked(B, B_SPANS)}\n"
        return Case(identity, "rows.txt", content.encode(), outcome, code, (2, column), **more)  # type: ignore[arg-type]

    yield of(
        "N00-markup", f"{B}{MARK}{marked(B, B_SPANS)}", outcome="accept", row_line=2, text=B, entities=tuple(B_SPANS)
    )
    yield of("N29-unclosed", f"서울과 부산{MARK}<서울:LC과 부산", "mark-broken", 8)
    yield of("N29-nested", f"서울 시청{MARK}<<서울:LC> 시청:OG>", "mark-broken", 7)
    yield of("N29-empty", f"서울 시청{MARK}<:LC>서울 시청", "mark-broken", 7)
    yield of("N29-type", f"서울 시청{MARK}<서울:> 시청", "mark-broken", 7)
    yield of("N29-colon", f"서울 시청{MARK}<서울> 시청", "mark-broken", 7)
    yield of("N29-space", f"서울 시청{MARK}<서울: LC> 시청", "label-variant")
    yield of("N29-text", f"서울 시청{MARK}<서울:LC> 구청", "mark-text", 15)
    yield of("N29-surface", f"서울 시청{MARK}<서산:LC> 시청", "mark-text", 9)
    yield of("N29-short", f"서울 시청{MARK}<서울:LC>", "mark-text", 14)
    yield of("N29-separator", "서울 시청", "mark-separator")
    yield of("N29-separators", f"서울{MARK}<서울:LC>{MARK}", "mark-separator")
    yield of(
        "N29-literal",
        f"a<b 서울>_<{MARK}a<b <서울:LC>>_<",
        outcome="accept",
        row_line=2,
        text="a<b 서울>_<",
        entities=((4, 6, "LC"),),
    )
    yield of(
        "N29-time",
        f"10:30 출발{MARK}<10:30:TI> 출발",
        outcome="accept",
        row_line=2,
        text="10:30 출발",
        entities=((0, 5, "TI"),),
    )
    yield of(
        "N29-adjacent",
        f"서울부산{MARK}<서울:LC><부산:LC>",
        outcome="accept",
        row_line=2,
        text="서울부산",
        entities=((0, 2, "LC"), (2, 4, "LC")),
    )
    yield of("N29-two", f"서울 시청{MARK}<서울:LC> <시청:OG", "mark-broken", 15)
    yield of("N29-blank", "", "blank-line", outcome="warning")
    yield of("N15-markup", f"서울{MARK}<서울:LOC>", "label-unknown", labels=LABELS)


def json_cases() -> Iterator[Case]:
    def of(identity: str, row: object, code: str = "", outcome: str = "error", **more: object) -> Case:
        content = lines(GOOD_A, row, GOOD_B)
        return Case(identity, "rows.jsonl", content.encode(), outcome, code, (2, 0), **more)  # type: ignore[arg-type]

    def spans(*entities: object, text: str = "한국은행 서울 지점") -> dict[str, object]:
        return {"text": text, "entities": list(entities)}

    def tokens(identity: str, row: object, code: str = "", outcome: str = "error", **more: object) -> Case:
        first = {"tokens": ["서울", "에"], "ner_tags": ["B-LC", "O"]}
        content = lines(first, row, first)
        return Case(identity, "rows.jsonl", content.encode(), outcome, code, (2, 0), **more)  # type: ignore[arg-type]

    def entity(start: object, end: object, label: object = "OG", **text: object) -> dict[str, object]:
        return {"start": start, "end": end, "label": label, **text}

    yield of(
        "N00-json",
        spans(entity(5, 7, "LC", text="서울"), [0, 4, "OG"]),
        outcome="accept",
        row_line=2,
        text="한국은행 서울 지점",
        entities=((0, 4, "OG"), (5, 7, "LC")),
    )
    yield of("N30-range", spans(entity(8, 11)), "span-range")
    yield of("N30-negative", spans(entity(-3, 2)), "span-range")
    yield of("N30-reversed", spans(entity(4, 0)), "span-range")
    yield of("N30-none", spans(entity(4, 4)), "span-range")
    yield of("N30-overlap", spans(entity(0, 4), entity(2, 7)), "span-overlap")
    yield of("N30-nested", spans(entity(0, 10), entity(1, 2), entity(5, 7)), "span-overlap", count=2)
    yield of("N30-twice", spans(entity(0, 4), entity(0, 4)), "span-overlap")
    yield of(
        "N30-touch",
        spans(entity(0, 2), entity(2, 4)),
        outcome="accept",
        row_line=2,
        entities=((0, 2, "OG"), (2, 4, "OG")),
        text="한국은행 서울 지점",
    )
    yield of("N30-blank", spans(entity(4, 5)), "span-blank")
    yield of(
        "N30-space",
        spans(entity(0, 5)),
        "span-space",
        outcome="warning",
        row_line=2,
        entities=((0, 5, "OG"),),
        text="한국은행 서울 지점",
    )
    for identity, value in {"float": 0.0, "string": "0", "null": None, "true": True}.items():
        yield of(f"N30-{identity}", spans(entity(value, 4)), "json-type")
    yield of("N30-huge", spans(entity(0, 10**20)), "json-type")
    yield of("N30-label", spans(entity(0, 4, 3)), "json-type")
    yield of("N30-label-empty", spans(entity(0, 4, "")), "label-empty")
    yield of("N30-two", spans([0, 4]), "json-type")
    yield of("N30-key", spans({"start": 0, "label": "OG"}), "json-type")
    yield of("N30-entities", {"text": A, "entities": "서울"}, "json-type")
    yield of("N30-missing", {"text": A}, "key-missing")
    yield of("N30-no-text", {"entities": [[0, 2, "LC"]]}, "key-missing")
    yield of("N30-extra", spans(entity(0, 4, score=1)), "column-unused", outcome="warning")
    yield of("N32", spans(entity(0, 4, text="한국은")), "span-text", fix="Write 0 to 3")
    nfd = unicodedata.normalize("NFD", "한국은행")
    yield of("N32-nfd", spans(entity(0, 4, text=nfd)), "span-text", fix="NFC")
    yield of("N32-absent", spans(entity(0, 4, text="조선은행")), "span-text")
    yield of("N32-range", spans(entity(8, 12, text="지점")), "span-range", fix="Write 8 to 10")
    texts = [("😀 서울에 산다", "서울"), ("그는 👍🏽 부산에 있다", "부산"), ("Seoul", "Seoul")]
    counted = {
        "bytes": lambda text: len(text.encode()),
        "utf16": lambda text: len(text.encode("utf-16-le")) // 2,
        "one": lambda text: len(text) + 1,
    }
    for identity, count in counted.items():
        rows = [
            {
                "text": text,
                "entities": [
                    entity(count(text[: (at := text.index(part))]), count(text[: at + len(part)]), "LC", text=part)
                ],
            }
            for text, part in texts
        ]
        fix = {"bytes": "text.encode()", "utf16": "utf-16-le", "one": "less one"}[identity]
        yield Case(f"N31-{identity}", "rows.jsonl", lines(*rows).encode(), "error", "span-units", (1, 0), fix=fix)
    inclusive = [
        {"text": A, "entities": [entity(0, 1, "LC", text="서울")]},
        {"text": B, "entities": [entity(8, 11, text="한국은행")]},
    ]
    yield Case("N31-last", "rows.jsonl", lines(*inclusive).encode(), "error", "span-units", (1, 0), fix="plus one")
    yield of("N33-json", {"id": "a", **spans(entity(0, 4))}, outcome="accept", row_line=2, text="한국은행 서울 지점")
    double = lines({"id": "a", **GOOD_A}, {"id": "b", **GOOD_B}, {"id": "a", **GOOD_B})
    yield Case("N33-json-twice", "rows.jsonl", double.encode(), "error", "id-duplicate", (3, 0))
    yield of("T26", spans(entity(0, 1, "LC"), text="\ud800서울"), "text-surrogate")
    yield of("T29", spans(entity(0, 1, "LC"), text=" \u3000"), "text-empty", count=2)
    yield tokens(
        "N00-tokens",
        {"tokens": ["한국", "은행"], "ner_tags": ["B-OG", "I-OG"]},
        outcome="accept",
        row_line=2,
        text="한국 은행",
        entities=((0, 5, "OG"),),
    )
    beside = {
        "text": "한국은행, 서울.",
        "tokens": ["한국", "은행", ",", "서울", "."],
        "ner_tags": ["B-OG", "I-OG", "O", "B-LC", "O"],
    }
    yield tokens(
        "N00-beside",
        beside,
        outcome="accept",
        row_line=2,
        text="한국은행, 서울.",
        entities=((0, 4, "OG"), (6, 8, "LC")),
    )
    hugging = {
        "sentence": marked(B, B_SPANS),
        "tokens": list(B),
        "ner_tags": [tag for _, tag in characters(B, B_SPANS)],
    }
    yield tokens("N00-hugging", hugging, outcome="accept", row_line=2, text=B, entities=tuple(B_SPANS))
    yield tokens("N19-json", beside | {"text": "한국은행 서울."}, "tokens-text")
    yield tokens("N34-json", {"tokens": ["한국"], "ner_tags": ["B-LC\r"]}, "label-character")
    yield tokens("N35-json", {"tokens": ["한국", "은"], "ner_tags": [3, 12]}, "tag-number", count=2)
    yield tokens("N35-float", {"tokens": ["한국"], "ner_tags": [3.0]}, "json-type")
    yield tokens("N36-json", {"tokens": ["한국", "은"], "ner_tags": ["B-LC"]}, "tags-length")
    yield tokens("N36-none", {"tokens": [], "ner_tags": []}, "text-empty")
    yield tokens("N36-null", {"tokens": None, "ner_tags": []}, "json-type")
    yield tokens("N36-string", {"tokens": "한국", "ner_tags": ["B-LC"]}, "json-type")
    yield tokens("N36-missing", {"tokens": ["한국"]}, "key-missing")
    whole = json.dumps([GOOD_A], ensure_ascii=False)
    yield Case("J03", "rows.json", whole.encode(), "error", "json-array", (1, 1))
    yield Case(
        "J05", "rows.jsonl", (lines(GOOD_A) + whole[1:-1] * 2).encode(), "error", "json-syntax", (2, len(whole) - 1)
    )
    yield of("J13", {"text": A, "entities": [], "Text": A}, "column-lookalike")


CASES: tuple[Case, ...] = (*conll_cases(), *markup_cases(), *json_cases())
