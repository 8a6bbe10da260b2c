#!/usr/bin/env python3
"""Whole calls of several processes on this machine: `twocan` in the terminal, 640x360, over the loopback interface.

    cargo build --release && tests/bench/rooms.py                               mesh of 4, five minutes
    tests/bench/rooms.py --topology forward --people 6                          through a hub
    tests/bench/rooms.py --seconds 60 --joins 3 --no-results

* Once everybody sees everybody, `--seconds` are measured from each one's own statistics (one line a second): pictures a second of each pair,
  freezes, and processor time and memory (PSS) from /proc.
* Then another one joins, sees the first picture, and leaves; `--joins` times. The time is from the paste on stdin to the word on stderr.
* Then the host (with a hub: the hub, whoever that is) is killed with SIGKILL: how long do pictures between the others stand still, and does every
  one of them come again?
"""
import argparse
import datetime
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

import groups

ROOT = pathlib.Path(__file__).resolve().parents[2]
TICK = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 60
# Encoders, buffers and what is kept for repairs have grown to their size.
SETTLE_S = 60
AFTER_KILL_S = 12
FIRST_PICTURE = "picture is here"
IS_HUB = "You pass everything on"
WAY = re.compile("pass(es)? everything on|sends you one picture|Everybody sends to everybody")
CHOICES = {"mesh": "direct", "forward": "forward", "mix": "mix"}


