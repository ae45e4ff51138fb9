"""The messages on the control link, between an API process (client) and the supervisor."""

from __future__ import annotations

from typing import Any

import msgspec

from xinfer.types.cluster import RemoveEnvironments, VirtualEnvironment
from xinfer.types.declaration import Declaration
from xinfer.types.deployment import LaunchSpec, Place, Snapshot
from xinfer.types.device import Device
from xinfer.types.failure import Failure
from xinfer.types.model import Memory, ModelSpec


class Launch(msgspec.Struct, frozen=True, tag="launch"):
    """Result: the uid. Answered when the desired state is committed, not when READY."""

    spec: LaunchSpec
    exist_ok: bool = False
    """One of this uid and model that is there already will do."""


class Preview(msgspec.Struct, frozen=True, tag="preview"):
    """Result: a `LaunchPreview`. Nothing is wanted by it."""

    spec: LaunchSpec


class ReadEngines(msgspec.Struct, frozen=True, tag="engines"):
    """Result: by engine, a list of the forms of the model that it runs, or a text why it runs
    none. The spec names the model as a launch would."""

    spec: LaunchSpec


class Terminate(msgspec.Struct, frozen=True, tag="terminate"):
    """Result: None. Answered when the desired state is committed."""

    uid: str


class Scale(msgspec.Struct, frozen=True, tag="scale"):
    """Change a deployment that is wanted; None leaves a number as it is. Result: the number of
    replicas wanted now. Answered when the desired state is committed."""

    uid: str
    replicas: int | None = None
    max_queue: int | None = None
    request_limits: int | None = None
    """0 for no limit any more."""


class AddReplicas(msgspec.Struct, frozen=True, tag="add replicas"):
    """Want `count` replicas more. Result: their ordinals. Answered when that is committed."""

    uid: str
    count: int = 1
    places: tuple[Place, ...] = ()
    """One for each; none leaves them where the launch said."""


class RemoveReplica(msgspec.Struct, frozen=True, tag="remove replica"):
    """Want one replica no more; without any left, the model is terminated. Result: how many are
    wanted still. Answered when that is committed."""

    uid: str
    ordinal: int


class CancelLaunch(msgspec.Struct, frozen=True, tag="cancel"):
    """Result: None. `Conflict` when nothing of it is being launched."""

    uid: str


class ReadLogs(msgspec.Struct, frozen=True, tag="logs"):
    """Result: a list of `ReplicaLog`, one for each replica, the newest of each ordinal."""

    uid: str
    lines: int


class ReadNodes(msgspec.Struct, frozen=True, tag="nodes"):
    """Result: a list of `Node`."""


class ReadEnvironments(msgspec.Struct, frozen=True, tag="environments"):
    """Result: a list of `NodeEnvironment`, of these models, engines and workers where given."""

    model_name: str | None = None
    engine: str | None = None
    worker: str | None = None
    """By its host or its address."""


class DropEnvironments(msgspec.Struct, frozen=True, tag="drop environments"):
    """Result: whether a virtual environment was removed. `Conflict` when a replica runs in one."""

    request: RemoveEnvironments
    worker: str | None = None


class ReadEvents(msgspec.Struct, frozen=True, tag="events"):
    """Result: a list of `ClusterEvent`, the oldest first."""

    model: str | None = None
    """A uid: those of this model only."""


class ReadDeclarations(msgspec.Struct, frozen=True, tag="declarations"):
    """Result: a list of `Declared`, by priority."""


class Declare(msgspec.Struct, frozen=True, tag="declare"):
    """Result: None. Answered when the declaration is kept, in place of an earlier one of its uid.
    `Conflict` when a file declares this uid."""

    declaration: Declaration


class Undeclare(msgspec.Struct, frozen=True, tag="undeclare"):
    """Result: None. Answered when the declaration is gone for good; the model runs on."""

    uid: str


class ReadCache(msgspec.Struct, frozen=True, tag="cache"):
    """Result: a list of `xinfer.types.cluster.CachedModel`, of all workers or of one."""

    worker: str | None = None
    """Host or actor address."""


