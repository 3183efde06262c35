#!/bin/sh
# Fetches the forwarders that overlay-ts is compared with: Debian's packages and the libraries that they need and this
# machine lacks, unpacked into a folder and not installed. So no daemon is started or enabled, no user, configuration or
# start-up script is written, and removing the folder removes all of it.
#
#   sh bench/setup.sh          prints the folder; fetches only what is not there
set -eu
cd "$(dirname "$0")/.."

PACKAGES='wireguard-go wireguard-tools openvswitch-switch openvswitch-common n2n fastd tinc'

folder=$PWD/node_modules/.cache/overlay-ts-bench/debian
stamp=$folder/packages.txt
if [ -e "$stamp" ] && [ "$(head -n 1 "$stamp")" = "# $PACKAGES" ]; then
  echo "$folder"
  exit 0
fi

fail() {
  printf 'bench: %s\n' "$*" >&2
  exit 1
}
for program in apt-get dpkg; do
  command -v "$program" >/dev/null || fail "there is no $program here: the userspace peers are Debian's packages"
done

# apt-get writes its archives there, and dpkg unpacks them; complete, it is put in its place at once.
mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$(dirname "$folder")/new-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
mkdir -p "$work/archives/partial" "$work/root"

fetch() {
  # shellcheck disable=SC2086 # a list of words
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --download-only --reinstall --no-install-recommends \
    -o Dir::Cache::archives="$work/archives" -o DPkg::Lock::Timeout=300 $PACKAGES </dev/null >"$work/log" 2>&1
}
# Package lists may be missing or old.
fetch || { apt-get update -qq >>"$work/log" 2>&1 && fetch; } || {
  tail -n 15 "$work/log" >&2
  fail "apt-get could not fetch: $PACKAGES"
}
printf '# %s\n' "$PACKAGES" >"$work/root/packages.txt"
for archive in "$work"/archives/*.deb; do
  dpkg -x "$archive" "$work/root"
  dpkg-deb -W --showformat='${Package} ${Version}\n' "$archive" >>"$work/root/packages.txt"
done
rm -rf "$folder"
mv "$work/root" "$folder"
echo "$folder"
