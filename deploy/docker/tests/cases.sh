# shellcheck shell=bash
# Sourced by docker-tests.sh: the tests.

run_tests() { . /tmp/dev.sh; }
