#!/usr/bin/env python3
"""Twocan and Chromium in turn on the same bad links. Prints one JSON line a case and program, and writes RESULTS.md.

    cargo build --release && tests/bench/links.py                   the whole table, about 30 minutes
    tests/bench/links.py --case loss-2 --case narrow --peer twocan  some of it; the other rows of RESULTS.md stay
    tests/bench/links.py --case soak                                ten minutes of one call: does memory or delay grow?
    tests/bench/links.py --list                                     the cases

Needs root (network namespaces), Linux, Python with numpy, Chromium, espeak-ng, ffmpeg, node, and `npm i playwright-core ws` in a
folder named by HARNESS_NODE_DIR. TWOCAN_NET and TWOCAN_PEERS name the folders of the link emulator and of the tool
that launches Chromium (default ../shared/tools/net and peers). TWOCAN names the program (default target/release/twocan).

Both sides of a pair send the same film (film.py) and the same speech, and take at most 2.5 Mbit/s; Chromium is asked for
H264 and left as it is otherwise. Every figure is computed by the same code from the same kind of record: the pictures
as they are shown (Chromium: requestVideoFrameCallback; Twocan: where the picture is handed to the window), netpair's
trace of the link, and the programs' statistics. Processor time and memory come from runs of their own (`cost`): an
ordinary camera's film, nothing is read back.
"""
import argparse
import datetime
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import film as films
import figures
import results
from lab import Lab, Trace
from peers import HERE, ROOT, Chromium, Process, Twocan, connect

KBPS = 2500


class Case:
    """A link and what happens on it. `base_ms`: the delay that is not queueing."""

    def __init__(self, name, title, settings, seconds, play=None, base_ms=0, calls=1, warm=12, cost=False):
        self.name, self.title, self.settings, self.seconds = name, title, settings, seconds
        self.play, self.base_ms, self.calls, self.warm, self.cost = play, base_ms, calls, warm, cost


def wait(seconds):
    time.sleep(seconds)


def steps(run):
    """2.5 > 0.5 > 2.5 Mbit/s."""
    wait(20)
    run.times["down"] = run.lab.set("a<>b", "rate=500")
    wait(20)
    run.times["up"] = run.lab.set("a<>b", "rate=2500")
    wait(20)


def outages(run):
    wait(5)
    for seconds, after in ((3, 12), (10, 15)):
        run.times[f"outage_{seconds}"] = run.lab.set("a<>b", f"outage={seconds}")
        wait(seconds + after)


CASES = [
    Case("cost", "clean, 20 ms: what it costs", ["a<>b delay=20"], 20, cost=True),
    Case("clean", "clean, 20 ms", ["a<>b delay=20"], 30),
    Case("loss-2", "2 % loss, 40 ms", ["a<>b delay=40 loss=2"], 30),
    Case("burst-5", "5 % loss in bursts of 4, 40 ms", ["a<>b delay=40 burst=5,4"], 30),
    Case("loss-10", "10 % loss, 40 ms", ["a<>b delay=40 loss=10"], 30),
    Case("narrow", "1 Mbit/s, 200 ms queue", ["a<>b rate=1000 qms=200 delay=20"], 30, base_ms=20, warm=10),
    Case("steps", "2.5 > 0.5 > 2.5 Mbit/s", ["a<>b rate=2500 qms=300 delay=20"], 60, steps, base_ms=20, warm=10),
    Case("jitter", "30 ms jitter, 5 % reordering", ["a<>b delay=40 jitter=30 jhold=50 reorder=5 rdelay=10"], 30),
    Case("outage", "3 s and 10 s outage", ["a<>b delay=20"], 45, outages),
    Case("shared", "two calls and a TCP flow, 3 Mbit/s", ["a<>b rate=3000 qms=200 delay=20"], 40, base_ms=20, calls=2),
    Case("soak", "ten minutes, 20 ms", ["a<>b delay=20"], 600, warm=60),
]
# Only when named, and only with Twocan.
ON_REQUEST = ["soak"]


