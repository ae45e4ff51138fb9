"""Where replicas' links listen."""

from __future__ import annotations

from xinfer.core.link.address import parse_address
from xinfer.core.worker.links import TcpLinks, UnixLinks


def test_sockets_are_short_of_their_own_and_in_the_directory() -> None:
    links = UnixLinks("/run/x")
    one, two = (parse_address(links.address("m/../" + "m" * 500 + end)) for end in "ab")
    assert one.path.startswith("/run/x/")
    assert one.path.count("/") == 3
    assert one != two
    assert not links.exposed


def test_ports_are_the_replicas_choice_on_the_workers_address() -> None:
    links = TcpLinks("10.0.0.7", exposed=True)
    assert links.address("m-0-ab") == "tcp:10.0.0.7:0"
    assert links.exposed
