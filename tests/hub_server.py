"""A server on this machine that speaks the part of the Hugging Face Hub's protocol that is used, and its faults."""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading


class Hub:
    """The content of a server: files by repository and commit.

    ``fault``, if set, names what is wrong with each answer to a path that has ``fault_path``: a status, or how the
    content of a file is sent.
    """

    def __init__(self):
        self.commits = {}
        self.branches = {}
        self.private = {}
        self.stored = {}
        self.requests = []
        self.tokens = set()
        self.fault, self.fault_path = None, ""
        self.lfs = ()
        self.secret = None

    def commit(self, repository, branch, files):
        number = sum(len(each) for each in self.commits.values())
        oid = hashlib.sha1(f"{repository} {number}".encode()).hexdigest()
        old = self.commits[repository].get(self.branches[repository].get(branch), {})
        self.commits[repository][oid] = {**old, **files}
        self.branches[repository][branch] = oid
        return oid

    def put(self, repository, files, branch="main"):
        """Store files without a client, as a stranger may have."""
        self.commits.setdefault(repository, {})
        self.branches.setdefault(repository, {})
        return self.commit(repository, branch, files)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self):
        return self.server.hub

    def log_message(self, *_):
        pass

    def answer(self, content, status=200, headers=()):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code="", message=""):
        self.answer({"error": message or code}, status, {"X-Error-Code": code} if code else {})

    def handle_request(self):
        path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append((self.command, path))
        self.hub.tokens.add(self.headers.get("Authorization"))
        fault = self.hub.fault if self.hub.fault_path in path else None
        if isinstance(fault, int):
            return self.refuse(fault)
        if self.hub.secret and self.headers.get("Authorization") != f"Bearer {self.hub.secret}":
            return self.refuse(401, "RepoNotFound", "Invalid username or password.")
        for pattern, method in ROUTES:
            found = re.fullmatch(pattern, path)
            if found:
                return getattr(self, method)(body, *found.groups())
        return self.refuse(404)

    def do_GET(self):
        with contextlib.suppress(ConnectionError):
            self.handle_request()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    # ---- what is written ----

    def create(self, body):
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        url = {"url": f"{self.server.url}/{name}"}
        if name in self.hub.commits:
            return self.answer({**url, "error": "You already created this model repo"}, 409)
        self.hub.commits[name], self.hub.branches[name] = {}, {}
        self.hub.private[name] = asked.get("private") or asked.get("visibility") == "private"
        self.hub.commit(name, "main", {".gitattributes": b""})
        return self.answer(url)

    def validate(self, body):
        self.answer({"errors": [], "warnings": []})

    def branch(self, body, repository, branch):
        if branch in self.hub.branches[repository]:
            return self.refuse(409)
        self.hub.branches[repository][branch] = self.hub.branches[repository]["main"]
        return self.answer({})

    def preupload(self, body, repository, branch):
        files = [
            {"path": f["path"], "uploadMode": "lfs" if f["path"] in self.hub.lfs else "regular", "shouldIgnore": False}
            for f in json.loads(body)["files"]
        ]
        self.answer({"files": files})

    def batch(self, body, repository):
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.server.url}/upload/{each['oid']}"}}}
            for each in json.loads(body)["objects"]
        ]
        self.answer({"transfer": "basic", "objects": objects}, 200, {"Content-Type": "application/vnd.git-lfs+json"})

    def upload(self, body, oid):
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.stored[oid] = body
        self.answer(b"")

    def commit(self, body, repository, branch):
        files = {}
        for line in body.decode().splitlines():
            part = json.loads(line)
            value = part["value"]
            if part["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif part["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
        if branch not in self.hub.branches[repository]:
            return self.refuse(404, "RevisionNotFound")
        oid = self.hub.commit(repository, branch, files)
        return self.answer({"commitUrl": f"{self.server.url}/{repository}/commit/{oid}", "commitOid": oid})

    # ---- what is read ----

    def resolve(self, body, repository, revision, name):
        commits = self.hub.commits.get(repository)
        if commits is None:
            return self.refuse(401, "RepoNotFound")
        oid = self.hub.branches[repository].get(revision, revision)
        if oid not in commits:
            return self.refuse(404, "RevisionNotFound")
        if name not in commits[oid]:
            return self.answer(b"", 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": oid})
        content = commits[oid][name]
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": oid}
        fault = self.hub.fault if self.hub.fault_path in self.path else None
        if fault == "no commit":
            return self.answer(content, 200, {"ETag": headers["ETag"]})
        if fault == "no etag":
            return self.answer(content, 200, {"X-Repo-Commit": oid})
        if fault == "cut":
            self.close_connection = True
            start = content[: len(content) // 2]
            return self.answer(
                content if self.command == "HEAD" else start, 200, {**headers, "Content-Length": len(content)}
            )
        if fault == "another length":
            claimed = len(content) + (10 if self.command == "HEAD" else 0)
            return self.answer(content, 200, {**headers, "Content-Length": claimed})
        if fault == "another content" and self.command == "GET":
            return self.answer(bytes(len(content)), 200, headers)
        if fault == "huge":
            return self.answer(b"", 200, {**headers, "Content-Length": 10**13}) if self.command == "HEAD" else None
        return self.answer(content, 200, headers)


REPOSITORY = "([^/]+/[^/]+)"
ROUTES = (
    ("/api/repos/create", "create"),
    ("/api/validate-yaml", "validate"),
    (f"/api/models/{REPOSITORY}/branch/(.+)", "branch"),
    (f"/api/models/{REPOSITORY}/preupload/(.+)", "preupload"),
    (f"/api/models/{REPOSITORY}/commit/(.+)", "commit"),
    (f"/{REPOSITORY}.git/info/lfs/objects/batch", "batch"),
    ("/upload/(.+)", "upload"),
    (f"/{REPOSITORY}/resolve/([^/]+)/(.+)", "resolve"),
)


@contextlib.contextmanager
def running_hub():
    """Run a server with an empty hub; yield the hub, whose ``url`` is its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.hub = True, Hub()
        server.url = server.hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.hub
        server.shutdown()
