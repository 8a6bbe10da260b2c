#!/usr/bin/env python3
"""Calls between every two kinds of NAT: what connects directly, what needs a relay, what one paste is enough for, and what is said
where nothing connects. Prints one JSON line a call, keeps the newest of each in nat.json, and writes the table of RESULTS.md.

    cargo build --release && tests/bench/nat.py                       the whole table, about 12 minutes
    tests/bench/nat.py --way direct --pair symmetric,fullcone         some of it; the other cells stay
    tests/bench/nat.py --list

Needs root (network namespaces), Linux, nftables, conntrack, coturn, openssl. TWOCAN_NET names the folder of the NAT laboratory (default
../shared/tools/net, its nat.sh). TWOCAN names the program (default target/release/twocan).

Two `twocan` processes in the terminal, each behind its own router; this script is the messenger between them. The clock starts
when the reply is pasted (with one paste: when the guest has the invite) and stops when both sides show a picture.
"""
import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time

import results
from lab import NET
from peers import PREFERRED, ROOT

KINDS = ["fullcone", "restricted", "portrestricted", "symmetric", "udpblocked"]
STUN = ["--ice-server", "stun:10.77.0.2:3478", "--ice-server", "stun:10.77.0.3:3478"]
LOGIN = ["--ice-user", "lab", "--ice-password", "labpass"]
RELAY = "10.77.0.2"
# What the program says to people has no time before it.
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT")
# Each way to set up a call: its servers, and whether the reply is pasted.
WAYS = {
    "direct": (STUN, True),
    "turn-udp": ([*STUN, "--ice-server", "turn:10.77.0.2:3478?transport=udp", *LOGIN], True),
    "turn-tcp": ([*STUN, "--ice-server", "turn:10.77.0.2:443?transport=tcp", *LOGIN], True),
    "turn-tls": ([*STUN, "--ice-server", "turns:10.77.0.2:443?transport=tcp", *LOGIN], True),
    "one-paste": (STUN, False),
}
MEDIA = ["--camera", "pattern", "--size", "320x180", "--fps", "15", "--microphone", "tone", "--speaker", "none"]
# Nothing may hang without a word for longer.
OUTCOME_S = 15
ONE_PASTE_S = 10
# A call that is up over a relay, though a direct path is possible, has left it by then.
LEAVE_RELAY_S = 20
CODE_S = 30


def expected(a, b, way):
    """What has to come of it: RFC 4787's terms, as in the README of the laboratory."""
    kinds = {a, b}
    relayed = way.startswith("turn")
    if way == "one-paste" and ("udpblocked" in kinds or a != "fullcone"):
        # The host has to let in a packet from an address that it never sent to.
        return "two pastes"
    if "udpblocked" in kinds:
        # Port 443 over TCP is all that leaves; the other side reaches the relayed address like any other.
        return "relayed" if way in ("turn-tcp", "turn-tls") else "failed"
    if "symmetric" in kinds and kinds & {"portrestricted"} or kinds == {"symmetric"}:
        return "relayed" if relayed else "failed"
    return "direct"


class Side:
    """A `twocan` behind a router. Every line it says, with its time."""

    def __init__(self, lab, where, words, log):
        command = [*PREFERRED, "ip", "netns", "exec", f"{lab.name}-{where}", Lab.program, *words, *MEDIA, "--stats", "-"]
        certificate = f"/run/netlab/{lab.name}/ca.pem"
        environment = {**os.environ, "TWOCAN_CONFIG": str(log.parent / "none.json"), "SSL_CERT_FILE": certificate}
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True)
        self.out, self.said, self.stats, self.picture, self.gave_up, self.ended = queue.Queue(), [], None, None, None, None
        self.log = log
        self.readers = [threading.Thread(target=read, daemon=True) for read in (self.read_out, self.read_said)]
        for reader in self.readers:
            reader.start()

    def read_out(self):
        for line in self.child.stdout:
            line = line.decode(errors="replace").strip()
            if line.startswith("{"):
                self.stats = json.loads(line)
            else:
                self.out.put(line)
        self.out.put(None)

    def read_said(self):
        with open(self.log, "w") as log:
            for line in self.child.stderr:
                line = line.decode(errors="replace").strip()
                print(f"{time.time():.3f} {line}", file=log)
                if LOG_LINE.match(line):
                    continue
                self.said.append(line)
                if line.startswith("No connection could be made."):
                    self.gave_up = time.time()
                if line == "Their picture is here.":
                    self.picture = time.time()
        self.ended = time.time()

    def code(self):
        code = self.out.get(timeout=CODE_S)
        if code is None:
            raise RuntimeError(self.last_words() or "the program has ended")
        return code

    def paste(self, code):
        self.child.stdin.write(code.encode() + b"\n")
        self.child.stdin.flush()

    def last_words(self):
        return self.said[-1] if self.said else ""

    def pair(self):
        peers = (self.stats or {}).get("peers") or [{}]
        return peers[0].get("candidatePair", {})

    def frozen(self):
        """Seconds that the picture has stood still so far."""
        peers = (self.stats or {}).get("peers") or [{}]
        return peers[0].get("inbound", {}).get("video", {}).get("totalFreezesDuration", 0)

    def is_relayed(self):
        pair = self.pair()
        ends = [pair.get(end, "") for end in ("local", "remote")]
        return any(end.startswith("relay ") for end in ends) or f" {RELAY}:" in ends[1]

    def end(self):
        for stop in (signal.SIGINT, signal.SIGKILL):
            if self.child.poll() is not None:
                break
            self.child.send_signal(stop)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                pass
        for reader in self.readers:
            reader.join(2)


