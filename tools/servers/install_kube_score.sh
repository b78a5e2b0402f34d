#!/bin/sh
# Build the pinned kube-score for `make test-cluster`, once, and print the path of the program. Needs Go and the network.
set -eu

version=v1.20.0
folder="${XDG_CACHE_HOME:-$HOME/.cache}/lucir/kube-score-$version"

if [ ! -x "$folder/kube-score" ]; then
  command -v go >/dev/null || { echo "Go is needed to build kube-score: install Go 1.24 or newer" >&2; exit 1; }
  mkdir -p "$folder"
  GOBIN="$folder" CGO_ENABLED=0 go install "github.com/zegl/kube-score/cmd/kube-score@$version" >&2
fi
echo "$folder/kube-score"
