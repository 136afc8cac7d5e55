# Figure 3: accuracy against the sigma of the smoothing kernel, a line for every budget of FGSM (S3-F3).
source "$(dirname "$0")/common.sh"
fgsm
models=(--model shallow.safetensors)
for sigma in $(pick "0.5 1" "0.5 0.75 1 1.5 2 3"); do
  behind gaussian "$sigma"
  models+=(--model "gaussian_$sigma.safetensors")
done
figure fig3 curve fgsm.h5 "${models[@]}" --show accuracy --x filter
