# Defensive distillation: PGD on the cross-entropy of the network as it is used, and on the margin of its logits (S3-D3).
source "$(dirname "$0")/common.sh"
cnn
WARM=(--data "$GREY" --arch cnn --temperature "$(pick 20 100)" --epochs 8)
PGD=(--method pgd --eps 0.3 "${TEST[@]}" --limit "$(pick 50 500)" --steps "$(pick 10 40)")
made teacher.safetensors train "${WARM[@]}"
made student.safetensors train "${WARM[@]}" --recipe distill --teacher teacher.safetensors
made plain_softmax.h5 attack --model cnn.safetensors "${PGD[@]}" --objective xent --temperature 1
made student_softmax.h5 attack --model student.safetensors "${PGD[@]}" --objective xent --temperature 1
made student_margin.h5 attack --model student.safetensors "${PGD[@]}" --objective margin
table distill --data "$GREY:test" plain_softmax.h5 student_softmax.h5 student_margin.h5 \
  --model cnn.safetensors --model student.safetensors --metric accuracy --metric success