class Run:
    """One case with one program."""

    def __init__(self, case, program, film, wav, folder, log):
        self.case, self.program, self.film, self.wav, self.folder = case, program, film, wav, folder
        self.times, self.log = {}, log

    def pair(self, number):
        wish = {"kbps": KBPS, "codec": "H264", "camera": self.case.cost, "watch": not self.case.cost, "video": True, "log": self.log}
        # Two calls at once send one way only: four encoders are more than a small machine has.
        back = {**wish, "video": self.case.calls == 1}
        make = lambda side, role, wish: self.program(self.lab, f"{side}{number}", side, role, self.folder, self.film, self.wav, wish)
        return make("a", "call", wish), make("b", "answer", back)

    def run(self):
        sides = []
        with Lab(self.folder, self.case.settings) as self.lab:
            try:
                for number in range(1, self.case.calls + 1):
                    pair = self.pair(number)
                    sides += pair
                    connect(*pair)
                wait(self.case.warm)
                flow = self.start_flow() if self.case.calls > 1 else None
                self.start = time.time()
                before = [side.mark() for side in sides]
                if self.case.play:
                    self.case.play(self)
                left = self.start + self.case.seconds - time.time()
                wait(max(0, left))
                after = [side.mark() for side in sides]
                self.end = time.time()
                if flow:
                    flow = [json.loads(line) for _, line in list(flow.lines.queue) if line]
                wait(1.2)  # the last second's statistics
                late = self.lab.late_ms()
                reports = [side.report() for side in sides]
            finally:
                for side in sides:
                    side.end()
        for process in getattr(self, "flow", []):
            process.end(1)
        traces = [Trace(self.lab, pipe) for pipe in ("a>b", "b>a")]
        film = None if self.case.cost else films.load(self.film)
        measured = figures.Measured(self.case, self.start, self.end, self.times, sides, before, after, traces, film, flow)
        return {**measured.all(), "netpair_late_ms": late, "reports": [r for r in reports if r]}

    def start_flow(self):
        tool = [sys.executable, HERE / "lab.py"]
        receive = Process(self.lab.inside("b", [*tool, "tcp-receive"]), self.folder / "tcp-b.log")
        wait(0.5)
        send = Process(self.lab.inside("a", [*tool, "tcp-send", "10.77.0.2"]), self.folder / "tcp-a.log")
        self.flow = [send, receive]
        return receive


def speech(folder):
    """Half a minute of someone talking, 48 kHz."""
    path = folder / "speech.wav"
    if not path.exists():
        text = (
            "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. It is easy to tell the "
            "depth of a well. These days a chicken leg is a rare dish. Rice is often served in round bowls. The juice of "
            "lemons makes fine punch. The box was thrown beside the parked truck. The hogs were fed chopped corn and garbage."
        )
        raw = folder / "speech-raw.wav"
        subprocess.run(["espeak-ng", "-s", "150", "-w", raw, text], check=True)
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", raw, "-ar", "48000", "-ac", "1", path], check=True)
    return path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", action="append", help="only this case (repeatable)")
    parser.add_argument("--peer", action="append", choices=["twocan", "chromium"], help="only this program")
    parser.add_argument("--size", default="640x360", help="of the pictures; one that this machine carries (default 640x360)")
    parser.add_argument("--keep", help="folder for the records of every run, to look into")
    parser.add_argument("--log", help="log level of Twocan, for its .log in --keep")
    parser.add_argument("--no-results", action="store_true", help="print only, leave RESULTS.md as it is")
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    if given.list:
        for case in CASES:
            print(f"{case.name:<8} {case.title:<40} {'; '.join(case.settings)}, {case.warm} + {case.seconds} s")
        return
    known = [case.name for case in CASES]
    if wrong := [name for name in given.case or [] if name not in known]:
        sys.exit(f"There is no case {', '.join(wrong)}; there are {', '.join(known)}.")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    Twocan.program = os.environ.get("TWOCAN", target / "release/twocan")
    if not pathlib.Path(Twocan.program).exists():
        sys.exit(f"{Twocan.program} is not there: cargo build --release")
    # Ended from outside, it ends what it started too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="links-"))
    cache = pathlib.Path(tempfile.gettempdir()) / "twocan-links"
    cache.mkdir(exist_ok=True)
    width, height = map(int, given.size.split("x"))
    film, wav = films.make(cache, width, height), speech(cache)
    programs = {"twocan": Twocan, "chromium": Chromium}
    try:
        for case in CASES:
            if case.name not in (given.case or [name for name in known if name not in ON_REQUEST]):
                continue
            for name, program in programs.items():
                if name not in (given.peer or (["twocan"] if case.name in ON_REQUEST else programs)):
                    continue
                folder = pathlib.Path(given.keep or scratch) / f"{case.name}-{name}"
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                line = {"case": case.name, "peer": name, "size": given.size, "version": program.version()}
                line["at"] = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
                line["load_before"] = round(os.getloadavg()[0], 1)
                try:
                    line.update(Run(case, program, film, wav, folder, given.log).run())
                except Exception as error:  # a case that fails is a result too, and the others go on
                    line["error"] = f"{type(error).__name__}: {error}"
                print(json.dumps(line), flush=True)
                if not given.no_results:
                    results.keep(line)
                if not given.keep:
                    shutil.rmtree(folder, ignore_errors=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if not given.no_results:
        results.write(CASES)


if __name__ == "__main__":
    main()