class Lab:
    """Two routers of some kind, a computer behind each, and a server for STUN and TURN."""

    program = None

    def __init__(self, name):
        self.name = name
        self.is_up = False

    def nat(self, *words):
        done = subprocess.run([NET / "nat.sh", *words], env={**os.environ, "LAB": self.name, "COTURN": "0"}, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"nat.sh {' '.join(words)}: {done.stdout} {done.stderr}")

    def set(self, a, b):
        if self.is_up:
            self.nat("nat", "a", a)
            self.nat("nat", "b", b)
        else:
            # The ways there and back are those of a city, not of one machine.
            self.nat("up", a, b, "-e", "set a>srv delay=10", "-e", "set srv>a delay=10", "-e", "set b>srv delay=10",
                     "-e", "set srv>b delay=10", "-e", "set a<>b delay=15")
            self.is_up = True
            self.certify()
            self.nat("coturn", "start")

    def certify(self):
        """A certificate of an authority of our own: nobody trusts one that signed itself."""
        here = pathlib.Path("/run/netlab") / self.name
        (here / "turn.ext").write_text("basicConstraints=CA:FALSE\nsubjectAltName=DNS:turn.lab.test,IP:10.77.0.2\n")
        key = "-newkey rsa:2048 -nodes"
        for command in (f"req -x509 {key} -days 30 -subj /CN=lab -keyout ca.key -out ca.pem", f"req {key} -subj /CN=turn.lab.test -keyout turn.key -out turn.csr",
                        "x509 -req -in turn.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile turn.ext -out turn.pem"):
            subprocess.run(["openssl", *command.split()], cwd=here, check=True, capture_output=True)

    def down(self):
        if self.is_up:
            self.nat("down")


def outcome(host, guest, start, limit, direct):
    """Waits for pictures on both sides, or for the host to give up. `direct`: a call that comes up over a relay has to leave it."""
    while time.time() < start + limit:
        if host.picture and guest.picture:
            break
        if host.gave_up or host.ended or guest.ended:
            break
        time.sleep(0.02)
    line = {}
    if host.picture and guest.picture:
        line["seconds"] = round(max(host.picture, guest.picture) - start, 2)
        # The pair of addresses is in the statistics of the next second.
        end = time.time() + 3
        while time.time() < end and not (host.pair().get("local") and guest.pair().get("local")):
            time.sleep(0.05)
        relayed = lambda: host.is_relayed() or guest.is_relayed()
        if direct and relayed():
            end = time.time() + LEAVE_RELAY_S
            while time.time() < end and relayed():
                time.sleep(0.05)
            line["relayed_s"] = round(time.time() - max(host.picture, guest.picture), 1)
            # Whether the picture stood still meanwhile shows a little later.
            time.sleep(3)
            line["frozen_s"] = max(side.frozen() for side in (host, guest))
        line["outcome"] = "relayed" if relayed() else "direct"
        line["pair"] = host.pair()
        line["pastes"] = 1 if any("This reply was not needed" in sentence for sentence in host.said) else 2
    elif host.gave_up:
        line.update(outcome="failed", seconds=round(host.gave_up - start, 2), sentence=host.last_words())
    else:
        # Ended without a reason is no better than no end.
        line.update(outcome="hangs", sentence=host.last_words())
    line["guest"] = guest.last_words()
    return line


