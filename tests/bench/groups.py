"""The figures of calls of more than two: what sfu.py, mcu.py and rooms.py have in common, and their part of RESULTS.md.

The newest run of each stays in groups.json; results.py puts the tables where they belong. No figure is typed by hand.
"""
import json
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
LINES, REASONS = HERE / "groups.json", HERE / "reasons.json"
# A session of its own with a larger share of a busy machine, as far as that is allowed.
PREFERRED = ["sh", "-c", 'echo -10 2>/dev/null >/proc/self/autogroup; exec nice -n -10 "$@"', "_"]
TOPOLOGIES = {"mesh": "Mesh", "forward": "SFU", "mix": "MCU"}


def load(path):
    return json.loads(path.read_text()) if path.exists() else {}


def version():
    git = lambda *words: subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True).stdout.strip()
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "../../src", "../../Cargo.toml", "../../Cargo.lock")
    return f"{git('rev-parse', '--short', 'HEAD')}{', changed' if changed else ''}"


def keep(name, line):
    """The newest line of a name stays, and RESULTS.md is written again."""
    import results

    lines = load(LINES)
    lines[name] = {**line, "version": version(), "machine": results.machine()}
    LINES.write_text(json.dumps(lines, indent=1, sort_keys=True) + "\n")
    results.write_again()


def pss_mib(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) / 1024


class Table:
    """Figures beside their goals."""

    def __init__(self, reasons):
        self.reasons, self.rows, self.missed = reasons, [], []

    def add(self, case, key, title, value, unit="", most=None, least=None, beside="-"):
        goal = f"<= {most:g}{unit}" if most is not None else f">= {least:g}{unit}" if least is not None else "-"
        if value is None:
            verdict = "-"
        elif most is None and least is None:
            verdict = ""
        else:
            met = value <= most if most is not None else value >= least
            verdict = "met" if met else "**not met**"
            if not met:
                why = self.reasons.get(key.split(".")[0], {}).get(key.split(".")[1], "The reason is not found yet.")
                self.missed.append(f"* {case}, {title}: {value:g}{unit} (goal {goal}). {why}")
        self.rows.append([case, title, goal, "-" if value is None else f"{value:g}{unit}", beside, verdict])


def tables():
    """The section of RESULTS.md, line by line; empty while nothing was measured."""
    import results

    lines = load(LINES)
    if not lines:
        return []
    table = Table(load(REASONS))
    text = ["", "## Calls of more than two", "", "Written by `cargo bench --bench sfu`, `tests/bench/mcu.py` and `tests/bench/rooms.py` from `groups.json`; "
            "the head of each says how it is measured.", ""]
    for name, line in sorted(lines.items()):
        text.append(f"* `{name}`: {line['at'][:16]}, {line['version']}, load of the machine before: {line['load_before']:g}")
    if sfu := lines.get("sfu"):
        sfu_rows(table, sfu)
    if mcu := lines.get("mcu"):
        mcu_rows(table, mcu)
    for name, line in sorted(lines.items()):
        if name.startswith("room "):
            room_rows(table, name, line)
    met = sum(row[5] == "met" for row in table.rows)
    text += ["", f"{met} of {sum('met' in row[5] for row in table.rows)} goals met.", ""]
    text += results.table(["case", "figure", "goal", "Twocan", "Janus", "verdict"], table.rows)
    if table.missed:
        text += ["", "### Not met, and why", "", *table.missed]
    if sfu := lines.get("sfu"):
        text += ["", "### Each round of the SFU", "", *sfu_rounds(sfu)]
    return text


