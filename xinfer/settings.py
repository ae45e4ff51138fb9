"""All settings, in one frozen object; the only reader of the environment.

Stdlib only: the launcher imports it. Each field's docstring is its documentation
(`docs/settings.md` is generated from here), each has a default and an `XINFERENCE_*` name.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def _setting(
    default: Any,
    env: str,
    doc: str,
    choices: tuple[str, ...] = (),
    *,
    positive: bool = False,
    fallback: str = "",
) -> Any:
    """`positive`: a number that cannot be 0, which would stop the server from doing its work.
    `fallback`: a variable of the field at large that is read where ours is not set."""
    metadata = {
        "env": env,
        "doc": doc,
        "choices": choices,
        "positive": positive,
        "fallback": fallback,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One process's view of the configuration. Durations are in seconds, sizes in bytes."""

    home: str = _setting(
        "~/.xinference",
        "XINFERENCE_HOME",
        "Directory of what xinfer keeps on disk: what is launched, and logs. "
        "One server at a time has it.",
    )
    restore: bool = _setting(
        True,
        "XINFERENCE_RESTORE",
        "Launch again what was launched before the server stopped. With 0 it is kept for a start "
        "with 1.",
    )
    config: str = _setting(
        "",
        "XINFERENCE_CONFIG",
        "File (YAML) of models that are launched at each start; the option --config of "
        "xinference-local and xinference-supervisor comes before it.",
    )
    log_level: str = _setting(
        "INFO", "XINFERENCE_LOG_LEVEL", "Least severe level that is logged.", LOG_LEVELS
    )
    log_format: str = _setting(
        "TEXT",
        "XINFERENCE_LOG_FORMAT",
        "How lines are logged, on the console and in files: for people, or as JSON.",
        ("TEXT", "JSON"),
    )
    log_file_bytes: int = _setting(
        32 << 20,
        "XINFERENCE_LOG_FILE_BYTES",
        "Size at which a process begins a new log file and sets the one before aside.",
        positive=True,
    )
    log_files: int = _setting(
        4,
        "XINFERENCE_LOG_FILES",
        "Log files of each process that are kept beside the current one, in the directory logs of "
        "XINFERENCE_HOME; with 0 none is written.",
    )
    blocked_loop_threshold: float = _setting(
        2.0,
        "XINFERENCE_BLOCKED_LOOP_THRESHOLD",
        "Time a process may be busy with one thing before the log says with what; 0 never does.",
    )
    otlp_endpoint: str = _setting(
        "",
        "XINFERENCE_OTLP_ENDPOINT",
        "Where traces go, as the base URL of an OTLP/HTTP collector; without it, what "
        "OTEL_EXPORTER_OTLP_ENDPOINT says. Needs the extra [otel].",
        fallback="OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    endpoint: str = _setting(
        "http://127.0.0.1:9997",
        "XINFERENCE_ENDPOINT",
        "Server that `xinference` speaks to, and that `xinference-worker` joins.",
    )
    api_key: str = _setting(
        "",
        "XINFERENCE_API_KEY",
        "When set, every route but the public ones needs it as a bearer token.",
    )
    cluster_token: str = _setting(
        "",
        "XINFERENCE_CLUSTER_TOKEN",
        "Secret that the processes of a cluster prove to each other to hold; without it, the one "
        "in the file cluster-token of XINFERENCE_HOME, which xinference-supervisor makes.",
    )
    cluster_cert: str = _setting(
        "",
        "XINFERENCE_CLUSTER_CERT",
        "Certificate (PEM file) with which nodes encrypt what passes between them; the same on "
        "all of them.",
    )
    cluster_key: str = _setting(
        "", "XINFERENCE_CLUSTER_KEY", "Private key (PEM file) of the cluster's certificate."
    )
    ssl_certfile: str = _setting(
        "",
        "XINFERENCE_SSL_CERTFILE",
        "Certificate chain (PEM file) with which the API is HTTPS. On the server's machine, the "
        "command line trusts this certificate.",
    )
    ssl_keyfile: str = _setting(
        "", "XINFERENCE_SSL_KEYFILE", "Private key (PEM file) of that certificate."
    )
    root_path: str = _setting(
        "", "XINFERENCE_ROOT_PATH", "Path under which a proxy serves this server, such as /models."
    )
    trusted_proxies: str = _setting(
        "127.0.0.1,::1",
        "XINFERENCE_TRUSTED_PROXIES",
        "Comma-separated addresses or networks of proxies whose X-Forwarded-Proto and "
        "X-Forwarded-For are believed; * believes everybody.",
    )
    cors_origins: str = _setting(
        "", "XINFERENCE_CORS_ORIGINS", "Comma-separated origins that browsers may call from."
    )
    docs_public: bool = _setting(
        False, "XINFERENCE_DOCS_PUBLIC", "Serve /docs and /openapi.json without a key."
    )
    metrics_public: bool = _setting(
        False, "XINFERENCE_METRICS_PUBLIC", "Serve /metrics without a key."
    )
    allow_pickle: bool = _setting(
        False,
        "XINFERENCE_ALLOW_PICKLE",
        "Load weights from PyTorch's own files (.bin, .pt) where a model has none in safetensors; "
        "such files can run any program when they are loaded.",
    )
    max_json_bytes: int = _setting(
        32 << 20, "XINFERENCE_MAX_JSON_BYTES", "Largest JSON body accepted.", positive=True
    )
    max_form_bytes: int = _setting(
        512 << 20,
        "XINFERENCE_MAX_FORM_BYTES",
        "Largest form with files (multipart/form-data) accepted, such as one with a recording.",
        positive=True,
    )
    max_held_bytes: int = _setting(
        512 << 20,
        "XINFERENCE_MAX_HELD_BYTES",
        "Most bytes of bodies that one API process holds at once, each until its request is "
        "answered; of a body, the first 256 KiB are not counted. While it is decoded, JSON takes "
        "up to four times as much memory. A request alone may be larger.",
        positive=True,
    )
    max_json_depth: int = _setting(
        64, "XINFERENCE_MAX_JSON_DEPTH", "Deepest nesting of a JSON body accepted.", positive=True
    )
    max_json_values: int = _setting(
        1 << 20,
        "XINFERENCE_MAX_JSON_VALUES",
        "Most values (list items and members) of a JSON body accepted.",
        positive=True,
    )
    max_json_texts: int = _setting(
        1 << 17,
        "XINFERENCE_MAX_JSON_TEXTS",
        "Most texts (names of members included) of a JSON body accepted; each takes time.",
        positive=True,
    )
    max_choices: int = _setting(
        16,
        "XINFERENCE_MAX_CHOICES",
        "Most answers to one prompt that a request may ask for (`n`, `best_of`).",
        positive=True,
    )
    fetch_max_urls: int = _setting(
        16,
        "XINFERENCE_FETCH_MAX_URLS",
        "Pictures and other content that are fetched for one request, which names them by URL; "
        "with 0 nothing is fetched.",
    )
    fetch_max_bytes: int = _setting(
        32 << 20,
        "XINFERENCE_FETCH_MAX_BYTES",
        "Most bytes that are fetched for one request, of all that it names together.",
        positive=True,
    )
    fetch_timeout: float = _setting(
        10.0,
        "XINFERENCE_FETCH_TIMEOUT",
        "Time in which all that a request names by URL has to be here.",
        positive=True,
    )
    fetch_redirects: int = _setting(
        0,
        "XINFERENCE_FETCH_REDIRECTS",
        "Redirects that are followed for a URL; each is checked as the first one was.",
    )
    fetch_allowed_domains: str = _setting(
        "",
        "XINFERENCE_FETCH_ALLOWED_DOMAINS",
        "Comma-separated hosts that requests may have something fetched from, *.example.com for "
        "those below example.com; without it, all.",
    )
    fetch_private_networks: bool = _setting(
        False,
        "XINFERENCE_FETCH_PRIVATE_NETWORKS",
        "Fetch also from addresses that are not public: of this machine, of private networks, "
        "link-local ones. Whoever may send requests can then read what answers there.",
    )
    public_url: str = _setting(
        "",
        "XINFERENCE_PUBLIC_URL",
        "Address by which answers tell of pictures, such as https://ai.example.com of a proxy; "
        "without it, the one that the request came by.",
    )
    image_ttl: float = _setting(
        86400.0,
        "XINFERENCE_IMAGE_TTL",
        "Time for which a picture that was drawn can be had by its URL.",
        positive=True,
    )
    image_store_bytes: int = _setting(
        1 << 30,
        "XINFERENCE_IMAGE_STORE_BYTES",
        "Most bytes of such pictures that are kept; the oldest make room.",
        positive=True,
    )
    max_header_bytes: int = _setting(
        64 << 10,
        "XINFERENCE_MAX_HEADER_BYTES",
        "Largest request line and headers accepted, within one read of the socket.",
        positive=True,
    )
    http_request_timeout: float = _setting(
        120.0,
        "XINFERENCE_HTTP_REQUEST_TIMEOUT",
        "Time a client has to send a whole request.",
        positive=True,
    )
    http_keep_alive: float = _setting(
        75.0, "XINFERENCE_HTTP_TIMEOUT_KEEP_ALIVE", "Idle time after which a connection is closed."
    )
    http_limit_concurrency: int = _setting(
        0, "XINFERENCE_HTTP_LIMIT_CONCURRENCY", "Most connections at once; 0 is no limit."
    )
    sse_ping_interval: float = _setting(
        15.0,
        "XINFERENCE_SSE_PING_INTERVAL",
        "Silence on a stream after which a comment is sent.",
        positive=True,
    )
    stream_write_timeout: float = _setting(
        30.0,
        "XINFERENCE_STREAM_WRITE_TIMEOUT",
        "Time a reader of a stream may take nothing before its request is ended.",
        positive=True,
    )
    max_queue: int = _setting(
        100,
        "XINFERENCE_MAX_QUEUE",
        "Requests that may wait for all replicas of a model together, unless the launch sets it.",
    )
    max_queue_bytes: int = _setting(
        256 << 20,
        "XINFERENCE_MAX_QUEUE_BYTES",
        "Most bytes of requests that may wait for one replica, or be on their way to it; those up "
        "to 1 MiB are not counted. A request alone may be larger.",
        positive=True,
    )
    queue_timeout: float = _setting(
        600.0, "XINFERENCE_QUEUE_TIMEOUT", "Longest wait in a replica's waiting room."
    )
    stream_window: int = _setting(
        256,
        "XINFERENCE_STREAM_WINDOW",
        "Tokens, or pieces of a product, a replica may send on one request before the reader takes "
        "some.",
        positive=True,
    )
    stream_backlog: int = _setting(
        1 << 20,
        "XINFERENCE_STREAM_BACKLOG",
        "Characters of one answer held back for a slow reader before its request is ended; "
        "tokens and log-probabilities count by their size.",
    )
    resume_deadline: float = _setting(
        10.0,
        "XINFERENCE_RESUME_DEADLINE",
        "Time a request whose replica died waits for another one.",
    )
    link_ping_interval: float = _setting(
        2.0,
        "XINFERENCE_LINK_PING_INTERVAL",
        "Silence on a link after which a ping is sent.",
        positive=True,
    )
    link_deadline: float = _setting(
        20.0,
        "XINFERENCE_LINK_DEADLINE",
        "Silence after which a link's peer is lost; longer than the longest legitimate stall.",
        positive=True,
    )
    handshake_timeout: float = _setting(
        5.0,
        "XINFERENCE_HANDSHAKE_TIMEOUT",
        "Time a peer has to prove that it holds the token.",
        positive=True,
    )
    max_frame_bytes: int = _setting(
        64 << 20, "XINFERENCE_MAX_FRAME_BYTES", "Largest frame accepted on a link.", positive=True
    )
    restart_backoff: float = _setting(
        0.5,
        "XINFERENCE_RESTART_BACKOFF",
        "Wait before the first restart of a failed replica; doubled each time.",
    )
    restart_backoff_max: float = _setting(
        30.0, "XINFERENCE_RESTART_BACKOFF_MAX", "Longest wait between restarts of a replica."
    )
    max_concurrent_launches: int = _setting(
        5,
        "XINFERENCE_MAX_CONCURRENT_LAUNCHES",
        "Replicas that load at the same time on one worker; the others wait for their turn.",
        positive=True,
    )
    restart_limit: int = _setting(
        4,
        "XINFERENCE_RESTART_LIMIT",
        "Failures of one replica within the window after which its deployment is ERROR.",
    )
    restart_window: float = _setting(
        300.0, "XINFERENCE_RESTART_WINDOW", "Window in which a replica's failures are counted."
    )
    load_stall_timeout: float = _setting(
        300.0,
        "XINFERENCE_LOAD_STALL_TIMEOUT",
        "Time a loading replica may show no progress before it is killed.",
        positive=True,
    )
    stop_timeout: float = _setting(
        10.0, "XINFERENCE_STOP_TIMEOUT", "Time a process has to leave after being asked to."
    )
    drain_timeout: float = _setting(
        30.0,
        "XINFERENCE_DRAIN_TIMEOUT",
        "Time that running requests have to finish when a server or a model is stopped.",
    )
    heartbeat_interval: float = _setting(
        2.0, "XINFERENCE_HEARTBEAT_INTERVAL", "Time between a worker's reports.", positive=True
    )
    heartbeat_timeout: float = _setting(
        10.0, "XINFERENCE_HEARTBEAT_TIMEOUT", "Silence after which a worker is lost.", positive=True
    )
    mass_loss_share: float = _setting(
        0.5,
        "XINFERENCE_MASS_LOSS_SHARE",
        "Share of the workers that may be lost at once, 0 to 1, though always one. When more are "
        "silent, the supervisor's own network is at fault more likely, and none is taken for lost.",
    )
    mass_loss_timeout: float = _setting(
        120.0,
        "XINFERENCE_MASS_LOSS_TIMEOUT",
        "Silence after which a worker is lost however many others are silent, too.",
        positive=True,
    )
    launch_strategy: str = _setting(
        "SPREAD",
        "XINFERENCE_LAUNCH_STRATEGY",
        "SPREAD places replicas where there are fewest and most memory is free; PACK fills one "
        "device after the other, which leaves others whole for large models. Xinference's "
        "IDLE_FIRST_LAUNCH_STRATEGY and IDLEFIRST are SPREAD.",
        ("SPREAD", "PACK", "IDLE_FIRST_LAUNCH_STRATEGY", "IDLEFIRST"),
    )
    share_accelerators: bool = _setting(
        True,
        "XINFERENCE_ALLOW_MULTI_REPLICA_PER_GPU",
        "Several models share an accelerator when they fit. When 0, each replica of an LLM, image "
        "or audio model has its accelerators for itself; embedding and rerank models still share.",
    )
    trust_remote_code: bool = _setting(
        False,
        "XINFERENCE_TRUST_REMOTE_CODE",
        "Let engines run the program code that comes with a model, where there is no other way to "
        "run it. It may do whatever the server's user may.",
    )
    enable_virtual_env: bool = _setting(
        True,
        "XINFERENCE_ENABLE_VIRTUAL_ENV",
        "Launches may bring packages, which are installed in a virtual environment.",
    )
    allowed_envs: str = _setting(
        "",
        "XINFERENCE_ALLOWED_ENVS",
        "Comma-separated names of environment variables that launches may set for their models, "
        "besides those of libraries that only compute.",
    )
    virtual_env_offline: bool = _setting(
        False,
        "XINFERENCE_VIRTUAL_ENV_OFFLINE_INSTALL",
        "Install packages of launches from directories (find-links) alone.",
    )
    find_links_roots: str = _setting(
        "",
        "XINFERENCE_VIRTUAL_ENV_FIND_LINKS_ALLOWED_ROOTS",
        "Directories that a launch's find-links may lie in, with the system's separator of paths "
        "between them; without it, wheels in XINFERENCE_HOME.",
    )
    virtual_env_timeout: float = _setting(
        1800.0,
        "XINFERENCE_VIRTUAL_ENV_TIMEOUT",
        "Time that installing the packages of a launch may take.",
        positive=True,
    )
    driver_timeout: float = _setting(
        5.0,
        "XINFERENCE_DRIVER_TIMEOUT",
        "Time an accelerator's driver has to answer; then the worker goes on without it.",
        positive=True,
    )
    control_timeout: float = _setting(
        30.0,
        "XINFERENCE_CONTROL_TIMEOUT",
        "Longest wait for an answer of the control plane.",
        positive=True,
    )
    log_lines: int = _setting(
        1000, "XINFERENCE_REPLICA_LOG_LINES", "Last lines of a replica's output that are kept."
    )

    model_src: str = _setting(
        "AUTO",
        "XINFERENCE_MODEL_SRC",
        "Hub that models come from where a launch names none. AUTO takes the first that answers "
        "and has the model.",
        ("AUTO", "HUGGINGFACE", "MODELSCOPE"),
    )
    hub_detect_timeout: float = _setting(
        3.0,
        "XINFERENCE_HUB_DETECT_TIMEOUT",
        "Time to reach a hub, and to hear of it while a launch waits, before the next is tried.",
        positive=True,
    )
    download_stall_timeout: float = _setting(
        30.0,
        "XINFERENCE_DOWNLOAD_STALL_TIMEOUT",
        "Silence of a hub after which a transfer is begun again where it stood.",
        positive=True,
    )
    download_max_attempts: int = _setting(
        3,
        "XINFERENCE_DOWNLOAD_MAX_ATTEMPTS",
        "Failures of a transfer, with nothing received between them, after which a download fails.",
        positive=True,
    )
    download_workers: int = _setting(
        4,
        "XINFERENCE_MODEL_DOWNLOAD_WORKERS",
        "Files of a model that are transferred at once.",
        positive=True,
    )
    offline: bool = _setting(
        False,
        "XINFERENCE_OFFLINE",
        "Speak to no hub: models come from the caches only. HF_HUB_OFFLINE does the same.",
        fallback="HF_HUB_OFFLINE",
    )
    hf_endpoint: str = _setting(
        "https://huggingface.co",
        "XINFERENCE_HF_ENDPOINT",
        "Address of HuggingFace's hub or of a mirror; without it, what HF_ENDPOINT says.",
        fallback="HF_ENDPOINT",
    )
    hf_token: str = _setting(
        "",
        "XINFERENCE_HF_TOKEN",
        "Token for private and gated repositories on HuggingFace; without it, what HF_TOKEN says, "
        "then what `hf auth login` has kept.",
        fallback="HF_TOKEN",
    )
    hf_home: str = _setting(
        "~/.cache/huggingface",
        "XINFERENCE_HF_HOME",
        "Directory of HuggingFace's own tools; without it, what HF_HOME says.",
        fallback="HF_HOME",
    )
    hf_cache: str = _setting(
        "",
        "XINFERENCE_HF_CACHE",
        "HuggingFace's cache, which is read and never written; without it, what HF_HUB_CACHE "
        "says, then hub in the directory above.",
        fallback="HF_HUB_CACHE",
    )
    modelscope_endpoint: str = _setting(
        "https://modelscope.cn",
        "XINFERENCE_MODELSCOPE_ENDPOINT",
        "Address of ModelScope; without it, what MODELSCOPE_ENDPOINT says.",
        fallback="MODELSCOPE_ENDPOINT",
    )
    modelscope_token: str = _setting(
        "",
        "XINFERENCE_MODELSCOPE_TOKEN",
        "Token for private repositories on ModelScope; without it, what MODELSCOPE_API_TOKEN says.",
        fallback="MODELSCOPE_API_TOKEN",
    )
    modelscope_cache: str = _setting(
        "~/.cache/modelscope",
        "XINFERENCE_MODELSCOPE_CACHE",
        "ModelScope's cache, which is read and never written; without it, what MODELSCOPE_CACHE "
        "says.",
        fallback="MODELSCOPE_CACHE",
    )

    @property
    def home_path(self) -> Path:
        return Path(self.home).expanduser()

    @property
    def prefix(self) -> str:
        """`root_path` with a slash before it and none behind; empty without one."""
        path = self.root_path.strip("/")
        return f"/{path}" if path else ""

    @property
    def image_path(self) -> Path:
        """Where pictures that were drawn lie until they expire."""
        return self.home_path / "image"

    @property
    def cache_path(self) -> Path:
        """Where models that were downloaded lie."""
        return self.home_path / "cache"

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Read every field's variable; `overrides` (command-line flags) win, None means unset.

        Raises:
            ValueError: a variable has a bad value; the message names it and what is expected.
        """
        env = os.environ if env is None else env
        values: dict[str, Any] = {}
        for spec in fields(cls):
            name = spec.metadata["env"]
            raw = env.get(name, "")
            if not raw and spec.metadata["fallback"]:
                name = spec.metadata["fallback"]
                raw = env.get(name, "")
            if raw:
                values[spec.name] = _parse(name, raw, spec)
        values.update({k: v for k, v in overrides.items() if v is not None})
        return cls(**values)


def _parse(name: str, raw: str, spec: Field[Any]) -> Any:
    kind: type = type(spec.default)
    choices: tuple[str, ...] = spec.metadata["choices"]
    if kind is bool:
        lowered = raw.strip().lower()
        if lowered in {"1", "true", "yes", "on"}:
            return True
        if lowered in {"0", "false", "no", "off"}:
            return False
        raise ValueError(f"{name}={raw!r}: expected 1 or 0")
    if kind is str:
        if choices and raw.upper() not in choices:
            raise ValueError(f"{name}={raw!r}: expected one of {', '.join(choices)}")
        return raw.upper() if choices else raw
    try:
        number = kind(raw)
    except ValueError:
        number = math.nan
    positive = spec.metadata["positive"]
    if not 0 <= number < math.inf or (positive and not number):
        expected = "whole number" if kind is int else "number"
        bound = "more than 0" if positive else "0 or more"
        raise ValueError(f"{name}={raw!r}: expected a {expected}, {bound}")
    return number