class Member:
    program = None

    def __init__(self, folder, name, words, given):
        settings = folder / f"{name}.json"
        settings.write_text(json.dumps({"name": name}))
        command = [self.program, *words, "--camera", "pattern", "--size", given.size, "--fps", str(given.fps), "--microphone", "tone", "--speaker", "none",
                   "--bind", "127.0.0.1", "--no-stun", "--stats", "-"]
        self.name, self.stats, self.said, self.codes = name, [], [], queue.Queue()
        self.log = open(folder / f"{name}.log", "w")
        self.child = subprocess.Popen([*groups.PREFERRED, *map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      env={**os.environ, "TWOCAN_CONFIG": str(settings)}, text=True, start_new_session=True)
        self.pid = self.child.pid
        for reader in (self.read_out, self.read_said):
            threading.Thread(target=reader, daemon=True).start()

    def read_out(self):
        for line in self.child.stdout:
            if line.startswith("{"):
                self.stats.append((time.time(), json.loads(line)))
            else:
                self.codes.put(line.strip())

    def read_said(self):
        for line in self.child.stderr:
            self.said.append((time.time(), line.strip()))
            print(f"{time.time():.3f} {line}", end="", file=self.log, flush=True)

    def code(self):
        return self.codes.get(timeout=PATIENCE_S)

    def paste(self, code):
        self.child.stdin.write(code + "\n")
        self.child.stdin.flush()
        return time.time()

    def heard(self, word, since=0.0):
        return next((at for at, line in list(self.said) if word in line and at >= since), None)

    def is_hub(self):
        ways = [line for _, line in list(self.said) if WAY.search(line)]
        return bool(ways) and IS_HUB in ways[-1]

    def pictures(self, index=-1):
        """Of each other member: pictures decoded, and seconds that they have stood still, so far."""
        stats = self.stats[index][1] if self.stats else {"peers": []}
        video = lambda peer: peer["inbound"]["video"]
        return {peer["name"]: (video(peer)["framesDecoded"], video(peer)["totalFreezesDuration"], video(peer)["frameWidth"]) for peer in stats["peers"]}

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def end(self, how=signal.SIGINT):
        for stop in (how, signal.SIGKILL):
            if self.child.poll() is not None:
                break
            self.child.send_signal(stop)
            try:
                self.child.wait(6)
            except subprocess.TimeoutExpired:
                continue
        self.log.close()


def wait(what, is_so, seconds=PATIENCE_S):
    end = time.time() + seconds
    while not is_so():
        if time.time() > end:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def all_see_all(members):
    others = lambda member: {other.name for other in members if other is not member}
    return all(others(member) <= {name for name, (count, *_) in member.pictures().items() if count > 5} for member in members)


def measured(members, seconds):
    """From one line of statistics of each to a later one."""
    marks = [(len(member.stats) - 1, member.cpu_s(), groups.pss_mib(member.pid)) for member in members]
    start = time.time()
    time.sleep(seconds)
    took = time.time() - start
    rates, frozen, growth, memory, cpu = [], [], [], [], 0.0
    for member, (index, cpu_before, pss_before) in zip(members, marks):
        before, after = member.pictures(index), member.pictures()
        span = member.stats[-1][0] - member.stats[index][0]
        for other in members:
            if other is not member:
                a, b = before.get(other.name, (0, 0, 0)), after.get(other.name, (0, 0, 0))
                rates.append((b[0] - a[0]) / span)
                frozen.append(b[1] - a[1])
        pss = groups.pss_mib(member.pid)
        growth.append(pss - pss_before)
        memory.append(pss)
        cpu += member.cpu_s() - cpu_before
    return {
        "pairs": len(rates), "pairs_seen_percent": round(100 * sum(rate > 1 for rate in rates) / len(rates), 1), "least_fps": round(min(rates), 1),
        "median_fps": round(statistics.median(rates), 1), "frozen_s": round(max(frozen), 2), "growth_mib": round(max(growth), 1),
        "pss_mib": round(max(memory), 1), "cores": round(cpu / took, 2), "widths": sorted({b[2] for member in members for b in member.pictures().values()}),
    }


def join(folder, given, invite, number):
    """Milliseconds from the paste to the first picture."""
    guest = Member(folder, f"Guest{number}", ["answer"], given)
    try:
        wait("the question for the invite", lambda: guest.heard("Paste the invite"))
        time.sleep(0.3)
        start = guest.paste(invite)
        wait("a picture", lambda: guest.heard(FIRST_PICTURE, start), 20)
        return round((guest.heard(FIRST_PICTURE, start) - start) * 1000)
    finally:
        guest.end()


def kill(victim, members):
    """One dies. The longest that a picture between the others stood still: all the time that was waited if it did not come again."""
    others = [member for member in members if member is not victim]
    before = {member: (member.pictures(), len(member.stats)) for member in others}
    killed = time.time()
    victim.end(signal.SIGKILL)
    time.sleep(AFTER_KILL_S)
    gaps = []
    for member in others:
        was, index = before[member]
        now, lately = member.pictures(), member.pictures(-3)
        for other in others:
            if other is member:
                continue
            if now.get(other.name, (0,))[0] <= lately.get(other.name, (0,))[0]:
                print(f"{member.name} does not see {other.name} any more", file=sys.stderr)
                gaps.append(AFTER_KILL_S)
            gaps.append(now[other.name][1] - was.get(other.name, (0, 0))[1])
    print(f"killed at {killed:.3f}", file=sys.stderr)
    return round(max(gaps), 2)


def run(folder, given):
    topology = ["--topology", CHOICES[given.topology]]
    line = {"topology": given.topology, "people": given.people, "seconds": given.seconds, "size": given.size, "load_before": round(os.getloadavg()[0], 1)}
    members = [Member(folder, "Host", ["call", "--guests", "many", *topology], given)]
    try:
        invite = members[0].code()
        for number in range(1, given.people):
            members.append(Member(folder, f"Member{number}", ["answer", invite, *topology], given))
            wait("everybody sees everybody", lambda: all_see_all(members))
        if given.topology != "mesh":
            wait("a hub", lambda: sum(member.is_hub() for member in members) == 1)
        time.sleep(SETTLE_S)
        line.update(measured(members, given.seconds))
        print(json.dumps(line), flush=True)
        joins = [join(folder, given, invite, number) for number in range(given.joins)]
        if joins:
            line["joins_ms"], line["join_ms"] = joins, statistics.median(joins)
            time.sleep(3)
        if not given.no_kill:
            victim = next((member for member in members if member.is_hub()), members[0])
            line.update(killed=victim.name, killed_gap_s=kill(victim, members))
    finally:
        for member in members:
            member.end()
    return line


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--topology", choices=["mesh", "forward", "mix"], default="mesh")
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--joins", type=int, default=5)
    parser.add_argument("--no-kill", action="store_true")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--program", help="default: target/release/twocan")
    parser.add_argument("--keep", help="folder for what all of them said, to look into")
    parser.add_argument("--no-results", action="store_true", help="print only, leave groups.json and RESULTS.md as they are")
    given = parser.parse_args()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    Member.program = given.program or os.environ.get("TWOCAN", target / "release/twocan")
    if not pathlib.Path(Member.program).exists():
        sys.exit(f"{Member.program} is not there: cargo build --release")
    folder = pathlib.Path(given.keep or f"/tmp/twocan-rooms-{os.getpid()}")
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        line = {"at": datetime.datetime.now().astimezone().isoformat(timespec="seconds"), **run(folder, given)}
    finally:
        if not given.keep:
            shutil.rmtree(folder)
    print(json.dumps(line, indent=1))
    if not given.no_results:
        groups.keep(f"room {given.topology} {given.people}", line)


if __name__ == "__main__":
    main()
