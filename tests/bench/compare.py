#!/usr/bin/env python3
"""Twocan beside a pair of Chromiums: the same film, size, rate and codec, in turn. Prints one JSON line a round, then the ratios.

    tests/bench/compare.py [--rounds 3] [--seconds 20] [--kbps 2500]

Needs root (a private network namespace), Chromium, ffmpeg, node, and `npm i playwright-core ws` in a folder named by
HARNESS_NODE_DIR. TWOCAN_PEERS names the folder with the tool that drives Chromium (default ../shared/tools/peers).
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = pathlib.Path(os.environ.get("TWOCAN_PEERS", ROOT / "../shared/tools/peers")).resolve()


def film(folder, width=1280, height=720, fps=30, seconds=8):
    """A webcam-like film: a moving detailed subject, a still background, sensor noise."""
    path = folder / f"film-{width}x{height}.y4m"
    if not path.exists():
        source = f"testsrc2=size={width}x{height}:rate={fps},noise=alls=4:allf=t,format=yuv420p"
        command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, "-t", str(seconds), str(path)]
        subprocess.run(command, check=True)
    return path


def last_json(text):
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if not lines:
        sys.exit(f"no figures in: {text[-2000:]}")
    return json.loads(lines[-1])


def run(command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    return last_json(done.stdout + done.stderr)


def chromium(clip, seconds, kbps):
    command = ["./netns.sh", "node", "chromium_pair.mjs", "--codec", "H264", "--y4m", str(clip)]
    command += ["--secs", str(seconds), "--max-kbps", str(kbps), "--view", "1280x720"]
    figures = run(command, PEERS)
    return {
        "cpu": figures["cpuPct_both_sides"],
        "pss": figures["mem"]["pssMiB"],
        "fps": min(figures[side]["in_video"]["fps"] for side in "ab"),
        "freezes": sum(figures[side]["in_video"]["freezes"] for side in "ab"),
        "kbps": statistics.mean(figures[side]["in_video"]["kbps"] for side in "ab"),
    }


def twocan(clip, seconds, kbps):
    command = ["cargo", "bench", "--quiet", "--bench", "call", "--", "--seconds", str(seconds)]
    command += ["--camera", str(clip), "--max-bitrate", f"{kbps}k"]
    figures = run(command, ROOT)
    return {
        "cpu": figures["cpu_percent"],
        "pss": sum(figures["pss_mb"]),
        "fps": min(figures["fps"]),
        "freezes": sum(figures["freezes"]),
        "kbps": statistics.mean(figures["received_kbps"]),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--kbps", type=int, default=2500)
    given = parser.parse_args()
    folder = pathlib.Path(os.environ.get("TMPDIR", "/tmp"))
    clip = film(folder)
    rounds = []
    for _ in range(given.rounds):
        pair = {
            "chromium": chromium(clip, given.seconds, given.kbps),
            "twocan": twocan(clip, given.seconds, given.kbps),
        }
        print(json.dumps(pair), flush=True)
        rounds.append(pair)
    for figure in ("cpu", "pss"):
        ratios = [pair["twocan"][figure] / pair["chromium"][figure] for pair in rounds]
        print(f"{figure}: {statistics.median(ratios):.2f} x Chromium (median of {len(ratios)})")


if __name__ == "__main__":
    main()
