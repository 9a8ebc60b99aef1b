"""What a request may look like on the wire: the rows of the catalogue of bad inputs, each with its status."""

import asyncio
import json
import socket
import time

import pytest

from serve.conftest import Running, post, read_reply
from taesan.verbs.serve import _bind

PREDICT = "/v1/models/reviews:predict"
GOOD = json.dumps({"item": {"text": "재미있다"}}, ensure_ascii=False).encode()


def body(content: bytes, **headers: str) -> bytes:
    return post(PREDICT, content, **headers)


def get(target: str, *headers: str, method: str = "GET", host: str = "localhost") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def item(text: str) -> bytes:
    """A body whose text is spelt in JSON as given."""
    return b'{"item": {"text": "' + text.encode() + b'"}}'


REFUSED: dict[str, tuple[bytes, int, str]] = {
    "invalid UTF-8": (body(b'{"item": {"text": "\xff\xfe"}}'), 400, "json-utf8"),
    "lone surrogate": (body(item("\\ud800")), 400, "json-surrogate"),
    "lone surrogate in a key": (body(b'{"item": {"\\udc00": ""}}'), 400, "json-surrogate"),
    "NaN": (body(b'{"item": NaN}'), 400, "json-syntax"),
    "1e999": (body(b'{"item": 1e999}'), 400, "json-number"),
    "depth 10k": (body(b'{"item": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"), 400, "json-limit"),
    "depth 100k": (body(b'{"item": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"), 400, "json-limit"),
    "depth 100k of objects": (body(b'{"item": ' * 100_000), 400, "json-limit"),
    "5,000-digit int": (body(b'{"item": ' + b"9" * 5000 + b"}"), 400, "json-limit"),
    "an int beyond 2^53": (body(b'{"item": 9007199254740993}'), 400, "json-number"),
    "duplicate key": (body(b'{"item": {"text": "a", "text": "b"}}'), 400, "json-duplicate-key"),
    "BOM": (body(b"\xef\xbb\xbf" + GOOD), 400, "json-bom"),
    "UTF-16": (body(GOOD.decode().encode("utf-16")), 400, "json-utf8"),
    "UTF-16 without a mark": (body(item("a").decode().encode("utf-16-le")), 400, "json-syntax"),
    "CP949": (body(GOOD.decode().encode("cp949")), 400, "json-utf8"),
    "wrong content type": (body(GOOD, Content_Type="text/plain"), 415, "content-type"),
    "a form": (body(b"item=a", Content_Type="application/x-www-form-urlencoded"), 415, "content-type"),
    "another charset": (body(GOOD, Content_Type="application/json; charset=cp949"), 415, "content-type"),
    "no content type": (body(GOOD, Content_Type=""), 415, "content-type"),
    "gzip": (body(b"\x1f\x8b\x08\x00" + b"\0" * 1000, Content_Encoding="gzip"), 415, "content-encoding"),
    "longer than it says": (body(GOOD, Content_Length=str(len(GOOD) - 1)), 400, "json-syntax"),
    "length and chunks": (body(b"5\r\nhello\r\n0\r\n\r\n", Transfer_Encoding="chunked"), 400, "length-twice"),
    "a length that is none": (body(GOOD, Content_Length="+5"), 400, "http"),
    "a length of 5,000 digits": (body(GOOD, Content_Length="9" * 5000), 400, "http"),
    "a chunk that is none": (body(b"zz\r\n", Content_Length="", Transfer_Encoding="chunked"), 400, "http"),
    "empty": (body(b""), 400, "body-empty"),
    "array": (body(b"[" + GOOD + b"]"), 400, "json-object"),
    "two values": (body(GOOD + GOOD), 400, "json-syntax"),
    "10,000 empties": (body(json.dumps({"items": [{}] * 10_000}).encode()), 422, "body-shape"),
    "500,000 elements": (body(b'{"items": [' + b"0," * 500_000 + b"0]}"), 422, "body-shape"),
    "no items": (body(b'{"items": []}'), 422, "body-shape"),
    "neither": (body(b"{}"), 422, "body-shape"),
    "an unknown key": (body(b'{"item": {"text": "a"}, "secret": 1}'), 422, "key-unknown"),
    "true for 1": (body(b'{"item": {"text": "a"}, "details": 1}'), 422, "body-shape"),
    "10 M characters": (body(item("a" * 10_000_000)), 413, "body-large"),
    "too large by a byte": (body(b" " * ((1 << 20) + 1)), 413, "body-large"),
    "another host": (get("/v1/models", host="evil.com"), 421, "host"),
    "another host with ours": (get("/v1/models", host="evil.com#localhost"), 421, "host"),
    "a host that is a path": (get("/v1/models", host="x/../?"), 421, "host"),
    "a host that begins as ours": (get("/v1/models", host="localhost.evil.com"), 421, "host"),
    "no host": (b"GET /v1/models HTTP/1.1\r\n\r\n", 400, "http"),
    "no host in HTTP/1.0": (b"GET /v1/models HTTP/1.0\r\n\r\n", 421, "host"),
    "two hosts": (get("/v1/models", "Host: evil.com"), 400, "http"),
    "another origin": (body(GOOD, Origin="http://evil.com"), 403, "origin"),
    "no origin of its own": (body(GOOD, Origin="null"), 403, "origin"),
    "absolute form": (get("http://localhost/v1/models"), 400, "target"),
    "a proxy's request": (get("evil.com:443", method="CONNECT"), 400, "target"),
    "an asterisk": (get("*", method="OPTIONS"), 400, "target"),
    "dots": (get("/v1/models/%2e%2e%2f%2e%2e%2fetc/passwd"), 404, "not-found"),
    "dots of Windows": (get("/..%5c..%5capp.py"), 404, "not-found"),
    "plain dots": (get("/../app.py"), 404, "not-found"),
    "the server's own files": (get("/../guard.py"), 404, "not-found"),
    "NUL in a name": (post("/v1/models/a%00b:predict", GOOD), 404, "model-unknown"),
    "4 kB in a name": (post(f"/v1/models/{'a' * 4096}:predict", GOOD), 404, "model-unknown"),
    "no such model": (post("/v1/models/nobody:predict", GOOD), 404, "model-unknown"),
    "OPTIONS": (get("/v1/models", "Origin: http://localhost", method="OPTIONS"), 405, "method"),
    "TRACE": (get("/v1/models", method="TRACE"), 405, "method"),
    "DELETE": (get("/v1/models/reviews", method="DELETE"), 405, "method"),
    "GET of what is asked": (get(PREDICT), 405, "method"),
    "10,000 headers": (get("/v1/models", *["A: b"] * 10_000), 431, "headers"),
    "one long header": (get("/v1/models", f"A: {'b' * 20_000}"), 431, "headers"),
    "a header in two lines": (get("/v1/models", "A: b", " c"), 200, ""),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "http"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version"),
}


@pytest.mark.parametrize("name", [name for name, row in REFUSED.items() if row[2]])
def test_it_is_refused_by_its_status(server: Running, name: str) -> None:
    content, status, code = REFUSED[name]
    reply = server.exchange(content)
    for _ in range(9):  # while we still send, the end of the connection may overtake the answer's body
        if reply.body:
            break
        reply = server.exchange(content)
    if name in ("10,000 headers", "one long header") and reply.status == 400:
        status, code = 400, "http"  # as they came in pieces, the limit was met before the request was whole
    assert (reply.status, reply.code) == (status, code)
    assert set(reply.json) == {"error"}
    assert server.get("/healthz").status == 200


def test_none_of_it_was_a_bug(server: Running) -> None:
    assert not [line for line in server.said if "bug" in line or "Traceback" in line]


def test_what_is_well_formed_is_answered(server: Running) -> None:
    chunked = b"".join(b"%x\r\n%b\r\n" % (1, GOOD[place : place + 1]) for place in range(len(GOOD))) + b"0\r\n\r\n"
    whole = server.post(PREDICT, GOOD)
    for content in (
        body(chunked, Content_Length="", Transfer_Encoding="chunked"),
        body(GOOD, Content_Type='application/json; charset="UTF-8"'),
        body(GOOD, Origin="http://localhost"),
        body(GOOD, Expect="100-continue"),
    ):
        reply = server.exchange(content)
        if reply.status == 100:  # the answer follows what was said in between
            reply.status, reply.body = 200, reply.body.partition(b"\r\n\r\n")[2]
        assert reply.status == 200
        assert reply.json["predictions"] == whole.json["predictions"]


def test_a_connection_serves_one_request_after_another(server: Running) -> None:
    """Also those that are sent before the first is answered."""
    with server.connect() as connection:
        connection.sendall(body(GOOD, Connection="keep-alive") * 2 + body(b"{}", Connection="keep-alive"))
        content = b""
        while content.count(b'"seconds"') < 2 or b'"body-shape"' not in content:
            content += connection.recv(65536)
        assert content.count(b"HTTP/1.1 200") == 2
        assert content.count(b"HTTP/1.1 422") == 1


def test_no_file_is_read_in_ranges(server: Running) -> None:
    ranges = ",".join(f"{start}-" for start in range(2000))
    page = server.get("/")
    reply = server.exchange(get("/", f"Range: bytes={ranges}"))
    assert reply.status == 200
    assert reply.body == page.body


def test_the_page_comes_with_a_policy(server: Running) -> None:
    reply = server.get("/")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert not [name for name in reply.headers if name.startswith("access-control")]
    with server.connect() as connection:
        connection.sendall(get("/", method="HEAD"))
        head = read_reply(connection, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(page := reply.body))
    assert page


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 408),
        (b"POST /v1/models HTTP/1.1\r\nHost: local", 408),
        (body(GOOD, Content_Length=str(len(GOOD) + 5)), 408),
        (body(b"5\r\nhello\r\n", Content_Length="", Transfer_Encoding="chunked"), 408),
    ],
    ids=["nothing", "half the headers", "half the body", "chunks without end"],
)
def test_who_stops_sending_is_told_so(server: Running, content: bytes, status: int) -> None:
    with server.connect() as connection:
        connection.sendall(content)
        assert read_reply(connection).status == status
        assert connection.recv(1) == b""  # and the connection is closed


@pytest.mark.parametrize("sent", [0, 120], ids=["headers", "body"])
def test_a_byte_now_and_then_does_not_prolong_a_deadline(server: Running, sent: int) -> None:
    content = body(b" " * 1000)
    with server.connect() as connection:
        connection.sendall(content[:sent])
        connection.settimeout(0.1)
        status = 0
        for place in range(sent, 100 + sent):
            try:
                connection.sendall(content[place : place + 1])
                status = read_reply(connection).status
                break
            except TimeoutError:
                continue
        assert status in (0, 408)  # 0: a byte too many makes the kernel drop the answer
        assert place < 90 + sent


def test_who_goes_away_is_forgotten(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(body(GOOD, Content_Length="1000"))
    many = json.dumps({"items": [{"text": "재미있다 " * 100}] * 100}, ensure_ascii=False).encode()
    for _ in range(20):
        with server.connect() as connection:
            connection.sendall(body(many))
    for _ in range(100):
        if b'taesan_waiting_items{model="reviews"} 0.0' in server.get("/metrics").body:
            break
        time.sleep(0.1)
    else:
        pytest.fail("items wait that nobody waits for")
    assert server.post(PREDICT, GOOD).status == 200


def test_an_answer_is_sent_at_once() -> None:
    """Else its second part waits for the acknowledgement of the first, 40 ms where that is delayed."""

    async def sends_at_once() -> int:
        accepted = asyncio.get_running_loop().create_future()
        listener = _bind("127.0.0.1", 0)
        async with await asyncio.start_server(lambda _, writer: accepted.set_result(writer), sock=listener):
            _, asking = await asyncio.open_connection(*listener.getsockname())
            answering = await accepted
            found = answering.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for writer in (asking, answering):
                writer.close()
        return found

    assert asyncio.run(sends_at_once())
