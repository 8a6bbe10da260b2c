"""The link between the two sides: ../shared/tools/net/pair.sh puts them into network namespaces joined by netpair.

netpair's trace says of every packet when it came, how large it was, whether it got through, and how long it took:
throughput and queueing delay come from it, the same way for every program.
"""
import bisect
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
NET = pathlib.Path(os.environ.get("TWOCAN_NET", ROOT / "../shared/tools/net")).resolve()


class Lab:
    """`with Lab(...)`: two namespaces, a and b."""

    def __init__(self, folder, settings, seed=7):
        self.name = os.environ.get("LAB", "bench")
        self.trace_path = folder / "trace.csv"
        self.settings, self.seed = settings, seed
        self.events = []

    def pair(self, *words):
        environment = {**os.environ, "LAB": self.name, "SEED": str(self.seed)}
        done = subprocess.run([NET / "pair.sh", *words], env=environment, capture_output=True, text=True)
        if done.returncode or "error" in done.stdout[:6]:
            sys.exit(f"pair.sh {' '.join(map(str, words))}: {done.stdout} {done.stderr}")
        return done.stdout

    def __enter__(self):
        commands = [word for setting in self.settings for word in ("-e", f"set {setting}")]
        self.pair("up", *commands, "--trace", str(self.trace_path))
        before = time.time()
        uptime = json.loads(self.pair("stats"))["uptime_s"]
        # Wall clock of netpair's zero; the question takes a few milliseconds.
        self.zero = (before + time.time()) / 2 - uptime
        return self

    def __exit__(self, *_):
        self.pair("down")

    def set(self, pipe, *settings):
        self.events.append((time.time(), f"{pipe} {' '.join(settings)}"))
        self.pair("set", pipe, *settings)
        return self.events[-1][0]

    def inside(self, side, command):
        """The command line that runs in that side's namespace."""
        return ["ip", "netns", "exec", f"{self.name}-{side}", *map(str, command)]

    def late_ms(self):
        return json.loads(self.pair("stats"))["late_us"]["p99"] / 1000


class Trace:
    """What went through one direction. Times are wall clock in seconds."""

    def __init__(self, lab, pipe):
        self.at, self.bytes, self.delay_ms, self.left, self.fates = [], [], [], [], []
        with open(lab.trace_path) as lines:
            next(lines)
            for line in lines:
                at, name, _, length, fate, delay = line.rstrip().split(",")
                if name != pipe:
                    continue
                self.at.append(lab.zero + float(at) / 1e6)
                self.bytes.append(int(length))
                self.fates.append(fate)
                self.delay_ms.append(float(delay) / 1e3)

    def between(self, start, end):
        return range(bisect.bisect_left(self.at, start), bisect.bisect_left(self.at, end))

    def passed(self, index):
        return self.delay_ms[index] > 0

    def kbps(self, start, end):
        """What came out of the pipe in that time."""
        early = start - 3
        total = sum(
            self.bytes[i]
            for i in self.between(early, end)
            if self.passed(i) and start <= self.at[i] + self.delay_ms[i] / 1e3 < end
        )
        return total * 8 / 1000 / max(end - start, 1e-9)

    def queue_ms(self, start, end, base_ms):
        """How long each packet waited for the link, without the link's own delay."""
        return [self.delay_ms[i] - base_ms for i in self.between(start, end) if self.passed(i)]


def tcp_receive(port="9000"):
    import socket

    server = socket.create_server(("", int(port)))
    connection, _ = server.accept()
    total, said = 0, time.time()
    while piece := connection.recv(65536):
        total += len(piece)
        if time.time() - said > 0.2:
            said = time.time()
            print(json.dumps({"at": said, "bytes": total}), flush=True)


def tcp_send(address, port="9000"):
    import socket

    connection = socket.socket()
    for wanted in (b"cubic", b"reno"):
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, wanted)
            break
        except OSError:
            continue
    connection.connect((address, int(port)))
    while True:
        connection.sendall(bytes(65536))


if __name__ == "__main__":
    {"tcp-receive": tcp_receive, "tcp-send": tcp_send}[sys.argv[1]](*sys.argv[2:])
