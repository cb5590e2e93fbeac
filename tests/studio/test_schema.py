"""The OpenAPI document and the studio's answers agree, whatever is asked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import real_media
from studio_support import API, Client, Running

CASES = 1000


def test_it_describes_every_call(client: Client) -> None:
    document = client.get(f"{API}/openapi.json").json()
    assert len(document["paths"]) >= 25
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            problem = operation["responses"]["default"]["content"]
            assert list(problem) == ["application/problem+json"], where
            assert operation.get("description") or "{" in path, where
    example = document["paths"][f"{API}/clips/{{clip}}/groundings"]["post"]["requestBody"]
    assert example["content"]["application/json"]["examples"]


@pytest.mark.thorough
def test_a_thousand_made_up_calls(studio: Running, client: Client, tmp_path: Path) -> None:
    """schemathesis: no call fails on the server's side, and each answer is as described."""
    pytest.importorskip("schemathesis", reason="schemathesis is missing")
    clip = client.upload(real_media.bikes())["id"]
    client.do(f"clips/{clip}/groundings")
    paths = client.get(f"{API}/openapi.json").json()["paths"]
    operations = sum(len(one) for one in paths.values())
    checks = ("not_a_server_error", "status_code_conformance")
    checks += ("content_type_conformance", "response_schema_conformance")
    options = {
        "--checks": ",".join(checks),
        "--phases": "fuzzing",
        "--seed": "1",
        "--exclude-path-regex": "events|index$",  # streams, and what reads all music again
        "--request-timeout": "20",
        "--max-examples": str(-(-CASES * 3 // 2 // (operations - 3))),
        "--header": f"Cookie: mgsv-workspace={client.cookies['mgsv-workspace']}",
    }
    command = [sys.executable, "-m", "schemathesis.cli", "run"]
    command += [f"{studio.url}{API}/openapi.json", *(w for one in options.items() for w in one)]
    environment = {**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path)}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=900
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    made = re.search(r"(\d+) generated", done.stdout)
    assert made is not None and int(made[1]) >= CASES, done.stdout[-1000:]
    assert client.get(f"{API}/library").status_code == 200
