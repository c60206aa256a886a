"""One writer in a process of its own: it is killed at many moments, and meets full disks.

A writer computes, and then it writes. At its first step on the disk the process divides itself:
each copy gets a copy of the folder, goes on with the same work, and is killed at another moment,
or has less room. So what a writer computes beforehand is computed once. What becomes of each copy
is written to `seen.json`.

Four kinds of kills: by SIGKILL before a step that the disk sees (opened to write, renamed,
deleted), at a moment of the clock, and at a call of any function, which is sure to be in time;
and by SIGXFSZ at a byte of a file, where a copy may not write further.
"""

import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from functools import partial
from pathlib import Path

import writers

from tlcourse.errors import CourseError

KILLS, STEPS, BYTES = 20, 10, 3  # by SIGKILL, those at steps among them at most, and by SIGXFSZ
MOMENTS = 5  # of the clock: a copy may have ended before
TRIES = 60  # no more copies than these are killed
ROOMS = 2  # sizes of a full disk
SAID, BROKEN = 3, 4  # exit statuses: one sentence, and any other error
_on_step = None
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
_asked = Path("asked").absolute()  # a file that is there if anybody asked for the network
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link")


def _watch(event, arguments):
    if event in _NETWORK:
        with _asked.open("a") as file:
            file.write(f"{event} {arguments[1:]}\n")
    if _on_step is None:
        return
    if event == "open":
        path, _, flags = arguments
        changes = isinstance(path, str | bytes) and flags & (os.O_WRONLY | os.O_RDWR)
    elif event == "ctypes.dlsym":
        path, changes = ".", arguments[1] == "renameat2"
    else:
        changes = event in _CHANGES
        path = "." if changes and -1 not in arguments[1:] else arguments[0] if changes else ""
    if changes and (Path.cwd() / os.fsdecode(path)).is_relative_to(Path.cwd()):
        _on_step()


class Copies:
    """What a writer does in each of many folders, once it has computed what it writes."""

    def __init__(self):
        self.mine = False  # whether this process is a copy
        self.counter = None  # of a copy that counts its steps or calls

    def divide(self, write, manage):
        """Call `write`; at its first step call `manage`, which makes copies with `go_on`."""
        global _on_step

        def first():
            global _on_step
            _on_step = None
            manage()
            if self.mine and _on_step is not None:
                _on_step()

        _on_step = first
        self._end_of(write)

    def go_on(self, folder, arm=lambda: None, *, after=None):
        """Let a copy go on in a folder; kill it after some seconds of its work.

        Return its exit status, and the seconds until the work was done; None if it never was.
        """
        begin, told = os.pipe(), os.pipe()
        pid = os.fork()
        if not pid:
            self.mine, self.told = True, told[1]
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            os.chdir(folder)
            arm()
            os.close(told[0])
            os.read(begin[0], 1)
            return None
        os.close(told[1])
        os.write(begin[1], b"x")
        started = time.monotonic()
        if after is not None:
            time.sleep(after)
            os.kill(pid, signal.SIGKILL)
        done = os.read(told[0], 1)
        seconds = time.monotonic() - started
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        for each in (*begin, told[0]):
            os.close(each)
        return status, seconds if done else None

    def _end_of(self, write):
        try:
            write()
        except BaseException as error:
            if not self.mine:
                raise
            _no_file_above(resource.RLIM_INFINITY)
            Path("..", Path.cwd().name + ".said").write_text(traceback.format_exc())
            self.end(SAID if isinstance(error, CourseError) else BROKEN)
        if self.mine:
            self.end(0)

    def end(self, status):
        sys.setprofile(None)
        if self.counter is not None:
            Path("..", "count").write_text(str(self.counter.count))
        os.write(self.told, b"x")
        os._exit(status)


class Counter:
    """Counts, and kills its process when it has counted so far."""

    def __init__(self, last=None):
        self.count, self.last = 0, last

    def __call__(self, *_):
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def at_steps(counter):
    global _on_step
    _on_step = counter


