"""Deployments: what was asked for, and what there is of it."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec

from xinfer.types.device import DeviceShare
from xinfer.types.failure import Failure
from xinfer.types.model import Loaded, LoraAdapter, Memory, ModelSpec, Progress

AUTO = "auto"


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a replica may run."""

    worker: str = ""
    """Host or actor address of its worker; empty for any."""
    n_gpu: int | str | None = AUTO
    """Accelerators, all of one worker; None for processors only, "auto" for what there is."""
    gpu_idx: tuple[int, ...] = ()
    """Exactly these accelerators; empty for any."""
    replica_uid: str | None = None
    """What the user calls the replica."""


class LaunchSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A launch as the user asked for it, with the incumbent's fields."""

    model_name: str
    """Name in the catalogue, repository on a hub, or path of a directory or a .gguf file."""
    model_uid: str | None = None
    model_type: str | None = None
    model_engine: str | None = None
    model_format: str | None = None
    model_size_in_billions: float | None = None
    quantization: str | None = None
    model_path: str | None = None
    download_hub: str | None = None
    """The only hub to ask; None for any."""
    trust_remote_code: bool | None = None
    """False runs no program code that comes with the model, even where the administrator lets
    engines do so; nothing else allows it."""
    envs: dict[str, str] = {}
    """Environment variables of its replicas."""
    packages: tuple[str, ...] = ()
    """Requirements that its replicas run with, in a virtual environment."""
    find_links: tuple[str, ...] = ()
    """Directories that the packages may be had from."""
    aliases: tuple[str, ...] = ()
    """Further names that requests may give."""
    replica: int = 1
    max_queue: int | None = None
    """None takes the setting of that name."""
    request_limits: int | None = None
    """The most requests that are taken at once, running and waiting; None or 0 for no limit but
    slots and waiting places."""
    n_gpu: int | str | None = AUTO
    """Accelerators of each replica; None for processors only, "auto" for what there is."""
    gpu_idx: tuple[int, ...] = ()
    """Accelerators of all replicas together, in equal parts; empty for any."""
    worker_ip: str | None = None
    """Host or actor address of the only worker to use."""
    replica_config: tuple[Place, ...] = ()
    """A place for each replica, instead of the three fields above."""
    worker_labels: dict[str, str] = {}
    """Labels that a worker has to have, all of them."""
    priority: int = 0
    """Where room is short, or not everything may load at once, the larger one comes first."""
    adapters: dict[str, LoraAdapter] = {}
    """LoRA adapters by the names that requests give."""
    options: dict[str, Any] = {}
    """Engine options by name; the engine validates them before anything is spent."""
    enable_thinking: bool | None = None
    """Whether the model thinks where a request does not say so; None: as its template has it."""
    reasoning_content: bool = True
    """Whether thoughts are told apart from the text of an answer."""
    tool_call_parser: str = ""
    """How the model writes calls of functions; empty: as its template says."""
    reasoning_parser: str = ""
    """Which tags the model's thoughts stand between; empty: as its template says."""
    tool_call_deltas: bool = False
    """Streams tell calls in pieces where a request does not say how."""
    declared: str = ""
    """Of a launch by declaration, where that comes from; without it, the next start ends this."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """Desired state: `replicas` copies of `model` on `engine`, until it is terminated."""

    uid: str
    generation: int
    """Grows with each launch of this uid; actions and replicas of an older one are stale."""
    created: int
    """Unix seconds of the launch."""
    spec: LaunchSpec
    model: ModelSpec
    engine: str
    engine_reason: str = ""
    """Why it runs on this engine, as a sentence."""
    options: dict[str, Any]
    replicas: int
    max_queue: int
    """Waiting places of the whole deployment; the planner divides them among its replicas."""
    request_limits: int | None = None
    """The most requests of the whole deployment at once, running and waiting, divided likewise;
    None for no limit."""
    memory: Memory = Memory()
    """What each replica is expected to take."""
    places: tuple[Place, ...] = (Place(),)
    """Where each ordinal may run; those beyond the end have the last one's place."""
    removed: tuple[int, ...] = ()
    """Numbers below the highest ordinal whose replicas were removed one by one."""

    @property
    def ordinals(self) -> tuple[int, ...]:
        """The numbers of its replicas, in order."""
        if not self.removed:
            return tuple(range(self.replicas))
        numbers = range(self.replicas + len(self.removed))
        return tuple(number for number in numbers if number not in self.removed)

    def has(self, ordinal: int) -> bool:
        """Whether one of its replicas has this number."""
        # Asked for every replica of a cluster, in each plan: without making the list.
        numbers = self.replicas + len(self.removed)
        return 0 <= ordinal < numbers and ordinal not in self.removed


class DeploymentState(str, Enum):
    """States of a deployment and of a replica; see the HTTP API for the incumbent's words."""

    PENDING = "PENDING"
    DOWNLOADING = "DOWNLOADING"
    LOADING = "LOADING"
    READY = "READY"
    RESTARTING = "RESTARTING"
    DRAINING = "DRAINING"
    UNLOADED = "UNLOADED"
    ERROR = "ERROR"
    TERMINATED = "TERMINATED"


class ReplicaStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One replica as users see it and as the gateway routes to it."""

    replica_id: str
    """`<uid>-<ordinal>-<random>`: a restart is a new id."""
    ordinal: int
    state: DeploymentState
    worker: str = ""
    """The worker's actor address."""
    devices: tuple[DeviceShare, ...] = ()
    pid: int | None = None
    address: str = ""
    """Where its link listens, once READY: `unix:/path` or `tcp:host:port`."""
    restarts: int = 0
    created: int = 0
    progress: Progress = Progress(0.0, "launching")
    loaded: Loaded | None = None
    failure: Failure | None = None


class DeploymentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment with what is observed of it."""

    deployment: Deployment
    state: DeploymentState
    replicas: tuple[ReplicaStatus, ...]
    failure: Failure | None = None
    """Why it is in ERROR, or why its last replica ended."""
    loaded: Loaded | None = None
    """From any replica that has been READY in this generation; kept while it restarts."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that API processes know; pushed whole, each version replacing the last."""

    epoch: str
    """Changes when the supervisor restarts; versions grow within one epoch."""
    version: int
    deployments: dict[str, DeploymentStatus]
    link_token: bytes
    """Shared secret of the links to replicas."""
    started: float
    """Unix seconds at which the supervisor started."""
    draining: bool = False
    workers: int = 0
