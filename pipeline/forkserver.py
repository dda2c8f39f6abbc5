"""Child processes forked from a server that has imported everything and run nothing: one more costs milliseconds.

Forking the caller instead would copy the locks of its threads, its open files and its secrets. `multiprocessing` has a
fork server too, but that one serves no daemons, runs the caller's `__main__` again, and outlives a killed caller.

The caller holds one end of a socket to the server, and one of a leash to each child. When a leash ends, the server
kills its child and tells how that ended; when the caller ends, in whatever way, the server kills all and ends too.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

Work = Callable[[socket.socket, Path], object]
"""What a child does, given the socket to the caller and a folder for what it must write; afterwards both are gone."""

_PATIENCE_SECONDS = 30
"""For a killed process to be gone: longer only where the kernel waits for a disk or a network."""

# A library's threads do not live through a fork: none may be started before it. mimalloc would take 1 GB in advance.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MIMALLOC_ARENA_EAGER_COMMIT": "0"}
_INHERITED = ("PATH", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "TMPDIR", "TZ")
"""All that a child may see of the environment (and `LC_*`): the key of the pseudonyms is in it, too."""


@dataclass(frozen=True)
class Ending:
    """How a child ended: its exit code, negative for a signal, and the most memory that it held."""

    code: int
    peak_mb: int


class Child:
    """A forked child; `data` leads to it and back. Leaving the context kills it, if it still runs."""

    def __init__(self, data: socket.socket, leash: socket.socket) -> None:
        self.data = data
        self._leash = leash

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self.data.close()
        self._leash.close()

    def end(self) -> Ending | None:
        """Kill it, if it still runs, and return when it is gone; None when the server is gone, too, or told before."""
        self._leash.settimeout(_PATIENCE_SECONDS)
        with contextlib.suppress(OSError):  # the server is gone, and with it the child
            self._leash.shutdown(socket.SHUT_WR)
            told = self._leash.recv(1 << 10)
            return Ending(**json.loads(told)) if told else None
        return None


class ForkServer:
    """Starts the server when its first child is asked for, once a process, and again if it is gone.

    `module` is what the server imports; its function `serve` gets the number of the socket to listen on.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._started: _Server | None = None
        os.register_at_fork(after_in_child=self._leave_to_parent)
        atexit.register(self.close)

    def fork(self) -> Child:
        """A new child."""
        data, their_data = socket.socketpair()
        leash, their_leash = socket.socketpair()
        with their_data, their_leash, self._lock:
            self._ask([their_data.fileno(), their_leash.fileno()])
        return Child(data, leash)

    def close(self) -> None:
        """End the server and all of its children."""
        with self._lock:
            if self._started is not None:
                self._started.control.close()
                self._started.process.wait()
            self._started = None

    def _ask(self, descriptors: list[int]) -> None:
        if self._started is not None:
            with contextlib.suppress(OSError):
                socket.send_fds(self._started.control, [b"+"], descriptors)
                return
            self._started.control.close()  # it is gone: killed, perhaps, by a system short of memory
            self._started.process.wait()
        self._started = _start(self._module)
        socket.send_fds(self._started.control, [b"+"], descriptors)

    def _leave_to_parent(self) -> None:
        """In a fork of the caller: the server ends with the caller, whoever else is still there."""
        self._lock = threading.Lock()
        if self._started is not None:
            self._started.control.close()
            self._started.process.returncode = 0  # not ours to wait for
            self._started = None


@dataclass(frozen=True)
class _Server:
    control: socket.socket
    process: subprocess.Popen[bytes]


def _start(module: str) -> _Server:
    path = json.dumps([entry or str(Path.cwd()) for entry in sys.path])
    code = (
        "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]);"
        "importlib.import_module(sys.argv[2]).serve(int(sys.argv[3]))"
    )
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", code, path, module, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=_environment(),
            start_new_session=True,  # what is typed at the caller's terminal is the caller's to handle
        )
    return _Server(ours, process)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith("LC_")}
    return {**kept, **_ENVIRONMENT}


# ---------------------------------------------------------------- in the server itself


@dataclass(frozen=True)
class _Running:
    pid: int
    leash: socket.socket
    scratch: str

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)  # it is there, even if it has ended: nobody has waited for it yet
        _, status, usage = os.wait4(self.pid, 0)
        shutil.rmtree(self.scratch, ignore_errors=True)
        ending = {"code": os.waitstatus_to_exitcode(status), "peak_mb": usage.ru_maxrss >> 10}
        with self.leash, contextlib.suppress(OSError):  # the caller may be gone
            self.leash.sendall(json.dumps(ending).encode())


def serve(control: int, work: Work) -> NoReturn:
    """Fork a child to do `work` whenever the caller asks for one, until the caller ends; does not return."""
    gc.freeze()
    running: dict[int, _Running] = {}
    with socket.socket(fileno=control) as caller:
        try:
            _serve(caller, work, running)
        finally:
            for child in running.values():
                child.end()
    os._exit(0)  # nothing was run that would want to end in order


def _serve(caller: socket.socket, work: Work, running: dict[int, _Running]) -> None:
    poll = select.poll()
    poll.register(caller, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in running:
                poll.unregister(descriptor)
                running.pop(descriptor).end()
                continue
            begun = _begun(caller, work, running.values())
            if begun is None:
                return
            running[begun.leash.fileno()] = begun
            poll.register(begun.leash, select.POLLIN)


def _begun(caller: socket.socket, work: Work, others: Iterable[_Running]) -> _Running | None:
    """The child that was asked for; None when the caller is gone."""
    asked, descriptors, _, _ = socket.recv_fds(caller, 1, 2)
    if not asked:
        return None
    data, leash = (socket.socket(fileno=descriptor) for descriptor in descriptors)
    scratch = tempfile.mkdtemp(prefix="shortlist-")
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        for inherited in (caller, leash, *(other.leash for other in others)):
            inherited.close()
        _do(work, data, scratch, server)
    data.close()
    return _Running(pid, leash, scratch)


def _do(work: Work, data: socket.socket, scratch: str, server: int) -> None:
    """Be the child."""
    code = 1
    try:
        _bind_to(server)
        work(data, Path(scratch))
        code = 0
    except BaseException:  # noqa: BLE001 - a child must end here, and never go on as if it were the server
        traceback.print_exc()
    finally:
        os._exit(code)


def _bind_to(server: int) -> None:
    """Die with the server, and leave no dump of the memory: native ids are in it."""
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        die_with_parent, dumpable = 1, 4  # PR_SET_PDEATHSIG, PR_SET_DUMPABLE of <sys/prctl.h>
        prctl(die_with_parent, signal.SIGKILL)
        prctl(dumpable, 0)
    if os.getppid() != server:  # it was gone before
        os._exit(1)
