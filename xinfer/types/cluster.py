"""What the supervisor and the workers tell each other (as msgpack in actor calls)."""

from __future__ import annotations

import msgspec

from xinfer.types.deployment import Deployment, DeploymentState
from xinfer.types.device import Device, DeviceShare
from xinfer.types.failure import Failure
from xinfer.types.model import Loaded, Progress

SUPERVISOR_ACTOR = "supervisor"
"""The actor's uid; `report(WorkerReport) -> ReportReply`."""
WORKER_ACTOR = "worker"
"""The actor's uid; `start(Assignment)`, `stop(StopReplica)`, `set_queue(SetQueue)`,
`logs(ReadReplicaLog) -> list[str]`, `leave()`, all of which answer at once, and `cached() ->
list[CachedModel]`, `remove_cached(RemoveCached) -> int`, `environments() ->
list[VirtualEnvironment]`, `remove_environments(RemoveEnvironments) -> bool`,
`resolve(ResolveLaunch) -> Resolved`,
`engines(ResolveLaunch) -> EngineAnswers`, which take as long as the disk does."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """One replica for a worker to run."""

    replica_id: str
    ordinal: int
    deployment: Deployment
    max_queue: int
    """This replica's share of the deployment's waiting places."""
    request_limit: int | None = None
    """Its share of the deployment's `request_limits`; None for no limit."""
    devices: tuple[DeviceShare, ...] = ()
    """Where it runs, accelerators first; it sees no other accelerators."""
    restarts: int = 0
    """Starts of this ordinal, in this generation, that came before."""
    created: int = 0
    """Unix seconds of this start."""


class ReplicaReport(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's view of one replica; kept until the supervisor has acknowledged its end."""

    assignment: Assignment
    state: DeploymentState
    """LOADING, READY, DRAINING, ERROR (ended badly) or TERMINATED (ended as asked)."""
    pid: int | None = None
    address: str = ""
    progress: Progress = Progress(0.0, "launching")
    loaded: Loaded | None = None
    failure: Failure | None = None


class NodeUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The node's processor and memory; bytes, and usage in 0..1."""

    cpu_count: int = 0
    cpu_usage: float = 0.0
    memory_total: int = 0
    memory_available: int = 0
    memory_used: int = 0


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """Sent on joining, on every change and as heartbeat."""

    worker_id: str
    """Random, new for each worker process."""
    address: str
    """Its actor address."""
    version: str
    sequence: int
    """Grows with each report; an older one that arrives late is dropped."""
    replicas: tuple[ReplicaReport, ...] = ()
    usage: NodeUsage = NodeUsage()
    devices: tuple[Device, ...] = ()
    """Its accelerators, then its processors."""
    problems: tuple[str, ...] = ()
    """What keeps accelerators from being used, as sentences: a driver that does not answer."""
    engines: dict[str, tuple[str, ...]] = {}
    """Engines installed on it, each with the kinds of accelerator that it can compute on."""
    labels: dict[str, str] = {}
    """What its administrator calls it."""
    leaving: bool = False
    """It takes no more assignments, and goes as soon as it has no replica left."""


class ReportReply(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor's answer to a report."""

    link_token: bytes
    """Shared secret for the links of the replicas this worker starts."""
    forget: tuple[str, ...] = ()
    """Replica ids whose end has been taken note of."""


class StopReplica(msgspec.Struct, frozen=True, kw_only=True):
    """Ask a worker to end one replica; nothing happens when it has ended or was never there."""

    replica_id: str
    drain: float
    """Seconds its running requests have to finish."""


class SetQueue(msgspec.Struct, frozen=True, kw_only=True):
    """Give a replica that runs another share of its deployment's waiting places and of its limit;
    nothing happens when it has ended or was never there."""

    replica_id: str
    max_queue: int
    request_limit: int | None = None


class ReadReplicaLog(msgspec.Struct, frozen=True, kw_only=True):
    """Ask a worker for the last `lines` lines of a replica's output; the answer is a `list[str]`.

    Also after its end, as long as the worker keeps them; none for a replica it does not know.
    """

    replica_id: str
    lines: int


class VirtualEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """One on a worker, with what it was made for."""

    path: str
    packages: tuple[str, ...]
    python_version: str
    models: tuple[str, ...]
    engines: tuple[str, ...]


class RemoveEnvironments(msgspec.Struct, frozen=True, kw_only=True):
    """Ask a worker to remove a model's virtual environments; the answer is whether there was one.

    `Conflict` where a replica runs in one.
    """

    model_name: str
    engine: str | None = None
    python_version: str | None = None


class RemoveCached(msgspec.Struct, frozen=True, kw_only=True):
    """Ask a worker to take a model off its disk; the answer is how many entries went.

    `Conflict` when it runs there, or is being downloaded.
    """

    version: str
    """A `model_version`, a model's name, or a repository."""


class CachedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that has been downloaded to a worker; a worker's `cached` answers a list of these."""

    worker: str
    """Its address."""
    model_name: str
    model_type: str
    model_format: str
    model_size_in_billions: float | None
    quantization: str
    model_version: str
    """`name--size--format--quantization`."""
    hub: str
    repo: str
    commit: str
    path: str
    files: tuple[str, ...]
    """Names below `path`."""
    size_bytes: int
    last_used: int
    """Unix seconds."""


class ReplicaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The one line of JSON that a replica process reads first from its stdin.

    Stdin then stays open, for lines of `ReplicaUpdate`: SIGTERM asks the replica to finish what
    runs and leave, the end of stdin (the drain is over, or the worker died) to leave at once.
    """

    assignment: Assignment
    link_token: bytes
    address: str
    """Where its link has to listen: `unix:/path`, or `tcp:host:0` for a port of its choice."""
    exposed: bool = False
    """Whether that may be an address which other machines reach."""
    status_fd: int
    """The open descriptor on which it writes its `ReplicaMessage` lines."""


class ReplicaUpdate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A later line of JSON on a replica's stdin; who is in the replica already stays."""

    max_queue: int
    """Waiting places from now on."""
    request_limit: int | None = None
    """Requests at once from now on, running and waiting; None for no limit."""


class ReplicaReady(msgspec.Struct, frozen=True, kw_only=True):
    """The engine is loaded and the link listens."""

    address: str
    loaded: Loaded


class ReplicaMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of JSON from a replica process to its worker; exactly one field is set."""

    progress: Progress | None = None
    """The load has really come further; silence is taken for a stall."""
    ready: ReplicaReady | None = None
    failure: Failure | None = None
    """Why the process is about to leave by itself."""
