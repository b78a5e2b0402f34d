#!/bin/sh
# Install what `make test-deploy` builds and runs images with, and make a base image without a registry: Debian with Python,
# as a folder in the cache. Prints the folder. Needs root on Debian and the network; four minutes the first time.
set -eu

folder="${XDG_CACHE_HOME:-$HOME/.cache}/lucir/debian-bookworm"

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "run this as root on Debian" >&2
  exit 1
fi
if ! command -v podman >/dev/null || ! command -v runc >/dev/null || ! command -v debootstrap >/dev/null; then
  apt-get update -qq
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends \
    podman buildah runc netavark aardvark-dns iptables uidmap debootstrap >/dev/null
fi
if [ ! -d "$folder" ]; then
  mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
  building="$folder.building"
  rm -rf "$building"
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python-is-python3 \
    bookworm "$building" ${mirror:+"$mirror"} >&2
  mv "$building" "$folder"
fi
echo "$folder"
