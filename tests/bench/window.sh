#!/bin/sh
# How long the window takes to show, and what the idle lobby costs. On a screen of its own, without a GPU.
#   tests/bench/window.sh [PROGRAM]        needs Xvfb, openbox, xdotool
set -eu
program=${1:-target/release/twocan}
folder=$(mktemp -d)
display=:$((90 + $$ % 400))
Xvfb "$display" -screen 0 1600x1000x24 -nolisten tcp >/dev/null 2>&1 &
screen=$!
trap 'kill $screen; rm -rf "$folder"' EXIT
export DISPLAY="$display" XDG_RUNTIME_DIR="$folder" TWOCAN_CONFIG="$folder/settings.json"
chmod 700 "$folder"
sleep 2
openbox >/dev/null 2>&1 &
sleep 1
for run in 1 2 3; do
    started=$(date +%s%N)
    "$program" --camera none --microphone none --speaker none >/dev/null 2>&1 &
    pid=$!
    # The window is hidden until its first picture is painted.
    until xdotool search --onlyvisible --pid $pid >/dev/null 2>&1; do :; done
    echo "window after $((($(date +%s%N) - started) / 1000000)) ms"
    sleep 5
    before=$(awk '{print $14 + $15}' /proc/$pid/stat)
    sleep 20
    after=$(awk '{print $14 + $15}' /proc/$pid/stat)
    awk "BEGIN { printf \"idle lobby: %.2f %% of a core\\n\", ($after - $before) * 100 / $(getconf CLK_TCK) / 20 }"
    kill $pid
    wait $pid 2>/dev/null || true
done
