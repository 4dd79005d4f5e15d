#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_models.sh - the models of this folder in all their states, by spin.
#
# Each model is checked as it is, and once for each of its properties with a
# mistake in it (BREAK_<property>) that this very property must find. Every
# function that a model names must exist in the file it names.
#
# MODELS_LARGE=1 checks larger bounds: minutes, and gigabytes of memory.
here=${srcdir:-$(cd "$(dirname "$0")/.." && pwd)}/models
sources=${top_srcdir:-$here/../..}/mod_commserver
script=$here/check_models.sh
limit=${MODELS_LIMIT:-600} # seconds of one search

# ---- one search ---------------------------------------------------------------

fail() {
    echo "FAILED $*"
    exit 1
}

build() { # MODEL FLAGS OPTIONS...
    model=$1 flags=$2
    shift 2
    cp "$here/$model.pml" . || exit 1
    # shellcheck disable=SC2086 # words
    spin -a $flags "$model.pml" >spin.out 2>&1 || fail "$model $flags: $(cat spin.out)"
    ${CC:-cc} -w "$@" -o pan pan.c || fail "$model $flags: pan.c does not compile"
}

# Searched to the end: neither cut off by depth nor memory. @stdout states
states() {
    grep -q 'max search depth too small\|out of memory\|Search not completed' pan.out &&
        return 1
    grep -q 'errors: 0' pan.out && sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.out
}

safe() { # MODEL FLAGS
    build "$1" "$2" -O2 -DSAFETY -DNOCLAIM
    timeout "$limit" ./pan -E -m"$depth" >pan.out 2>&1
    count=$(states) || fail "$1 $2: $(grep '^pan:1\|error' pan.out)"
    echo "ok $1 $2: asserted properties hold in $count states"
}

live() { # MODEL FLAGS PROPERTY...
    model=$1 flags=$2
    build "$1" "$2" -O2 -DNFAIR=3
    shift 2
    for property; do
        timeout "$limit" ./pan -a -f -N "$property" -m"$depth" >pan.out 2>&1
        count=$(states) || fail "$model $flags: $property: $(grep '^pan:1\|error' pan.out)"
        echo "ok $model $flags: $property holds in $count states"
    done
}

broken() { # MODEL FLAGS PROPERTY
    if grep -q "^ltl $3 " "$here/$1.pml"; then
        build "$1" "$2 -DBREAK_$3" -O0 -DNFAIR=3
        timeout "$limit" ./pan -a -f -N "$3" -m"$depth" >pan.out 2>&1
        grep -q '^pan:1: acceptance cycle' pan.out
    else
        build "$1" "$2 -DBREAK_$3" -O0 -DSAFETY -DNOCLAIM
        timeout "$limit" ./pan -E -m"$depth" >pan.out 2>&1
        grep -q "^pan:1: assertion violated (*$3||" pan.out
    fi || fail "$1 $2: BREAK_$3 is not found by $3: $(grep '^pan:1\|errors:' pan.out)"
    echo "ok $1: $3 finds its mistake"
}

if [ "$1" = --one ]; then
    shift
    depth=${MODELS_LARGE:+20000000}
    depth=${depth:-2000000}
    work=$(mktemp -d) || exit 1
    trap 'rm -rf "$work"' EXIT
    cd "$work" || exit 1
    # shellcheck disable=SC2294 # words with blanks are quoted in the list
    eval "$@"
    exit
fi

# ---- names --------------------------------------------------------------------

# "FILE.c FUNCTION" for each that the comments of a model name.
named() { # MODEL
    tr '\n' ' ' <"$1" | sed 's/  *\* / /g; s/\*\//\n/g' | grep -v 'httpd, ' |
        grep -oE '[a-z_0-9]+\.c: [a-z_0-9]+(, [a-z_0-9]+)*' |
        sed -E 's/, and$//; s/[:,]//g' |
        while read -r file functions; do
            for function in $functions; do
                echo "$file $function"
            done
        done
}