def call(lab, a, b, way, folder):
    servers, pasted = WAYS[way]
    lab.set(a, b)
    host = guest = None
    line = {"a": a, "b": b, "way": way, "at": datetime.datetime.now().astimezone().isoformat(timespec="seconds")}
    line["load_before"] = round(os.getloadavg()[0], 1)
    try:
        host = Side(lab, "a", ["call", *servers], folder / f"{a}-{b}-{way}.host.log")
        invite = host.code()
        guest = Side(lab, "b", ["answer", *servers], folder / f"{a}-{b}-{way}.guest.log")
        start = time.time()
        guest.paste(invite)
        reply = guest.code()
        line["characters"] = [len(invite), len(reply)]
        if pasted:
            start = time.time()
            host.paste(reply)
        direct = expected(a, b, way) == "direct"
        line.update(outcome(host, guest, start, OUTCOME_S if pasted else ONE_PASTE_S, direct))
        if not pasted and line["outcome"] == "hangs":
            # Nothing is wrong: the host still waits for the reply.
            line["outcome"] = "two pastes"
    except (RuntimeError, queue.Empty) as error:
        line.update(outcome="error", sentence=f"{type(error).__name__}: {error}")
    finally:
        for side in (host, guest):
            if side:
                side.end()
    line["expected"] = expected(a, b, way)
    # Better than the terms say is fine: strict routers are not all equally so.
    line["as_expected"] = line["outcome"] == line["expected"] or line["outcome"] == "direct"
    return line


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", action="append", choices=WAYS, help="only this way (repeatable)")
    parser.add_argument("--pair", action="append", metavar="A,B", help="only these kinds, the host's first (repeatable)")
    parser.add_argument("--labs", type=int, default=2, help="laboratories that run at the same time (default 2)")
    parser.add_argument("--keep", help="folder for what both sides said, to look into")
    parser.add_argument("--no-results", action="store_true", help="print only, leave nat.json and RESULTS.md as they are")
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    pairs = [tuple(pair.split(",")) for pair in given.pair or []] or [(a, b) for a in KINDS for b in KINDS]
    if wrong := [kind for pair in pairs for kind in pair if kind not in KINDS]:
        sys.exit(f"There is no kind {', '.join(wrong)}; there are {', '.join(KINDS)}.")
    cells = [(a, b, way) for a, b in pairs for way in given.way or WAYS]
    if given.list:
        for a, b, way in cells:
            print(f"{a:<15} {b:<15} {way:<10} {expected(a, b, way)}")
        return
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    Lab.program = os.environ.get("TWOCAN", target / "release/twocan")
    if not pathlib.Path(Lab.program).exists():
        sys.exit(f"{Lab.program} is not there: cargo build --release")
    folder = pathlib.Path(given.keep or f"/tmp/twocan-nat-{os.getpid()}")
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A way that this version does not know yet is left out, and said so once.
    ways = {way for _, _, way in cells}
    for way in sorted(ways):
        if reason := refused(way):
            print(f"{way} is left out: {reason}", file=sys.stderr)
            cells = [cell for cell in cells if cell[2] != way]
    work = queue.Queue()
    for cell in cells:
        work.put(cell)
    lines, lock = [], threading.Lock()

    def worker(number):
        lab = Lab(f"{os.environ.get('LAB', 'nat')}{number}")
        try:
            while True:
                try:
                    cell = work.get_nowait()
                except queue.Empty:
                    return
                line = call(lab, *cell, folder)
                if not line["as_expected"]:
                    # A busy machine gets a second chance; the table tells how many tries it took.
                    line = {**call(lab, *cell, folder), "tries": 2}
                with lock:
                    lines.append(line)
                    print(json.dumps(line), flush=True)
        finally:
            lab.down()

    with concurrent.futures.ThreadPoolExecutor(given.labs) as pool:
        workers = [pool.submit(worker, number) for number in range(given.labs)]
        try:
            for done in workers:
                done.result()
        finally:
            # Ended from outside, it ends after the calls that are under way.
            while not work.empty():
                work.get_nowait()
    bad = [line for line in lines if not line["as_expected"]]
    print(f"{len(lines) - len(bad)} of {len(lines)} as expected", file=sys.stderr)
    if not given.no_results:
        results.keep_nat(lines)
        results.write_again()
    sys.exit(1 if bad else 0)


def refused(way):
    """Why this version cannot do it, if it cannot. It is asked without a network: no code comes of it either way."""
    servers, _ = WAYS[way]
    command = [Lab.program, "call", *servers, *MEDIA, "--relay-only" if "turn" in way else "--no-stun", "--bind", "127.0.0.1"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=15)
    except subprocess.TimeoutExpired:
        return None
    return next((line for line in done.stderr.splitlines() if "cannot be used" in line), None)


if __name__ == "__main__":
    main()
