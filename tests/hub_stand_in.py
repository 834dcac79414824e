"""A stand-in for a model hub on this machine: the few requests with which huggingface_hub reads and fills one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_standin"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISIONS = ("main", "v1", COMMIT)


@dataclass
class Hub:
    """Files by repository; what was asked for; and the address once it runs."""

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    address: str = ""


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """Serve a hub until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, status: int, content: bytes | dict[str, Any] | list[Any], **headers: str) -> None:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def refuse(self, status: int, code: str) -> None:
            self.answer(status, {"error": code}, X_Error_Code=code, X_Error_Message=code)

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path}")
            if path == "/api/whoami-v2":
                known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
                return self.answer(200, {"name": "me", "type": "user"}) if known else self.refuse(401, "Unauthorized")
            if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                return self.file(*match.groups())
            match = re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/(revision|tree)/([^/]+))?/?", path)
            if match is None or match[1] not in hub.repos:
                return self.refuse(404, "RepoNotFound")
            if (match[3] or "main") not in REVISIONS:
                return self.refuse(404, "RevisionNotFound")
            files = hub.repos[match[1]]
            if match[2] == "tree":
                entries = [
                    {"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in files.items()
                ]
                return self.answer(200, entries)
            names = [{"rfilename": name} for name in files]
            return self.answer(200, {"id": match[1], "modelId": match[1], "sha": COMMIT, "siblings": names, "tags": []})

        do_HEAD = do_GET  # noqa: N815 - the name is http.server's

        def file(self, repo: str, revision: str, name: str) -> None:
            if repo in hub.gated:
                return self.refuse(403, "GatedRepo")
            if repo not in hub.repos:
                return self.refuse(401, "RepoNotFound")
            if revision not in REVISIONS:
                return self.refuse(404, "RevisionNotFound")
            data = hub.repos[repo].get(name)
            if data is None:
                return self.answer(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            tag = f'"{hashlib.sha1(data).hexdigest()}"'
            return self.answer(200, data, ETag=tag, X_Repo_Commit=COMMIT)

        def do_POST(self) -> None:
            path, size = unquote(urlsplit(self.path).path), int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            hub.asked.append(f"POST {path}")
            if path == "/api/validate-yaml":
                return self.answer(200, {"errors": [], "warnings": []})
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self.refuse(401, "Unauthorized")
            if path == "/api/repos/create":
                asked = json.loads(body)
                repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
                hub.repos.setdefault(repo, {})
                return self.answer(200, {"url": f"{hub.address}/{repo}", "name": repo})
            match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/([^/]+)", path)
            if match is None:
                return self.refuse(404, "NotFound")
            if match[2] == "preupload":
                files = [
                    {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                    for each in json.loads(body)["files"]
                ]
                return self.answer(200, {"files": files})
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    hub.repos[match[1]][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            page = f"{hub.address}/{match[1]}/commit/{COMMIT}"
            return self.answer(200, {"success": True, "commitOid": COMMIT, "commitUrl": page})

    return Handler
