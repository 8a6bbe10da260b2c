#!/usr/bin/env python3
"""What forwarding costs: our hub beside Janus' VideoRoom, with the same sender and the same receivers, in turn within one run.

    cargo bench --bench sfu                                         builds the two programs and starts this
    cargo bench --bench sfu -- --rounds 2 --seconds 8 --no-results  shorter, nothing is written

In a network namespace of its own (root; Debian: janus iproute2):

* `hub`, our forwarding alone, and Janus are processes of their own: their processor time and memory (PSS) are read from /proc.
* `load` sends a recording (640x360, 25 pictures a second, 1 Mbit/s, and sound) and has eight receivers in each of the two rooms; nothing is
  decoded. It sends to one room for some seconds, then to the other, and so on: whatever else the machine does meets both. All three run in the
  real-time class, so that it delays neither.
* Processor time per forwarded Mbit/s: of the payload that the receivers got. The ratio is that of the pair of one round; the median counts.
* Added delay: from a packet's arrival at the hub to its departure, both seen on the wire (AF_PACKET, the kernel's timestamps), after the
  seconds in which processor time is read.
* Memory per receiver: what a process has grown by from one sender alone to eight receivers more.
* At the end, our hub with twelve receivers: whether any packet is missing.
"""
import argparse
import collections
import datetime
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

import groups

HERE = pathlib.Path(__file__).resolve().parent
ADDRESS = "192.168.78.2"
PORT = 8188
ROOM = 1235
TICK = os.sysconf("SC_CLK_TCK")
SENDER = {"hub": 1, "janus": 101}
# Sending has settled, and its estimates with it.
WARM_S = 4
SO_TIMESTAMPNS = 35
INCOMING = 0
SOL_PACKET, PACKET_VNET_HDR, VNET_HDR, ETHERNET = 263, 15, 10, 14


