"""What was seen in one run, as figures: the same computation for every program."""
import os

import numpy as np

import film as films


def percentile(values, share):
    return round(float(np.percentile(values, share * 100)), 1) if len(values) else None


def at(stats, *path):
    for key in path:
        stats = (stats or {}).get(key)
    return stats if isinstance(stats, (int, float)) else 0


class Measured:
    def __init__(self, case, start, end, times, sides, before, after, traces, film, flow):
        self.case, self.start, self.end, self.times = case, start, end, times
        self.sides, self.before, self.after, self.traces = sides, before, after, traces
        self.film, self.flow = film, flow
        # Sides to which a picture comes: all, or with several calls those that are called.
        self.receivers = [n for n, side in enumerate(sides) if case.calls == 1 or side.name.startswith("b")]
        self.pictures = [[p for p in side.shown() if start * 1000 <= p["at"] < end * 1000] for side in sides]

    def delta(self, side, *path):
        return at(self.after[side]["stats"], *path) - at(self.before[side]["stats"], *path)

    def seconds(self, side):
        """Between the two marks' statistics."""
        return (self.after[side]["stats"]["at"] - self.before[side]["stats"]["at"]) / 1000

    def sum(self, *path):
        return sum(self.delta(side, *path) for side in self.receivers)

    def all(self):
        out = {"seconds": round(self.end - self.start, 1), **self.cost(), **self.media()}
        if not self.case.cost:
            out.update(self.shown())
        for name in ("narrow", "steps", "outage", "shared", "soak"):
            if self.case.name == name:
                out.update(getattr(self, name)())
        out["load"] = round(os.getloadavg()[0], 1)
        return out

    def cost(self):
        spent = {}
        for before, after in zip(self.before, self.after):
            lasted = after["at"] - before["at"]
            for kind, seconds in after["cpu"].items():
                spent[kind] = spent.get(kind, 0) + (seconds - before["cpu"].get(kind, 0)) / lasted * 100
        return {
            "cpu_percent": round(sum(spent.values()), 1),
            "cpu_by": {kind: round(percent, 1) for kind, percent in spent.items() if percent >= 0.05},
            "pss_mib": round(sum(mark["pss_mib"] for mark in self.after), 1),
        }

    def media(self):
        video, sound = ("inbound", "video"), ("inbound", "audio")
        samples = sum(self.delta(side, *sound, "totalSamplesReceived") for side in range(len(self.sides)) if side in self.receivers)
        fps = [self.delta(side, *video, "framesDecoded") / self.seconds(side) for side in self.receivers]
        return {
            "fps": round(min(fps), 1),
            "freeze_s": round(self.sum(*video, "totalFreezesDuration"), 2),
            "freezes": self.sum(*video, "freezeCount"),
            "concealed_percent": round(100 * self.sum(*sound, "concealedSamples") / max(samples, 1), 2),
            "video_kbps": round(sum(self.delta(s, *video, "bytesReceived") * 0.008 / self.seconds(s) for s in self.receivers) / len(self.receivers)),
            "nack": self.sum(*video, "nackCount"),
            "pli": self.sum(*video, "pliCount"),
            "key_frames": self.sum(*video, "keyFramesDecoded"),
            "packets_lost": self.sum(*video, "packetsLost"),
            "width": [at(self.after[side]["stats"], *video, "frameWidth") for side in self.receivers],
        }

    def shown(self):
        ages, gaps, frozen, unreadable = [], [], 0.0, 0
        for side in self.receivers:
            pictures = self.pictures[side]
            unreadable += sum(p["clock"] is None for p in pictures)
            ages += [age for p in pictures if p["clock"] is not None and (age := age_ms(p)) is not None]
            moments = [p["at"] for p in pictures] + [self.end * 1000]
            between = [b - a for a, b in zip(moments, moments[1:])]
            gaps += between
            frozen += freezes(between)
        values = self.psnr()
        return {
            "latency_p50": percentile(ages, 0.5),
            "latency_p95": percentile(ages, 0.95),
            "shown_freeze_s": round(frozen / 1000, 2),
            "longest_gap_ms": round(max(gaps)) if gaps else None,
            "gaps_over_1s": sum(gap > 1000 for gap in gaps),
            "unreadable": unreadable,
            # Smaller than the film: the file of the shown pictures was begun with a small one, and the PSNR suffers from it.
            "shown_width": min((p["w"] for side in self.receivers for p in self.pictures[side]), default=None),
            "shown_fps": round(min(len(self.pictures[s]) for s in self.receivers) / (self.end - self.start), 1),
            "psnr": round(float(np.mean(values)), 2) if values else None,
            "psnr_p10": percentile(values, 0.1),
            "psnr_samples": len(values),
        }

    def psnr(self):
        values = []
        for side in self.receivers:
            if not self.sides[side].samples().exists():
                continue
            samples = np.memmap(self.sides[side].samples(), np.uint8, "r") if self.sides[side].samples().stat().st_size else []
            for picture in self.pictures[side]:
                if "sample" not in picture or picture["number"] is None or picture["number"] >= films.PICTURES:
                    continue
                begin, size = picture["sample"], picture["w"] * picture["h"]
                if begin + size > len(samples):
                    continue
                luma = np.asarray(samples[begin:begin + size]).reshape(picture["h"], picture["w"])
                values.append(films.psnr(self.film, luma, picture["number"]))
        return values

    def queue(self, start, end):
        return [q for trace in self.traces for q in trace.queue_ms(start, end, self.case.base_ms)]

    def narrow(self):
        each = [trace.kbps(self.start, self.end) / 10 for trace in self.traces]
        queue = self.queue(self.start, self.end)
        return {
            "link_use_percent": round(min(each), 1),
            "queue_p95": percentile(queue, 0.95),
            "queue_max": percentile(queue, 1),
            "queue_drops": sum(trace.fates[i] == "qdrop" for trace in self.traces for i in trace.between(self.start, self.end)),
        }

    def soak(self):
        """The first minute beside the last."""
        first, last = [], []
        for side in self.receivers:
            for picture in self.pictures[side]:
                if picture["clock"] is not None and (age := age_ms(picture)) is not None:
                    first += [age] if picture["at"] < (self.start + 60) * 1000 else []
                    last += [age] if picture["at"] >= (self.end - 60) * 1000 else []
        return {
            "growth_mib": round(max(self.delta(side, "process", "rssBytes") for side in self.receivers) / 2**20, 1),
            "delay_growth_ms": round(percentile(last, 0.5) - percentile(first, 0.5), 1),
            "sound_delay_ms": [round(self.sound_delay_ms(side)) for side in self.receivers],
        }

    def sound_delay_ms(self, side):
        """What the jitter buffer held the sound on average in the last minute."""
        stats = [s for s in self.sides[side].stats if s["at"] >= (self.end - 60) * 1000]
        change = lambda key: at(stats[-1], "inbound", "audio", key) - at(stats[0], "inbound", "audio", key)
        return change("jitterBufferDelay") / max(change("jitterBufferEmittedCount"), 1) * 1000

    def steps(self):
        down, up = self.times["down"], self.times["up"]
        settled, risen = [], []
        for trace in self.traces:
            moment = down
            # The queue is back when it stays short for a second.
            while moment < up - 1 and any(q > 100 for q in trace.queue_ms(moment, moment + 1, self.case.base_ms)):
                moment += 0.1
            settled.append(moment - down)
            moment = up
            while moment < self.end - 1 and trace.kbps(moment, moment + 1) < 0.8 * 2500:
                moment += 0.1
            # To the end of the first second that used it.
            risen.append(moment + 1 - up if moment < self.end - 1 else None)
        return {
            "queue_back_s": round(max(settled), 1),
            "rate_back_s": None if None in risen else round(max(risen), 1),
            "use_after_percent": round(min(t.kbps(self.end - 5, self.end) for t in self.traces) / 25, 1),
            "use_down_percent": round(min(t.kbps(down + 5, up) for t in self.traces) / 5, 1),
            "use_before_percent": round(min(t.kbps(self.start, down) for t in self.traces) / 25, 1),
        }

    def outage(self):
        out = {}
        for seconds in (3, 10):
            begin = self.times[f"outage_{seconds}"]
            back = begin + seconds
            picture, sound, rate = [], [], []
            for n in self.receivers:
                later = [p for p in self.pictures[n] if p["at"] > back * 1000 and p["clock"] is not None]
                fresh = [p["at"] / 1000 - back for p in later if sent_at(p) >= back * 1000]
                picture.append(fresh[0] if fresh else None)
                sound.append(self.silent_s(n, begin, back) - seconds)
            for trace in self.traces:
                usual = trace.kbps(begin - 4, begin)
                moment = back
                while moment < back + 11 and trace.kbps(moment, moment + 1) < 0.8 * usual:
                    moment += 0.1
                rate.append(moment + 1 - back)
            out[f"picture_back_s_{seconds}"] = None if None in picture else round(max(picture), 2)
            out[f"sound_back_s_{seconds}"] = round(max(sound), 2)
            out[f"rate_back_s_{seconds}"] = round(max(rate), 1)
        return out

    def silent_s(self, side, begin, back):
        """Seconds of concealed sound around an outage."""
        stats = self.sides[side].stats
        known = lambda moment: at(min(stats, key=lambda s: abs(s["at"] / 1000 - moment)), "inbound", "audio", "concealedSamples")
        return (known(back + 5) - known(begin - 1)) / 48000

    def shared(self):
        flows = {}
        for n in self.receivers:
            received = sum(self.delta(n, "inbound", kind, "bytesReceived") for kind in ("video", "audio"))
            flows[f"call {self.sides[n].name}"] = received * 0.008 / self.seconds(n)
        first, last = self.flow[0], self.flow[-1]
        flows["tcp"] = (last["bytes"] - first["bytes"]) * 0.008 / (last["at"] - first["at"])
        queue = self.traces[0].queue_ms(self.start, self.end, self.case.base_ms)
        fair = 1000
        return {
            "flows_kbps": {name: round(kbps) for name, kbps in flows.items()},
            "least_share_percent": round(min(flows.values()) / fair * 100, 1),
            "queue_p95": percentile(queue, 0.95),
        }


def sent_at(picture):
    """The clock in the picture as full milliseconds since 1970."""
    full = int(picture["at"])
    sent = full & ~0xFFFFFFFF | picture["clock"]
    return sent - (1 << 32) if sent > full + (1 << 31) else sent


def age_ms(picture):
    age = picture["at"] - sent_at(picture)
    return age if -50 < age < 60_000 else None


def freezes(between):
    """Total of the gaps that are freezes by W3C's definition (webrtc-stats, freezeCount)."""
    total, recent = 0.0, []
    for gap in between:
        if recent and gap > max(3 * np.mean(recent), np.mean(recent) + 150):
            total += gap
        recent = (recent + [gap])[-30:]
    return total
