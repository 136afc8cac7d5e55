# Wang, Kunin and Pyron: the network, and adversarial images of all pairs of classes, by steps along the gradient itself.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

TEST=(--data "$GREY:test" --no-perturbations)
TOWARDS=(--method grad --rate 0.05 "${TEST[@]}" --target random --per-class "$(pick 3 30)")

base() { # base.safetensors: a cnn with dropout between all layers, as votes need it
  advcli train --data "$GREY" --arch cnn --dropout 0.5 --block-dropout 0.5 --epochs "$(pick 12 4)" -o base.safetensors
}

pairs() { # pairs.h5: test images moved towards every other class, as far as needed
  base
  advcli attack --model base.safetensors --method grad --rate 0.05 --steps "$(pick 60 100)" "${TEST[@]}" \
    --per-class "$(pick 4 100)" --target all -o pairs.h5
}

minimal() { # minimal.h5: moved towards one other class, until it is reached
  base
  advcli attack --model base.safetensors "${TOWARDS[@]}" --steps "$(pick 60 200)" -o minimal.h5
}

confident() { # confident.h5: the same, but all steps are taken
  base
  advcli attack --model base.safetensors "${TOWARDS[@]}" --steps "$(pick 100 200)" --no-early-stop -o confident.h5
}

vote() { # vote.safetensors: the network decides by votes of passes with dropout
  base
  advcli defend --model base.safetensors --method dropout-vote --passes "$(pick 20 50)" -o vote.safetensors
}
