#!/bin/sh
# Build the pinned MinIO server for the contract tests, once, and print the path of the binary.
# Needs Go 1.24 or newer and the network; several minutes and about 3 GB of Go's build cache the first time.
# `go install` is how the project itself says to get it: its binaries and images are no longer published.
set -eu

# The last commit of the archived repository: it has the fix of conditional PUT that came after the last tag
# (RELEASE.2025-10-15T17-29-55Z, whose module not every Go proxy hands out).
version=v0.0.0-20260212201848-7aac2a2c5b7c
folder="${XDG_CACHE_HOME:-$HOME/.cache}/lucir/minio-$version"

if [ ! -x "$folder/minio" ]; then
  command -v go >/dev/null || { echo "Go is needed to build MinIO: install Go 1.24 or newer" >&2; exit 1; }
  mkdir -p "$folder"
  building=$(mktemp -d "$folder/build.XXXXXX")
  trap 'rm -rf "$building"' EXIT INT TERM
  GOBIN="$building" CGO_ENABLED=0 go install -trimpath -ldflags "-s -w" "github.com/minio/minio@$version" >&2
  mv "$building/minio" "$folder/minio"
fi
echo "$folder/minio"
