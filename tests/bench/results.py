#!/usr/bin/env python3
"""RESULTS.md from what was measured: results.json, reasons.json, and voice.jsonl, nat.json and groups.json if they are there. No figure is typed by hand.

    tests/bench/results.py            writes RESULTS.md again, after a change of reasons.json

`reasons.json` has a sentence for a figure below its goal: {"case": {"figure": "why"}}.
"""
import json
import os
import pathlib
import platform

import groups

HERE = pathlib.Path(__file__).resolve().parent
RESULTS, LINES, REASONS, VOICE, NAT = (HERE / name for name in ("RESULTS.md", "results.json", "reasons.json", "voice.jsonl", "nat.json"))


class Goal:
    """A figure and what is asked of it: of Twocan alone (`limit`), or beside Chromium (`times`, `plus`)."""

    def __init__(self, figure, title, unit="", most=None, least=None, times=None, plus=None, higher=False, least_difference=0):
        self.figure, self.title, self.unit = figure, title, unit
        self.most, self.least, self.times, self.plus, self.higher = most, least, times, plus, higher
        self.least_difference = least_difference

    def text(self):
        if self.most is not None:
            return f"<= {self.most:g}{self.unit}"
        if self.least is not None:
            return f">= {self.least:g}{self.unit}"
        sign = ">=" if self.higher else "<="
        return f"{sign} Chromium's {self.plus:+g}{self.unit}" if self.plus is not None else f"{sign} {self.times:g} x"

    def is_met(self, ours, theirs):
        """None: there is nothing to compare with."""
        if ours is None:
            return False if self.most is not None or self.least is not None else None
        if self.most is not None:
            return ours <= self.most
        if self.least is not None:
            return ours >= self.least
        if theirs is None:
            return None
        bound = theirs + self.plus if self.plus is not None else theirs * self.times
        return ours >= bound - self.least_difference if self.higher else ours <= bound + self.least_difference


LATENCY = [
    Goal("latency_p50", "glass to glass, median", " ms", times=1),
    Goal("latency_p95", "glass to glass, 95th percentile", " ms", times=1),
]
LOSS = [
    Goal("freeze_s", "frozen", " s", times=1),
    # Both count to 30; a picture more or less in half a minute is the edge of the window.
    Goal("fps", "pictures a second", "", times=1, higher=True, least_difference=0.1),
    Goal("psnr", "PSNR of what is shown", " dB", plus=-0.5, higher=True),
    Goal("concealed_percent", "concealed sound", " %", times=1),
]
GOALS = {
    "cost": [Goal("cpu_percent", "processor, of one core", " %", times=0.5), Goal("pss_mib", "memory (PSS)", " MiB", times=0.2)],
    "clean": LATENCY,
    "loss-2": LOSS,
    "burst-5": LOSS,
    "loss-10": LOSS,
    "narrow": [
        Goal("link_use_percent", "use of the link after 10 s", " %", least=85),
        Goal("queue_p95", "queue, 95th percentile", " ms", most=100),
        Goal("freezes", "freezes", "", most=0),
    ],
    "steps": [
        Goal("queue_back_s", "down: queue under 100 ms again after", " s", most=2),
        Goal("rate_back_s", "up: 80 % of the link after", " s", most=8),
        Goal("gaps_over_1s", "freezes over 1 s", "", most=0),
    ],
    "jitter": [
        Goal("nack", "packets asked for that were not lost", "", most=0),
        Goal("freezes", "freezes", "", most=0),
        Goal("concealed_percent", "concealed sound", " %", most=1),
    ],
    "outage": [
        Goal("picture_back_s_3", "3 s: picture back after", " s", most=1),
        Goal("sound_back_s_3", "3 s: sound back after", " s", most=0.3),
        Goal("rate_back_s_3", "3 s: rate back after", " s", most=5),
        Goal("picture_back_s_10", "10 s: picture back after", " s", most=1),
        Goal("sound_back_s_10", "10 s: sound back after", " s", most=0.3),
        Goal("rate_back_s_10", "10 s: rate back after", " s", most=5),
    ],
    "soak": [
        # An allocator's play; what leaks does so with each of 18,000 pictures.
        Goal("growth_mib", "memory grown by", " MiB", most=4),
        Goal("delay_growth_ms", "glass to glass grown by", " ms", most=5),
        Goal("freezes", "freezes", "", most=0),
    ],
    "shared": [Goal("least_share_percent", "least share of a fair third", " %", least=20)],
}
# Shown for every case besides its goals.
ALWAYS = [("fps", "fps"), ("freeze_s", "frozen s"), ("latency_p50", "p50 ms"), ("latency_p95", "p95 ms"), ("psnr", "PSNR dB"),
          ("concealed_percent", "concealed %"), ("video_kbps", "kbit/s"), ("nack", "NACK"), ("pli", "PLI"), ("cpu_percent", "CPU %"), ("pss_mib", "PSS MiB")]


