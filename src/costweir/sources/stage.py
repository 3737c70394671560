"""Turns bill files into Parquet that the warehouse can load, in a child process whose memory does not grow
with them.

Law L7: rows in = stored + skipped + quarantined. Nothing is half loaded: a slot is staged with all its files
or not.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import costweir.errors as errors
from costweir.errors import Error, UsageError
from costweir.sources.staging.result import Progress, Rejected, Staged, StagedSlot, StageOptions

__all__ = ["Progress", "Rejected", "StageOptions", "Staged", "StagedSlot", "stage"]

#: A staging folder that nobody has touched for this long belongs to a run that was killed.
_STALE_SECONDS = 24 * 3600
_PREFIX = "stage-"


def stage(
    paths: Sequence[str],
    *,
    into: Path,
    options: StageOptions,
    progress: Callable[[Progress], None] | None = None,
) -> Staged:
    """Reads bill files, folders, globs and URLs and writes one set of Parquet files a slot below `into`.

    The result's `directory` is the caller's to remove once the slots are loaded; a run that fails removes
    its own. Raises SourceRejected when no file could be read, UsageError and ConfigError for wrong paths and
    settings, and Error when the disk is full, the memory limit is too low or the child was killed.
    """
    if not paths:
        raise UsageError("No file was given.", hint="Give files, folders, globs or URLs.")
    into.mkdir(parents=True, exist_ok=True)
    _sweep(into)
    folder = into / f"{_PREFIX}{os.getpid()}-{time.time_ns():x}"
    folder.mkdir()
    job = {"paths": list(paths), "into": str(folder), "options": options.to_json()}
    try:
        return Staged.from_json(_run(job, progress))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _run(job: Mapping[str, object], progress: Callable[[Progress], None] | None) -> Mapping[str, Any]:
    # A file for stderr: a pipe that nobody empties would stop the child.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
        command = [sys.executable, "-m", "costweir.sources.stage"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, encoding="utf-8"
        ) as child:
            try:
                staged = _conversation(child, job, progress)
            except BaseException:
                child.kill()
                raise
        if staged is not None:
            return staged
        stderr.seek(0)
        complaint = stderr.read().strip().splitlines()
    said = complaint[-1] if complaint else f"exit status {child.returncode}"
    raise Error(
        "The reader process ended before it was done; nothing was loaded.",
        hint=f"Run it again; if it was killed for want of memory, give it more. Its last words: {said}",
    )


def _conversation(
    child: subprocess.Popen[str], job: Mapping[str, object], progress: Callable[[Progress], None] | None
) -> Mapping[str, Any] | None:
    """Hands over the job and listens to the end; None when the child ends without a result."""
    stdin, stdout = (cast("IO[str]", stream) for stream in (child.stdin, child.stdout))
    with contextlib.suppress(BrokenPipeError):
        stdin.write(json.dumps(job))
        stdin.close()
    for line in stdout:
        if not line.endswith("\n"):
            break
        event: dict[str, Any] = json.loads(line)
        kind = event.pop("event")
        if kind == "progress" and progress is not None:
            progress(Progress(**event))
        elif kind == "result":
            return event["staged"]
        elif kind == "error":
            raise _error(event)
    return None


def _error(event: Mapping[str, str]) -> Error:
    kind: object = getattr(errors, event["type"], Error)
    known = kind if isinstance(kind, type) and issubclass(kind, Error) else Error
    return known(event["message"], hint=event["hint"])


def _sweep(into: Path) -> None:
    """Removes what killed runs left: folders whose process is gone, or that are old."""
    for folder in into.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).split("-")[0]
        with contextlib.suppress(OSError):
            old = time.time() - folder.stat().st_mtime > _STALE_SECONDS
            if old or (pid.isdigit() and not _alive(int(pid))):
                shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _main() -> int:
    """The child: one JSON job on stdin, one JSON event a line on stdout."""
    from costweir.sources.classify import Classifier
    from costweir.sources.staging.child import Job

    job = json.load(sys.stdin)
    options = StageOptions.from_json(job["options"])

    def say(event: Mapping[str, object]) -> None:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()

    try:
        classifier = Classifier.load(options.mapping_overrides, own=options.own_mappings)
        run = Job(
            Path(job["into"]),
            options,
            classifier,
            classifier.rules_hash,
            lambda step: say({"event": "progress", **step.to_json()}),
        )
        staged = run.run(job["paths"])
    except Error as error:
        say({"event": "error", "type": type(error).__name__, "message": error.message, "hint": error.hint})
        return error.exit_code
    say({"event": "result", "staged": staged.to_json()})
    return 0


if __name__ == "__main__":
    code = _main()
    sys.stdout.flush()
    # All there is to leave lies on the disk, and the system takes memory back faster than the interpreter.
    os._exit(code)
