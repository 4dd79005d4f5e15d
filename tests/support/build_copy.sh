#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build_copy.sh SOURCE FOLDER [ARGUMENT OF configure]... - builds a copy of the
# sources that git knows in FOLDER, which is made anew. What was configured
# cannot be the source of a build elsewhere, therefore a copy.
set -eu
source=$1 folder=$2
shift 2

rm -rf "$folder"
mkdir -p "$folder"
(cd "$source" && git ls-files -z --cached --others --exclude-standard |
    tar --null -T - -cf -) | tar -C "$folder" -xf -
cd "$folder"
autoreconf -fi >autoreconf.log 2>&1 || { cat autoreconf.log >&2; exit 1; }
./configure -q "$@"
make -s -j"$(nproc)"