def sfu_rows(table, line):
    hub, janus, many = line["hub"], line["janus"], line["many"]
    case = f"SFU, 1 sender of {line['rate_kbits'] / 1000:.1f} Mbit/s, {line['receivers']} receivers"
    beside = lambda name, unit="": f"{janus[name]:g}{unit}" if janus[name] is not None else "-"
    table.add(case, "sfu.percent", "processor per forwarded Mbit/s", hub["percent_per_mbit"], " % of a core", beside=beside("percent_per_mbit", " %"))
    table.add(case, "sfu.ratio", "the same over Janus', median of the rounds", line["ratio"], most=1.0)
    table.add(case, "sfu.delay_p50", "added delay, median", hub["delay_p50_ms"], " ms", beside=beside("delay_p50_ms", " ms"))
    table.add(case, "sfu.delay_p95", "added delay, 95th percentile", hub["delay_p95_ms"], " ms", most=5, beside=beside("delay_p95_ms", " ms"))
    table.add(case, "sfu.missing", "packets that did not come", hub["missing"], "", most=0, beside=beside("missing"))
    table.add(case, "sfu.memory", "memory per receiver (PSS)", hub["pss_per_receiver_mib"], " MiB", most=2, beside=beside("pss_per_receiver_mib", " MiB"))
    case = f"SFU, {many['receivers']} receivers, {many['seconds']:.0f} s"
    table.add(case, "sfu.many_missing", "packets that did not come", many["missing"], "", most=0)
    table.add(case, "sfu.many_kbits", "least that a receiver got of pictures", many["least_kbits"], " kbit/s", least=0.95 * line["rate_kbits"])
    table.add(case, "sfu.many_cpu", "processor, of one core", many["cpu_percent"], " %")


def sfu_rounds(line):
    import results

    rows = []
    for number, pair in enumerate(line["rounds"], 1):
        for which, one in pair.items():
            delays = " / ".join("-" if value is None else f"{value:g}" for value in one.get("delay_ms", []))
            rows.append([str(number), which, *(f"{one[name]:g}" for name in ("cpu_percent", "mbits", "percent_per_mbit", "packets", "missing")), delays or "-",
                         f"{one['load_cpu_percent']:g}", f"{one['machine_load']:.1f}"])
    head = ["round", "room", "CPU %", "Mbit/s out", "% per Mbit/s", "packets/s", "missing", "delay p50 / p95 / p99 ms", "CPU % of the load", "machine's load"]
    return results.table(head, rows)


def mcu_rows(table, line):
    for name, one in line["mixes"].items():
        case = f"MCU, 6 guests of 640x360, {name.lower()}"
        table.add(case, "mcu.cores", f"cores, {one['size']} for each", one["cores"], "", most=1.5)
        table.add(case, "mcu.fps", "pictures a second", one["fps"], "", least=24.5)
        table.add(case, "mcu.encode", "to encode one", one["encode_ms"], " ms")
    table.add("MCU", "mcu.alone", "cores without a mix: decoded and played", line["alone_cores"])
    for name, ms in line["compose_ms"].items():
        table.add("MCU", "mcu.compose", f"compose: {name}", ms, " ms", most=2)


def room_rows(table, name, line):
    key = name.replace("room ", "").replace(" ", "-")
    case = f"{TOPOLOGIES[line['topology']]} of {line['people']}, {line['seconds'] / 60:g} min"
    table.add(case, f"{key}.pairs", "of the pictures that all should see of all, seen", line["pairs_seen_percent"], " %", least=100)
    table.add(case, f"{key}.fps", "pictures a second, the least of all pairs", line["least_fps"], "", least=24)
    table.add(case, f"{key}.growth", "memory grown by, the most of all", line["growth_mib"], " MiB", most=4)
    table.add(case, f"{key}.cpu", "processor, all together", line["cores"], " cores")
    table.add(case, f"{key}.memory", "memory, the most of all (PSS)", line["pss_mib"], " MiB")
    table.add(case, f"{key}.join", "joining: paste to the first picture, median", line.get("join_ms"), " ms", most=500)
    gone = "host" if line["topology"] == "mesh" else "hub"
    table.add(case, f"{key}.killed", f"{gone} killed: longest that a picture of the others stood still", line.get("killed_gap_s"), " s", most=3)
