#!/bin/sh
# Install the S3 servers that Debian has, for the contract tests: `install_debian.sh swift`, `... ceph`, or both.
# Needs root and the network (about 11 MB and 73 MB). Their services are not started: the tests start their own.
set -eu

packages=
for server in "${@:-swift}"; do
  case $server in
    swift) packages="$packages swift-proxy swift-account swift-container swift-object" ;;
    ceph) packages="$packages radosgw ceph-mon ceph-osd ceph-common" ;;
    *) echo "unknown server $server: swift or ceph" >&2; exit 2 ;;
  esac
done
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "run this as root on Debian, or install:$packages" >&2
  exit 1
fi
apt-get update -qq
# In run level 1 a package does not start the service it brings.
# shellcheck disable=SC2086  # a list of words
RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $packages >/dev/null