def load(path, otherwise):
    return json.loads(path.read_text()) if path.exists() else otherwise


def machine():
    with open("/proc/cpuinfo") as lines:
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def keep(line):
    """The newest line of a case and program stays."""
    lines = load(LINES, {})
    lines[f"{line['case']} {line['peer']}"] = {**line, "machine": machine()}
    LINES.write_text(json.dumps(lines, indent=1, sort_keys=True) + "\n")


def number(value, unit=""):
    if value is None:
        return "-"
    return f"{value:g}{unit}" if isinstance(value, (int, float)) else str(value)


def ratio(ours, theirs):
    if not isinstance(ours, (int, float)) or not isinstance(theirs, (int, float)) or not theirs:
        return "-"
    return f"{ours / theirs:.2f}"


def row(cells):
    return "| " + " | ".join(cells) + " |"


def table(head, rows):
    return [row(head), row(["---"] * len(head)), *map(row, rows)]


def link_table(cases, lines, reasons):
    rows, verdicts, missed = [], [], []
    for case in cases:
        ours, theirs = (lines.get(f"{case.name} {peer}", {}) for peer in ("twocan", "chromium"))
        if not ours and not theirs:
            continue
        for index, goal in enumerate(GOALS[case.name]):
            mine, other = ours.get(goal.figure), theirs.get(goal.figure)
            met = goal.is_met(mine, other)
            verdict = {True: "met", False: "**not met**", None: "-"}[met]
            verdicts.append(met)
            if met is False:
                why = reasons.get(case.name, {}).get(goal.figure, "The reason is not found yet.")
                missed.append(f"* {case.title}, {goal.title}: {number(mine, goal.unit)} (goal {goal.text()}). {why}")
            title = f"{case.title} `{case.name}`" if index == 0 else ""
            compared = "-" if goal.plus is None and goal.times is None and not other else ratio(mine, other)
            rows.append([title, goal.title, goal.text(), number(mine, goal.unit), number(other, goal.unit), compared, verdict])
    head = ["link (each way)", "figure", "goal", "Twocan", "Chromium", "ratio", "verdict"]
    met = sum(v is True for v in verdicts)
    return table(head, rows), f"{met} of {len(verdicts)} goals met.", missed


def detail_table(cases, lines):
    rows = []
    for case in cases:
        for peer in ("twocan", "chromium"):
            if line := lines.get(f"{case.name} {peer}"):
                figures = [number(line.get(figure)) for figure, _ in ALWAYS]
                rows.append([case.name, peer, *([line["error"], *figures[1:]] if "error" in line else figures), number(line.get("load_before"))])
    return table(["case", "program", *(title for _, title in ALWAYS), "load before"], rows)


def voice_table():
    if not VOICE.exists():
        return []
    text = VOICE.read_text()
    rows = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines() if line]
    heads = [key for key in dict.fromkeys(key for entry in rows for key in entry) if key != "bench"]
    cells = [[number(round(v, 3) if isinstance(v := entry.get(key), float) else v) for key in heads] for entry in rows]
    return ["", "## Speech through loss", "", "`cargo bench --bench voice -- --json tests/bench/voice.jsonl`", "", *table(heads, cells)]


# What connects: tests/bench/nat.py.
NAT_KINDS = [("fullcone", "full cone"), ("restricted", "restricted"), ("portrestricted", "port-restricted"),
             ("symmetric", "symmetric"), ("udpblocked", "UDP blocked")]
NAT_WAYS = [("direct", "two pastes, no relay"), ("turn-udp", "relay: TURN over UDP"), ("turn-tcp", "relay: TURN over TCP, port 443"),
            ("turn-tls", "relay: TURN over TLS, port 443"), ("one-paste", "one paste, no relay")]


