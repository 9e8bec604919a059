#!/usr/bin/env bash
# Submit a job and print its number, and nothing else.
# Arguments: rule, threads, memory in MB, time in minutes, number of GPUs, the script to run.
set -euo pipefail
rule=$1 threads=$2 memory_mb=$3 runtime_min=$4 gpus=$5 script=$6

arguments=(
  --parsable --requeue "--job-name=auscult_$rule" --output=logs/slurm/%x-%j.log --open-mode=append
  --ntasks=1 "--cpus-per-task=$threads" "--mem=$memory_mb" "--time=$runtime_min"
)
if ((gpus > 0)); then
  arguments+=("--partition=${AUSCULT_GPU_PARTITION:-gpu}" "--gpus=${AUSCULT_GPU_MODEL:+$AUSCULT_GPU_MODEL:}$gpus")
else
  arguments+=("--partition=${AUSCULT_CPU_PARTITION:-cpu}")
fi
if [[ -n ${AUSCULT_ACCOUNT:-} ]]; then
  arguments+=("--account=$AUSCULT_ACCOUNT")
fi

mkdir -p logs/slurm
sbatch "${arguments[@]}" "$script" | cut -d ';' -f 1
