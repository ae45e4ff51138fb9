"""A model that runs with packages of its own, on a whole server."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.support.server import running_server
from tests.support.wheels import make_wheel
from xinference.client import Client


def test_a_model_runs_in_an_environment_of_its_packages(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "tiny_pkg", "1.0", "")
    with (
        running_server(home=tmp_path, XINFERENCE_VIRTUAL_ENV_OFFLINE_INSTALL="1") as server,
        closing(Client(server.url)) as client,
    ):
        wheels = [str(tmp_path / "wheels")]
        uid = client.launch_model(
            "echo",
            virtual_env_packages=["tiny_pkg==1.0"],
            virtual_env_find_links=wheels,
            envs={"OMP_NUM_THREADS": "3"},
        )
        (replica,) = server.replicas(uid)
        process = psutil.Process(replica["pid"])
        (environment,) = server.http.get("/v1/virtualenvs").json()["list"]
        assert process.cmdline()[0] == f"{environment['path']}/bin/python"
        assert process.environ()["OMP_NUM_THREADS"] == "3"
        assert (environment["model_name"], environment["packages"]) == ("echo", ["tiny_pkg==1.0"])
        answer = client.get_model(uid).chat([{"role": "user", "content": "hello"}])
        assert answer["choices"][0]["message"]["content"] == "hello"
        busy = server.http.delete("/v1/virtualenvs", params={"model_name": "echo"})
        assert busy.status_code == 409
        server.terminate(uid)
        gone = server.http.delete("/v1/virtualenvs", params={"model_name": "echo"})
        assert gone.json() == {"result": True}
        assert server.http.get("/v1/virtualenvs").json() == {"list": []}
        with pytest.raises(RuntimeError, match="No matching distribution found for no_such_pkg"):
            client.launch_model(
                "echo", virtual_env_packages=["no_such_pkg"], virtual_env_find_links=wheels
            )
