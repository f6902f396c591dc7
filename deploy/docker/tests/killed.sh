# shellcheck shell=bash
# Sourced by docker-tests.sh: whether anything is left of the tests when they are killed in the middle.

run_killed() { :; }
hold() { :; }
