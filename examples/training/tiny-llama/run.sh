#!/bin/sh
# Trains the tiny llama from Debian's packages: ./run.sh [FOLDER] [options of train.py]. About 45 minutes on two idle cores.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=build
case "${1:-}" in
  "" | -*) ;;
  *) out=$1; shift ;;
esac

packages="python3-torch libopenblas0-pthread wordnet-base dict-devil dict-jargon"
# shellcheck disable=SC2086 # the list is meant to be split
if ! dpkg-query -W $packages >/dev/null 2>&1; then
  echo "missing packages; install them first:" >&2
  echo "  sudo apt-get install -y $packages" >&2
  exit 1
fi

# Debian's torch belongs to Debian's Python, whatever comes first in PATH.
exec /usr/bin/python3 "$here/train.py" --out "$out" "$@"
