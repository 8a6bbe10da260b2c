#!/bin/sh
# Sets a machine up for Twocan, builds it and runs it. No questions are asked; what is there is not installed again.
#
#   sh assets/setup.sh run [ARGUMENTS]     build, then two windows on this machine in a call with each other
#   sh assets/setup.sh test [ARGUMENTS]    build, then every test (ARGUMENTS go to `cargo test`)
#   sh assets/setup.sh package             build, then an installable package in target/package
#   sh assets/setup.sh check               only say what is missing for `run` and `test`
#
# Works with apt, dnf, pacman and brew, as root or with sudo.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
[ -z "${HOME:-}" ] || PATH=$PATH:$HOME/.cargo/bin
export PATH

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "$root/assets/setup.sh" >&2; }

# --- What is needed ------------------------------------------------------------------------------------------
# One line each: how to see that it is there, then its package for apt, dnf, pacman and brew; `-` where a system
# needs none, `a|b` where a package has two names. Tools and libraries to build:
build_needs() {
    cat <<'TABLE'
compiler                    build-essential      gcc-c++                    base-devel      -
command:make                make                 make                       make            -
command:cmake               cmake                cmake                      cmake           cmake
assembler                   nasm                 nasm                       nasm            nasm
command:pkg-config          pkg-config           pkgconf-pkg-config         pkgconf         -
module:alsa                 libasound2-dev       alsa-lib-devel             alsa-lib        -
module:vpx                  libvpx-dev           libvpx-devel               libvpx          -
libclang                    libclang1|libclang-dev clang-libs               clang           -
TABLE
}

# What the window opens at run time; no build sees that it is missing.
window_needs() {
    cat <<'TABLE'
library:libX11.so.6         libx11-6             libX11                     libx11            -
library:libX11-xcb.so.1     libx11-xcb1          libX11-xcb                 libx11            -
library:libXcursor.so.1     libxcursor1          libXcursor                 libxcursor        -
library:libXi.so.6          libxi6               libXi                      libxi             -
library:libXrandr.so.2      libxrandr2           libXrandr                  libxrandr         -
library:libxkbcommon.so.0   libxkbcommon0        libxkbcommon               libxkbcommon      -
library:libxkbcommon-x11.so.0 libxkbcommon-x11-0 libxkbcommon-x11           libxkbcommon-x11  -
library:libEGL.so.1         libegl1              libglvnd-egl               libglvnd          -
library:libGL.so.1          libgl1               libglvnd-glx               libglvnd          -
opengl                      libgl1-mesa-dri      mesa-dri-drivers           mesa              -
TABLE
}

# What the tests drive the program with: screens, hands, a browser, sound, routers and relays.
test_needs() {
    cat <<'TABLE'
command:Xvfb                xvfb                 xorg-x11-server-Xvfb       xorg-server-xvfb  -
command:openbox             openbox              openbox                    openbox           -
command:xdotool             xdotool              xdotool                    xdotool           -
command:xclip               xclip                xclip                      xclip             -
command:import              imagemagick          ImageMagick                imagemagick       -
browser                     chromium|chromium-browser chromium             chromium          -
command:pulseaudio          pulseaudio           pulseaudio                 pulseaudio        -
command:pactl               pulseaudio-utils     pulseaudio-utils           libpulse          -
command:espeak-ng           espeak-ng            espeak-ng                  espeak-ng         -
command:ip                  iproute2             iproute                    iproute2          -
sbin:nft                    nftables             nftables                   nftables          -
command:turnserver          coturn               coturn                     coturn            -
command:janus               janus                janus                      -                 -
sbin:miniupnpd              miniupnpd-nftables   miniupnpd                  -                 -
command:dbus-run-session    dbus                 dbus-daemon                dbus              -
command:gdbus               libglib2.0-bin       glib2                      glib2             -
accessibility               at-spi2-core         at-spi2-core               at-spi2-core      -
pyatspi                     python3-pyatspi      python3-pyatspi            python-atspi      -
vulkan                      mesa-vulkan-drivers  mesa-vulkan-drivers        vulkan-swrast     -
cjk                         fonts-noto-cjk       google-noto-sans-cjk-fonts noto-fonts-cjk    -
TABLE
}

