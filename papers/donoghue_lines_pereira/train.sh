# Section III.C: both networks; accuracy on test images, and on images of the training split as in the authors' notebooks.
source "$(dirname "$0")/common.sh"
wide
googlenet
table train --model wide.safetensors --model googlenet.safetensors --data "$COLOUR:test" --limit "$(pick 100 10000)" --metric accuracy
table train_seen --model wide.safetensors --model googlenet.safetensors --data "$COLOUR:train" --limit "$(pick 100 2000)" \
  --metric accuracy
