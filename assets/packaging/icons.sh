#!/bin/sh
# Draws every icon file from assets/icons/twocan.svg. Run it after a change of the drawing and commit what it made.
# Needs rsvg-convert, ImageMagick and python3.
set -eu
cd "$(dirname "$0")/../icons"

for size in 16 32 48 64 128 256 512 1024; do
    rsvg-convert --width $size --height $size twocan.svg --output twocan-$size.png
done

convert twocan-16.png twocan-32.png twocan-48.png twocan-64.png twocan-128.png twocan-256.png twocan.ico

# Apple's container: "icns", total length, then for each picture a type, its length and the PNG file.
python3 - <<'PYTHON'
import struct
kinds = [("icp4", 16), ("icp5", 32), ("icp6", 64), ("ic07", 128), ("ic08", 256), ("ic09", 512), ("ic10", 1024)]
chunks = b""
for kind, size in kinds:
    png = open(f"twocan-{size}.png", "rb").read()
    chunks += kind.encode() + struct.pack(">I", len(png) + 8) + png
open("twocan.icns", "wb").write(b"icns" + struct.pack(">I", len(chunks) + 8) + chunks)
PYTHON

# These two sizes are only needed inside the containers.
rm twocan-16.png twocan-1024.png
