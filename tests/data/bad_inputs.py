"""The catalogue of bad inputs for classification, as a table: what is written, and what must be said of it.

`CASES` are single files with the columns `text` and `label`; `PAIRS` are a training file and a test file. Each goes
through the readers here, and through `check` and `fit` elsewhere: exit status 0, 65 or 66 by its `outcome`.
"""

import csv
import gzip
import io
import json
import lzma
import os
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HEADER = ("text", "label")
BEFORE = (("좋은 영화", "positive"),)
AFTER = (("나쁜 영화", "negative"), ("다시 보고 싶다", "positive"), ("시간이 아깝다", "negative"), ("명작", "positive"))
ROWS = (*BEFORE, ("지루한 영화", "negative"), *AFTER)
LABELS = ("positive", "negative")
FORMATS = ("csv", "tsv", "jsonl")
STATUS = {"accept": 0, "warning": 0, "error": 65, "missing": 66}


@dataclass(frozen=True)
class Case:
    """`outcome` is accept, warning, error or missing; `place` the line and column of the problem `code`.

    `text` is what the row at `row_line` must hold, code point by code point. `count` is how many errors there are.
    `labels` are given to the reader as those known.
    """

    id: str
    name: str
    content: bytes | Callable[[Path], None]
    outcome: str
    code: str = ""
    place: tuple[int, int] = (0, 0)
    text: str | None = None
    row_line: int = 0
    count: int = 1
    labels: tuple[str, ...] | None = None

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)
        return path


@dataclass(frozen=True)
class Pair:
    """`test` is nothing where the training file itself is named as the test file."""

    id: str
    train: bytes
    test: bytes | None
    outcome: str
    code: str
    line: int

    def write(self, folder: Path) -> tuple[Path, Path]:
        train, test = folder / "train.csv", folder / "test.csv"
        train.write_bytes(self.train)
        if self.test is None:
            return train, train
        test.write_bytes(self.test)
        return train, test


def table(form: str, rows: Sequence[tuple[object, ...]], header: Sequence[str] = HEADER, end: str = "\n") -> bytes:
    """Rows as a file of this format."""
    if form == "jsonl":
        lines = [json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False) for row in rows]
        return "".join(line + end for line in lines).encode("utf-8", "surrogatepass")
    if form == "tsv":
        return "".join("\t".join(map(str, row)) + end for row in (header, *rows)).encode()
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator=end).writerows((header, *rows))
    return written.getvalue().encode()


def first_line(form: str) -> int:
    return 1 if form == "jsonl" else 2


def with_text(form: str, text: str, label: str = "negative") -> bytes:
    """A good file whose second row holds this text."""
    return table(form, (*BEFORE, (text, label), *AFTER))


def text_cases() -> Iterator[Case]:
    """T: what a text may hold, in each format."""
    accepted = {
        "T17": "줄\u2028과\u2029과\x85와\x0b와\x0c는 본문",
        "T27": "비문자 \ufffe \U0010ffff",
        "T30": "[SEP] [CLS] [MASK] <|endoftext|> </s>",
        "T31": "{{x}} {text} %s ${}",
        "T32": "👨‍👩‍👧 🇰🇷 ❤️ 👍🏽 ☝🏿",
        "C22": "NA",
        "C22-none": "None",
        "C22-null": "null",
        "C24": "007",
        "C24-float": "1e5",
        "C24-date": "2024-01-01",
        "C24-true": "TRUE",
        "C32": "=cmd|' /C calc'!A0",
        "J26": "2024-01-01T00:00:00Z",
    }
    odd = {
        "T11": ("text-mojibake", "안녕하세요".encode().decode("latin-1")),
        "T11-cp1252": ("text-mojibake", "한글".encode().decode("cp1252")),
        "T13": ("text-control", "제어 \x1b[31m 문자"),
        "T22": ("text-nfd", unicodedata.normalize("NFD", "한글")),
        "T23": ("text-jamo-halfwidth", "ﾡﾢ 반각"),
        "T23-compat": ("text-jamo", "ㅋㅋㅋ 재밌다"),
        "T24": ("text-zero-width", "영\u200b화"),
        "T24-zwj": ("text-zero-width", "영\u200d화"),
        "T24-bom": ("text-zero-width", "영\ufeff화"),
        "T25": ("text-bidi", "영화 \u202e화영"),
        "T25-isolate": ("text-bidi", "영화 \u2066x\u2069"),
        "T28": ("text-replacement", "깨진 글\ufffd자"),
    }
    refused = {
        "T12": ("text-nul", "영\0화"),
        "T29": ("text-empty", " \u3000\xa0"),
        "T24-only": ("text-empty", "\u200b\u200d\ufeff"),
        "T33": ("text-combining", "가" + "\u0301" * 1_000_000),
        "T00-empty": ("text-empty", ""),
    }
    for form in FORMATS:
        line = first_line(form) + 1
        name = f"rows.{form}"
        for identity, text in accepted.items():
            yield Case(f"{identity}-{form}", name, with_text(form, text), "accept", text=text, row_line=line)
        for identity, (code, text) in odd.items():
            body = with_text(form, text)
            yield Case(f"{identity}-{form}", name, body, "warning", code, (line, 0), text=text, row_line=line)
        for identity, (code, text) in refused.items():
            yield Case(f"{identity}-{form}", name, with_text(form, text), "error", code, (line, 0))


