#!/usr/bin/env bash
# All that is to be measured on a GPU, the most telling first; each stage writes a file of its own.
#
#   benchmarks/on_gpu.sh OUTPUT_FOLDER [DATA_DIR]
#
# Needs the extras gpu and peers. Most of the time goes into compiling, once a stage, what is then
# measured in seconds. A stage that fails or takes too long is left behind.
set -u
cd "$(dirname "$0")/.."
out=${1:?Expected a folder for the results}
data=${2:+--data_dir=$2}
mkdir -p "$out"

stage() {  # NAME SECONDS COMMAND...
  local name=$1 seconds=$2
  shift 2
  echo "$(date +%T) $name"
  timeout "$seconds" "$@" >"$out/$name.txt" 2>"$out/$name.log" || echo "$name: exit status $?"
  cat "$out/$name.txt"
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
for batch in 128 1024; do
  for count in 4 10; do
    for precision in mixed_bfloat16 float32; do
      stage "training-K$count-batch$batch-$precision" 300 python benchmarks/training.py \
        --device=gpu --num_components=$count --batch_sizes=$batch --precisions=$precision \
        --rounds=3 --steps=600
    done
  done
done
stage table1 600 python reproduce/table1.py --rows=7,8,10,1 --precision=mixed_bfloat16 --jit=on \
  --runs_dir="$out/runs" --output_dir="$out/table1" $data
stage the_same_learning 900 python benchmarks/precision.py --seeds=0,1,2 --jit=on $data