have() { command -v "$1" >/dev/null 2>&1; }
any() { for candidate; do [ -e "$candidate" ] && return; done; return 1; }

present() {
    case $1 in
        command:*) have "${1#*:}" ;;
        # Not everybody's PATH leads there.
        sbin:*) have "${1#*:}" || any "/usr/sbin/${1#*:}" "/sbin/${1#*:}" ;;
        module:*) pkg-config --exists "${1#*:}" 2>/dev/null ;;
        library:*) ldconfig -p 2>/dev/null | grep -qF "${1#*:} " ;;
        compiler) have cc && have c++ ;;
        # Only the encoder's x86 code is written for it.
        assembler) case $(uname -m) in x86_64 | i?86 | amd64) have nasm ;; esac ;;
        libclang) [ -n "${LIBCLANG_PATH:-}" ] || ldconfig -p 2>/dev/null | grep -q 'libclang[-.]' ||
            any /usr/lib/llvm-*/lib/libclang*.so* /usr/lib64/llvm*/lib*/libclang*.so* ;;
        opengl) any /usr/lib/*/dri/*_dri.so /usr/lib64/dri/*_dri.so /usr/lib/dri/*_dri.so ;;
        vulkan) any /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json ;;
        browser) have chromium || have chromium-browser || have google-chrome ;;
        accessibility) any /usr/libexec/at-spi-bus-launcher /usr/lib/at-spi2-core/at-spi-bus-launcher /usr/lib/at-spi-bus-launcher ;;
        pyatspi) /usr/bin/python3 -c 'import pyatspi' 2>/dev/null ;;
        cjk) have fc-list && [ -n "$(fc-list :lang=zh family 2>/dev/null)" ] ;;
        *) fail "unknown check $1" ;;
    esac
}

# --- The package manager ---------------------------------------------------------------------------------------
find_manager() {
    case $(uname -s) in
        Darwin) manager=brew ;;
        Linux) for manager in apt-get dnf pacman none; do have $manager && break; done ;;
        *) manager=none ;;
    esac
}

# The packages of the tables on stdin whose check fails, for this manager; the checks themselves where there is none.
missing() {
    found=
    while read -r check apt dnf pacman brew; do
        case $manager in apt-get) name=$apt ;; dnf) name=$dnf ;; pacman) name=$pacman ;; brew) name=$brew ;; *) name=${check#*:} ;; esac
        if [ "$name" != - ] && ! present "$check"; then
            case " $found " in *" $name "*) ;; *) found="$found $name" ;; esac
        fi
    done
    printf '%s' "${found# }"
}

# Of the names `a|b` the one that the manager knows.
known_name() {
    case $1 in
        *'|'*) if [ $manager = apt-get ] && apt-cache show "${1%%|*}" >/dev/null 2>&1; then echo "${1%%|*}"; else echo "${1#*|}"; fi ;;
        *) echo "$1" ;;
    esac
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif ! have sudo; then fail "this needs root and there is no sudo; run as root: $*"
    elif [ -t 0 ]; then sudo "$@"
    else sudo -n "$@"
    fi
}

# Quiet unless it fails.
install_with_manager() {
    case $manager in
        apt-get) as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" ;;
        dnf) as_root dnf install -y -q "$@" ;;
        pacman) as_root pacman -S --needed --noconfirm "$@" ;;
        brew) HOMEBREW_NO_AUTO_UPDATE=1 brew install -q "$@" ;;
    esac >"$log" 2>&1 </dev/null
}

refresh_lists() {
    [ $manager != apt-get ] || as_root apt-get update -q >/dev/null 2>&1 </dev/null || say "the package lists could not be refreshed"
}

# install WHY PACKAGE...; together, and one by one only if that fails, to name the one at fault.
install() {
    why=$1
    shift
    [ $# -gt 0 ] || return 0
    if [ $manager = none ]; then
        case $(uname -s) in
            MINGW* | MSYS* | CYGWIN*) advice="install them with winget, for example: winget install Kitware.CMake NASM.NASM" ;;
            *) advice="install them with the system's own tool" ;;
        esac
        say "missing $why: $*; $advice"
        return 1
    fi
    have $manager || fail "$manager is needed to install $*; see https://brew.sh"
    # A fresh image has no lists at all.
    [ $manager != apt-get ] || any /var/lib/apt/lists/*Packages* || refresh_lists
    names= refused=
    for package; do names="$names $(known_name "$package")"; done
    say "installing $why:$names"
    # shellcheck disable=SC2086
    set -- $names
    log=$(mktemp)
    if ! install_with_manager "$@"; then
        refresh_lists
        for package; do
            install_with_manager "$package" || { refused="$refused $package"; tail -n 3 "$log" >&2; }
        done
    fi
    rm -f "$log"
    [ -z "$refused" ] || { say "could not be installed $why:$refused"; return 1; }
}

# --- Rust -----------------------------------------------------------------------------------------------------
# Says in one sentence what to do, and fails, where there is no cargo or one that is too old.
require_rust() {
    get="get Rust with one line, then run this again: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
    have cargo || fail "Rust is not installed; $get"
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    version=$(rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9]*\.[0-9]*\).*/\1/p')
    [ -n "$version" ] || fail "cargo is here but rustc does not start; $get"
    if [ "${version%%.*}" -lt "${wanted%%.*}" ] || { [ "${version%%.*}" = "${wanted%%.*}" ] && [ "${version#*.}" -lt "${wanted#*.}" ]; }; then
        if have rustup; then fail "Rust $version is too old, $wanted is needed; run: rustup update stable"
        else fail "Rust $version is too old, $wanted is needed; $get"; fi
    fi
}

