#!/bin/sh
# Build the pinned control plane of Kubernetes for `make test-cluster`, once, and print the folder with its programs:
# kube-apiserver and kube-controller-manager. Needs Go 1.24 or newer and the network; about ten minutes of a processor and
# 2 GB of Go's caches the first time. etcd comes from Debian (package etcd-server).
set -eu

version=1.34.4
folder="${XDG_CACHE_HOME:-$HOME/.cache}/lucir/kubernetes-$version"

if [ ! -x "$folder/kube-controller-manager" ]; then
  command -v go >/dev/null || { echo "Go is needed to build Kubernetes: install Go 1.24 or newer" >&2; exit 1; }
  mkdir -p "$folder"
  building=$(mktemp -d "$folder/build.XXXXXX")
  trap 'rm -rf "$building"' EXIT INT TERM
  cd "$building"
  # `go install k8s.io/kubernetes/...` is refused: that module names its own parts by folders beside it. This one names
  # the released parts instead, those that Kubernetes' own go.mod lists.
  go mod init lucir.invalid/kubernetes >/dev/null 2>&1
  source=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
  [ -f "$source" ] || { echo "the module of Kubernetes cannot be fetched: is the network there?" >&2; exit 1; }
  sed -n 's|^\t*\(k8s.io/[a-z-]*\) => ./staging/.*|\1|p' "$source" | while read -r part; do
    go mod edit -replace "$part=$part@v0.${version#1.}"
  done
  go mod edit -require "k8s.io/kubernetes@v$version"
  for program in kube-apiserver kube-controller-manager; do
    CGO_ENABLED=0 go build -mod=mod -trimpath -o "$program" "k8s.io/kubernetes/cmd/$program" >&2
    mv "$program" "$folder/$program"
  done
fi
echo "$folder"
