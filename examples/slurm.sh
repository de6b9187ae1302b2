#!/bin/bash
# A sweep on nodes of a SLURM cluster: sbatch examples/slurm.sh SWEEP.yaml /shared/out
#SBATCH --job-name=sweep
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
# Two minutes before its time is up the job gets a SIGTERM: runs save, and the job queues again.
set -u
sweep=$1 out=$2  # out: a folder that all nodes see
port=${RAY_PORT:-6379}
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | awk '{print $1}'):$port
ray="--num-cpus=$SLURM_CPUS_PER_TASK --num-gpus=${SLURM_GPUS_ON_NODE:-0} --disable-usage-stats --block"

srun --nodes=1 --ntasks=1 --overlap -w "$head" \
    ray start --head --node-ip-address="${address%:*}" --port="$port" $ray &
sleep "${RAY_WAIT:-20}"
for node in "${nodes[@]:1}"; do
    srun --nodes=1 --ntasks=1 --overlap -w "$node" ray start --address="$address" $ray &
done
sleep "${RAY_WAIT:-20}"

python sweep.py "$sweep" --out "$out" --address "$address" &
driver=$!
trap 'kill -TERM $driver' TERM
wait $driver
code=$?
if [ $code -gt 128 ]; then # the signal ended the waiting, not the sweep
    wait $driver
    code=$?
fi
kill $(jobs -p) 2>/dev/null
# 75: the same command goes on.
[ $code -eq 75 ] && scontrol requeue "$SLURM_JOB_ID"
exit $code
