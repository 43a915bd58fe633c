#!/bin/sh
# Runs a step of the Makefile: step.sh NAME COMMAND… prints the name before, and the time it took after.
set -eu
name=$1
shift
echo "==> $name"
began=$(date +%s)
"$@"
echo "    $(($(date +%s) - began)) s"
