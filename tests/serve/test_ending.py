"""Keys and hosts; and how it ends: what was begun is answered, and nothing takes longer than it may."""

import json
import time

import pytest

from serve.conftest import SECONDS, Running, post, read_reply, running
from taesan import cli
from taesan.errors import InputMissing, OutputError, UsageError
from taesan.verbs.serve import serve

KEY = "a-key-of-more-than-16-letters"
PREDICT = "/v1/models/reviews:predict"
GOOD = json.dumps({"item": {"text": "재미있다"}}, ensure_ascii=False).encode()


@pytest.fixture
def guarded(folders):
    with running(f"reviews={folders['reviews']}", "--allow-host", "models.example.org", TAESAN_API_KEY=KEY) as server:
        yield server


def test_a_key_then_an_end(guarded: Running) -> None:
    for given in ("", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer \xe9"):
        reply = guarded.post(PREDICT, GOOD, Authorization=given)
        assert (reply.status, reply.code) == (401, "key")
        assert reply.headers["www-authenticate"] == "Bearer"
    assert guarded.get("/metrics").status == 401
    assert guarded.get("/healthz").status == guarded.get("/").status == 200
    reply = guarded.post(PREDICT, GOOD, Authorization=f"Bearer {KEY}", Host="Models.Example.org:443")
    assert reply.status == 200
    assert KEY not in "".join(guarded.said)

    half = post(PREDICT, GOOD, Authorization=f"Bearer {KEY}")
    with guarded.connect() as slow, guarded.connect() as late, guarded.connect() as idle:
        slow.sendall(half[:-5])
        late.sendall(half[:-5])
        idle.sendall(half[:20])
        time.sleep(0.3)
        guarded.process.terminate()
        time.sleep(0.5)
        late.sendall(half[-5:])  # was begun before, and is whole now
        assert read_reply(late).status in (200, 503)
        assert read_reply(slow).status == 503
        assert read_reply(idle).status == 0
    assert guarded.process.wait(SECONDS) == 0  # having been asked to end is no failure
    assert not [line for line in guarded.said if "Cancel" in line]  # the bodies' own deadline came first


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"host": "0.0.0.0"}, UsageError, "can be reached by others: give it a key"),
        ({"host": "192.0.2.1"}, UsageError, "give it a key"),
        ({"host": "::"}, UsageError, "give it a key"),
        ({"api_key_file": "nothing.txt"}, InputMissing, "cannot be read"),
        ({"api_key_file": "short.txt"}, UsageError, "too weak"),
        ({"host": "0.0.0.0", "api_key_file": "key.txt"}, UsageError, "--allow-host"),
        ({"host": "127.0.0.1", "port": 1 << 16}, OutputError, "no such port"),
    ],
)
def test_what_is_not_safe_does_not_start(tmp_path, monkeypatch, options, error, told) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.txt").write_text("short\n")
    (tmp_path / "key.txt").write_text(KEY + "\n")
    with pytest.raises(error, match=told):
        serve(["taesan:bert-mini"], **options)


def test_names_that_cannot_be_served(tmp_path, capsys) -> None:
    for given in ("a b=taesan:bert-mini", "=taesan:bert-mini", "a/b=taesan:bert-mini", f"{'a' * 101}=taesan:bert-mini"):
        assert cli.main(["serve", given, "--port", "0"]) == 2
        assert "cannot be served" in capsys.readouterr().err
    assert cli.main(["serve", "a=taesan:bert-mini", "a=taesan:bert-mini", "--port", "0"]) == 2
    assert "two models would be served as a" in capsys.readouterr().err
    assert cli.main(["serve", str(tmp_path), "--port", "0"]) == 66