def at_calls(counter):
    sys.setprofile(counter)


def die_at_byte(byte):
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    _no_file_above(byte)


def _no_file_above(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def listed(folder):
    """Files below a folder, but for locks."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix() for path in paths}


_read = {}  # content of a folder -> what was read: equal files are read once


def read_in(folder, writer):
    before = Path.cwd()
    os.chdir(folder)
    try:
        paths = [path for path in Path().rglob("*") if path.is_file()]
        kept = [p for p in paths if ".part" not in str(p) and p.suffix != ".lock"]
        names = [re.sub(r"[0-9a-f]{12}", "", str(path)) for path in kept]
        digests = [hashlib.sha256(path.read_bytes()).digest() for path in kept]
        key = tuple(sorted(zip(names, digests, strict=True)))
        if key not in _read:
            _read[key] = writer.read()
        return _read[key]
    finally:
        os.chdir(before)


class Trial:
    """All that is done to one writer below a folder."""

    def __init__(self, name, place):
        self.place, self.random = place, random.Random(f"{name} 0")
        self.writer = writers.WRITERS[name](place)
        self.before, self.whole = place / "before", place / "whole"
        self.wrong, self.kills, self.full, self.made = [], [], [], 0
        self.expensive = name in writers.EXPENSIVE
        self.mounted = []

    def folder(self, name):
        shutil.copytree(self.before, self.place / name, symlinks=True)
        return self.place / name

    def run(self):
        self.before.mkdir()
        os.chdir(self.before)
        self.writer.first()
        self.old = self.writer.read()
        os.chdir(self.folder("parent"))
        copies = Copies()
        copies.divide(self.writer.write, lambda: self.manage(copies))
        self.new = read_in(self.whole, self.writer)
        if read_in(self.place / "parent", self.writer) != self.new or self.new == self.old:
            self.wrong.append("two runs differ, or nothing was written")
        for kill in self.kills:
            kill["found"] = self.judge(self.place / kill["name"], f"{kill}")
        for disk in self.full:
            self.judge_full(disk)
        self.again()
        os.chdir(self.place)
        if _asked.exists():
            self.wrong.append(f"the network was asked: {_asked.read_text()}")
        cost = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        about = {
            "cpu": sum(each.ru_utime + each.ru_stime for each in cost),
            "steps": self.steps,
            "calls": self.calls,
            "made": self.made,
            "seconds": self.seconds,
            "mounted": bool(self.mounted),
        }
        found = {"kills": self.kills, "full": self.full, "wrong": self.wrong}
        (self.place / "seen.json").write_text(json.dumps(about | found))

    def manage(self, copies):
        """Make all copies; in each of them return at once."""
        whole = self.count(copies, "whole", at_steps)
        counted = not copies.mine and self.count(copies, "counted", at_calls)
        if copies.mine:
            return
        (self.seconds, self.steps), (_, self.calls) = whole, counted
        sizes = [(self.whole / name).stat().st_size for name in listed(self.whole)]
        for how, at, arm, after in self.kinds(max(sizes)):
            if not self.kill(copies, how, at, arm, after):
                return
        for _ in range(ROOMS):
            room = self.random.randrange(max(sizes)) if self.full else 0
            folder, arm = self.small_disk(room), lambda: None
            if not folder:  # no file may be longer, which is nearly the same
                folder = self.folder(f"disk{len(self.full)}")
                arm = partial(_no_file_above, room)
            if not self.fill(copies, folder, arm):
                return

    def count(self, copies, name, arm):
        """Return the seconds, and the steps or calls, of a copy that is left alone."""
        counter = Counter()

        def begin():
            copies.counter = counter
            arm(counter)

        ended = copies.go_on(self.folder(name), begin)
        if ended is None:
            return None
        assert ended[0] == 0, (self.place / f"{name}.said").read_text()
        return ended[1], int((self.place / "count").read_text())

    def kinds(self, most):
        """How, where, and with what each copy is killed, until there are enough."""
        steps = range(1, self.steps + 1)
        for step in sorted(self.random.sample(steps, min(STEPS, self.steps))):
            yield "step", step, partial(at_steps, Counter(step)), None
        for _ in range(BYTES):
            byte = self.random.randrange(most)
            yield "byte", byte, partial(die_at_byte, byte), None
        for _ in range(MOMENTS):
            moment = self.random.random() * self.seconds
            yield "moment", moment, lambda: None, moment
        while self.n_killed() < KILLS and self.made < TRIES:
            call = self.random.randint(1, self.calls)
            yield "call", call, partial(at_calls, Counter(call)), None

    def n_killed(self):
        return sum(kill["status"] == -signal.SIGKILL for kill in self.kills)

    def kill(self, copies, how, at, arm, after):
        self.made += 1
        name = f"{how}{self.made}"
        ended = copies.go_on(self.folder(name), arm, after=after)
        if ended and ended[1] is None:  # the work was not done
            self.kills.append({"name": name, "how": how, "at": at, "status": ended[0]})
        return ended

    def fill(self, copies, folder, arm=lambda: None):
        names = listed(folder)
        ended = copies.go_on(folder, arm)
        if ended:
            said = self.place / f"{folder.name}.said"
            text = said.read_text() if ended[0] else ""
            self.full.append({"name": folder.name, "status": ended[0], "said": text})
            self.full[-1]["left"] = sorted(listed(folder) - names)
        return ended

    def small_disk(self, room):
        """Mount a disk that has so many bytes left; None where nothing may be mounted."""
        folder = self.place / f"disk{len(self.full)}"
        folder.mkdir()
        tmpfs = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
        if not shutil.which("mount") or subprocess.run(tmpfs, capture_output=True).returncode:
            return None
        self.mounted.append(folder)
        shutil.copytree(self.before, folder, dirs_exist_ok=True)
        free = os.statvfs(folder)
        with (folder / ".filler").open("wb") as file:
            file.write(bytes(max(0, free.f_bavail * free.f_frsize - room)))
        return folder

    def judge(self, folder, what):
        """What was finished before is there, and all that is there is whole."""
        try:
            found = read_in(folder, self.writer)
        except Exception:
            self.wrong.append(f"{what}: {traceback.format_exc()}")
            return "broken"
        for key, value in found.items():
            if value not in (self.old.get(key), self.new.get(key)):
                self.wrong.append(f"{what}: {key} is neither the old nor the new one")
        if lost := set(self.old) - set(found):
            self.wrong.append(f"{what}: lost {lost}")
        if set(found) - set(self.new):
            self.wrong.append(f"{what}: {set(found) - set(self.new)} is nothing that was written")
        return "old" if found == self.old else "new" if found == self.new else "some"

    def judge_full(self, disk):
        disk["found"] = self.judge(self.place / disk["name"], f"{disk}")
        left = [name for name in disk["left"] if not self.writer.may_stay(name)]
        if disk["status"] and left:
            self.wrong.append(f"left behind: {left} by {disk}")
        if disk["status"] not in (0, SAID):
            self.wrong.append(f"no sentence: {disk}")

    def again(self):
        """Where one was killed, or had no room, the next one succeeds."""
        some = self.random.sample(self.kills, 1 if self.expensive else 6)
        for name in (each["name"] for each in (*some, self.full[-1])):
            (self.place / name / ".filler").unlink(missing_ok=True)
            os.chdir(self.place / name)
            try:
                self.writer.write()
                if read_in(Path.cwd(), self.writer) != self.new:
                    self.wrong.append(f"{name}: the next one wrote something else")
            except Exception:
                self.wrong.append(f"{name}: the next one failed: {traceback.format_exc()}")


if __name__ == "__main__":
    sys.addaudithook(_watch)
    trial = Trial(sys.argv[1], Path(sys.argv[2]))
    try:
        trial.run()
    finally:  # a copy ends without coming here
        for folder in trial.mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)
