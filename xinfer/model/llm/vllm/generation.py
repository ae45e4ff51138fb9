"""One request on its way through vLLM."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vllm.inputs import TokensPrompt, tokens_input
from vllm.lora.request import LoRARequest
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.engine.output_processor import RequestOutputCollector

from xinfer.errors import EngineFailed, InvalidRequest, XinferError
from xinfer.model.engine import Logprob, TokenEvent, TokenRequest
from xinfer.model.llm.vllm.constraint import check_complete
from xinfer.types.failure import Failure

if TYPE_CHECKING:
    from xinfer.model.llm.constraint.compiler import ConstraintCompiler


class Generation:
    """Runs as a task on the event loop; its last event is the only one with `finish`.

    Args:
        fields: arguments of `SamplingParams`.
        ends: tokens that end an output; they are not given out.
        adapter: the LoRA adapter to compute it with.
        constraints: of the model; None where the request has no constraint.
        emit: takes the events.
    """

    def __init__(
        self,
        request: TokenRequest,
        *,
        fields: dict[str, Any],
        ends: frozenset[int],
        adapter: LoRARequest | None,
        constraints: ConstraintCompiler | None,
        emit: Callable[[TokenEvent], None],
    ) -> None:
        self.completion_tokens = 0
        self.cached_tokens = 0
        self._request = request
        self._fields = fields
        self._ends = frozenset() if request.sampling.ignore_eos else ends
        self._adapter = adapter
        self._constraints = constraints
        self._made: list[int] = []
        """What there is of an output under a constraint."""
        self._emit = emit
        self._task: asyncio.Task[None] | None = None
        self._streaming = False
        self._aborted = False

    def start(self, llm: AsyncLLM) -> asyncio.Task[None]:
        self._task = asyncio.create_task(self._run(llm))
        return self._task

    def abort(self) -> None:
        """End it; takes effect once vLLM has the request."""
        if self._aborted:
            return
        self._aborted = True
        if self._streaming and self._task is not None:
            self._task.cancel()

    async def _run(self, llm: AsyncLLM) -> None:
        """
        Raises:
            EngineDeadError: vLLM's processes have ended.
        """
        try:
            await self._stream(llm)
        except EngineDeadError:
            raise
        except XinferError as error:
            self._fail(error)
        except ValueError as error:  # whatever vLLM finds wrong with the request
            self._fail(InvalidRequest(f"vLLM does not take this request: {error}"))
        except Exception as error:
            if type(error).__name__ == "VLLMValidationError":
                self._fail(InvalidRequest(f"vLLM does not take this request: {error}"))
            else:
                self._fail(EngineFailed(f"vLLM failed on this request: {error!r}"))

    async def _stream(self, llm: AsyncLLM) -> None:
        request = self._request
        if self._aborted:
            return self._finish("abort")
        if len(request.resume) >= request.max_tokens:
            return self._finish("length")
        queue = await self._add(llm)
        last: RequestOutput | None = None
        try:
            self._streaming = True
            while last is None and not self._aborted:
                output = queue.get_nowait() or await queue.get()
                assert isinstance(output, RequestOutput)
                if not output.finished:
                    self._take(output)
                    continue
                await self._check_last(output)
                last = output
        except asyncio.CancelledError:
            if not self._aborted:
                raise  # the engine is being closed
        finally:
            queue.close()
        if last is not None:
            self._take(last)
        else:
            await llm.abort(queue.request_id, internal=True)
            self._finish("abort")

    async def _add(self, llm: AsyncLLM) -> RequestOutputCollector:
        request = self._request
        ids = [*request.prompt, *request.resume]
        prompt: Any = tokens_input(ids)
        constraint = None
        if self._constraints is not None:
            assert request.constraint is not None
            lark = await asyncio.to_thread(self._constraints.grammar, request.constraint)
            constraint = StructuredOutputsParams(grammar=lark)
            # vLLM compiles it too, which it does on a thread of its own for a prompt of this kind.
            prompt = TokensPrompt(prompt_token_ids=ids)
        params = SamplingParams(
            **self._fields, output_kind=RequestOutputKind.DELTA, structured_outputs=constraint
        )
        params.skip_clone = True  # nobody else has it
        return await llm.add_request(str(request.id), prompt, params, lora_request=self._adapter)

    async def _check_last(self, output: RequestOutput) -> None:
        """
        Raises:
            InvalidRequest: the output has ended, and is not what the constraint asks for.
        """
        if self._constraints is None or output.outputs[0].finish_reason != "stop":
            return
        constraint = self._request.constraint
        assert constraint is not None
        ids = [token for token in output.outputs[0].token_ids if token not in self._ends]
        await asyncio.to_thread(check_complete, self._constraints, constraint, [*self._made, *ids])

    def _take(self, output: RequestOutput) -> None:
        part = output.outputs[0]
        ids = list(part.token_ids)
        finish = part.finish_reason
        if finish == "stop" and ids and ids[-1] in self._ends:
            ids.pop()
        if finish == "error":
            return self._fail(EngineFailed("vLLM failed on this request; its log says why."))
        if self.cached_tokens == 0 and output.num_cached_tokens:
            # Of what was resumed some may be reused too; it is no part of the prompt.
            self.cached_tokens = min(output.num_cached_tokens, len(self._request.prompt))
        if not ids and finish is None:
            return None
        self.completion_tokens += len(ids)
        if self._constraints is not None:
            self._made += ids
        logprobs: list[Logprob] = []
        if self._request.sampling.logprobs is not None and part.logprobs is not None:
            most = self._fields["logprobs"]
            pairs = zip(ids, part.logprobs, strict=False)
            logprobs = [_logprob(token, row, most) for token, row in pairs]
        self._emit(TokenEvent(self._request.id, ids, finish, None, self.cached_tokens, logprobs))

    def _finish(self, reason: str) -> None:
        self._emit(TokenEvent(self._request.id, [], reason, None, self.cached_tokens))

    def _fail(self, error: XinferError) -> None:
        failure = Failure.of(error)
        self._emit(TokenEvent(self._request.id, [], "error", failure, self.cached_tokens))


def _logprob(token: int, row: Any, most: int) -> Logprob:
    """Of vLLM's table of the most likely tokens and the one that was chosen."""
    ranked = sorted(row.items(), key=lambda one: -one[1].logprob)
    return Logprob(row[token].logprob, [(id, one.logprob) for id, one in ranked[:most]])
