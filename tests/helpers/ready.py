"""Programs that begin at once: a Python that has imported what is slow divides itself for each.

Importing PyTorch and Ray takes ten seconds of a slow core, and a test of killed programs starts
many. Each is still a process of its own, with a group of its own, that can be killed.
"""

import importlib
import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path


class Ready:
    """Start programs; its `with` block keeps the Python that they are divided from."""

    def __init__(self, *modules, environment):
        self._python = subprocess.Popen(
            [sys.executable, __file__, *modules],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._python.kill()  # an orderly end takes seconds
        self._python.communicate()

    def start(self, *command, log, cwd, environment=None):
        """Do what `python COMMAND` does; what it prints goes to the file `log`."""
        Path(log).write_bytes(b"")
        order = {
            "command": [str(part) for part in command],
            "log": str(log),
            "cwd": str(cwd),
            "environment": environment or {},
        }
        return Program(self, self.ask(order), log)

    def ask(self, order):
        self._python.stdin.write(json.dumps(order) + "\n")
        self._python.stdin.flush()
        return json.loads(self._python.stdout.readline())


class Program:
    """One that was started; `pid` is also its group's."""

    def __init__(self, ready, pid, log):
        self._ready, self.pid, self._log = ready, pid, Path(log)
        self.status = None

    @property
    def said(self):
        """What it has printed so far."""
        return self._log.read_text("utf-8")

    def running(self):
        """Whether it has not ended; once it has, `status` is what it ended with."""
        if self.status is None:
            self.status = self._ready.ask({"ended": self.pid})
        return self.status is None

    def wait(self, seconds):
        """Return its exit status; that of a killed one is negative."""
        until = time.monotonic() + seconds
        while self.running():
            assert time.monotonic() < until, f"it goes on: {self.said}"
            time.sleep(0.1)
        return self.status


def _serve():
    for line in sys.stdin:
        order = json.loads(line)
        if pid := order.get("ended"):
            found, status = os.waitpid(pid, os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if found else None
        else:
            answer = os.fork()
            if answer == 0:
                return order
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return None


def _become(command, log, cwd, environment):
    os.setsid()
    os.chdir(cwd)
    os.environ.update(environment)
    with Path(log).open("ab") as file, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if command[0] == "-m":
        _, module, *arguments = command
        sys.path[0] = cwd
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.argv = command
        sys.path[0] = str(Path(command[0]).parent)
        runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        importlib.import_module(name)
    if order := _serve():
        _become(**order)
