"""`run`: one question, and whole conversations at a real terminal."""

from __future__ import annotations

import base64
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

CHAT = "POST /v1/chat/completions"
LAUNCH = "POST /v1/models"
READY = {
    "model_uid": "m", "status": "READY", "replica": 1, "replica_statuses": [],
    "engine_reason": "", "model_name": "m", "model_format": "", "quantization": "none",
    "model_size_in_billions": None,
}  # fmt: skip
PROMPT = ">>> "


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def end(reason: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


@pytest.fixture
def model(server: Any) -> Any:
    """A server on which m runs, and chats."""
    server.on("GET /v1/models/m", {"model_type": "LLM", "model_ability": ["chat"]})
    server.on("GET /v1/models/instances", [READY])
    return server


def said(body: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(message["role"], message["content"]) for message in body["messages"]]


def test_a_prompt_is_answered_once_and_nothing_else_is_printed(
    model: Any, xinference: Callable[..., Result]
) -> None:
    model.on(
        CHAT,
        model.stream(delta(reasoning_content="Hm."), delta(content="Hel"), delta(content="lo")),
    )
    result = xinference("run", "m", "how are you?", stdin="")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Hello\n", "")
    (body,) = model.bodies(CHAT)
    assert said(body) == [("user", "how are you?")]
    assert "max_tokens" not in body
    assert model.bodies(LAUNCH) == []


def test_text_from_a_pipe_stands_behind_the_prompt(
    model: Any, xinference: Callable[..., Result]
) -> None:
    model.on(CHAT, model.stream(delta(content="Hi")))
    assert xinference("run", "m", "Sum this up:", stdin="one\ntwo\n").stdout == "Hi\n"
    assert xinference("run", "m", stdin="one\ntwo\n").stdout == "Hi\n"
    assert [said(body)[0][1] for body in model.bodies(CHAT)] == [
        "Sum this up:\n\none\ntwo",
        "one\ntwo",
    ]
    nothing = xinference("run", "m", stdin=" \n")
    assert nothing.exit_code == 2
    assert "nothing to answer" in nothing.stderr


@pytest.mark.parametrize("mode", ["utf-8:strict", "utf-8:surrogateescape"])
def test_what_is_no_text_from_a_pipe_is_told_so(model: Any, mode: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xinfer.deploy.cli", "run", "m", "--endpoint", model.url],
        input=b"caf\xe9",
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": mode},
        timeout=120,
    )
    assert done.returncode == 1
    assert b"not text in utf-8" in done.stderr
    assert b"Traceback" not in done.stderr
    assert model.bodies(CHAT) == []


def test_system_pictures_and_thinking_go_along(
    model: Any, xinference: Callable[..., Result], tmp_path: Path
) -> None:
    model.on(CHAT, model.stream(delta(content="A cat.")))
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8cat")
    flags = ("--system", "Be brief.", "--image", str(tmp_path / "cat.jpg"), "--no-think")
    result = xinference("run", "m", "What is it?", *flags, "--image", "https://a.example/b.png")
    assert result.stdout == "A cat.\n", result.stderr
    (body,) = model.bodies(CHAT)
    data = base64.b64encode(b"\xff\xd8cat").decode()
    assert said(body) == [
        ("system", "Be brief."),
        (
            "user",
            [
                {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}},
                {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
                {"type": "text", "text": "What is it?"},
            ],
        ),
    ]
    assert body["enable_thinking"] is False
    missing = xinference("run", "m", "What?", "--image", str(tmp_path / "dog.png"))
    assert missing.exit_code == 2
    assert "No such file" in missing.stderr


def test_a_model_that_is_not_there_is_launched_with_the_options_of_launch(
    server: Any, xinference: Callable[..., Result]
) -> None:
    described = {"model_type": "LLM", "model_ability": ["chat"]}
    server.on("GET /v1/models/tiny", server.failure(404, "no such model"))
    server.on("GET /v1/models/m", described)
    server.on("GET /v1/models/instances", [READY])
    server.on(LAUNCH, {"model_uid": "m"})
    server.on(CHAT, server.stream(delta(content="Hi")))
    flags = ("--n_ctx", "4096", "-en", "llama.cpp", "--n_parallel=2")
    result = xinference("run", "tiny", "hello", *flags, stdin="")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "Hi\n"
    (body,) = server.bodies(LAUNCH)
    assert body["model_name"] == "tiny"
    assert body["model_engine"] == "llama.cpp"
    assert (body["n_ctx"], body["n_parallel"], body["exist_ok"]) == (4096, 2, True)


def test_a_model_that_loads_is_waited_for(server: Any, xinference: Callable[..., Result]) -> None:
    server.on("GET /v1/models/m", {"model_type": "LLM", "model_ability": ["chat"]})
    loading = {**READY, "status": "LOADING"}
    server.on("GET /v1/models/instances", [loading], [loading], [READY])
    server.on("GET /v1/models/m/progress", {"progress": 0.5, "stage": "loading"})
    server.on(CHAT, server.stream(delta(content="Hi")))
    result = xinference("run", "m", "hello", stdin="")
    assert result.stdout == "Hi\n", result.stderr
    assert "50%" in result.stderr


def test_a_launch_that_fails_ends_with_its_reason(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("GET /v1/models/tiny", server.failure(404, "no such model"))
    server.on(LAUNCH, server.failure(404, "there is no model tiny; did you mean tiny-chat?"))
    result = xinference("run", "tiny", "hello")
    assert result.exit_code == 1
    assert "did you mean tiny-chat?" in result.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("m", "two", "prompts"), "second prompt"),
        (("m", "hello", "--n_ctx"), "needs a value"),
    ],
)
def test_words_that_make_no_sense_are_refused(
    model: Any, xinference: Callable[..., Result], words: tuple[str, ...], reason: str
) -> None:
    result = xinference("run", *words)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert model.bodies(CHAT) == []


