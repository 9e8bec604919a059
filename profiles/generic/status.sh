#!/usr/bin/env bash
# Print `running`, `success` or `failed` for the job of the given number.
set -euo pipefail

if answer=$(squeue --noheader --states=all --jobs="$1" --format=%T 2>&1); then
  case $answer in
    COMPLETED) echo success ;;
    # A preempted job that is not requeued has failed, as has one that Slurm no longer remembers.
    BOOT_FAIL | CANCELLED | DEADLINE | FAILED | NODE_FAIL | OUT_OF_MEMORY | PREEMPTED | TIMEOUT | "") echo failed ;;
    *) echo running ;;
  esac
elif [[ $answer == *"Invalid job id"* ]]; then
  echo failed
else
  echo running # Slurm does not answer: ask again
fi
