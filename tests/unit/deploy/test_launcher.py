"""The launcher, in a process of its own, with small children that do as they are configured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.waiting import eventually
from xinfer.core.exits import REFUSES_TO_START
from xinfer.deploy import launcher
from xinfer.settings import Settings

CHILD = """
    import json, os, signal, subprocess, sys, time

    def note(word):
        os.write(log, f"{name} {word}\\n".encode())

    name = os.path.basename(sys.argv[0])[:-3]
    log = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    note("started %d" % os.getpid())
    line = sys.stdin.readline()
    if not line:
        note("orphaned before its configuration")
        sys.exit(0)
    config = json.loads(line)
    note("configured")
    if config["quoted"]:
        note("was told " + json.dumps(config["quoted"]))

    def leave(*_):
        note("asked to leave")
        time.sleep(config.get("leaves_after", 0))
        note("left")
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)
    if config.get("stubborn"):
        signal.signal(signal.SIGTERM, lambda *_: note("asked to leave"))
    if config.get("orphan"):
        # Its parent ends at once, so that the launcher inherits it.
        subprocess.Popen([sys.executable, "-c",
            "import subprocess, sys; print(subprocess.Popen(['sleep', '0.1']).pid, flush=True)"],
            stdout=log)
    if "exits" in config:
        sys.exit(config["exits"])
    print("ready to say something that is no announcement", flush=True)
    note("serves")
    print("ready " + json.dumps({"name": name, **config.get("says", {})}), flush=True)
    note("ready")
    if config.get("stops"):
        print("stop", flush=True)
        sys.exit(0)
    while sys.stdin.readline():
        pass
    note("orphaned")
"""

DRIVER = """
    import json, logging, subprocess, sys
    from xinfer.deploy import launcher
    from xinfer.settings import Settings

    logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
    plan = json.loads(sys.argv[1])
    made = {}

    def child(spec):
        known = spec.pop("config", {})
        quotes = spec.pop("quotes", None)
        def configure():
            return {**known, "quoted": made[quotes].facts if quotes else None}
        made[spec["name"]] = launcher.Child(
            module=spec.pop("module", spec["name"]), configure=configure,
            **{key: tuple(value) if key == "after" else value for key, value in spec.items()})
        return made[spec["name"]]

    class Popen(subprocess.Popen):
        refusals = plan["refusals"]

        def __init__(self, *arguments, **options):
            if Popen.refusals:
                Popen.refusals -= 1
                raise OSError(12, "Cannot allocate memory")
            super().__init__(*arguments, **options)

    def all_ready():
        print("all ready", flush=True)
        for child in children:
            child.failures = plan["failures"]

    subprocess.Popen = Popen
    children = [child(spec) for spec in plan["children"]]
    sys.exit(launcher.Launcher(children, Settings(**plan["settings"]), all_ready).run())
