# Figure 5: the share of images that DGSM moves to one class, in floating point and by whole grey levels as in the notebooks.
source "$(dirname "$0")/common.sh"
wide
dgsm wide
attack whole-levels wide "$COUNT" dgsm --target "$TARGET" --eps "$SMALL" --steps "$(pick 5 40)" --step-size "$(pick eps/3 eps/10)" \
  --quantize --rounding trunc
judged fig5_table wide -- --metric target-rate --metric success
figure fig5 curve dgsm-of-wide.h5 whole-levels.h5 --model wide.safetensors --show success