def encoding_cases() -> Iterator[Case]:
    """T01-T10, T34: the bytes of the file."""
    for form in FORMATS:
        name, whole, line = f"rows.{form}", table(form, ROWS), first_line(form)
        start = 11 if form == "jsonl" else 1
        text = whole.decode()

        def bad(sequence: bytes, whole: bytes = whole) -> bytes:
            return whole.replace("지루".encode(), sequence)

        yield Case(f"T01-{form}", name, text.encode("cp949"), "error", "encoding", (line, start))
        yield Case(f"T01-euckr-{form}", name, text.encode("euc-kr"), "error", "encoding", (line, start))
        yield Case(f"T02-{form}", name, b"\xff\xfe" + text.encode("utf-16-le"), "error", "encoding", (1, 1))
        yield Case(f"T02-be-{form}", name, b"\xfe\xff" + text.encode("utf-16-be"), "error", "encoding", (1, 1))
        yield Case(f"T03-{form}", name, text.encode("utf-16-le"), "error", "encoding", (1, 1))
        yield Case(f"T03-be-{form}", name, text.encode("utf-16-be"), "error", "encoding", (1, 1))
        yield Case(f"T04-{form}", name, text.encode("utf-32"), "error", "encoding", (1, 1))
        yield Case(f"T05-{form}", name, b"\xef\xbb\xbf" + whole, "warning", "bom", (1, 0), "좋은 영화", line)
        joined = whole + b"\xef\xbb\xbf" + table(form, [("또 다른 글", "positive")])
        # The second header is a row of its own where the mark is taken away: here it is refused with its mark.
        yield Case(f"T06-{form}", name, joined, "error", "bom-inside", (len(ROWS) + line, 1))
        deep = table(form, ROWS * 10_000)
        damaged = deep + table(form, ROWS)[:-1].replace("명작".encode(), b"\xff") + b"\n"
        last = 60_000 + 6 if form == "jsonl" else 60_001 + 7
        yield Case(f"T07-{form}", name, damaged, "error", "encoding", (last, start), count=1 if form == "jsonl" else 2)
        yield Case(f"T08-{form}", name, bad(b"\xc0\x80"), "error", "encoding", (line + 1, start))
        yield Case(f"T09-{form}", name, bad(b"\xed\xa0\x80"), "error", "encoding", (line + 1, start))
        cut = whole[: whole.rindex("명작".encode()) + 4]
        yield Case(f"T10-{form}", name, cut, "error", "encoding", (line + 5, start + 1))
        yield Case(f"T14-{form}", name, table(form, ROWS, end="\r"), "accept", text="지루한 영화", row_line=line + 1)
        yield Case(f"T15-{form}", name, table(form, ROWS, end="\r\n"), "accept", text="지루한 영화", row_line=line + 1)
        mixed = whole.replace(b"\n", b"\r\n", 1)
        yield Case(f"T16-{form}", name, mixed, "accept", text="명작", row_line=line + 5)
        yield Case(f"T18-{form}", name, whole[:-1], "accept", text="명작", row_line=line + 5)
        yield Case(f"T19-{form}", name, b"\n\r\n\n", "error", "empty")
        yield Case(f"T20-{form}", name, b"", "error", "empty")
        yield Case(f"T21-{form}", name, long_line(form), "error", "line-too-long", (line, 0))
    for name, content in binaries().items():
        yield Case(f"T34-{name}", "rows.csv", content, "error", "not-text")