"""


class Run:
    """A running launcher: what it said, and what its children noted.

    Args:
        refusals: starts of children that the system refuses.
        failures: of each child, counted before it was ready for the first time.
    """

    def __init__(
        self,
        directory: Path,
        children: list[dict[str, Any]],
        *,
        refusals: int = 0,
        failures: int = 0,
        **settings: Any,
    ) -> None:
        self._directory = directory
        self._notes = directory / "notes"
        self._log = directory / "log"
        (directory / "driver.py").write_text(textwrap.dedent(DRIVER))
        for child in children:
            (directory / f"{child['name']}.py").write_text(textwrap.dedent(CHILD))
        plan = {
            "children": children,
            "settings": {"restart_backoff": 0.05, **settings},
            "refusals": refusals,
            "failures": failures,
        }
        paths = [str(directory), *filter(None, [os.environ.get("PYTHONPATH"), os.getcwd()])]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(directory / "driver.py"), json.dumps(plan)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "LOG": str(self._notes), "PYTHONPATH": ":".join(paths)},
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def notes(self) -> list[str]:
        """Lines such as "api ready", in the order in which they were written."""
        if not self._notes.exists():
            return []
        return [
            line if " started " not in line else line.rpartition(" ")[0]
            for line in self._notes.read_text().splitlines()
        ]

    def pids(self, name: str) -> list[int]:
        """Of all starts of this child."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        return [int(line.split()[2]) for line in lines if line.startswith(f"{name} started ")]

    def until_ready(self, count: int = 1) -> None:
        eventually(lambda: self.log.count("all ready") == count, 10, "all ready")

    def until_started(self, name: str, count: int) -> int:
        """Wait until this child is ready for the `count`th time; its pid."""
        eventually(lambda: self.notes.count(f"{name} ready") == count, 10, f"start {count}")
        return self.pids(name)[-1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(*children: dict[str, Any], **settings: Any) -> Run:
        runs.append(Run(tmp_path, list(children), **settings))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()


def test_children_start_in_order_and_are_announced_once(start: Callable[..., Run]) -> None:
    run = start(
        {"name": "last", "after": ["first"], "quotes": "first", "config": {"says": {"n": 2}}},
        {"name": "first", "config": {"says": {"address": "here"}}},
    )
    run.until_ready()
    notes = run.notes
    assert notes.index("first serves") < notes.index("last configured")
    assert "something that is no announcement" in run.log
    os.kill(run.until_started("last", 1), signal.SIGKILL)
    run.until_started("last", 2)
    assert run.stop() == 0
    assert run.log.count("all ready") == 1


def test_a_child_is_configured_with_what_another_said(start: Callable[..., Run]) -> None:
    run = start(
        {"name": "first", "config": {"says": {"address": "here"}}},
        {"name": "last", "after": ["first"], "quotes": "first"},
    )
    run.until_ready()
    eventually(
        lambda: 'last was told {"name": "first", "address": "here"}' in run.notes, 10, "the quote"
    )
    assert run.stop() == 0


def test_what_a_child_said_is_there_when_it_is_started_again(start: Callable[..., Run]) -> None:
    run = start({"name": "child", "quotes": "child", "config": {"says": {"port": 5}}})
    os.kill(run.until_started("child", 1), signal.SIGKILL)
    run.until_started("child", 2)
    told = [note for note in run.notes if "was told" in note]
    assert told == ['child was told {"name": "child", "port": 5}']
    assert run.stop() == 0


def test_what_a_child_said_right_before_its_end_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its words and its end may have come by the time the launcher looks."""
    (tmp_path / "brief.py").write_text("""print('ready {"n": 5}')""")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    said: list[int] = []
    child = launcher.Child(name="brief", module="brief", configure=dict)
    run = launcher.Launcher([child], Settings(), lambda: said.append(child.facts["n"]))
    run._spawn(child)
    assert child.process is not None
    os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOWAIT)
    run._ended(child)
    run._kill_left()
    assert said == [5]
    assert child.start_at <= time.monotonic()  # the first restart of what was ready does not wait


def test_they_are_stopped_rank_by_rank(start: Callable[..., Run]) -> None:
    run = start(
        {"name": "store", "stop_rank": 1},
        {"name": "front", "config": {"leaves_after": 0.2}},
    )
    run.until_ready()
    assert run.stop(signal.SIGINT) == 0
    order = [note for note in run.notes if "leave" in note or "left" in note]
    assert order == ["front asked to leave", "front left", "store asked to leave", "store left"]


def test_a_child_that_dies_is_started_again_at_once_and_then_later_each_time(
    start: Callable[..., Run],
) -> None:
    run = start({"name": "child"}, restart_backoff=0.05, restart_backoff_max=0.15)
    run.until_ready()
    for count in range(1, 6):
        os.kill(run.until_started("child", count), signal.SIGKILL)
    run.until_started("child", 6)
    restarts = [line for line in run.log.splitlines() if "starting it again" in line]
    assert all("was killed by signal 9 (SIGKILL)" in line for line in restarts)
    delays = [line.rpartition("starting it again")[2] for line in restarts]
    assert delays == ["", " in 0.1 s", " in 0.1 s", " in 0.1 s", " in 0.1 s"]
    assert run.stop() == 0


def test_a_child_that_is_never_ready_ends_the_launcher_after_three_tries(
    start: Callable[..., Run],
) -> None:
    run = start(
        {"name": "broken", "config": {"exits": 7}},
        {"name": "sound"},
        {"name": "waiting", "after": ["broken"]},
        restart_backoff=0.01,
    )
    assert run.process.wait(10) == 1
    assert len(run.pids("broken")) == 3
    assert run.log.count("exited with code 7; starting it again") == 2
    assert "The broken process exited with code 7 and cannot be started" in run.log
    assert "all ready" not in run.log
    assert "sound left" in run.notes
    assert "The sound process" not in run.log  # it left as asked, and is not started again
    assert "waiting configured" not in run.notes


def test_a_child_that_refuses_to_start_ends_the_launcher_at_once(
    start: Callable[..., Run],
) -> None:
    run = start({"name": "choosy", "config": {"exits": REFUSES_TO_START}}, {"name": "sound"})
    assert run.process.wait(10) == 1
    assert len(run.pids("choosy")) == 1
    assert "cannot be started; its reason is in the lines above" in run.log
    assert "starting it again" not in run.log


def test_a_child_can_have_everything_stopped_in_order(start: Callable[..., Run]) -> None:
    run = start(
        {"name": "asks", "stop_rank": 1, "after": ["front", "store"], "config": {"stops": True}},
        {"name": "store", "stop_rank": 1},
        {"name": "front"},
    )
    assert run.process.wait(10) == 0
    order = [note for note in run.notes if "left" in note]
    assert order == ["front left", "store left"]
    assert "starting it again" not in run.log


def test_a_second_signal_ends_the_wait(start: Callable[..., Run]) -> None:
    run = start({"name": "child", "config": {"stubborn": True}}, stop_timeout=600)
    run.until_ready()
    run.process.send_signal(signal.SIGTERM)
    eventually(lambda: "child asked to leave" in run.notes, 10, "the request")
    assert run.process.poll() is None
    assert run.stop() == 0
    assert "Not waiting any longer" in run.log
    assert not psutil.pid_exists(run.pids("child")[0])


def test_patience_ends(start: Callable[..., Run]) -> None:
    run = start(
        {"name": "child", "config": {"stubborn": True}}, drain_timeout=0.1, stop_timeout=0.1
    )
    run.until_ready()
    assert run.stop() == 0
    assert "Not waiting any longer" in run.log
    assert not psutil.pid_exists(run.pids("child")[0])


def test_children_learn_of_the_launchers_death_by_the_end_of_stdin(
    start: Callable[..., Run],
) -> None:
    run = start(
        {"name": "child"},
        {"name": "waiting", "after": ["broken"]},
        {"name": "broken", "config": {"exits": 1}},
        restart_backoff=600,
        restart_backoff_max=600,
    )
    run.until_started("child", 1)
    eventually(lambda: run.pids("waiting"), 10, "the start of the one that waits")
    run.process.kill()
    run.process.wait()
    eventually(lambda: "child orphaned" in run.notes, 10, "the word of the end")
    eventually(
        lambda: "waiting orphaned before its configuration" in run.notes, 10, "the word of the end"
    )


def test_a_stop_while_a_child_is_not_configured_ends_it_too(start: Callable[..., Run]) -> None:
    run = start(
        {"name": "waiting", "after": ["broken"]},
        {"name": "broken", "config": {"exits": 1}},
        restart_backoff=600,
        restart_backoff_max=600,
    )
    eventually(lambda: "starting it again" in run.log and run.pids("waiting"), 10, "the failure")
    assert run.stop() == 0
    assert not psutil.pid_exists(run.pids("waiting")[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans to a subreaper")
def test_orphans_are_adopted_and_waited_for(start: Callable[..., Run]) -> None:
    run = start({"name": "child", "config": {"orphan": True}})
    run.until_ready()
    orphan = eventually(lambda: [int(n) for n in run.notes if n.isdigit()], 10, "the orphan")[0]
    eventually(lambda: not psutil.pid_exists(orphan), 10, "the end of the orphan, waited for")
    assert len(run.pids("child")) == 1
    assert run.stop() == 0


def test_a_start_that_the_system_refuses_is_tried_again(start: Callable[..., Run]) -> None:
    run = start({"name": "child"}, restart_backoff=0.01, refusals=1)
    run.until_ready()
    assert "cannot be started (Cannot allocate memory); starting it again" in run.log
    assert run.stop() == 0


def test_thousands_of_failures_do_not_make_the_wait_unbounded(start: Callable[..., Run]) -> None:
    run = start({"name": "child"}, failures=5000, restart_backoff_max=0.1)
    os.kill(run.until_started("child", 1), signal.SIGKILL)
    run.until_started("child", 2)
    assert run.stop() == 0
