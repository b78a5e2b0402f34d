#!/bin/sh
# onnxruntime-web for the test of the exported JavaScript example: from npm, into the cache, once. Needs Node and npm.
set -eu
version=1.30.0
cache="${XDG_CACHE_HOME:-$HOME/.cache}/lucir/onnxruntime-web-$version"
[ ! -e "$cache/done" ] || exit 0
mkdir -p "$cache"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$cache" "onnxruntime-web@$version"
touch "$cache/done"
