#!/bin/sh
# Build the pinned MinIO server for the contract tests, once, and print the path of the binary.
# Needs Go 1.24 or newer and the network; several minutes and about 3 GB of Go's caches the first time.
# Building it with Go is how the project itself says to get it: its binaries and images are no longer published.
set -eu

# The last commit of the archived repository: it has the fix of conditional PUT that came after the last tag
# (RELEASE.2025-10-15T17-29-55Z, whose module not every Go proxy hands out). It also has a regression: nothing that
# it streams is flushed, so that bucket notifications never arrive. Forks have mended it, and so does the file below.
version=v0.0.0-20260212201848-7aac2a2c5b7c
folder="${XDG_CACHE_HOME:-$HOME/.cache}/lucir/minio-$version-flush"

if [ ! -x "$folder/minio" ]; then
  command -v go >/dev/null || { echo "Go is needed to build MinIO: install Go 1.24 or newer" >&2; exit 1; }
  source=$(go mod download -json "github.com/minio/minio@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [ -d "$source" ] || { echo "the module of MinIO cannot be fetched: is the network there?" >&2; exit 1; }
  mkdir -p "$folder"
  building=$(mktemp -d "$folder/build.XXXXXX")
  trap 'rm -rf "$building"' EXIT INT TERM
  cp -R "$source" "$building/source"
  chmod -R u+w "$building/source"
  cat >"$building/source/cmd/flush.go" <<'EOF'
package cmd

import "net/http"

// Flush makes streamed answers reach the client when the handler says so.
func (w *trackingResponseWriter) Flush() {
	if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}
EOF
  (cd "$building/source" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o ../minio .) >&2
  mv "$building/minio" "$folder/minio"
fi
echo "$folder/minio"
