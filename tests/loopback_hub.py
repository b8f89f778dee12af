"""A Hub on loopback for tests: repositories in memory, behind the endpoints that huggingface_hub uses.

It has commits, branches, tags and pull requests; uploads by git and by LFS; private repositories with tokens;
and deliberate faults: `hub.faults.append(Fault("GET .*/resolve/", status=503, times=2))`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Files = dict[str, bytes]


@dataclass
class Fault:
    """A fault in the next `times` requests whose "METHOD /path" matches."""

    match: str
    times: int = 1
    status: int = 0  # answer with this instead
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0  # close the connection after this many bytes of the body
    slow: float = 0.0  # seconds of silence before the answer
    swap: bytes = b""  # other bytes of the body, under the same hash
    after: bool = False  # carry out the request, then answer with the status


@dataclass
class Repo:
    """One repository: commits by hash, branches and tags by name."""

    private: bool = False
    commits: dict[str, Files] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, ref: str, files: Files, title: str) -> str:
        text = json.dumps([len(self.log), ref, title, sorted(git_hash(data) for data in files.values())])
        commit = hashlib.sha1(text.encode()).hexdigest()
        self.commits[commit], self.refs[ref] = files, commit
        self.log.append({"commit": commit, "ref": ref, "title": title})
        return commit

    def resolve(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.refs.get(revision)


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class LoopbackHub:
    """`with LoopbackHub() as hub:` serves on `hub.endpoint` until the end of the block."""

    def __init__(self, tokens: tuple[str, ...] = ("hf_goodToken",), large: bool = False) -> None:
        self.tokens, self.large = tokens, large  # large: weights go by LFS, else all by git
        self.repos: dict[str, Repo] = {}
        self.lfs: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.lock = threading.RLock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> LoopbackHub:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def is_large(self, path: str) -> bool:
        return self.large and path.endswith(".safetensors")

    def fault(self, request: str) -> Fault | None:
        with self.lock:
            self.requests.append(request)
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.match, request):
                    fault.times -= 1
                    return fault
        return None


class Answer(Exception):
    """An error response, raised anywhere in a handler."""

    def __init__(self, status: int, code: str = "", **headers: str) -> None:
        self.status = status
        self.headers = {"X-Error-Code": code, "X-Error-Message": code or str(status)} | headers


class Handler(BaseHTTPRequestHandler):
    """The handler of one request. `ROUTES` at the end maps paths to methods."""

    hub: LoopbackHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each body waits 40 ms for its headers to be acknowledged

    def log_message(self, *_: object) -> None: ...

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        self.query, path = parse_qs(parts.query), parts.path
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.now = self.hub.fault(f"{self.command} {path}")
        try:
            if self.now and self.now.slow:
                time.sleep(self.now.slow)
            if self.now and self.now.status and not self.now.after:
                raise Answer(self.now.status, **self.now.headers)
            for method, pattern, answer in ROUTES:
                if method == self.command and (found := re.fullmatch(pattern, path)):
                    with self.hub.lock:
                        status, body, headers = answer(self, *map(unquote, found.groups()))
                    if self.now and self.now.after:
                        raise Answer(self.now.status, **self.now.headers)
                    return self.send(status, body, headers)
            raise Answer(404)
        except Answer as refusal:
            self.send(refusal.status, b"{}", refusal.headers)

    do_GET = do_POST = do_PUT = do_HEAD = handle_any

    def send(self, status: int, body: Any, headers: dict[str, str]) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if self.now and self.now.swap and status == 200:
            data = self.now.swap
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for key, value in ({"Content-Length": str(len(data))} | headers).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data[: self.now.cut] if self.now and self.now.cut else data)
            if self.now and self.now.cut:
                self.wfile.flush()
                self.close_connection = True

    def user(self) -> bool:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") in self.hub.tokens

    def repo(self, name: str, write: bool = False) -> Repo:
        repo = self.hub.repos.get(name)
        if (write or (repo and repo.private)) and not self.user():
            raise Answer(401, "RepoNotFound")
        if repo is None:
            raise Answer(404, "RepoNotFound")
        return repo

    def at(self, name: str, revision: str) -> tuple[Repo, str]:
        repo = self.repo(name)
        commit = repo.resolve(revision)
        if commit is None:
            raise Answer(404, "RevisionNotFound")
        return repo, commit

    def create(self) -> Any:
        if not self.user():
            raise Answer(401)
        asked = json.loads(self.body)
        kind = ["spaces"] if asked.get("type") == "space" else []
        name = "/".join([*kind, *filter(None, [asked.get("organization") or "me", asked["name"]])])
        url = {"url": f"{self.hub.endpoint}/{name}"}
        if name in self.hub.repos:
            return 409, url, {}
        repo = self.hub.repos[name] = Repo(
            private=asked.get("visibility") == "private" or bool(asked.get("private"))
        )
        repo.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        return 200, url, {}

    def info(self, name: str, revision: str = "main") -> Any:
        repo, commit = self.at(name, revision)
        return 200, self.described(name, repo, commit), {}

    def described(self, name: str, repo: Repo, commit: str) -> dict[str, Any]:
        from huggingface_hub import ModelCard

        files = repo.commits[commit]
        readme = files.get("README.md", b"").decode()
        data = ModelCard(readme).data.to_dict() if readme else {}
        siblings = [self.entry(path, content) | {"rfilename": path} for path, content in files.items()]
        tags = [*data.get("tags", []), data.get("library_name", "")]
        name = name.removeprefix("datasets/")
        return {"id": name, "modelId": name, "sha": commit, "private": repo.private, "siblings": siblings,
                "tags": tags, "cardData": data, "pipeline_tag": data.get("pipeline_tag")}  # fmt: skip

    def entry(self, path: str, content: bytes) -> dict[str, Any]:
        result = {"type": "file", "path": path, "size": len(content), "blobId": git_hash(content)}
        result["oid"] = result["blobId"]
        if self.hub.is_large(path):
            oid = hashlib.sha256(content).hexdigest()
            result["lfs"] = {"oid": oid, "sha256": oid, "size": len(content), "pointerSize": 134}
        return result

    def tree(self, name: str, revision: str, folder: str = "") -> Any:
        repo, commit = self.at(name, revision)
        files = repo.commits[commit]
        inside = f"{folder}/" if folder else ""
        found = [self.entry(path, content) for path, content in files.items() if path.startswith(inside)]
        if folder and not found:
            raise Answer(404, "EntryNotFound")
        if self.query.get("recursive") != ["True"] and self.query.get("recursive") != ["true"]:
            deep = [entry for entry in found if "/" in entry["path"][len(inside) :]]
            tops = {inside + entry["path"][len(inside) :].partition("/")[0] for entry in deep}
            found = [entry for entry in found if entry not in deep]
            found += [{"type": "directory", "path": top, "oid": git_hash(top.encode())} for top in tops]
        return 200, found, {}

    def paths_info(self, name: str, revision: str) -> Any:
        repo, commit = self.at(name, revision)
        files, wanted = repo.commits[commit], parse_qs(self.body.decode()).get("paths", [])
        found = [self.entry(path, files[path]) for path in wanted if path in files]
        folders = [path for path in wanted if any(file.startswith(f"{path}/") for file in files)]
        found += [{"type": "directory", "path": path, "oid": git_hash(path.encode())} for path in folders]
        return 200, found, {}

    def models(self) -> Any:
        wanted, search = self.query.get("filter", []), self.query.get("search", [""])[0]
        found = [self.described(name, repo, repo.refs["main"]) for name, repo in self.hub.repos.items()
                 if search in name and (self.user() or not repo.private)]  # fmt: skip
        return 200, [model for model in found if set(wanted) <= set(model["tags"])], {}

    def preupload(self, name: str, revision: str) -> Any:
        repo = self.repo(name, write=True)
        files = repo.commits.get(repo.resolve(revision) or "", {})
        result = []
        for file in json.loads(self.body)["files"]:
            path, large = file["path"], self.hub.is_large(file["path"])
            old = files.get(path)
            oid = None if old is None else hashlib.sha256(old).hexdigest() if large else git_hash(old)
            mode = "lfs" if large else "regular"
            result.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return 200, {"files": result}, {}

    def commit(self, name: str, revision: str) -> Any:
        repo, base = self.at(name, revision)
        if not self.user():
            raise Answer(403)
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, base):
            raise Answer(412, "ParentCommitMismatch")
        files = dict(repo.commits[base])
        for line in lines[1:]:
            kind, value = line["key"], line["value"]
            if kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                files[value["path"]] = self.hub.lfs[value["oid"]]
            else:
                files.pop(value["path"])
        pull = self.query.get("create_pr") == ["1"]
        number = 1 + sum(ref.startswith("refs/pr/") for ref in repo.refs)
        made = repo.commit(f"refs/pr/{number}" if pull else revision, files, header["summary"])
        url = f"{self.hub.endpoint}/{name}"
        result = {"success": True, "commitOid": made, "commitUrl": f"{url}/commit/{made}"}
        return 200, result | ({"pullRequestUrl": f"{url}/discussions/{number}"} if pull else {}), {}

    def refer(self, name: str, kind: str, ref: str) -> Any:
        repo, asked = self.repo(name, write=True), json.loads(self.body or b"{}")
        start = ref if kind == "tag" else asked.get("startingPoint", "main")
        new = asked["tag"] if kind == "tag" else ref
        if new in repo.refs:
            raise Answer(409)
        repo.refs[new] = repo.resolve(start) or ""
        return 200, {}, {}

    def batch(self, name: str) -> Any:
        result = []
        for wanted in json.loads(self.body)["objects"]:
            at = {"upload": {"href": f"{self.hub.endpoint}/lfs/{wanted['oid']}"}}
            known = wanted["oid"] in self.hub.lfs
            result.append({**wanted, "authenticated": True} | ({} if known else {"actions": at}))
        return 200, {"transfer": "basic", "objects": result}, {}

    def put(self, oid: str) -> Any:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Answer(400)
        self.hub.lfs[oid] = self.body
        return 200, {}, {}

    def file(self, name: str, revision: str, path: str) -> Any:
        repo, commit = self.at(name, revision)
        content = repo.commits[commit].get(path)
        if content is None:
            raise Answer(404, "EntryNotFound", **{"X-Repo-Commit": commit})
        etag = hashlib.sha256(content).hexdigest() if self.hub.is_large(path) else git_hash(content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, part = int(asked[1]), content[int(asked[1]) : int(asked[2] or len(content)) + 1]
            headers["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
            return 206, part, headers
        return 200, content, headers


DATASET = r"/api/(datasets/[\w.-]+/[\w.-]+)"
MODEL, SPACE = r"/api/models/([\w.-]+/[\w.-]+)", r"/api/(spaces/[\w.-]+/[\w.-]+)"
ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", lambda _: (200, {"errors": [], "warnings": []}, {})),
    ("GET", "/api/models", Handler.models),
    ("GET", MODEL, Handler.info),
    ("GET", MODEL + "/revision/(.+)", Handler.info),
    ("POST", MODEL + "/preupload/(.+)", Handler.preupload),
    ("POST", MODEL + "/commit/(.+)", Handler.commit),
    ("POST", MODEL + "/(branch|tag)/(.+)", Handler.refer),
    ("GET", SPACE + "(?:/revision/(?:.+))?", Handler.info),
    ("POST", SPACE + "/preupload/(.+)", Handler.preupload),
    ("POST", SPACE + "/commit/(.+)", Handler.commit),
    ("POST", r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", "/lfs/([0-9a-f]{64})", Handler.put),
    ("GET", DATASET, Handler.info),
    ("GET", DATASET + "/revision/(.+)", Handler.info),
    ("GET", DATASET + "/tree/([^/]+)", Handler.tree),
    ("GET", DATASET + "/tree/([^/]+)/(.+)", Handler.tree),
    ("POST", DATASET + "/paths-info/([^/]+)", Handler.paths_info),
    *(
        (method, r"/((?:datasets/)?[\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", Handler.file)
        for method in ("HEAD", "GET")
    ),
]