class RemoveCached(msgspec.Struct, frozen=True, tag="remove cached"):
    """Result: how many entries went. `NotFound` when there is none on these workers, `Conflict`
    when one is in use."""

    version: str
    worker: str | None = None


class DrainWorker(msgspec.Struct, frozen=True, tag="drain"):
    """Result: None. Answered when the worker knows; its replicas are placed elsewhere, and it
    leaves. `Conflict` when no other worker would take them."""

    address: str


class StopCluster(msgspec.Struct, frozen=True, tag="stop"):
    """Result: None. Answered at once; then everything ends, on all machines."""


class Register(msgspec.Struct, frozen=True, tag="register"):
    """Result: a `RegisteredModel`. Answered when it can be launched by name, and is kept if it is
    to be."""

    kind: str
    """Type of the model."""
    text: str
    """The model's description, as JSON."""
    persist: bool


class Unregister(msgspec.Struct, frozen=True, tag="unregister"):
    """Result: None. Answered when that is committed."""

    kind: str
    name: str


class ReadRegistrations(msgspec.Struct, frozen=True, tag="registrations"):
    """Result: a list of `RegisteredModel`, those that users described."""


class AwaitSeen(msgspec.Struct, frozen=True, tag="await seen"):
    """Result: the version. Answered when every API process knows this version of the snapshot or a
    later one, so that the next request may come to any of them; one that hangs is not waited for
    long."""

    version: int | None = None
    """None for the one that holds all that has been done until now."""


Operation = (
    Launch
    | Preview
    | ReadEngines
    | ReadEnvironments
    | DropEnvironments
    | Terminate
    | Scale
    | AddReplicas
    | RemoveReplica
    | CancelLaunch
    | ReadLogs
    | ReadNodes
    | ReadEvents
    | ReadCache
    | RemoveCached
    | ReadDeclarations
    | Declare
    | Undeclare
    | DrainWorker
    | StopCluster
    | AwaitSeen
    | Register
    | Unregister
    | ReadRegistrations
)


class LaunchPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What a launch would come to."""

    model: ModelSpec
    engine: str
    reason: str
    """Why this engine and this form of the model, as sentences."""
    memory: Memory
    """What each replica is expected to take."""
    lack: str
    """Why there is no room for it now; empty where there is."""


class RegisteredModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a user described."""

    kind: str
    """Its type."""
    text: str
    """The description, as JSON."""
    ignored: list[str] = []
    """Its fields that have no effect; told when it is registered."""


class ReplicaLog(msgspec.Struct, frozen=True, kw_only=True):
    """The last lines of one replica's output."""

    replica_id: str
    ordinal: int
    lines: list[str]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One worker, for `/status`."""

    address: str
    age: float
    """Seconds since its last report."""
    cpu_count: int
    cpu_usage: float
    memory_total: int
    memory_available: int
    memory_used: int
    version: str = ""
    labels: dict[str, str] = {}
    leaving: bool = False
    """It takes no more replicas, and goes once it has none."""
    devices: tuple[Device, ...] = ()
    problems: tuple[str, ...] = ()
    """What keeps accelerators from being used."""


class NodeEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual environment on a worker, as one of its models has it."""

    worker: str
    """The worker's address."""
    model_name: str
    environment: VirtualEnvironment


class ClusterEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a model or to a worker."""

    at: float
    """Unix seconds."""
    level: str
    """INFO, WARNING or ERROR."""
    text: str
    model: str = ""
    """Uid of the model it is about."""
    worker: str = ""
    """Address of the worker it is about."""


class Call(msgspec.Struct, frozen=True, tag="call"):
    """One operation; `call` numbers it on this link."""

    call: int
    operation: Operation


class Seen(msgspec.Struct, frozen=True, tag="seen"):
    """The API process knows this version of the snapshot."""

    version: int


ToSupervisor = Call | Seen


class Reply(msgspec.Struct, frozen=True, tag="reply"):
    """The answer to a call: `result` as builtins, or the failure."""

    call: int
    result: Any = None
    failure: Failure | None = None


class Push(msgspec.Struct, frozen=True, tag="push"):
    """A new snapshot; the first comes by itself when the link opens."""

    snapshot: Snapshot


FromSupervisor = Reply | Push