def long_line(form: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            if form != "jsonl":
                file.write(table(form, ()))
            for _ in range(50):
                file.write(b"x" * 1_000_000)

    return write


def binaries() -> dict[str, bytes]:
    plain, office = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("rows.csv", table("csv", ROWS))
    with zipfile.ZipFile(office, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return {
        "zip": plain.getvalue(),
        "xlsx": office.getvalue(),
        "gzip": gzip.compress(table("csv", ROWS)),
        "xz": lzma.compress(table("csv", ROWS)),
        "orc": b"ORC\n\x03" + b"\0" * 100,
        "html": b"<!DOCTYPE html>\n<html><body>404</body></html>",
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "hwp": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 100,
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    }


def file_cases() -> Iterator[Case]:
    """F: the path and the file system."""
    good = table("csv", ROWS)

    def nothing(path: Path) -> None:
        pass

    def unreadable(path: Path) -> None:
        path.write_bytes(good)
        path.chmod(0)

    yield Case("F01", "missing.csv", nothing, "missing")
    yield Case("F02", "folder.csv", Path.mkdir, "missing")
    yield Case("F03", "secret.csv", unreadable, "missing")
    yield Case("F04", "dangling.csv", lambda path: path.symlink_to("nowhere.csv"), "missing")
    yield Case("F05", "loop.csv", lambda path: path.symlink_to(path.name), "missing")
    if hasattr(os, "mkfifo"):
        yield Case("F06-fifo", "pipe.csv", os.mkfifo, "missing")
        yield Case("F06-device", "zero.csv", lambda path: path.symlink_to("/dev/zero"), "missing")
    if Path("/proc/self/status").exists():
        yield Case("F06-proc", "proc.csv", lambda path: path.symlink_to("/proc/self/status"), "missing")
    if os.name == "posix":
        yield Case("F09", "-rows 'of'\n\"text\".csv", good, "accept", text="지루한 영화", row_line=3)

        def undecodable(path: Path) -> None:
            (path.parent / os.fsdecode(b"\xbf\xb5\xc8\xad.csv")).write_bytes(good)

        yield Case("F09-bytes", os.fsdecode(b"\xbf\xb5\xc8\xad.csv"), undecodable, "accept", text="명작", row_line=7)
    yield Case("F10", "part-*.csv", nothing, "missing")
    packed = gzip.compress(good)
    yield Case("F11", "rows.csv.gz", packed, "accept", text="지루한 영화", row_line=3)
    yield Case(
        "F11-members",
        "rows.csv.gz",
        packed + gzip.compress("셋째,negative\n".encode()),
        "accept",
        text="셋째",
        row_line=8,
    )
    yield Case("F11-garbage", "rows.csv.gz", packed + b"garbage", "error", "packed-damaged")
    yield Case("F11-truncated", "rows.csv.gz", packed[:-12], "error", "packed-damaged")
    yield Case("F11-plain", "rows.csv.gz", good, "error", "packed-damaged")
    yield Case("F11-bomb", "rows.csv.gz", bomb, "error", "packed-bomb", count=0)
    yield Case("F11-bomb-line", "rows.jsonl.gz", lambda path: bomb(path, b""), "error", "line-too-long", (2, 0))


def bomb(path: Path, end: bytes = b"\n") -> None:
    with gzip.open(path, "wb") as file:
        file.write(table("csv", ROWS) if end else table("jsonl", BEFORE))
        for _ in range(40):
            file.write(b"x" * 1_000_000 + end)


def delimited_cases() -> Iterator[Case]:
    """C: CSV and TSV."""

    def of(identity: str, lines: str | list[str], code: str, line: int = 1, column: int = 0, *, form: str = "csv",
           outcome: str = "error", count: int = 1, **more: object) -> Case:  # fmt: skip
        content = (lines if isinstance(lines, str) else "\n".join([*lines, *good[4:]]) + "\n").encode()
        return Case(identity, f"rows.{form}", content, outcome, code, (line, column), count=count, **more)  # type: ignore[arg-type]

    good = ["text,label", *(f"{text},{label}" for text, label in ROWS)]
    tabs = [line.replace(",", "\t") for line in good]
    yield of("C01", "\n".join(["이 영화 정말 다시 보고 싶은 영화!,positive", *good[1:]]), "header-missing")
    yield of("C02", "text,label\n", "no-rows", 0)
    yield of("C02-tsv", "text\tlabel\n", "no-rows", 0, form="tsv")
    yield of("C03", ["text,text,label", "가,나,positive"], "column-duplicate", count=1)
    for identity, header in {
        "space": " text,label", "case": "Text,label", "bom": "\ufeff\ufefftext,label", "zero": "te\u200bxt,label",
        "both": "text,label,Label",
    }.items():  # fmt: skip
        yield of(f"C04-{identity}", header + "\n가,positive\n", "column-lookalike")
    yield of("C05", "content,label\n가,positive\n", "column-missing")
    yield of("C05-label", "text,mood\n가,positive\n", "column-missing")
    yield of("C06", [*good[:2], "짧은 줄", good[3]], "row-short", 3)
    yield of("C07", [*good[:2], "쉼표, 따옴표 없이,negative", good[3]], "row-long", 3)
    yield of("C08", "\n".join([*good[:3], '"열린 글,negative', *good[4:]]) + "\n", "quote-unclosed", 4, 1)
    yield of("C08-later", [*good[:2], '"열린 글,negative', '"닫힌 글",positive'], "quote-unclosed", 3, 1)
    yield of("C09", [*good[:2], '그는 "예"라고,negative', good[3]], "quote-inside", 3, 4)
    yield of("C10", [*good[:2], '"예"라고,negative', good[3]], "quote-after", 3, 4)
    yield of("C11", [*good[:2], r'"그는 \"예\"라고",negative', good[3]], "quote-backslash", 3, 5)
    yield of(
        "C12",
        [*good[:2], '"두 줄\n\r\n글",negative', good[3]],
        "",
        0,
        outcome="accept",
        text="두 줄\n\r\n글",
        row_line=3,
    )
    yield of(
        "C12-after", [*good[:2], '"두 줄\n글",negative', good[3]], "", 0, outcome="accept", text="나쁜 영화", row_line=5
    )
    for identity, delimiter in {"semicolon": ";", "tab": "\t", "bar": "|"}.items():
        yield of(f"C13-{identity}", "\n".join(good).replace(",", delimiter), "delimiter")
    yield of("C13-tsv", "\n".join(good), "delimiter", form="tsv")
    quotes = '"최고" 라고들 "하지만'
    content = "\n".join([*tabs[:2], f"{quotes}\tnegative", *tabs[3:]])
    yield of("C14", content, "", 0, form="tsv", outcome="accept", text=quotes, row_line=3)
    content = "\n".join([*tabs[:2], '"그는 ""예""라고"\tnegative', *tabs[3:]])
    yield of("C14-doubled", content, "tsv-quotes", 3, form="tsv", outcome="warning")
    yield of("C15", "\n".join([*tabs[:2], "탭이\t든 글\tnegative", *tabs[3:]]), "row-long", 3, form="tsv")
    yield of("C16", "\n".join(line.replace("\t", "    ") for line in tabs), "delimiter", form="tsv")
    yield of("C16-row", "\n".join([*tabs[:2], "탭 없는 글    negative", *tabs[3:]]), "row-short", 3, form="tsv")
    yield of("C17", [*good[:2], "빈 칸,", good[3]], "label-empty", 3)
    yield of("C17-space", [*good[:2], "빈 칸, ", good[3]], "label-empty", 3)
    yield of("C18", [*good[:2], "모르는 것,postive", good[3]], "label-unknown", 3, labels=LABELS)
    yield of("C19", [*good[:2], "띄어쓰기, positive ", good[3]], "label-variant", 3)
    yield of("C19-case", [*good[:2], "큰 글자,Positive", good[3]], "label-variant", 3)
    yield of("C19-zero", [*good[:2], "안 보임,posi\u200btive", good[3]], "label-variant", 3)
    nfd = unicodedata.normalize("NFD", "긍정")
    yield of("C19-nfd", f"text,label\n가,긍정\n나,부정\n다,{nfd}\n라,긍정\n", "label-variant", 4)
    yield of("C19-known", [*good[:2], "큰 글자,Positive", good[3]], "label-variant", 3, labels=LABELS)
    yield of("C20", "text,label\n가,0\n나,1\n다,긍정\n라,0\n", "label-mixed", 4)
    yield of("C20-words", "text,label\n가,긍정\n나,부정\n다,1\n라,긍정\n", "label-mixed", 4)
    yield of("C21", "text,label\n가,0\n나,1\n다,0.0\n라,0\n", "label-number", 4)
    yield of("C21-power", "text,label\n가,0\n나,1\n다,1e0\n라,0\n", "label-number", 4)
    yield of("C21-space", "text,label\n가,0\n나,1\n다,1 \n라,0\n", "label-variant", 4)
    rows = "text,label\n가,None\n나,NA\n다,None\n라,NA\n"
    yield of("C23", rows, "", 0, outcome="accept", text="나", row_line=3)
    yield of("C26", "text,label\n가,긍정\n나,긍정\n다,긍정\n라,긍정\n", "one-class", 0)
    yield of("C27", "text,label\n가,긍정\n나,긍정\n다,부정\n라,부정\n마,중립\n", "class-single", 6, outcome="warning")
    yield of("C28", [*good[:2], *good[1:4]], "duplicate", 3, outcome="warning")
    yield of("C28-conflict", [*good[:2], "좋은  영화,negative", *good[2:4]], "label-conflict", 2, outcome="warning")
    long = "가" * 131_073
    yield of("C30", [*good[:2], f"{long},negative", good[3]], "", 0, outcome="accept", text=long, row_line=3)
    yield of("C31", ["# 설명", *good[:4]], "comment-line")
    yield of("C31-row", [*good[:2], "# 설명", *good[2:4]], "comment-line", 3)
    hashtag = [*good[:2], "#해시태그,negative", good[3]]
    yield of("C31-text", hashtag, "", 0, outcome="accept", text="#해시태그", row_line=3)
    wide = ",".join(["text", "label", *(f"c{index}" for index in range(10_000))])
    yield of("C33", wide + "\n", "columns-many")
    numbers = "".join(f"{index},{LABELS[index % 2]}\n" for index in range(6))
    yield of("C34", "text,label\n" + numbers, "text-numbers", 0, outcome="warning")
    yield of("C00-blank", [*good[:2], "", *good[2:4]], "blank-line", 3, outcome="warning")
    yield of("C00-header", [*good[:2], good[0], good[3]], "header-repeated", 3)
    inside = "\n".join([*good[:2], "한 줄\r또 한 줄,negative", good[3]]) + "\n"
    yield of("C00-return", inside, "row-short", 3)
    yield of("C00-json", table("jsonl", ROWS).decode(), "delimiter")


def json_cases() -> Iterator[Case]:
    """J: JSON lines."""
    good = table("jsonl", ROWS).decode().splitlines()

    def of(identity: str, line: str, code: str, column: int = 0, *, outcome: str = "error", **more: object) -> Case:
        """A good file whose second line is this one."""
        content = "\n".join([good[0], line, *good[2:]]).encode() + b"\n"
        place = (0, 0) if outcome == "accept" else (2, column)
        return Case(identity, "rows.jsonl", content, outcome, code, place, **more)  # type: ignore[arg-type]

    def value(text: str, label: str = '"negative"') -> str:
        return f'{{"text": {text}, "label": {label}}}'

    def whole(identity: str, content: str, code: str, place: tuple[int, int], count: int = 1) -> Case:
        return Case(identity, "rows.jsonl", content.encode(), "error", code, place, count=count)

    yield of("J01", '{"text": "깨진" "label": "negative"}', "json-syntax", 15)
    yield whole("J02", "\n".join(good)[:-10], "json-syntax", (6, 25))
    yield whole("J03", json.dumps([{"text": "가", "label": "positive"}], indent=1), "json-array", (1, 1))
    yield whole("J03-one", json.dumps([{"text": "가", "label": "positive"}]), "json-array", (1, 1))
    yield whole("J04", json.dumps({"text": "가", "label": "positive"}, indent=1), "json-multiline", (1, 1))
    yield of("J05", value('"가"') + value('"나"'), "json-syntax", 35)
    yield of("J06", "\n  \n" + good[1], "", outcome="accept", text="지루한 영화", row_line=4)
    yield of("J07", good[1] + ",", "json-syntax", len(good[1]) + 1)
    yield of("J08", "{'text': '가', 'label': 'negative'}", "json-syntax", 2)
    yield of("J09", '{"text": "가", "label": "negative",}', "json-syntax", 35)
    yield of("J09-comment", '{"text": "가", /* 설명 */ "label": "negative"}', "json-syntax", 15)
    yield of("J10", value('"가"', "NaN"), "json-syntax", 24)
    yield of("J10-infinity", value('"NaN"', "-Infinity"), "json-syntax", 26)
    yield of("J10-zero", value('"가"', "-0"), "json-number")
    yield of("J11", value('"가"', "9007199254740993"), "json-number")
    yield of("J11-huge", value('"가"', "1e999"), "json-type")
    yield of("J12", value('"가"', "1" * 5000), "json-limit", 24)
    yield of("J12-unused", value('"가"')[:-1] + ', "id": ' + "1" * 5000 + "}", "json-limit", 42)
    yield of("J13", '{"text": "가", "label": "negative", "text": "나"}', "json-duplicate-key", 36)
    yield of("J14", '{"text": "가"}', "key-missing")
    extra = good[1][:-1] + ', "id": 9007199254740993}'
    yield of("J15", extra, "column-unused", outcome="warning", text="지루한 영화", row_line=2)
    yield of("J16", value("null"), "json-type")
    for identity, text in {"number": "1", "float": "1.5", "bool": "true", "list": '["가"]', "object": "{}"}.items():
        yield of(f"J17-{identity}", value(text), "json-type")
    mixed = "\n".join([value('"가"', '"1"'), value('"나"', '"0"'), value('"다"', "1"), value('"라"', '"0"')])
    yield whole("J18", mixed, "label-mixed", (3, 0))
    yield of("J19", value('"가"', "true"), "json-type")
    yield of("J19-null", value('"가"', "null"), "json-type")
    yield of("J20", value(r'"영\u0000화"'), "text-nul")
    yield of("J20-raw", value('"영\0화"'), "json-syntax", 12)
    yield of("J21", value(r'"\ud800"'), "text-surrogate")
    yield of("J21-label", value('"가"', r'"\ud800"'), "label-character")
    yield of("J22", value(r'"\ud83d\ude00"'), "", outcome="accept", text="😀", row_line=2)
    for depth in (100, 500, 20_000, 1_000_000):
        yield of(f"J23-{depth}", "[" * depth + "]" * depth, "json-limit")
        nested = good[1][:-1] + ', "x": ' + '{"x":' * depth + "1" + "}" * depth + "}"
        yield of(f"J23-object-{depth}", nested, "json-limit")
    keys = ", ".join(f'"k{index}": 0' for index in range(100_000))
    yield of("J24", good[1][:-1] + f", {keys}}}", "json-limit")
    yield of("J25", '{"te\u200bxt": "가", "label": "negative"}', "column-lookalike")
    yield of("J25-bom", '{"\ufefftext": "가", "label": "negative"}', "column-lookalike")
    yield of("J25-beside", '{"text": "가", "label": "negative", "Text": "나"}', "column-lookalike")
    yield of("J27", '{"row": {"text": "가"}, "label": "negative"}', "key-missing")
    for identity, scalar in {"string": '"가"', "number": "1", "null": "null", "list": "[1]"}.items():
        yield of(f"J28-{identity}", scalar, "json-object", 1)
    yield of("J29", value('"' + "x" * 11_000_000 + '"'), "line-too-long")
    yield of("J30", "{}", "key-missing", count=2)
    yield of("J31", value('"가"', '["negative"]'), "json-type")
    yield of("J32", value(r'"두\n줄"'), "", outcome="accept", text="두\n줄", row_line=2)
    integers = table("jsonl", [(text, int(label == "positive")) for text, label in ROWS])
    yield Case("J00-integers", "rows.jsonl", integers, "accept", text="지루한 영화", row_line=2)


CASES: tuple[Case, ...] = (
    *text_cases(),
    *encoding_cases(),
    *file_cases(),
    *delimited_cases(),
    *json_cases(),
)

_TEST = (("못 본 글", "positive"), ("처음 보는 글", "negative"))
PAIRS: tuple[Pair, ...] = (
    Pair("F08", table("csv", ROWS), None, "error", "same-file", 0),
    Pair("F08-copy", table("csv", ROWS), table("csv", ROWS), "error", "same-file", 0),
    Pair("F12-labels", table("csv", ROWS), table("csv", (*_TEST, ("셋", "neutral"))), "error", "label-unknown", 4),
    Pair("F12-schema", table("csv", ROWS), table("csv", _TEST, ("글", "답")), "error", "column-missing", 1),
    Pair("C29", table("csv", ROWS), table("csv", (*_TEST, ROWS[1])), "warning", "overlap", 4),
    Pair(
        "C29-conflict",
        table("csv", ROWS),
        table("csv", (*_TEST, ("명작", "negative"))),
        "warning",
        "overlap-conflict",
        4,
    ),
)
