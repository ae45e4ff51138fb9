"""One request's way back: token ids to the text that is delivered."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from xinfer.errors import EngineFailed
from xinfer.model.engine import Logprob
from xinfer.model.llm.pipeline.detokenizer import Detokenizer
from xinfer.model.llm.pipeline.harmony import HarmonyParser
from xinfer.model.llm.pipeline.logprobs import HeldLogprobs
from xinfer.model.llm.pipeline.message import MessageParser, Parts
from xinfer.model.llm.pipeline.stop import StopStrings
from xinfer.types.event import TokenLogprob, ToolCall

AnswerParser = MessageParser | HarmonyParser
"""What takes an answer apart."""


class Output(msgspec.Struct, frozen=True, gc=False):
    """Text to deliver now, and all tokens consumed since the last text to make it.

    The ids delivered so far, fed to a new pipeline of the same request, bring it to the same text
    and the same state: a stream is continued that way.
    """

    text: str = ""
    ids: list[int] = []
    reason: str | None = None
    """stop, length or tool_calls, once the output is complete."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of the tokens that begin in what is delivered, where they were asked for. With the last
    output come those without text that follow it."""
    reasoning: str = ""
    """Thoughts, which come before `text`."""
    calls: tuple[ToolCall, ...] = ()
    stop: str | None = None
    """The stop string that ended the output."""

    @property
    def stopped(self) -> bool:
        """The output is complete: nothing that is generated from here on belongs to it."""
        return self.reason is not None


_NOTHING = Output()


class OutputPipeline:
    """Turns a request's tokens into text: detokenise, look for stop strings, then take thoughts
    and calls out of it.

    Stop tokens and stop strings are not part of the text. What is not certain yet (half a
    character, the start of a stop string, a call that is not complete) is held back, and its
    log-probabilities with it. What is cut off has none.

    Args:
        pieces: the bytes of each token of the vocabulary; empty for those without text.
        stop: stop strings, none empty.
        stop_ids: tokens that end the output.
        prompt: bytes that the output begins with (`echo`), in which no stop is looked for.
        logprobs: whether tokens come with their log-probabilities.
        message: what thoughts and calls are told apart with; None: all is text.
    """

    __slots__ = (
        "_cut",
        "_detokenizer",
        "_ids",
        "_logprobs",
        "_message",
        "_one_by_one",
        "_pieces",
        "_prompt",
        "_silent",
        "_stop_ids",
        "_stop_strings",
        "_stopped",
        "completion_tokens",
        "reasoning_tokens",
    )

    def __init__(
        self,
        pieces: Sequence[bytes],
        *,
        stop: Sequence[str] = (),
        stop_ids: frozenset[int] = frozenset(),
        prompt: bytes = b"",
        logprobs: bool = False,
        message: AnswerParser | None = None,
    ) -> None:
        self.completion_tokens = 0
        """Tokens consumed so far, the one that completed a stop included."""
        self.reasoning_tokens = 0
        """Of these, those behind which the model was thinking."""
        self._pieces = pieces
        self._detokenizer = Detokenizer()
        self._stop_strings = StopStrings(stop) if stop else None
        self._stop_ids = stop_ids
        self._prompt = self._detokenizer.feed(prompt)
        self._logprobs = HeldLogprobs(pieces, len(self._prompt)) if logprobs else None
        self._one_by_one = self._stop_strings is not None or logprobs
        self._message = message
        self._silent = 0
        """Characters that were taken and have gone into nothing that is delivered: tags."""
        self._ids: list[int] = []
        self._stopped = False
        self._cut = False

    def feed(self, ids: Sequence[int], logprobs: Sequence[Logprob] = ()) -> Output:
        """Consume new tokens, up to one that ends the output.

        Where `stopped` is true the request is to be aborted in the engine; it ends with "stop",
        or with "tool_calls".

        Raises:
            EngineFailed: log-probabilities were asked for, and are not one for each token.
        """
        if self._stopped or not ids:
            return _NOTHING
        if self._message is not None and self._message.looking:
            return self._feed_thoughts(self._message, ids, logprobs)
        return self._feed(ids, logprobs)

    def finish(self, reason: str) -> Output:
        """Deliver what was held back; `reason` is why the engine ended: stop or length."""
        if self._stopped:
            return Output(reason="stop")
        text = self._flush()
        if self._stopped:
            reason = "stop"
        self._stopped = True
        return self._deliver(text, reason)

    def _feed_thoughts(
        self,
        message: AnswerParser,
        ids: Sequence[int],
        logprobs: Sequence[Logprob],
    ) -> Output:
        """One token after the other: each is a thought or not."""
        made = []
        for position, token in enumerate(ids):
            made.append(self._feed((token,), logprobs[position : position + 1]))
            self.reasoning_tokens += message.thinking
            if self._stopped:
                break
        return made[0] if len(made) == 1 else _joined(made)

    def _feed(self, ids: Sequence[int], logprobs: Sequence[Logprob]) -> Output:
        if not self._one_by_one and self._stop_ids.isdisjoint(ids):
            self._ids += ids
            self.completion_tokens += len(ids)
            pieces = self._pieces
            data = pieces[ids[0]] if len(ids) == 1 else b"".join([pieces[i] for i in ids])
            return self._deliver(self._detokenizer.feed(data))
        if self._logprobs is not None and len(logprobs) != len(ids):
            raise EngineFailed(
                f"The engine gave {len(logprobs)} log-probabilities with {len(ids)} tokens."
            )
        text = self._feed_until_stop(ids, logprobs)
        return self._deliver(text, "stop" if self._stopped else None)

    def _feed_until_stop(self, ids: Sequence[int], logprobs: Sequence[Logprob]) -> str:
        text = ""
        for position, token in enumerate(ids):
            self._ids.append(token)
            self.completion_tokens += 1
            if token in self._stop_ids:
                text += self._flush()
                self._stopped = True
                break
            fresh = self._detokenizer.feed(self._pieces[token])
            if self._logprobs is not None:
                self._logprobs.add(token, logprobs[position], len(fresh))
            text += self._until_stop_string(fresh)
            if self._stopped:
                break
        return text

    def _flush(self) -> str:
        text = self._until_stop_string(self._detokenizer.flush())
        return text if self._stop_strings is None else text + self._stop_strings.flush()

    def _until_stop_string(self, text: str) -> str:
        if self._stop_strings is not None:
            text, self._cut = self._stop_strings.feed(text)
            self._stopped = self._cut
        return text

    def _deliver(self, text: str, reason: str | None = None) -> Output:
        if self._prompt:
            text, self._prompt = self._prompt + text, ""
        message = self._message
        if message is None:
            parts, characters = Parts("", text), len(text)
        else:
            before = message.held
            parts = _parts(message, text, end=reason is not None)
            characters = before + len(text) - message.held + self._silent
            reason = self._reason(message, reason)
            if message.over:
                self._message = None
        if reason is None and not (parts.text or parts.reasoning or parts.calls):
            self._silent = characters
            return _NOTHING
        self._silent = 0
        ids, self._ids = self._ids, []
        held = self._logprobs
        logprobs: tuple[TokenLogprob, ...] = ()
        if held is not None:
            whole = reason is not None and not self._cut
            logprobs = held.take_all() if whole else held.take(characters)
        stop = self._stop_strings.hit if self._stop_strings is not None else None
        return Output(parts.text, ids, reason, logprobs, parts.reasoning, parts.calls, stop)

    def _reason(self, message: AnswerParser, reason: str | None) -> str | None:
        if message.ended:
            self._stopped = self._cut = True
            return "tool_calls"
        return "tool_calls" if reason == "stop" and message.called else reason


def _parts(message: AnswerParser, text: str, *, end: bool) -> Parts:
    made = message.feed(text) if text else Parts()
    if not end or message.ended:
        return made
    rest = message.finish()
    return Parts(made.reasoning + rest.reasoning, made.text + rest.text, made.calls + rest.calls)


def _joined(outputs: Sequence[Output]) -> Output:
    return Output(
        text="".join([one.text for one in outputs]),
        ids=[token for one in outputs for token in one.ids],
        reason=outputs[-1].reason,
        logprobs=tuple([logprob for one in outputs for logprob in one.logprobs]),
        reasoning="".join([one.reasoning for one in outputs]),
        calls=tuple([call for one in outputs for call in one.calls]),
        stop=outputs[-1].stop,
    )