class Program:
    """A child that is asked in JSON, one line each way."""

    def __init__(self, command):
        self.child = subprocess.Popen([*groups.AT_ONCE, *map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.child.pid

    def ask(self, **request):
        self.child.stdin.write(json.dumps(request).encode() + b"\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            sys.exit(f"a program has ended, asked for {request['do']}")
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            sys.exit(f"{request['do']}: {answer['error']}")
        return answer

    def end(self):
        self.child.stdin.close()
        try:
            self.child.wait(3)
        except subprocess.TimeoutExpired:
            self.child.kill()


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Janus:
    def __init__(self, folder):
        parts = next((place for place in pathlib.Path("/usr/lib").glob("*/janus") if (place / "plugins").is_dir()), None)
        if not shutil.which("janus") or not parts:
            sys.exit("this needs Janus (Debian: janus)")
        others = lambda kind, needed: ",".join(p.name for p in (parts / kind).glob("*.so") if p.name != needed)
        (folder / "janus.jcfg").write_text(
            f'general: {{ configs_folder = "{folder}" plugins_folder = "{parts}/plugins" transports_folder = "{parts}/transports" debug_level = 3 }}\n'
            f'media: {{ ipv6 = false }}\nplugins: {{ disable = "{others("plugins", "libjanus_videoroom.so")}" }}\n'
            f'transports: {{ disable = "{others("transports", "libjanus_websockets.so")}" }}\nloggers: {{ disable = "libjanus_jsonlog.so" }}\n')
        (folder / "janus.transport.websockets.jcfg").write_text(
            f'general: {{ json = "plain" ws = true ws_port = {PORT} ws_ip = "127.0.0.1" wss = false }}\nadmin: {{ admin_ws = false admin_wss = false }}\n')
        (folder / "janus.plugin.videoroom.jcfg").write_text(
            f'room-{ROOM}: {{ publishers = 12 bitrate = 4000000 audiocodec = "opus" videocodec = "h264" h264_profile = "42e01f" }}\n')
        command = ["janus", "-F", folder, "-C", folder / "janus.jcfg"]
        self.log = open(folder / "janus.log", "wb")
        self.child = subprocess.Popen([*groups.AT_ONCE, *map(str, command)], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.pid = self.child.pid
        end = time.time() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", PORT), 1).close()
                break
            except OSError:
                if time.time() > end:
                    sys.exit("Janus does not start: " + str(folder / "janus.log"))
                time.sleep(0.1)

    def end(self):
        self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()


class Rooms:
    """A sender and its receivers, at the hub and at Janus."""

    def __init__(self, program, folder, given):
        self.hub, self.load = Program([program, "hub", ADDRESS, given.threads]), Program([program, "load", ADDRESS])
        self.janus = Janus(folder)
        self.rate = self.load.ask(do="clip", kbps=given.kbps)["rate"]
        self.ports = {}
        self.receivers = {"hub": [], "janus": []}
        self.join(SENDER["hub"])
        self.hub.ask(do="sends", id=SENDER["hub"], kbps=given.kbps)
        self.attend(SENDER["janus"], True)

    def pid(self, which):
        return self.hub.pid if which == "hub" else self.janus.pid

    def join(self, member):
        answer = self.load.ask(do="join", id=member, sdp=self.hub.ask(do="invite", id=member)["sdp"])
        self.hub.ask(do="accept", id=member, sdp=answer["sdp"])
        self.ports[member] = answer["port"]

    def attend(self, member, sends):
        self.ports[member] = self.load.ask(do="attend", id=member, address=f"janus:ws://127.0.0.1:{PORT}/{ROOM}", sends=sends)["port"]

    def receive(self, which):
        member = SENDER[which] + len(self.receivers[which]) + 1
        if which == "hub":
            of = SENDER["hub"]
            self.join(member)
            described = self.hub.ask(do="describe", id=member, of=of)
            answered = self.load.ask(do="answer", id=member, sdp=described["sdp"])
            self.hub.ask(do="settle", id=member, of=of, sdp=answered["sdp"])
            self.load.ask(do="watch", id=member, of=of)
        else:
            self.attend(member, False)
        self.receivers[which].append(member)

    def send(self, which, on):
        self.load.ask(do="send", id=SENDER[which], on=on)

    def counts(self, which):
        return [told for told in self.load.ask(do="counts") if told["id"] in self.receivers[which]]

    def window(self, which, seconds):
        """What a room takes and gives within so long."""
        before, cpu, load, start = self.counts(which), cpu_s(self.pid(which)), cpu_s(self.load.pid), time.time()
        time.sleep(seconds)
        after, cpu, load, took = self.counts(which), cpu_s(self.pid(which)) - cpu, cpu_s(self.load.pid) - load, time.time() - start
        grown = lambda kind, name: [b[kind][name] - a[kind][name] for a, b in zip(before, after)]
        mbits = sum(grown("video", "bytes") + grown("audio", "bytes")) * 8e-6 / took
        packets = sum(grown("video", "packets") + grown("audio", "packets")) / took
        return {
            "seconds": round(took, 2), "cpu_percent": round(cpu / took * 100, 2), "load_cpu_percent": round(load / took * 100, 1),
            "mbits": round(mbits, 3), "packets": round(packets), "percent_per_mbit": round(cpu / took * 100 / mbits, 3) if mbits else None,
            "missing": sum(grown("video", "missing") + grown("audio", "missing")),
            "least_kbits": round(min(grown("video", "bytes")) * 8e-3 / took), "least_fps": round(min(grown("video", "pictures")) / took, 1),
            "machine_load": os.getloadavg()[0],
        }

    def end(self):
        for program in (self.load, self.hub, self.janus):
            program.end()


class Wire(threading.Thread):
    """Every RTP packet that arrives somewhere on the loopback interface, with the kernel's time. Packets that were handed to the system in one
    call come by here as one, with the length of each beside it (virtio_net_hdr)."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 26)
        self.socket.bind(("lo", 0x0800))
        self.socket.settimeout(0.2)
        self.seen, self.over = [], False

    def run(self):
        while not self.over:
            try:
                data, extra, _, source = self.socket.recvmsg(1 << 16, 64)
            except TimeoutError:
                continue
            each = struct.unpack("<H", data[4:6])[0]
            data = data[VNET_HDR + ETHERNET:]
            if source[2] != INCOMING or data[9] != 17:
                continue
            seconds, nanoseconds = struct.unpack("qq", extra[0][2][:16])
            ports, payload = struct.unpack("!HH", data[20:24]), data[28:]
            step = each or len(payload) or 1
            for start in range(0, len(payload), step):
                packet = payload[start:start + step]
                if len(packet) < 12 or packet[0] >> 6 != 2 or 64 <= packet[1] & 127 < 96:
                    continue
                self.seen.append((seconds * 1000 + nanoseconds * 1e-6, ports, len(packet), struct.unpack("!HII", packet[2:12])))

    def watch(self, seconds):
        self.start()
        time.sleep(seconds)
        self.over = True
        self.join()
        self.socket.close()
        return self.seen


def stream(packets):
    """Of one flow, the packets of the picture: the stream with the most bytes."""
    sizes = collections.Counter()
    for _, length, (_, _, ssrc) in packets:
        sizes[ssrc] += length
    if not sizes:
        return []
    (ssrc, _), = sizes.most_common(1)
    return [(at, number, stamp) for at, _, (number, stamp, of) in packets if of == ssrc]


def pictures(packets):
    """By their time, when each packet of it came."""
    found = collections.defaultdict(dict)
    for at, number, stamp in packets:
        found[stamp].setdefault(number, at)
    return found


def delays(seen, sender, receivers):
    """Milliseconds from the sender's packet to the same one of each receiver. The times of the two streams differ by a number that most packets
    agree on, and the packets of one picture have the same order in both."""
    into = stream([(at, length, rtp) for at, (source, _), length, rtp in seen if source == sender])
    found = []
    for receiver in receivers:
        out = stream([(at, length, rtp) for at, (_, target), length, rtp in seen if target == receiver])
        votes, place = collections.Counter(), 0
        for at, _, stamp in out:
            while place < len(into) and into[place][0] <= at:
                place += 1
            if place:
                votes[(stamp - into[place - 1][2]) % 2**32] += 1
        if not votes:
            continue
        (shift, _), = votes.most_common(1)
        sent, came = pictures(into), pictures(out)
        for stamp, numbers in came.items():
            origin = sent.get((stamp - shift) % 2**32, {})
            if len(origin) == len(numbers):
                found += [b - a for a, b in zip(origin.values(), numbers.values())]
    return found


def share(values, part):
    values = sorted(values)
    return round(values[min(int(len(values) * part), len(values) - 1)], 2) if values else None


def measure(program, folder, given):
    rooms = Rooms(program, folder, given)
    out = {"receivers": given.receivers, "rate_kbits": rooms.rate // 1000, "rounds": [], "load_before": round(os.getloadavg()[0], 1)}
    try:
        alone = {}
        for which in ("hub", "janus"):
            rooms.receive(which)
            rooms.send(which, True)
            time.sleep(WARM_S)
            alone[which] = groups.pss_mib(rooms.pid(which))
            for _ in range(given.receivers - 1):
                rooms.receive(which)
            rooms.send(which, False)
        times = {"hub": [], "janus": []}
        for number in range(given.rounds):
            order = ("hub", "janus") if number % 2 == 0 else ("janus", "hub")
            line = {}
            for which in order:
                rooms.send(which, True)
                time.sleep(WARM_S)
                line[which] = rooms.window(which, given.seconds)
                if given.wire:
                    seen = Wire().watch(given.wire)
                    found = delays(seen, rooms.ports[SENDER[which]], [rooms.ports[one] for one in rooms.receivers[which]])
                    line[which]["delay_ms"] = [share(found, part) for part in (0.5, 0.95, 0.99)]
                    times[which] += found
                rooms.send(which, False)
                print(json.dumps({which: line[which]}), flush=True)
            out["rounds"].append(line)
        for which in ("hub", "janus"):
            grown = groups.pss_mib(rooms.pid(which)) - alone[which]
            lines = [line[which] for line in out["rounds"]]
            out[which] = {
                "percent_per_mbit": statistics.median(line["percent_per_mbit"] for line in lines),
                "mbits": statistics.median(line["mbits"] for line in lines),
                "missing": sum(line["missing"] for line in lines),
                "delay_p50_ms": share(times[which], 0.5), "delay_p95_ms": share(times[which], 0.95), "delay_p99_ms": share(times[which], 0.99),
                "packets_timed": len(times[which]),
                "pss_mib": round(alone[which] + grown, 1),
                "pss_per_receiver_mib": round(grown / (given.receivers - 1), 2),
            }
        ratios = [line["hub"]["percent_per_mbit"] / line["janus"]["percent_per_mbit"] for line in out["rounds"]]
        out["ratio"], out["ratios"] = round(statistics.median(ratios), 2), [round(ratio, 2) for ratio in ratios]
        while len(rooms.receivers["hub"]) < given.many:
            rooms.receive("hub")
        rooms.send("hub", True)
        time.sleep(2 * WARM_S)
        out["many"] = {"receivers": given.many, **rooms.window("hub", given.many_seconds)}
    finally:
        rooms.end()
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True, help="the bench program, which is both hub and load")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=12, help="of one room in one round (default 12)")
    parser.add_argument("--wire", type=float, default=4, help="seconds in which delays are measured after that (default 4)")
    parser.add_argument("--receivers", type=int, default=8)
    parser.add_argument("--kbps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1, help="of the hub's runtime (default: as the engine's)")
    parser.add_argument("--many", type=int, default=12, help="receivers of our hub at the end (default 12)")
    parser.add_argument("--many-seconds", type=float, default=30)
    parser.add_argument("--no-results", action="store_true", help="print only, leave groups.json and RESULTS.md as they are")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given, _ = parser.parse_known_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not given.inside:
        name = f"twocan-sfu-{os.getpid()}"
        commands = [f"netns add {name}", f"-n {name} link set lo up", f"-n {name} link add eth0 type veth peer name eth1",
                    f"-n {name} addr add {ADDRESS}/24 dev eth0", f"-n {name} link set eth0 up", f"-n {name} link set eth1 up",
                    f"-n {name} route add default via 192.168.78.1"]
        try:
            for command in commands:
                subprocess.run(["ip", *command.split()], check=True)
            sys.exit(subprocess.run(["ip", "netns", "exec", name, sys.executable, __file__, "--inside", *sys.argv[1:]]).returncode)
        finally:
            subprocess.run(["ip", "netns", "del", name])
    folder = pathlib.Path(f"/tmp/twocan-sfu-{os.getpid()}")
    folder.mkdir()
    try:
        at = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        out = {"at": at, **measure(given.program, folder, given)}
    finally:
        shutil.rmtree(folder)
    print(json.dumps({key: value for key, value in out.items() if key != "rounds"}, indent=1))
    if not given.no_results:
        groups.keep("sfu", out)


if __name__ == "__main__":
    main()
