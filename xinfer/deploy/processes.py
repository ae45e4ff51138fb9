"""The processes of a server, and what each of them is told when it starts."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xinfer.core.security import new_token
from xinfer.deploy.launcher import Child


@dataclass(frozen=True, kw_only=True)
class Internal:
    """Where a command's internal channels listen, and the token they are opened with.

    Without `exposed` that is on loopback, and the workers end with the supervisor; with it, other
    machines may reach them: the token is the administrator's.
    """

    host: str
    """A literal address."""
    token: bytes
    port: int = 0
    """Of the process's actor; 0 takes a free one, and keeps it when it is started again."""
    exposed: bool = False


def supervisor_and_apis(
    internal: Internal,
    *,
    listener: int,
    apis: int,
    run_dir: str,
    url: str,
    declared: list[dict[str, Any]] | None = None,
) -> list[Child]:
    """The supervisor, then its machine's API processes.

    Args:
        listener: descriptor of the socket that API processes answer on.
        apis: how many of them there are.
        run_dir: for sockets and metrics; private to the user.
        url: where users reach the server.
        declared: the launches of a file of declared models; None without one.
    """
    control = f"unix:{run_dir}/supervisor.sock"
    control_token = new_token().hex()
    environment = {"XINFERENCE_ENDPOINT": url}
    metrics_dir = ""
    if apis > 1:
        metrics_dir = os.path.join(run_dir, "metrics")
        os.mkdir(metrics_dir)

    supervisor = Child(
        "supervisor",
        "xinfer.core.supervisor",
        configure=lambda: {
            "control": control,
            "control_token": control_token,
            "cluster_token": internal.token.hex(),
            "host": internal.host,
            "port": _port(internal, supervisor),
            "exposed": internal.exposed,
            "owns_workers": not internal.exposed,
            "restarted": bool(supervisor.facts),
            "declared": declared,
        },
        stop_rank=1,
        environment=environment,
    )

    def api(index: int) -> Child:
        return Child(
            f"api-{index}" if apis > 1 else "api",
            "xinfer.api",
            configure=lambda: {
                "control": control,
                "control_token": control_token,
                "sockets": [listener],
                "index": index,
                "workers": apis,
                "metrics_dir": metrics_dir,
                "supervisor": f"{internal.host}:{_port(internal, supervisor)}",
                "endpoint": url,
            },
            after=("supervisor",),
            pass_fds=(listener,),
            environment=environment
            | ({"PROMETHEUS_MULTIPROC_DIR": metrics_dir} if metrics_dir else {}),
        )

    return [supervisor, *(api(index) for index in range(apis))]


def own_worker(
    internal: Internal, *, supervisor: Child, run_dir: str, after: tuple[str, ...]
) -> Child:
    """The worker beside a supervisor; replicas and API processes meet in `run_dir`."""
    return _worker(
        internal,
        lambda: {"supervisor": supervisor.facts["address"], "run_dir": run_dir},
        after,
        supervisor.environment,
    )


def joining_worker(internal: Internal, *, endpoint: str, labels: dict[str, str]) -> Child:
    """A worker that asks a server's API, at the URL `endpoint`, where its supervisor is."""
    told = {"endpoint": endpoint, "labels": labels}
    return _worker(internal, lambda: told, (), {"XINFERENCE_ENDPOINT": endpoint})


def _worker(
    internal: Internal,
    told: Callable[[], dict[str, Any]],
    after: tuple[str, ...],
    environment: dict[str, str],
) -> Child:
    child = Child(
        "worker",
        "xinfer.core.worker",
        configure=lambda: {
            "cluster_token": internal.token.hex(),
            "host": internal.host,
            "port": _port(internal, child),
            "exposed": internal.exposed,
            **told(),
        },
        after=after,
        stop_rank=1,
        environment=environment,
    )
    return child


def _port(internal: Internal, child: Child) -> int:
    """The one that is asked for, else the one it had, so that others find it again."""
    if internal.port or not child.facts:
        return internal.port
    return int(str(child.facts["address"]).rpartition(":")[2])
