#!/usr/bin/env python3
"""The film that both sides of a measured call send, and what can be read from its pictures at the other end.

Two strips of 40 black and white cells lie over the top sixth of every picture, in the format of
src/device/camera/barcode.rs: the wall clock (drawn as the picture is handed to the sender) and below it the
picture's number in the film. So every received picture tells how old it is and which one it was.

    film.py feed FILM PIPE                  plays the film into a pipe at its rate, as a camera would
    film.py read PIPE LOG SAMPLES           reads the pictures of a call; a line a picture, and some of them whole

Needs numpy. links.py starts both; the page of chromium.mjs does the same for Chromium.
"""
import json
import os
import pathlib
import sys
import time

import numpy as np

CELLS = 40
WHITE, BLACK = 235, 16
FPS = 30
PICTURES = 120
# A picture is kept whole this often, for its PSNR.
SAMPLE_EVERY_S = 0.5


def check(value):
    code = 0x5A
    for byte in value.to_bytes(4, "little"):
        code ^= byte
        code = (code << 1 | code >> 7) & 255
    return code


def strip_row(value, width):
    """One row of luma with the value's cells."""
    bits = value << 8 | check(value)
    row = np.empty(width, np.uint8)
    edges = [round(cell * width / CELLS) for cell in range(CELLS + 1)]
    for cell in range(CELLS):
        white = bits >> (CELLS - 1 - cell) & 1
        row[edges[cell]:edges[cell + 1]] = WHITE if white else BLACK
    return row


def strip_height(height):
    return round(height / 24) * 2


