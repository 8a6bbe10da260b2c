"""One side of a measured call: a process in one of the lab's namespaces. Twocan and Chromium are asked the same questions.

`code` and `paste` join two sides; `mark` is what the side knows now; `shown` is a line for each picture that was
shown: when, the clock and the number in it, and for some the place of the whole picture in the file of samples.
"""
import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TICK = os.sysconf("SC_CLK_TCK")
CONNECT_S = 40


# A session of its own with a larger share of a busy machine, as far as that is allowed.
PREFERRED = ["sh", "-c", 'echo -10 2>/dev/null >/proc/self/autogroup; exec nice -n -10 "$@"', "_"]


class Process:
    """A child whose stdout is read line by line, with the time of each line."""

    def __init__(self, command, log, env=None):
        self.log = open(log, "wb")
        self.child = subprocess.Popen(
            [*PREFERRED, *map(str, command)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        self.lines = queue.Queue()
        threading.Thread(target=self.collect, daemon=True).start()

    def collect(self):
        for line in self.child.stdout:
            self.lines.put((time.time(), line.decode(errors="replace").rstrip()))
        self.lines.put((time.time(), None))

    def line(self, seconds=CONNECT_S):
        at, line = self.lines.get(timeout=seconds)
        if line is None:
            raise RuntimeError(f"{self.log.name}: the program has ended")
        return at, line

    def write(self, line):
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()

    def end(self, seconds=5):
        try:
            self.child.stdin.close()
        except OSError:
            pass
        for stop in (None, self.child.terminate, self.child.kill):
            if stop:
                stop()
            try:
                self.child.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        self.log.close()


class Side:
    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.stats = []
        self.helpers = []

    def log(self):
        return self.folder / f"{self.name}.shown"

    def samples(self):
        return self.folder / f"{self.name}.samples"

    def shown(self):
        if not self.log().exists():
            return []
        return [json.loads(line) for line in self.log().read_text().splitlines()]

    def keep_stats(self):
        (self.folder / f"{self.name}.stats").write_text("".join(json.dumps(s) + "\n" for s in self.stats))

    def end(self):
        for process in [self.process, *self.helpers]:
            process.end()
        self.keep_stats()


class Twocan(Side):
    """`twocan call` or `twocan answer` in the terminal: the film comes through a pipe, the shown pictures leave by one."""

    program = None

    def __init__(self, lab, name, where, role, folder, film, wav, wish):
        super().__init__(name, folder)
        self.role = role
        command = [self.program, role, "--no-stun", "--stats", "-", "--microphone", wav]
        command += ["--speaker", folder / f"{name}.wav", "--max-bitrate", f"{wish['kbps']}k"]
        if not wish["video"]:
            command += ["--camera", "none"]
        elif wish["camera"]:
            command += ["--camera", film]
        else:
            pipe = folder / f"{name}.camera.y4m"
            os.mkfifo(pipe)
            self.helpers.append(Process([sys.executable, HERE / "film.py", "feed", film, pipe], folder / f"{name}.feed.log"))
            command += ["--camera", pipe]
        if wish["watch"]:
            pipe = folder / f"{name}.screen.y4m"
            os.mkfifo(pipe)
            reader = [sys.executable, HERE / "film.py", "read", pipe, self.log(), self.samples()]
            self.helpers.append(Process(reader, folder / f"{name}.read.log"))
            command += ["--video-out", pipe]
        env = {"TWOCAN_CONFIG": str(folder / f"{name}.json")}
        if wish.get("log"):
            command += ["--log", wish["log"]]
        self.process = Process(lab.inside(where, command), folder / f"{name}.log", env)
        self.listening = threading.Thread(target=self.listen, daemon=True)

    def code(self, invite=None):
        if invite:
            self.process.write(invite)
        code = self.process.line()[1]
        self.listening.start()
        return code

    def paste(self, reply):
        self.process.write(reply)

    def listen(self):
        while True:
            try:
                at, line = self.process.line(None)
                read = json.loads(line)
            except (RuntimeError, ValueError):
                return
            if read.get("peers"):
                self.stats.append({"at": at * 1000, "state": read["state"], "process": read["process"], **read["peers"][0]})

    def mark(self):
        pid = self.process.child.pid
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        pss = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        return {
            "at": time.time(),
            "cpu": {"twocan": (int(fields[11]) + int(fields[12])) / TICK},
            "pss_mib": pss / 1024,
            "stats": self.stats[-1] if self.stats else None,
        }

    def report(self):
        return {}

    @classmethod
    def version(cls):
        done = subprocess.run([cls.program, "--version"], capture_output=True, text=True)
        git = lambda *words: subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        # What this run writes itself is no change of the program.
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "Cargo.toml", "Cargo.lock")
        return f"{done.stdout.strip()} ({git('rev-parse', '--short', 'HEAD')}{', changed' if changed else ''})"


class Chromium(Side):
    """Chromium without a window (chromium.mjs)."""

    def __init__(self, lab, name, where, role, folder, film, wav, wish):
        super().__init__(name, folder)
        command = ["node", HERE / "chromium.mjs", "offer" if role == "call" else "answer", "--film", film]
        command += ["--wav", wav, "--kbps", wish["kbps"], "--codec", wish["codec"]]
        command += ["--camera"] if wish["camera"] else []
        command += [] if wish["video"] else ["--no-video"]
        command += ["--log", self.log(), "--samples", self.samples()] if wish["watch"] else ["--no-watch"]
        self.process = Process(lab.inside(where, command), folder / f"{name}.log")
        self.answers = queue.Queue()
        self.listening = threading.Thread(target=self.listen, daemon=True)

    def code(self, invite=None):
        if invite:
            self.process.write(json.dumps(without_loopback(invite)))
        code = json.loads(self.process.line()[1])["code"]
        self.listening.start()
        return code

    def paste(self, reply):
        self.process.write(json.dumps(without_loopback(reply)))

    def listen(self):
        while True:
            try:
                _, line = self.process.line(None)
            except RuntimeError:
                self.answers.put(None)
                return
            read = json.loads(line)
            if "stats" in read:
                self.stats.append(read["stats"])
            else:
                self.answers.put(read)

    def ask(self, word, seconds):
        self.process.write(word)
        answer = self.answers.get(timeout=seconds)
        if answer is None:
            raise RuntimeError(f"{self.name}: Chromium has ended")
        return answer[word]

    def mark(self):
        mark = self.ask("mark", 20)
        return {"at": mark["at"] / 1000, "cpu": mark["cpu"], "pss_mib": mark["pssMiB"], "stats": mark["stats"]}

    def report(self):
        return self.ask("report", 120)

    @classmethod
    def version(cls):
        done = subprocess.run([os.environ.get("CHROMIUM", "/usr/bin/chromium"), "--version"], capture_output=True, text=True)
        return " ".join(done.stdout.split()[:2])


def without_loopback(description):
    """Chromium's fake devices come with loopback candidates, which mean another namespace's loopback to the other."""
    lines = description["sdp"].split("\r\n")
    kept = [line for line in lines if not (line.startswith("a=candidate:") and line.split()[4] in ("127.0.0.1", "::1"))]
    return {"type": description["type"], "sdp": "\r\n".join(kept)}


def connect(caller, callee):
    """Both sides exchange codes and are in the call when this returns."""
    reply = callee.code(caller.code())
    caller.paste(reply)
    deadline = time.time() + CONNECT_S
    while time.time() < deadline:
        if all(side.stats and side.stats[-1]["state"] == "connected" for side in (caller, callee)):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{caller.name} and {callee.name} did not connect")
