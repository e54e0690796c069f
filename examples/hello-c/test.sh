#!/bin/sh
# Tests the program that is the first argument. Prints a line a test in the form of TAP; fails where one fails.
set -u
hello=$1
number=0
failed=0

check() {
    number=$((number + 1))
    if [ "$3" = "$2" ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1: expected '$2', got '$3'"
        failed=1
    fi
}

echo "1..4"
check "greets the world by default" "hello, world" "$("$hello")"
check "greets by name" "hello, Ada" "$("$hello" Ada)"
check "keeps every byte of a name" "hello, Grüße" "$("$hello" Grüße)"
long=$(printf '%064d' 0)
"$hello" "$long" >/dev/null 2>&1
check "refuses a name that does not fit" "1" "$?"
exit "$failed"
