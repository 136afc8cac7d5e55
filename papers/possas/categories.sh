# Four kinds of adversarial outcomes (Billovits et al.; S2-S1).
source "$(dirname "$0")/common.sh"
photos
made categories.h5 attack --model "$PHOTOS" --data "$COLOUR:test" --limit "$COUNT" --no-perturbations --method fgsm \
  --eps "$(pick 0.2 8/255)"
table categories categories.h5 --model "$PHOTOS" --metric categories
figure categories_figure categories categories.h5 --model "$PHOTOS"
