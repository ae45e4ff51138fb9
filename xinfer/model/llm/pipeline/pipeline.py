"""One request's way in: messages or a prompt to the token ids that an engine is given."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.model.engine import ConstrainingEngine, MediaEngine, Tokenizer, TokenRequest
from xinfer.model.llm.pipeline.dialogue import Dialogue, Turn
from xinfer.model.llm.pipeline.infill import Infill, no_infill
from xinfer.model.llm.pipeline.media import MediaPrompts, check_media
from xinfer.model.llm.pipeline.output import OutputPipeline
from xinfer.model.llm.pipeline.template import ChatTemplate, RenderedTooLong
from xinfer.model.llm.pipeline.validation import (
    check_abilities,
    check_sampling,
    check_stop,
    check_tokens,
)
from xinfer.types.model import Loaded, ModelSpec
from xinfer.types.request import ChatRequest, CompletionRequest, TextRequest

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A request that the engine can take, and what its tokens are to go through."""

    token_request: TokenRequest
    output: OutputPipeline
    prompt_tokens: int
    ended: str | None = None
    """Why the output was complete already with what was delivered elsewhere."""


class TextPipeline:
    """Prepares the requests of one replica, the same way for every engine.

    A model whose chat template cannot be read still completes prompts.

    Args:
        media: the engine, where it takes pictures.
        constraints: the engine, where it enforces constraints.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        loaded: Loaded,
        spec: ModelSpec,
        media: MediaEngine | None = None,
        constraints: ConstrainingEngine | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._context_length = loaded.context_length
        self._abilities = loaded.abilities
        self._name = spec.name
        self._constraints = constraints
        self._pieces = _pieces(tokenizer)
        # A token covers no more characters than its longest piece has bytes: a text of more than
        # this cannot fit, which is known without tokenising it.
        self._max_characters = self._context_length * max(map(len, self._pieces))
        self._template: ChatTemplate | None = None
        self._dialogue: Dialogue | None = None
        self._no_template = f"The model {self._name} has no chat template."
        self._stop = spec.stop
        self._stop_ids = frozenset(spec.stop_token_ids)
        source = spec.chat_template or tokenizer.chat_template or spec.fallback_template
        if source:
            try:
                self._template = ChatTemplate(
                    source,
                    tokenizer.special_tokens,
                    max_length=self._max_characters,
                )
                self._dialogue = Dialogue(source, self._template, tokenizer, self._pieces, spec)
            except InvalidRequest as error:
                self._no_template = error.message
                logger.warning("%s cannot chat: %s", self._name, error.message)
        self._media = None if media is None else MediaPrompts(media, self._template)

    def prepare(self, request: TextRequest, *, id: int, resume: Sequence[int] = ()) -> Prepared:
        """Render, tokenise and check a request. Blocks: a long prompt takes milliseconds, a
        constraint up to a second.

        `max_tokens` left out, or more than the context has room for, becomes that room, and the
        output ends with "length" there. May be called from any thread.

        Args:
            resume: tokens of the output that was delivered elsewhere; it goes on behind them.

        Raises:
            InvalidRequest: with `param` naming the field: no messages, a part or role that the
                model does not take, a prompt that leaves no room in the context, a token id
                outside the vocabulary, `max_tokens` below 1, too many or too long stop strings,
                something that the engine or the model does not honour, a picture that cannot be
                decoded, a constraint that cannot be enforced.
            PayloadTooLarge: pictures beyond the bounds.
            NotFound: an adapter that the engine has not loaded.
        """
        vocabulary_size = self._tokenizer.vocabulary_size
        check_sampling(request.sampling, self._abilities.sampling, vocabulary_size)
        check_abilities(request, self._abilities)
        check_stop(request.stop)
        check_tokens(request.stop_token_ids, "stop_token_ids", vocabulary_size)
        check_tokens(resume, "resume", vocabulary_size)
        media, message = None, None
        pieces, constraint = self._pieces, request.constraint
        stop, stop_ids = request.stop, frozenset(request.stop_token_ids)
        if isinstance(request, ChatRequest):
            stop, stop_ids = (*self._stop, *stop), self._stop_ids | stop_ids
            echo = b""
            dialogue = self._require_dialogue()
            turn = dialogue.turn(request, self._abilities.constraint)
            pieces = dialogue.pieces
            text, prompt, media = self._chat_prompt(request, turn)
            constraint, message = turn.constraint(text), turn.parser(text)
            room = self._room(len(prompt), "messages")
        else:
            prompt = self._plain_prompt(request)
            if request.suffix:
                stop_ids |= self._infill.stop_ids
            room = self._room(len(prompt), "prompt")
            echo = self._echo(request) if request.echo else b""
        if constraint is not None and self._constraints is not None:
            self._constraints.check_constraint(constraint)
        wanted = request.sampling.max_tokens
        output = OutputPipeline(
            pieces,
            stop=stop,
            stop_ids=stop_ids,
            prompt=echo,
            logprobs=request.sampling.logprobs is not None,
            message=message,
        )
        ended = output.feed(resume).reason  # the text that this makes was delivered
        return Prepared(
            TokenRequest(
                id=id,
                prompt=prompt,
                max_tokens=room if wanted is None else min(wanted, room),
                resume=list(resume),
                sampling=request.sampling,
                constraint=constraint,
                adapter=request.adapter,
                media=media,
            ),
            output,
            len(prompt),
            ended,
        )

    def tokens(self, request: TextRequest, *, bare: bool = False) -> list[int]:
        """The prompt that `prepare` would make, however long it is. Blocks; from any thread.

        Args:
            bare: leave out what a plain prompt begins with.

        Raises:
            InvalidRequest: as `prepare`, but for what is about the answer.
            PayloadTooLarge: pictures beyond the bounds.
        """
        if isinstance(request, CompletionRequest):
            ids = self._plain_prompt(request)
            return ids[len(self._tokenizer.prompt_prefix()) :] if bare else ids
        check_abilities(request, self._abilities)
        turn = self._require_dialogue().turn(request, self._abilities.constraint)
        return self._chat_prompt(request, turn)[1]

    def _chat_prompt(self, request: ChatRequest, turn: Turn) -> tuple[str, list[int], Any]:
        """The prompt as text and as tokens, and what of its pictures goes to the engine."""
        if request.media and self._media is not None:
            return self._media_prompt(request, turn, self._media)
        text = self._render(request.messages, turn)
        return text, self._tokenizer.encode(text, special=True), None

    def _media_prompt(
        self, request: ChatRequest, turn: Turn, media: MediaPrompts
    ) -> tuple[str, list[int], Any]:
        check_media(request.media, self._abilities)
        text = self._render(media.place(request.messages), turn)
        made = media.prompt(text, request.media)
        return text, made.ids, made.media

    def _require_dialogue(self) -> Dialogue:
        if self._dialogue is None:
            raise InvalidRequest(
                f"{self._no_template} Send a whole prompt to /v1/completions.", param="model"
            )
        return self._dialogue

    def _render(self, messages: list[dict[str, Any]], turn: Turn) -> str:
        assert self._template is not None
        if not messages:
            raise InvalidRequest("There are no messages; expected at least one.", param="messages")
        try:
            return self._template.render(messages, turn.options, turn.tools)
        except RenderedTooLong:
            raise self._too_long(f"more than {self._context_length}", "messages") from None

    def _plain_prompt(self, request: CompletionRequest) -> list[int]:
        prompt, prefix = request.prompt, self._tokenizer.prompt_prefix()
        if request.suffix:
            # Control tokens in the text around are text there: it may be a program about them.
            before = self._ids(prompt, "prompt", special=False)
            behind = self._ids(request.suffix, "suffix", special=False)
            return self._infill.prompt(prefix, before, behind)
        ids = self._ids(prompt, "prompt", special=True)
        return [*prefix, *ids] if isinstance(prompt, str) else ids

    @cached_property
    def _infill(self) -> Infill:
        """
        Raises:
            InvalidRequest: the model has no tokens for it.
        """
        found = Infill.of(self._tokenizer)
        if found is None:
            raise no_infill(self._name)
        return found

    def _ids(self, prompt: str | list[int], param: str, *, special: bool) -> list[int]:
        if isinstance(prompt, str):
            if len(prompt) > self._max_characters:
                raise self._too_long(f"more than {self._context_length}", param)
            return self._tokenizer.encode(prompt, special=special)
        check_tokens(prompt, param, self._tokenizer.vocabulary_size)
        return prompt

    def _echo(self, request: CompletionRequest) -> bytes:
        if isinstance(request.prompt, str):
            return request.prompt.encode()
        return b"".join([self._pieces[token] for token in request.prompt])

    def _room(self, prompt_tokens: int, param: str) -> int:
        """Tokens that the context has left for the output; at least 1."""
        if prompt_tokens == 0:
            raise InvalidRequest(
                "The prompt is empty; expected at least one token of text.", param=param
            )
        if prompt_tokens >= self._context_length:
            raise self._too_long(str(prompt_tokens), param)
        return self._context_length - prompt_tokens

    def _too_long(self, tokens: str, param: str) -> InvalidRequest:
        return InvalidRequest(
            f"The prompt has {tokens} tokens; the context of {self._name} is "
            f"{self._context_length} tokens, prompt and answer together. Shorten the prompt.",
            code="context_length_exceeded",
            param=param,
        )


def _pieces(tokenizer: Tokenizer) -> Sequence[bytes]:
    """The bytes of every token, in order of id; none for those that end the text."""
    return [
        b"" if token in tokenizer.eos_ids else tokenizer.piece(token)
        for token in range(tokenizer.vocabulary_size)
    ]
