#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh SOURCE FOLDER - builds the fuzz targets with clang in a copy of the
# source tree below FOLDER and runs each of them for some time.
#
# FUZZ_TARGETS  their names; FUZZ_SECONDS for each, 1200 unless told;
# FUZZ_CC       the compiler, clang unless told
#
# FOLDER/corpus/NAME keeps the inputs found and is used again, FOLDER/found/NAME
# gets what crashed, FOLDER/NAME.log the output of libFuzzer. Ends with 1 if
# anything was found, with 77 if it cannot be run here.
set -u
source=$1 folder=$2
seconds=${FUZZ_SECONDS:-1200}
compiler=${FUZZ_CC:-clang}
# A leak shows at the end of a run, an endless loop after this many seconds.
limits="-timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=1"

unable() {
    echo "check-fuzz: $1" >&2
    exit 77
}

can_fuzz() {
    mkdir -p "$folder" &&
        echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n);
            int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d == 0 && n; }' \
            >"$folder/probe.c" &&
        "$compiler" -fsanitize=fuzzer,address,undefined -o "$folder/probe" "$folder/probe.c" \
            2>"$folder/probe.log"
    result=$?
    rm -f "$folder/probe" "$folder/probe.c"
    return $result
}

build() {
    { sh "$source/tests/support/build_copy.sh" "$source" "$folder/tree" --enable-fuzzing \
        CC="$compiler" && make -s -C "$folder/tree/tests" $programs; } >"$folder/build.log" 2>&1
}

dictionary() { # NAME: the option, if there is a dictionary
    [ ! -e "$source/tests/fuzz/seeds/$1.dict" ] || echo "-dict=$source/tests/fuzz/seeds/$1.dict"
}

run() { # NAME
    mkdir -p "$folder/corpus/$1" "$folder/found/$1"
    # shellcheck disable=SC2046,SC2086 # options without blanks in them
    "$folder/tree/tests/fuzz/fuzz_$1" $limits $(dictionary "$1") -max_total_time="$seconds" \
        -artifact_prefix="$folder/found/$1/" "$folder/corpus/$1" \
        "$source/tests/fuzz/seeds/$1" >"$folder/$1.log" 2>&1
}

# Of the last line with a count, and of what follows -print_final_stats.
report() { # NAME RESULT
    log=$folder/$1.log
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    covered=$(sed -nE 's/.* cov: ([0-9]+) ft: ([0-9]+).*/\1 edges, \2 features/p' "$log" | tail -n 1)
    kept=$(find "$folder/corpus/$1" -type f | wc -l)
    findings=$(find "$folder/found/$1" -type f | wc -l)
    echo "$1: ${executions:-no} executions, ${covered:-no coverage}, $kept inputs kept, $findings found"
    [ "$2" = 0 ] && [ "$findings" = 0 ] && return 0
    echo "$1: failed with $2, see $log and $folder/found/$1" >&2
    grep -m 5 -E 'ERROR|does not hold|runtime error|SUMMARY' "$log" >&2
    return 1
}

command -v "$compiler" >/dev/null || unable "'$compiler' is not there: install clang"
can_fuzz || unable "'$compiler' cannot build for libFuzzer: install libclang-rt-dev ($(
    head -n 1 "$folder/probe.log"))"
(cd "$source" && git rev-parse >/dev/null 2>&1) || unable "the sources are not a git working tree"

programs=
for name in $FUZZ_TARGETS; do
    programs="$programs fuzz/fuzz_$name"
done
build || {
    tail -n 30 "$folder/build.log" >&2
    echo "check-fuzz: the targets cannot be built, see $folder/build.log" >&2
    exit 1
}
failed=0
for name in $FUZZ_TARGETS; do
    run "$name"
    report "$name" $? || failed=1
done
exit $failed
