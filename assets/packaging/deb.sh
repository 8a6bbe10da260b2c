#!/bin/sh
# Makes target/package/twocan_VERSION_ARCHITECTURE.deb from target/release/twocan, with dpkg's own tools.
# Called by `sh assets/setup.sh package`, which has built the program before.
set -eu
cd "$(dirname "$0")/../.."

id=net.twocan.Twocan
linux=assets/packaging/linux
out=target/package
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"

field() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" Cargo.toml | head -n 1; }
version=$(field version)
description=$(field description)
architecture=$(dpkg --print-architecture)

install -D -m 755 "${CARGO_TARGET_DIR:-target}/release/twocan" "$tree/usr/bin/twocan"
if command -v strip >/dev/null; then strip --strip-unneeded "$tree/usr/bin/twocan"; fi
install -D -m 644 $linux/$id.desktop "$tree/usr/share/applications/$id.desktop"
install -D -m 644 $linux/$id.metainfo.xml "$tree/usr/share/metainfo/$id.metainfo.xml"
for size in 32 48 64 128 256 512; do
    install -D -m 644 assets/icons/twocan-$size.png "$tree/usr/share/icons/hicolor/${size}x$size/apps/$id.png"
done
install -D -m 644 assets/icons/twocan.svg "$tree/usr/share/icons/hicolor/scalable/apps/$id.svg"
install -D -m 644 $linux/copyright "$tree/usr/share/doc/twocan/copyright"
for licence in assets/fonts/*LICENSE*.txt; do
    install -D -m 644 "$licence" "$tree/usr/share/doc/twocan/${licence##*/}"
done

# What the program is linked to, and what it opens at run time, which no tool can see.
mkdir -p "$tree/debian" "$tree/DEBIAN"
printf 'Source: twocan\nPackage: twocan\n' >"$tree/debian/control"
linked=$(cd "$tree" && dpkg-shlibdeps -O usr/bin/twocan 2>/dev/null | sed -n 's/^shlibs:Depends=//p' || true)
rm -r "$tree/debian"
opened=$(for package in $(cat $linux/deb-depends); do
    case ", $linked" in *", $package "* | *", $package,"*) ;; *) printf ', %s' "$package" ;; esac
done)
depends=${linked:-libc6, libgcc-s1, libstdc++6}$opened

cat >"$tree/DEBIAN/control" <<CONTROL
Package: twocan
Version: $version
Architecture: $architecture
Maintainer: The Twocan authors <noreply@twocan.net>
Section: net
Priority: optional
Installed-Size: $(du -sk "$tree/usr" | cut -f1)
Depends: $depends
Recommends: mesa-vulkan-drivers, libgl1-mesa-dri, fonts-noto-cjk
Description: ${description%%:*}
 One person copies a short text, the other pastes it, and they see and hear each other.
 Picture and sound go straight from one machine to the other, encrypted. There is no
 account and no server that knows of the call.
CONTROL

mkdir -p $out
package=$out/twocan_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$tree" "$package" >/dev/null
echo "$package"
echo "install it with: sudo apt install ./$package" >&2
