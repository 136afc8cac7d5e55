# Transfer across kinds: a network, softmax regression, an SVM, a tree, neighbours, and their vote as a target (S2-S3).
source "$(dirname "$0")/common.sh"
models=() sets=() members=()
for kind in "${KINDS[@]}"; do
  part "$kind" 1
  models+=(--model "$kind-1.safetensors") sets+=("$kind-1.h5")
  [ "$kind" = dnn ] || members+=(--member "$kind-1.safetensors")
done
made vote.safetensors defend --method vote --model dnn-1.safetensors "${members[@]}"
figure transfer_cross transfer "${sets[@]}" "${models[@]}" --model vote.safetensors