# --- The commands -----------------------------------------------------------------------------------------------
on_linux() { [ "$(uname -s)" = Linux ]; }

prepare_build() {
    if [ "$(uname -s)" = Darwin ] && ! xcode-select -p >/dev/null 2>&1; then
        fail "Apple's command line tools are missing; run: xcode-select --install"
    fi
    had_assembler=yes
    present assembler || had_assembler=
    table=$(build_needs; if on_linux; then window_needs; fi)
    # Elsewhere than on Linux only cmake and nasm are asked of the user.
    on_linux || table=$(printf '%s\n' "$table" | grep -E '^(command:cmake|assembler)')
    # shellcheck disable=SC2046
    install "to build" $(printf '%s\n' "$table" | missing) || fail "the build cannot start without them"
    # A build made without the assembler would be kept, and stay slow.
    if [ -z "$had_assembler" ] && [ -d target/release ]; then cargo clean --release -p openh264-sys2 2>/dev/null || true; fi
}

prepare_tests() {
    on_linux || return 0
    # shellcheck disable=SC2046
    install "for the tests" $(test_needs | missing) || say "tests that need what is missing will say SKIPPED"
}

package_kind() {
    case $(uname -s) in
        Linux) if have dpkg-deb; then echo deb; else echo appimage; fi ;;
        Darwin) echo dmg ;;
        *) echo nsis ;;
    esac
}

command=${1:-}
[ $# -eq 0 ] || shift
find_manager

case $command in
    run)
        require_rust
        prepare_build
        exec cargo run --release -- demo "$@"
        ;;
    test)
        require_rust
        prepare_build
        prepare_tests
        exec cargo test --release "$@"
        ;;
    package)
        require_rust
        prepare_build
        cargo build --release
        kind=$(package_kind)
        if [ "$kind" = deb ]; then
            exec sh assets/packaging/deb.sh
        fi
        have cargo-packager || cargo install cargo-packager --locked
        exec cargo packager --release --formats "$kind"
        ;;
    check)
        (require_rust) || true
        for part in build window test; do
            list=$(${part}_needs | missing)
            say "missing for $part: ${list:-nothing}"
        done
        ;;
    *)
        usage
        exit 2
        ;;
esac
