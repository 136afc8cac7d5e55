# The high-pass filter of the abstract, for which the paper has no result, and its low-pass twin; FGSM through one (S3-D2).
source "$(dirname "$0")/common.sh"
fgsm
models=(--model shallow.safetensors)
for one in $(pick "highpass_0 highpass_1 lowpass_3" "highpass_0 highpass_1 highpass_2 highpass_3 lowpass_3 lowpass_5 lowpass_8"); do
  behind "${one%_*}" "${one#*_}"
  models+=(--model "$one.safetensors")
done
made through.h5 attack --model highpass_1.safetensors "${FGSM[@]}"
table filters fgsm.h5 "${models[@]}" --metric accuracy
table filters_through through.h5 --model highpass_1.safetensors --metric accuracy
