"""Run by a test as root of namespaces of its own: two machines with a router between them, which
for a while forwards nothing and says nothing, as a network that is cut."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.support.cluster import Cluster, running_cluster
from tests.support.sse import Transcript, read_stream
from tests.support.waiting import eventually

HEAD, FAR = "10.9.1.2", "10.9.2.2"
_FORWARDS = Path("/proc/sys/net/ipv4/ip_forward")


def _ip(*words: str, within: tuple[str, ...] = ()) -> None:
    subprocess.run([*within, "ip", *words], check=True)


@contextmanager
def machine(name: str, address: str) -> Iterator[tuple[str, ...]]:
    """A network namespace at this address behind the router; the program that enters it."""
    gateway = address.rpartition(".")[0] + ".1"
    holder = subprocess.Popen(["unshare", "-n", "sleep", "600"])
    enter = ("nsenter", "-t", str(holder.pid), "-n")
    own = Path("/proc/self/ns/net").readlink()
    try:
        eventually(lambda: Path(f"/proc/{holder.pid}/ns/net").readlink() != own, 10, "a namespace")
        _ip("link", "add", "name", name, "type", "veth", "peer", "name", "eth0")
        _ip("link", "set", "eth0", "netns", str(holder.pid))
        _ip("addr", "add", f"{gateway}/24", "dev", name)
        _ip("link", "set", name, "up")
        for words in (
            f"addr add {address}/24 dev eth0",
            "link set eth0 up",
            "link set lo up",
            f"route add default via {gateway}",
        ):
            _ip(*words.split(), within=enter)
        yield enter
    finally:
        holder.kill()
        holder.wait()


def _stream(cluster: Cluster, uid: str, begun: threading.Event) -> Transcript:
    """A stream of half a minute, read to its end."""
    body = {"model": uid, "stream": True, "messages": [{"role": "user", "content": "s" * 300}]}

    def noted(lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            if read_stream([line]).text:
                begun.set()
            yield line

    with cluster.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        return read_stream(noted(answer.iter_lines()))


def main() -> None:
    _FORWARDS.write_text("1")
    with (
        machine("head", HEAD) as on_head,
        machine("far", FAR) as on_far,
        running_cluster(host=HEAD, port=9997, within=on_head) as cluster,
    ):
        near = cluster.add_worker(HEAD, within=on_head)
        far = cluster.add_worker("0.0.0.0", within=on_far)
        assert far.address.startswith(f"{FAR}:")
        cluster.server.launch(model_uid="m", replica=2, token_interval=0.1)
        cluster.until_ready_on("m", near, far)
        with ThreadPoolExecutor(8) as pool:
            begun = [threading.Event() for _ in range(8)]
            streams = [pool.submit(_stream, cluster, "m", each) for each in begun]
            for each in begun:
                assert each.wait(10)
            (beyond,) = [
                replica["running"]
                for replica in cluster.server.replicas("m")
                if replica["worker_address"] == far.address
            ]
            assert 0 < beyond < 8
            _FORWARDS.write_text("0")
            # Streams beyond the hole go on on this side.
            transcripts = [each.result(timeout=90) for each in streams]
            assert {each.text for each in transcripts} == {"s" * 300}
            assert all(each.done and each.error is None for each in transcripts)
            cluster.until_ready_on("m", near, near)
            for _ in range(5):
                cluster.chat("m")
            owners = cluster.ready_on("m")
            assert far.replica_pids  # which serve nobody
            _FORWARDS.write_text("1")
            eventually(lambda: far.address in cluster.workers(), 20, "its return")
            eventually(lambda: not far.replica_pids, 15, "the end of what it no longer owns")
            assert cluster.ready_on("m") == owners
            cluster.server.terminate("m")
        cluster.until_it_takes("next", far)
        cluster.chat("next")
    print("healed")


if __name__ == "__main__":
    main()