def read_strip(row):
    """The value in a row of luma, or None."""
    width = len(row)
    bits = 0
    for cell in range(CELLS):
        start = (cell * 10 + 3) * width // (CELLS * 10)
        end = max(start + 1, (cell * 10 + 7) * width // (CELLS * 10))
        bits = bits << 1 | int(row[start:end].mean() > 127)
    value = bits >> 8
    return value if check(value) == bits & 255 else None


def clock_of(luma):
    return read_strip(luma[round(luma.shape[0] / 24)])


def number_of(luma):
    return read_strip(luma[round(luma.shape[0] / 8)])


def blurred(picture, times):
    for _ in range(times):
        picture = (picture + np.roll(picture, 1, 0) + np.roll(picture, -1, 0)) / 3
        picture = (picture + np.roll(picture, 1, 1) + np.roll(picture, -1, 1)) / 3
    return picture


def paint(width, height):
    """A webcam's view, the same in every run: someone who moves before a still room, and the noise of the sensor."""
    random_numbers = np.random.default_rng(3)
    rows, columns = np.mgrid[0:height, 0:width].astype(float)
    room = blurred(random_numbers.normal(0, 60, (height, width)), 6)
    room = 95 + 3 * room + 40 * columns / width
    room[(columns // (width // 8)).astype(int) % 4 == 1] -= 25  # shelves
    cloth = blurred(random_numbers.normal(0, 60, (2 * height, 2 * width)), 1)
    pictures = []
    strip = strip_height(height)
    for number in range(PICTURES):
        turn = 2 * np.pi * number / 60
        x = width * (0.5 + 0.06 * np.sin(turn) + 0.02 * np.sin(3.1 * turn))
        y = height * (0.45 + 0.03 * np.cos(1.7 * turn))
        head = ((columns - x) / (width * 0.12)) ** 2 + ((rows - y) / (height * 0.24)) ** 2 < 1
        body = ((columns - x * 0.7 - width * 0.15) / (width * 0.28)) ** 2 + ((rows - height) / (height * 0.36)) ** 2 < 1
        at = (int(height / 2 - y), int(width / 2 - x))
        texture = np.roll(cloth, (-at[0], -at[1]), (0, 1))[:height, :width]
        luma = np.where(body, 70 + texture, room)
        luma = np.where(head, 165 + 0.5 * texture - 30 * ((columns - x) / width * 4) ** 2, luma)
        mouth = (abs(columns - x) < width * 0.03) & (abs(rows - y - height * 0.1) < height * (0.004 + 0.015 * (number % 9 < 5)))
        luma = np.where(mouth, 60, luma)
        luma += random_numbers.normal(0, 1.5, luma.shape)
        luma = luma.clip(16, 235).astype(np.uint8)
        luma[:strip] = BLACK
        luma[strip:2 * strip] = strip_row(number, width)
        u = np.where(head, 112, np.where(body, 140, 126))[::2, ::2].astype(np.uint8)
        v = np.where(head, 148, np.where(body, 118, 130))[::2, ::2].astype(np.uint8)
        u[:strip], v[:strip] = 128, 128
        pictures.append((luma, u, v))
    return pictures


def header(width, height, fps=FPS):
    return f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420 XCOLORRANGE=LIMITED\n".encode()


def make(folder, width, height):
    """The film's file, painted if it is not there yet."""
    path = pathlib.Path(folder) / f"film-{width}x{height}-{PICTURES}.y4m"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        with open(unfinished, "wb") as out:
            out.write(header(width, height))
            for picture in paint(width, height):
                out.write(b"FRAME\n")
                for plane in picture:
                    out.write(plane.tobytes())
        unfinished.rename(path)
    return path


def load(path):
    """Size, and the pictures as flat I420."""
    with open(path, "rb") as film:
        return list(read_pictures(film))


def read_pictures(film):
    line = film.readline().decode().split()
    width, height = (int(next(f[1:] for f in line[1:] if f[0] == key)) for key in "WH")
    size = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
    while film.readline():
        picture = film.read(size)
        if len(picture) < size:
            return
        yield width, height, picture


def order():
    """Forwards and backwards without end, so that no jump looks like a cut."""
    while True:
        yield from range(PICTURES - 1)
        yield from range(PICTURES - 1, 0, -1)


def feed(film, pipe):
    pictures = load(film)
    width, height, _ = pictures[0]
    strip = strip_height(height)
    with open(pipe, "wb", buffering=0) as out:
        # A little more than the truth: the player, which keeps a clock of its own, shall never hold a picture back.
        out.write(header(width, height, FPS + 1))
        start = time.monotonic()
        for count, number in enumerate(order()):
            wait = start + count / FPS - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            row = strip_row(int(time.time() * 1000) & 0xFFFFFFFF, width).tobytes()
            picture = memoryview(b"FRAME\n" + row * strip + pictures[number][2][strip * width:])
            while picture:
                picture = picture[out.write(picture):]


def read(pipe, log, samples):
    with open(pipe, "rb") as film, open(log, "w") as lines, open(samples, "wb") as kept:
        sampled = 0
        for width, height, picture in read_pictures(film):
            now = time.time()
            luma = np.frombuffer(picture, np.uint8, width * height).reshape(height, width)
            clock, number = clock_of(luma), number_of(luma)
            line = {"at": now * 1000, "clock": clock, "number": number, "w": width, "h": height}
            if now - sampled >= SAMPLE_EVERY_S:
                sampled = now
                line["sample"] = kept.tell()
                kept.write(luma.tobytes())
            lines.write(json.dumps(line) + "\n")
            lines.flush()


def enlarged(luma, width, height):
    """As a screen would show it in the film's size: linear between pixels."""
    if luma.shape == (height, width):
        return luma.astype(float)
    at_rows = ((np.arange(height) + 0.5) * luma.shape[0] / height - 0.5).clip(0, luma.shape[0] - 1)
    at_columns = ((np.arange(width) + 0.5) * luma.shape[1] / width - 0.5).clip(0, luma.shape[1] - 1)
    top, left = at_rows.astype(int), at_columns.astype(int)
    bottom, right = np.minimum(top + 1, luma.shape[0] - 1), np.minimum(left + 1, luma.shape[1] - 1)
    down, across = (at_rows - top)[:, None], at_columns - left
    rows = luma[top] * (1 - down) + luma[bottom] * down
    return rows[:, left] * (1 - across) + rows[:, right] * across


def psnr(film, luma, number):
    """Of what lies below the strips, against the picture of that number."""
    width, height, picture = film[number]
    source = np.frombuffer(picture, np.uint8, width * height).reshape(height, width)
    below = height // 6 + 2
    error = enlarged(luma, width, height)[below:] - source[below:]
    return 10 * np.log10(255**2 / max((error**2).mean(), 1e-3))


def main():
    what, *paths = sys.argv[1:]
    try:
        {"feed": feed, "read": read}[what](*paths)
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)


if __name__ == "__main__":
    main()
