#!/usr/bin/env bash
# Cancel the jobs of the given numbers.
exec scancel "$@"
