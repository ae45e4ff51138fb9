"""What crosses processes survives the crossing, and nothing else is taken for it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from xinfer.errors import (
    TAXONOMY,
    EngineFailed,
    InvalidRequest,
    RateLimited,
    ReplicaLost,
    Unavailable,
    XinferError,
)
from xinfer.types import cluster, control, deployment, event, link, model
from xinfer.types.failure import Failure
from xinfer.types.request import ChatRequest, CompletionRequest, Constraint, Sampling

FAILURE = Failure.of(
    Unavailable("Full.", code="no_room", param="p", retry_after=1.5, details={"needed": 3})
)
LOADED = model.Loaded(
    context_length=10,
    concurrency=2,
    abilities=model.Abilities(
        resume=True,
        logprobs=True,
        constraint=frozenset({"grammar"}),
        adapters=frozenset({"a", "b"}),
        sampling=frozenset({"top_p", "seed"}),
    ),
    details={"threads": 4},
)
PROGRESS = model.Progress(0.5, "loading", "half")
SPEC = deployment.LaunchSpec(model_name="m", replica=2, options={"a": [1, None]})
DEPLOYMENT = deployment.Deployment(
    uid="m",
    generation=3,
    created=5,
    spec=SPEC,
    model=model.ModelSpec(name="m", abilities=("chat",), languages=("en", "zh")),
    engine="echo",
    options={"x": 1.5},
    replicas=2,
    max_queue=10,
)
REPLICA = deployment.ReplicaStatus(
    replica_id="m-0-a",
    ordinal=0,
    state=deployment.DeploymentState.ERROR,
    progress=PROGRESS,
    loaded=LOADED,
    failure=FAILURE,
)
SNAPSHOT = deployment.Snapshot(
    epoch="e",
    version=1,
    deployments={
        "m": deployment.DeploymentStatus(
            deployment=DEPLOYMENT,
            state=deployment.DeploymentState.RESTARTING,
            replicas=(REPLICA,),
            loaded=LOADED,
        )
    },
    link_token=b"\x00\xff",
    started=1.0,
)
ASSIGNMENT = cluster.Assignment(replica_id="m-0-a", ordinal=0, deployment=DEPLOYMENT, max_queue=5)
CHAT = ChatRequest(
    messages=[{"role": "user", "content": "héllo"}],
    sampling=Sampling(temperature=0.5, logit_bias={7: -1.0}, dry_sequence_breakers=("\n",)),
    stop=("a", "b"),
    constraint=Constraint("grammar", 'root ::= "a"', "guided_grammar"),
    adapter="a",
)
COMPLETION = CompletionRequest(prompt=[1, 2, 3], echo=True, sampling=Sampling(logprobs=0))
LOGPROBS = (event.TokenLogprob(b"\xe4", -0.5, ((b"a", -0.25), (b"", float("-inf")))),)
STATS = model.EngineStats(running=1, cached_tokens=5)

MESSAGES: list[tuple[Any, Any]] = [
    (link.ToReplica, link.Submit(1, "r", CHAT, 256)),
    (link.ToReplica, link.Submit(1, "r", COMPLETION, 256)),
    (link.ToReplica, link.Cancel(1)),
    (link.ToReplica, link.Credit(1, 5)),
    (link.ToReplica, link.Abort(2, "r")),
    (link.ToReplica, link.Inspect(3)),
    (link.ToReplica, link.Tokenize(4, CHAT, True)),
    (link.ToReplica, link.Detokenize(5, [1, 2])),
    (
        link.FromReplica,
        link.Step(
            link.Load(1, 2, 3),
            [
                event.Accepted(1),
                event.Refused(1, FAILURE),
                event.Started(1, 5),
                event.Delta(1, "é", [195, 169]),
                event.LogprobDelta(1, "é", [195, 169], LOGPROBS),
                event.Finished(1, "stop", event.Usage(1, 2, 3), "END"),
                event.Failed(1, FAILURE),
            ],
        ),
    ),
    (link.FromReplica, link.Aborted(2, True)),
    (link.FromReplica, link.Tokenized(4, 2, [1, 2])),
    (link.FromReplica, link.Detokenized(5, "é")),
    (link.FromReplica, link.Inspected(3, link.Load(1, 2, 3), STATS)),
    (control.ToSupervisor, control.Call(1, control.Launch(SPEC))),
    (control.ToSupervisor, control.Call(2, control.Terminate("m"))),
    (control.ToSupervisor, control.Call(3, control.CancelLaunch("m"))),
    (control.ToSupervisor, control.Call(4, control.ReadLogs("m", 10))),
    (control.ToSupervisor, control.Call(5, control.ReadNodes())),
    (control.FromSupervisor, control.Reply(1, result={"a": [1, "b", None]})),
    (control.FromSupervisor, control.Reply(1, failure=FAILURE)),
    (control.FromSupervisor, control.Push(SNAPSHOT)),
]


@pytest.mark.parametrize(("kind", "message"), MESSAGES, ids=lambda value: type(value).__name__)
def test_a_message_is_the_same_on_the_other_side_of_its_link(kind: Any, message: Any) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=kind) == message


CONFIG = cluster.ReplicaConfig(
    assignment=ASSIGNMENT, link_token=b"\x00\xff", address="unix:/x", status_fd=5
)


@pytest.mark.parametrize(
    "message",
    [
        CONFIG,
        cluster.ReplicaMessage(progress=PROGRESS),
        cluster.ReplicaMessage(ready=cluster.ReplicaReady(address="unix:/x", loaded=LOADED)),
        cluster.ReplicaMessage(failure=FAILURE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_passes_a_pipe_is_one_line_of_json(message: msgspec.Struct) -> None:
    line = msgspec.json.encode(message)
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=type(message)) == message


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (link.ToReplica, [0, "one", "r", {"type": "chat", "messages": []}, 256]),
        (link.ToReplica, [0, 1, "r", {"type": "song", "messages": []}, 256]),
        (link.ToReplica, [9, 1]),
        (link.ToReplica, [1]),
        (link.FromReplica, [0, [1, 2, 3], [[3, 1, b"bytes", []]]]),
        (control.ToSupervisor, {"type": "call", "call": 1, "operation": {"type": "format"}}),
        (control.FromSupervisor, {"type": "push"}),
    ],
)
def test_what_is_no_message_is_not_taken_for_one(kind: Any, bad: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(bad), type=kind)


@pytest.mark.parametrize("kind", TAXONOMY.values(), ids=TAXONOMY.keys())
def test_an_error_is_the_same_after_a_crossing(kind: type[XinferError]) -> None:
    error = kind("What was wrong.", param="p", retry_after=2.0, details={"needed": [1]})
    wire = msgspec.msgpack.encode(Failure.of(error))
    again = msgspec.msgpack.decode(wire, type=Failure).error()
    assert type(again) is kind
    assert vars(again) | {"code": again.code} == vars(error) | {"code": kind.code}
    assert str(again) == "What was wrong."


def test_a_code_of_its_own_survives() -> None:
    assert Failure.of(InvalidRequest("x", code="special")).error().code == "special"


def test_the_taxonomy_is_complete() -> None:
    assert set(TAXONOMY.values()) == set(XinferError.__subclasses__())
    assert all(name == kind.__name__ for name, kind in TAXONOMY.items())


def test_what_another_replica_may_not_have_is_worth_another_try() -> None:
    recoverable = {kind for kind in TAXONOMY.values() if kind.recoverable}
    assert recoverable == {RateLimited, ReplicaLost, Unavailable}


@pytest.mark.parametrize(
    ("error", "message"),
    [(ValueError("odd"), "ValueError: odd"), (MemoryError(), "MemoryError: MemoryError")],
)
def test_any_other_exception_becomes_the_engines_failure(error: Exception, message: str) -> None:
    failure = Failure.of(error)
    assert isinstance(failure.error(), EngineFailed)
    assert failure.message == message


def test_no_two_errors_share_their_details() -> None:
    first = InvalidRequest("x")
    first.details["a"] = 1
    assert InvalidRequest("y").details == {}


def test_messages_are_small() -> None:
    """A token's frame is made thousands of times a second."""
    step = link.Step(link.Load(1, 0, 64), [event.Delta(1, "word", [1000])])
    assert len(msgspec.msgpack.encode(step)) <= 20
