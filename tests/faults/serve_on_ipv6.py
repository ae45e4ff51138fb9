"""Run by a test inside a namespace without 127.0.0.1: serve on ::1 and answer one chat."""

from __future__ import annotations

import json

from tests.support.server import running_server


def main() -> None:
    with running_server(host="::1") as server:
        uid = server.launch(model_uid="six")
        body = {"model": uid, "messages": [{"role": "user", "content": "over six"}]}
        answer = server.http.post("/v1/chat/completions", json=body)
        answer.raise_for_status()
        content = answer.json()["choices"][0]["message"]["content"]
    print(json.dumps({"content": content}))


if __name__ == "__main__":
    main()
