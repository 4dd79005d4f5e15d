#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# registration.sh - each START_TEST is added to a suite, and each test program
# and lint script is run by make check.
. "$(dirname "$0")/lib.sh"

for file in $(c_files tests); do
    sed -nE 's/^START_TEST\(([A-Za-z0-9_]+)\).*/\1/p' "$file" | while read -r name; do
        grep -qE "tcase_add_[a-z_]*test[a-z_]*\([^,]*,[[:space:]]*$name\b" "$file" ||
            tr '\n' ' ' <"$file" | grep -qE "tcase_add_[a-z_]*test[a-z_]*\([^,]*,[[:space:]]*$name\b" ||
            echo "$file: test '$name' is in no suite"
    done
done | report

for file in $(find tests -name 'check_*.c' -o -name 'fuzz_*.c' -o -path 'tests/lint/*.sh' ! -name lib.sh); do
    name=${file#tests/}
    grep -qF "${name%.c}" tests/*/*.am || echo "$file: in no Makefile fragment"
done | report
finish
