"""A stand-in for a replica process; the option `do` of its deployment says how it behaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any, NoReturn

config = json.loads(sys.stdin.buffer.readline())
options: dict[str, Any] = config["assignment"]["deployment"]["options"]
do = options["do"]


def tell(**message: Any) -> None:
    os.write(config["status_fd"], json.dumps(message).encode() + b"\n")


def say(text: str) -> None:
    print(text, flush=True)


def ready() -> None:
    loaded = {"context_length": 8, "concurrency": 2, "abilities": {}}
    tell(ready={"address": config["address"], "loaded": loaded})


def until_stdin_ends() -> NoReturn:
    while os.read(0, 100):
        pass
    say("stdin ended")
    sys.exit(0)


def leave_on_term() -> None:
    def leave(*_: object) -> None:
        say("draining")
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)


say(f"started, token {config['link_token']}")
if do == "serve the file":
    path = config["assignment"]["deployment"]["model"]["path"]
    with open(path + "/model.safetensors", "rb") as opened:
        say(f"read {len(opened.read())} bytes")
    leave_on_term()
    tell(progress=[0.5, "loading", "half"])
    ready()
    until_stdin_ends()
elif do == "serve":
    leave_on_term()
    tell(progress=[0.5, "loading", "half"])
    ready()
    until_stdin_ends()
elif do == "say updates":
    leave_on_term()
    ready()
    for line in sys.stdin.buffer:
        say(f"update {line.decode().strip()}")
elif do == "serve until stdin ends":
    signal.signal(signal.SIGTERM, lambda *_: say("still draining"))
    ready()
    until_stdin_ends()
elif do == "never leave":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    say(f"grandchild {child.pid}")
    ready()
    time.sleep(600)
elif do == "leave a grandchild":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    say(f"grandchild {child.pid}")
    sys.exit(3)
elif do == "fail":
    say("about to fail")
    failure = ["InvalidRequest", "no such file", "bad", None, None, {"path": "/x"}]
    tell(failure=failure)
    sys.exit(1)
elif do == "fail and stay":
    tell(failure=["EngineFailed", "broken", "engine_error"])
    time.sleep(600)
elif do == "crash":
    for number in range(80):
        say(f"line {number}")
    os.kill(os.getpid(), signal.SIGKILL)
elif do == "die when ready":
    ready()
    sys.exit(0)
elif do == "stall":
    leave_on_term()
    time.sleep(600)
elif do == "load for ever":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("loading")
    time.sleep(600)
elif do == "load a step for each signal":
    leave_on_term()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    for step in range(1, 5):
        tell(progress=[step / 10, "loading"])
        signal.sigwait({signal.SIGUSR1})
    ready()
    until_stdin_ends()
elif do == "babble":
    os.write(config["status_fd"], b"hello\n")
    time.sleep(600)
elif do == "print the environment":
    say(json.dumps(dict(os.environ)))
    sys.exit(0)