def test_a_failure_ends_a_single_question_with_1(
    model: Any, xinference: Callable[..., Result]
) -> None:
    model.on(CHAT, model.failure(503, "overloaded"))
    result = xinference("run", "m", "hello")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "overloaded" in result.stderr


def test_a_model_that_cannot_chat_is_refused(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("GET /v1/models/m", {"model_type": "embedding"})
    server.on("GET /v1/models/instances", [READY])
    result = xinference("run", "m", "hello")
    assert result.exit_code == 1
    assert "m cannot chat" in result.stderr


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, ours: int, process: subprocess.Popen[bytes]) -> None:
        self._ours = ours
        self._process = process
        self.shown = ""

    def enter(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def press(self, key: str, text: str) -> str:
        """What is shown up to this text, which comes of a key. One that is pressed just as a prompt
        is drawn is lost to readline, and pressed again."""
        deadline = time.monotonic() + 60
        while text not in self.shown and time.monotonic() < deadline:
            self.enter(key)
            while text not in self.shown and select.select([self._ours], [], [], 2)[0]:
                self.shown += self._read()
        return self.until(text)

    def until(self, text: str) -> str:
        """What is shown up to this text, which comes next."""
        deadline = time.monotonic() + 60
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} did not come; shown: {self.shown!r}"
            if select.select([self._ours], [], [], 1)[0]:
                self.shown += self._read()
        before, _, self.shown = self.shown.partition(text)
        return before

    def ended(self) -> int:
        """Its exit status, once it has left."""
        while (more := self._read()) or self._process.poll() is None:
            self.shown += more
        return self._process.wait(60)

    def _read(self) -> str:
        try:
            return os.read(self._ours, 4096).decode()
        except OSError:  # the other end has been closed
            self._process.wait(60)
            return ""