def keep_nat(lines):
    """The newest line of each pair and way stays."""
    kept = load(NAT, {})
    for line in lines:
        kept[f"{line['way']} {line['a']} {line['b']}"] = {**line, "machine": machine()}
    NAT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def nat_cell(line):
    if line is None:
        return "-"
    seconds = f" {line['seconds']:.2f} s" if "seconds" in line else ""
    wrong = "" if line["as_expected"] else f" (**{line['expected']}** was expected)"
    return f"{line['outcome']}{seconds}{wrong}"


def nat_table():
    lines = load(NAT, {})
    if not lines:
        return []
    text = ["", "## Through routers", ""]
    kept = lines.values()
    dates = sorted(line["at"] for line in kept)
    good = sum(line["as_expected"] for line in kept)
    text += [
        f"Written by `tests/bench/nat.py` from `nat.json`, {dates[0][:16]} to {dates[-1][:16]}: two `twocan` in the terminal, each behind a "
        "router of its kind (rows: who invites, columns: who answers), 20 ms to the servers, 30 ms to each other and back. Seconds from the paste of the "
        "reply (one paste: from the invite's) to a picture on both sides, or to the sentence that says why there is none. "
        f"{good} of {len(lines)} came out as the terms of RFC 4787 have it.",
    ]
    for way, title in NAT_WAYS:
        if not any(line["way"] == way for line in kept):
            continue
        rows = [[f"**{name}**", *(nat_cell(lines.get(f"{way} {a} {b}")) for b, _ in NAT_KINDS)] for a, name in NAT_KINDS]
        text += ["", f"### {title}", "", *table(["invites \\ answers", *(name for _, name in NAT_KINDS)], rows)]
        timed = sorted(line["seconds"] for line in kept if line["way"] == way and line["outcome"] in ("direct", "relayed"))
        early = [line for line in kept if line["way"] == way and "relayed_s" in line]
        if early:
            text += ["", f"{len(early)} were up through the guest's relay before the reply was pasted (the router of who invites lets the relay in, which has the "
                     f"address of the STUN server here) and left it {min(line['relayed_s'] for line in early):g} to {max(line['relayed_s'] for line in early):g} s "
                     f"after the first picture, which stood still for at most {max(line['frozen_s'] for line in early):g} s in all."]
        if timed:
            text += ["", f"{len(timed)} connect; seconds to the picture: median {timed[len(timed) // 2]:g}, slowest {timed[-1]:g}."]
    sentences = {}
    for line in kept:
        if line["outcome"] == "failed":
            sentences.setdefault(line["sentence"], []).append(f"{line['a']} to {line['b']} ({line['way']})")
    if sentences:
        text += ["", "### What is said where nothing connects", ""]
        text += [f"* {sentence} *{len(where)}: {'; '.join(sorted(where)[:4])}{' ...' if len(where) > 4 else ''}*" for sentence, where in sorted(sentences.items())]
    return text


def write_again():
    from links import CASES

    write(CASES)


def write(cases):
    lines, reasons = load(LINES, {}), load(REASONS, {})
    if not lines:
        return
    newest = max(lines.values(), key=lambda line: line["at"])
    versions = {}
    for line in lines.values():
        versions.setdefault(line["version"], []).append(line["at"])
    loads = [line["load_before"] for line in lines.values()]
    rows, summary, missed = link_table(cases, lines, reasons)
    text = [
        "# Twocan beside Chromium on the same links",
        "",
        "Written by `tests/bench/links.py` from `results.json`; the head of that script says how it is measured. " + summary,
        "",
        f"* Machine: {newest['machine']}",
        *(f"* {version}: {min(dates)[:16]} to {max(dates)[:16]}" for version, dates in sorted(versions.items())),
        f"* Load of the machine before a run: {min(loads):g} to {max(loads):g}",
        f"* Pictures: {', '.join(sorted({line['size'] for line in lines.values()}))} at 30 a second, H264 on both sides, at most 2.5 Mbit/s",
        "* Command: `cargo build --release && tests/bench/links.py` (one case: `--case NAME`)",
        "* The links: " + "; ".join(f"`{case.name}` {', '.join(case.settings)}" for case in cases),
        "",
        *rows,
        "",
        "Ratio: Twocan's figure over Chromium's. Twocan runs in the terminal and hands its pictures over; Chromium draws them, "
        "320x180, without a screen (`gpu-process` in `cpu_by` of `results.json`).",
        "",
        "## Not met, and why",
        "",
        *(missed or ["Nothing."]),
        "",
        "## Every run",
        "",
        *detail_table(cases, lines),
        *voice_table(),
        *nat_table(),
        *groups.tables(),
    ]
    RESULTS.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    write_again()
