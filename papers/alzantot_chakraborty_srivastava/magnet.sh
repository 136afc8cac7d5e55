# MagNet: its false alarms, static FGSM, PGD through another autoencoder (grey box) and through its own (white box) (S3-D4).
source "$(dirname "$0")/common.sh"
cnn
for seed in 0 1; do
  made "magnet_$seed.safetensors" defend --model cnn.safetensors --method magnet --fpr "$(pick 0.05 0.01)" \
    --limit "$(pick 500 10000)" --epochs 5 --seed "$seed"
done
SOME=("${TEST[@]}" --eps 0.3)
PGD=(--method pgd --steps "$(pick 10 40)" --no-early-stop --limit "$(pick 30 100)")
made unaware.h5 attack --model cnn.safetensors "${SOME[@]}" --method fgsm --limit "$(pick 50 500)"
made grey.h5 attack --model magnet_1.safetensors "${SOME[@]}" "${PGD[@]}"
made white.h5 attack --model magnet_0.safetensors "${SOME[@]}" "${PGD[@]}"
table magnet --data "$GREY:test" unaware.h5 grey.h5 white.h5 --model cnn.safetensors --model magnet_0.safetensors \
  --metric accuracy --metric success --metric coverage