@contextmanager
def terminal(url: str, *words: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    command = "from xinfer.deploy.cli import main; main(prog_name='xinference')"
    process = subprocess.Popen(
        [sys.executable, "-c", command, *words, "-e", url],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_controlled,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        process.kill()
        process.wait(60)
        os.close(ours)


def _controlled() -> None:
    """Make the terminal the one that Ctrl-C at it is heard from."""
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.default_int_handler)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def plain(text: str) -> str:
    """Without the terminal's own codes."""
    return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", text)


def test_a_conversation_has_history_and_dims_thoughts(model: Any) -> None:
    model.on(
        CHAT,
        model.stream(delta(reasoning_content="Hm."), delta(content="\n\nHello"), end("stop")),
        model.stream(delta(content="Bye"), end("length")),
    )
    with terminal(model.url, "run", "m") as at:
        at.until(PROMPT)
        at.enter("hi\n")
        answer = at.until(PROMPT)
        assert re.search(r"\x1b\[2mHm\.\x1b\[0m", answer)
        assert "Hm.\r\n\r\nHello\r\n" in plain(answer).replace("\r\r", "\r")
        at.enter("\n")
        at.until(PROMPT)
        at.enter("and?\n")
        assert "cut short" in at.until(PROMPT)
        at.enter("\x04")
        assert at.ended() == 0
    assert said(model.bodies(CHAT)[1]) == [
        ("user", "hi"),
        ("assistant", "\n\nHello"),
        ("user", "and?"),
    ]


def test_commands_change_what_is_asked(model: Any, tmp_path: Path) -> None:
    model.on(CHAT, model.stream(delta(content="ok")))
    (tmp_path / "a.png").write_bytes(b"png")
    with terminal(model.url, "run", "m", "--system", "one") as at:
        at.until(PROMPT)

        def enter(line: str) -> str:
            at.enter(f"{line}\n")
            return plain(at.until(PROMPT))

        enter("first")
        assert "/system [TEXT]" in enter("/help")
        assert "temperature is 0.5" in enter("/set temperature 0.5")
        assert "expected a number" in enter("/set temperature warm")
        assert "expected on or off" in enter("/set think perhaps")
        assert "these can: temperature" in enter("/set colour blue")
        enter("/set think off")
        enter("/set seed 7")
        enter("/set seed")
        assert "temperature: 0.5" in enter("/show")
        enter("/system two")
        enter("second")
        enter("/clear")
        assert "No such file" in enter(f"/image {tmp_path}/b.png")
        enter(f"/image {tmp_path}/a.png")
        enter("/system")
        enter("third")
        enter("fourth")
        assert "there is no /what" in enter("/what")
        at.enter("/bye\n")
        assert at.ended() == 0
    first, second, third, fourth = model.bodies(CHAT)
    assert said(first) == [("system", "one"), ("user", "first")]
    assert "temperature" not in first
    assert said(second) == [
        ("system", "two"), ("user", "first"), ("assistant", "ok"), ("user", "second"),
    ]  # fmt: skip
    assert (second["temperature"], second["enable_thinking"]) == (0.5, False)
    assert "seed" not in second
    ((_, parts),) = said(third)
    assert [part["type"] for part in parts] == ["image_url", "text"]
    assert [content for _, content in said(fourth)] == [parts, "ok", "fourth"]


def test_questions_may_have_several_lines(model: Any) -> None:
    model.on(CHAT, model.stream(delta(content="ok")))
    with terminal(model.url, "run", "m") as at:
        at.until(PROMPT)
        for lines in ('"""one', "", '  two"""'), ("three\\", "four"), ('"""five"""',):
            for number, line in enumerate(lines, 1):
                at.enter(f"{line}\n")
                at.until("... " if number < len(lines) else PROMPT)
        at.enter("\x04")
        assert at.ended() == 0
    questions = [content for role, content in said(model.bodies(CHAT)[-1]) if role == "user"]
    assert questions == ["one\n\n  two", "three\nfour", "five"]


def test_ctrl_c_ends_the_answer_and_not_the_program(model: Any) -> None:
    held = model.stream(delta(content="Hel"), hold=True)
    model.on(CHAT, held, model.stream(delta(content="Bye")))
    with terminal(model.url, "run", "m") as at:
        at.until(PROMPT)
        assert "/bye leaves" in at.press("\x03", PROMPT)
        at.enter("hi\n")
        at.until("Hel")
        at.enter("\x03")
        assert held.left.wait(timeout=60)
        assert "(stopped)" in at.until(PROMPT)
        at.enter("more\n")
        assert "Bye" in at.until(PROMPT)
        at.enter("/bye\n")
        assert at.ended() == 0
    assert [content for _, content in said(model.bodies(CHAT)[1])] == ["hi", "Hel", "more"]


def test_a_failure_is_told_and_forgotten(model: Any) -> None:
    broken = {"error": {"message": "the replica died", "code": "replica_lost"}}
    model.on(
        CHAT,
        model.failure(503, "overloaded"),
        model.stream(delta(content="Hel"), broken),
        model.stream(delta(content="Hello")),
    )
    with terminal(model.url, "run", "m") as at:
        at.until(PROMPT)
        for question, shown in ("a", "Error: overloaded"), ("b", "replica died"), ("c", "Hello"):
            at.enter(f"{question}\n")
            assert shown in at.until(PROMPT)
        at.enter("\x04")
        assert at.ended() == 0
    assert said(model.bodies(CHAT)[2]) == [("user", "c")]
