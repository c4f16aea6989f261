#!/bin/bash
# Eight workers of one study, a GPU each, on whatever hosts SLURM gives:
#   sbatch sweeps/slurm_array.sh sweep=architectures storage=postgresql://user@host/brats runs=/shared/runs
# Submit it again to go on, or with a larger --array to go faster.
#SBATCH --job-name=sweep
#SBATCH --array=0-7
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=24:00:00
#SBATCH --output=sweep-%A_%a.out
# Five minutes before the time is up: the trial saves its state and waits for another worker.
#SBATCH --signal=B:INT@300
set -eu
cd "${SLURM_SUBMIT_DIR}"
exec python sweeps/run.py "$@" workers=1
