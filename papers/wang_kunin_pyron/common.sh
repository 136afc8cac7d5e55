# Wang, Kunin and Pyron: the network, and adversarial images of all pairs of classes, by steps along the gradient itself.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

base() { # base.safetensors: a cnn with dropout
  advcli train --data "$GREY" --arch cnn --dropout 0.5 --epochs "$(pick 20 3)" -o base.safetensors
}

pairs() { # pairs.h5: test images moved towards every other class, as far as needed
  base
  advcli attack --model base.safetensors --method grad --data "$GREY:test" --per-class "$(pick 4 20)" --target all \
    --steps "$(pick 60 100)" --rate 0.05 -o pairs.h5
}
