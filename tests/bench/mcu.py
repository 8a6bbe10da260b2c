#!/usr/bin/env python3
"""What mixing for others costs: runs `mcu` and the part of `cores` that composes pictures, and keeps what they print.

    tests/bench/mcu.py [--runs 3] [--seconds 20] [--no-results]

The run with the median of cores counts; the ratio to real time is of this machine.
"""
import argparse
import datetime
import json
import os
import re
import statistics
import subprocess

import groups

MIX = re.compile(r"guests, a mix for each, (\w+)\s+([\d.]+) cores\s+(\w+) at ([\d.]+) a second, ([\d.]+) ms to encode")
ALONE = re.compile(r"no mix\s+([\d.]+) cores")
COMPOSE = re.compile(r"compose: (.+?)\s+([\d.]+) (us|ms)")


def printed(cargo, bench, *words):
    command = [*groups.PREFERRED, *cargo.split(), "bench", "--bench", bench, "--", *map(str, words)]
    done = subprocess.run(command, cwd=groups.HERE.parents[1], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    print(done.stdout, flush=True)
    return done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cargo", default="cargo", help="the command that is asked for `bench`")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--no-results", action="store_true", help="print only, leave groups.json and RESULTS.md as they are")
    given = parser.parse_args()
    line = {"at": datetime.datetime.now().astimezone().isoformat(timespec="seconds"), "load_before": round(os.getloadavg()[0], 1)}
    runs, alone = {}, []
    for _ in range(given.runs):
        text = printed(given.cargo, "mcu", given.seconds)
        alone.append(float(ALONE.search(text)[1]))
        for name, cores, size, fps, encode in MIX.findall(text):
            runs.setdefault(name, []).append({"cores": float(cores), "size": size, "fps": float(fps), "encode_ms": float(encode)})
    middle = lambda lines: sorted(lines, key=lambda one: one["cores"])[len(lines) // 2]
    line["mixes"] = {name: {**middle(lines), "runs": [one["cores"] for one in lines]} for name, lines in runs.items()}
    line["alone_cores"] = statistics.median(alone)
    composed = COMPOSE.findall(printed(given.cargo, "cores", "compose"))
    line["compose_ms"] = {name: round(float(value) / (1000 if unit == "us" else 1), 3) for name, value, unit in composed}
    print(json.dumps(line, indent=1))
    if not given.no_results:
        groups.keep("mcu", line)


if __name__ == "__main__":
    main()