check_names() {
    for model in "$here"/*.pml; do
        awk -v file="${model##*/}" '
            /^(inline|proctype) / && previous !~ /\.c: |model/ {
                print file ": " $0 ": no comment says which function it is" }
            { if (!/^ \*/ || !/\*\//) previous = $0
              if (/^\/\* /) start = $0; if (/^ \*.*\*\/$/) previous = start }' "$model"
        named "$model" | sort -u | while read -r file function; do
            path=$(find "$sources" -name "$file")
            [ -n "$path" ] || { echo "${model##*/}: there is no $file"; continue; }
            grep -qE "^[a-z].*[ *]$function\(" "$path" ||
                echo "${model##*/}: $file has no function $function"
        done
        grep -oE 'BREAK_[a-z_]+' "$model" | sort -u | while read -r mistake; do
            grep -qw "${mistake#BREAK_}" "$script" ||
                echo "${model##*/}: nobody looks for $mistake"
        done
    done
}

# ---- what is checked ----------------------------------------------------------

searches() {
    reuse='-DCONNECTIONS=2 -DREQUESTS=0 -DMESSAGES=1'
    deaths='-DCHILDREN=1 -DRINGERS=1 -DDEATHS -DUPKEEP'
    echo "live lead '-DTHREADS=2' stuck_is_deposed step_is_taken threads_end"
    echo "live doorbell '' slot_reused_safely"
    echo "live doorbell '-DCHILDREN=1' no_lost_message sleeps_when_nothing"
    echo "live doorbell '$deaths' dead_ringer_loses_nothing"
    echo "live parking '-DREQUESTS=0' no_lost_wake deadline_answers stop_ends"
    echo "live handover '-DMAX=2' handover_comes_back"
    echo "safe lead '-DTHREADS=2'"
    echo "safe lead '-DCONNECTIONS=1'"
    echo "safe doorbell '-DCHILDREN=1'"
    echo "safe doorbell '$deaths'"
    echo "safe parking '-DREQUESTS=0'"
    echo "safe parking '-DMESSAGES=0'"
    echo "safe handover '-DMAX=1'"
    for property in stuck_is_deposed step_is_taken threads_end one_leader \
        spare_thread deposed_in_a_step; do
        echo "broken lead '-DTHREADS=2' $property"
    done
    for property in no_lost_message sleeps_when_nothing bounded_list \
        no_ring_to_wrong_child; do
        echo "broken doorbell '-DCHILDREN=1' $property"
    done
    echo "broken doorbell '' slot_reused_safely"
    echo "broken doorbell '$deaths' dead_ringer_loses_nothing"
    for property in no_lost_wake deadline_answers stop_ends one_owner \
        memory_outlives_use memory_waits_for_httpd answered_once held_is_counted \
        no_empty_answer no_waiter_left; do
        echo "broken parking '-DREQUESTS=0' $property"
    done
    echo "broken parking '$reuse' no_stale_event"
    echo "broken parking '-DREQUESTS=2 -DMESSAGES=0' handover_closes"
    for property in handover_is_bounded handover_runs_once handover_comes_back; do
        echo "broken handover '-DMAX=1' $property"
    done
}

large_searches() {
    reuse='-DCONNECTIONS=2 -DREQUESTS=0 -DMESSAGES=1'
    echo "safe lead ''"
    echo "live lead '-DCONNECTIONS=1' stuck_is_deposed step_is_taken threads_end"
    echo "safe doorbell '-DCHILDREN=1 -DRING=2 -DPUBLISHES=2'"
    echo "safe doorbell '-DLARGE'"
    echo "live doorbell '-DCHILDREN=1 -DDEATHS -DUPKEEP' dead_ringer_loses_nothing"
    echo "safe parking ''"
    echo "live parking '' no_lost_wake deadline_answers stop_ends"
    echo "safe parking '$reuse'"
    echo "safe parking '-DTHREADS=2 -DREQUESTS=0'"
    echo "live handover '-DREQUESTS=4 -DMAX=2' handover_comes_back"
}

command -v spin >/dev/null || { echo "skipped: spin is not installed"; exit 77; }
result=$(mktemp) || exit 1
trap 'rm -f "$result"' EXIT
check_names | tee "$result"
[ ! -s "$result" ] || exit 1
{ [ -z "$MODELS_LARGE" ] || large_searches; searches; } |
    tr '\n' '\0' | xargs -0 -n 1 -P "${MODELS_JOBS:-2}" sh "$script" --one >"$result" 2>&1
sort "$result"
grep -q '^ok ' "$result" && ! grep -v '^ok ' "$result"
