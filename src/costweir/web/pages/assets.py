"""Static files under the hash of their content, so that a browser may keep them for ever and never sees a
stale one."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

_FOLDER = Path(__file__).parent.parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    digest: str
    plain: bytes
    packed: bytes


@dataclass(slots=True)
class Assets:
    """The files of one folder. `vega.js` is generated at build time; without it pages show their tables."""

    folder: Path = _FOLDER
    _files: dict[str, _File] = field(default_factory=dict[str, _File])

    def url(self, name: str) -> str:
        """`/static/<hash>/<name>`, or nothing when the file was not built."""
        found = self._file(name)
        return f"/static/{found.digest}/{name}" if found else ""

    def _file(self, name: str) -> _File | None:
        if name not in self._files:
            path = self.folder / name
            if path.parent != self.folder or path.suffix not in _TYPES or not path.is_file():
                return None
            plain = path.read_bytes()
            digest = hashlib.sha256(plain).hexdigest()[:16]
            self._files[name] = _File(name, digest, plain, gzip.compress(plain, 6, mtime=0))
        return self._files[name]

    def serve(self, request: Request) -> Response:
        """The file, packed where the browser takes it; 404 for another name or another hash."""
        found = self._file(request.path_params["name"])
        if found is None or found.digest != request.path_params["digest"]:
            return PlainTextResponse("There is no such file in this version.\n", 404)
        headers = {
            "Cache-Control": _FOREVER,
            "Content-Type": _TYPES[Path(found.name).suffix],
            "Vary": "Accept-Encoding",
        }
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(found.packed, headers={**headers, "Content-Encoding": "gzip"})
        return Response(found.plain, headers=headers)
