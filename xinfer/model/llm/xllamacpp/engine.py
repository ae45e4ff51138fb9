"""The xllamacpp engine: GGUF language models on llama.cpp, without a compiler."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from xinfer.model.accelerators import linked_accelerators
from xinfer.model.engine import (
    EngineOptions,
    Support,
    TokenEvent,
    TokenRequest,
)
from xinfer.model.gguf_file import context_length, read_headers
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.inspect.gguf_shape import gguf_shape
from xinfer.model.inspect.sampling_defaults import sampling_defaults
from xinfer.model.llm.constraint.support import KINDS, load_compiler
from xinfer.model.llm.mailbox import Mailbox
from xinfer.model.llm.tokenizer.gguf import GgufTokenizer
from xinfer.model.llm.tokenizer.pieces import BYTE_LEVEL, Vocabulary
from xinfer.model.llm.xllamacpp.generation import Generation
from xinfer.model.llm.xllamacpp.guide import Guide
from xinfer.model.llm.xllamacpp.options import XllamacppOptions
from xinfer.model.llm.xllamacpp.sampling import HONOURED
from xinfer.model.llm.xllamacpp.server import LlamaServer
from xinfer.model.llm.xllamacpp.stream import PieceIndex
from xinfer.model.memory import cache_bytes, estimate_gguf, rounded, type_bytes, type_number
from xinfer.model.xllamacpp.server import backend
from xinfer.types.model import Abilities, EngineStats, Loaded, Memory, ModelSpec, Progress
from xinfer.types.request import Constraint

if TYPE_CHECKING:
    from xinfer.model.llm.constraint.compiler import ConstraintCompiler

_READ_AHEAD = 16 << 20
# Share of a load that reading the file is, for the progress shown.
_READ_SHARE = 0.9


class XllamacppEngine:
    """One thread for each running request, which llama.cpp batches together.

    Penalties look at the last tokens of prompt and output alike, as llama.cpp counts them, so an
    output that is resumed goes on as if it had never stopped. A sampled one goes on validly,
    with a seed derived from the request's and the position.

    Constraints are followed by the llguidance that llama.cpp has built in, an older one, and each
    token is looked at by the one that they were checked with.
    """

    tokenizer: GgufTokenizer

    def __init__(self, spec: ModelSpec, options: XllamacppOptions) -> None:
        self._spec = spec
        self._options = options
        self._server: LlamaServer | None = None
        self._mailbox: Mailbox[TokenEvent] | None = None
        self._threads = ThreadPoolExecutor(options.n_parallel, thread_name_prefix="xllamacpp")
        self._running: dict[int, Generation] = {}
        self._constraints: ConstraintCompiler | None = None
        self._closed = False
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._completion_tokens = 0

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        if spec.type != "LLM":
            return Support(False, f"it runs language models, not models of type {spec.type}")
        if spec.format != "ggufv2":
            return Support(False, "it runs .gguf files (format ggufv2) only")
        if find_spec("xllamacpp") is None:
            return Support(False, "the package xllamacpp is not installed: pip install xllamacpp")
        return Support(True)

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return XllamacppOptions

    @classmethod
    def accelerators(cls) -> frozenset[str] | None:
        found = find_spec("xllamacpp")
        if found is None or found.origin is None:
            return None
        library = Path(found.origin).parent
        return linked_accelerators([*library.glob("*.so"), *library.glob("*.pyd")])

    @classmethod
    def estimate(cls, spec: ModelSpec, options: XllamacppOptions) -> Memory:
        parts = read_headers(spec.path)
        shape = gguf_shape(parts[0])
        context = context_length(parts[0], options.n_ctx)
        kv = shape and cache_bytes(
            shape,
            rounded(context) * options.n_parallel,
            sequences=options.n_parallel,
            key_bytes=type_bytes(type_number(options.cache_type_k)),
            value_bytes=type_bytes(type_number(options.cache_type_v)),
            ahead=rounded(min(options.n_ubatch, options.n_batch)),
        )
        return estimate_gguf(
            parts,
            kv_cache=sum(kv or []) + (options.cache_ram_mib << 20),
            ubatch=options.n_ubatch,
            attended=context,
            flash=options.flash_attn != "off",
            gpu_layers=options.n_gpu_layers,
        )

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        parts = read_headers(self._spec.path)
        gguf = parts[0]
        context = context_length(gguf, self._options.n_ctx)
        vocabulary = Vocabulary(gguf)
        _read_ahead(parts, progress)
        server = self._server = LlamaServer(self._spec.path, context, self._options)
        self.tokenizer = GgufTokenizer(
            gguf,
            vocabulary,
            reference=server.tokenize,
            eos_ids=server.end_ids,
            prompt_prefix=_prompt_prefix(server),
        )
        if self.tokenizer.native:
            server.remove_socket()
        # Where a blank is a part of a word and goes with the text before, llama.cpp tells its
        # llguidance of words without it.
        self._follows = vocabulary.kind == BYTE_LEVEL
        self._index = PieceIndex(vocabulary.pieces)
        self._defaults = sampling_defaults(gguf, repeat_last_n=self._options.repeat_last_n)
        if server.has_grammars:
            self._constraints = load_compiler(self.tokenizer, one_way=True)
        progress(Progress(1.0, "loading"))
        return Loaded(
            context_length=context,
            concurrency=self._options.n_parallel,
            abilities=Abilities(
                cancel="step",
                resume=True,
                sampling=HONOURED,
                constraint=frozenset() if self._constraints is None else KINDS,
            ),
            backend=backend(),
            details={"threads": self._options.threads, "architecture": gguf.architecture},
        )

    def close(self) -> None:
        """End what runs and release the model; blocks for up to one step of llama.cpp."""
        for generation in list(self._running.values()):
            generation.cancelled = True
        self._threads.shutdown(wait=True)
        self._closed = True
        if self._mailbox is not None:
            self._mailbox.close()
        if self._server is not None:
            self._server.close()
            self._server = None

    def stats(self) -> EngineStats:
        running = list(self._running.values())
        return EngineStats(
            running=len(running),
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            completion_tokens=self._completion_tokens
            + sum(generation.completion_tokens for generation in running),
        )

    def check_constraint(self, constraint: Constraint) -> None:
        assert self._constraints is not None
        self._constraints.check(constraint)

    def submit(self, request: TokenRequest) -> None:
        generation = Generation(
            request,
            defaults=self._defaults,
            index=self._index,
            end_ids=self.tokenizer.eos_ids,
            emit=self._events().put,
            guide=self._guide(request.constraint),
        )
        self._running[request.id] = generation
        self._prompt_tokens += len(request.prompt)
        self._threads.submit(self._run, request.id, generation)

    def abort(self, request_id: int) -> None:
        generation = self._running.get(request_id)
        if generation is not None:
            generation.cancelled = True

    async def steps(self) -> AsyncIterator[list[TokenEvent]]:
        async for events in self._events().batches():
            for event in events:
                if event.finish is not None:
                    self._forget(event.id)
            yield events

    def _guide(self, constraint: Constraint | None) -> Callable[[], Guide] | None:
        constraints, follows = self._constraints, self._follows
        if constraint is None or constraints is None:
            return None
        wanted = constraint

        def make() -> Guide:  # on the generation's thread: it may have to be compiled again
            grammar = constraints.grammar(wanted) if follows else None
            return Guide(grammar, constraints.matcher(wanted))

        return make

    def _events(self) -> Mailbox[TokenEvent]:
        """Made on first use, on the event loop; `load` runs on another thread."""
        if self._mailbox is None:
            self._mailbox = Mailbox()
            if self._closed:
                self._mailbox.close()
        return self._mailbox

    def _run(self, request_id: int, generation: Generation) -> None:
        assert self._server is not None
        assert self._mailbox is not None
        last = generation.run(self._server)
        self._mailbox.put(last)

    def _forget(self, request_id: int) -> None:
        generation = self._running.pop(request_id)
        self._completion_tokens += generation.completion_tokens
        self._cached_tokens += generation.cached_tokens


def _read_ahead(parts: list[GgufMetadata], progress: Callable[[Progress], None]) -> None:
    """Bring the files into the page cache, and show how far that has come.

    llama.cpp holds the interpreter's lock from beginning to end of a load: no progress could be
    shown meanwhile, and a slow disk would look like a stall.
    """
    total = sum(part.file_size for part in parts)
    done = 0
    buffer = bytearray(_READ_AHEAD)
    for part in parts:
        with Path(part.path).open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                done += count
                progress(Progress(_READ_SHARE * min(done / total, 1.0), "loading"))


def _prompt_prefix(server: LlamaServer) -> list[int]:
    text = "a"
    plain = server.tokenize(text, False)
    full = server.tokenize(text, False, prefix=True)
    starts = range(len(full) - len(plain) + 1)
    return next((full[:start] for start in starts if full[start:][: len(plain)] == plain), [])
