# Possas: a review of the literature; each statement that it quotes becomes an experiment with the networks made here.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
COUNT=$(pick 40 1000) # test images of most sets
TEST=(--data "$GREY:test" --limit "$COUNT" --no-perturbations)

net() { # net.safetensors: an undefended cnn
  made net.safetensors train --data "$GREY" --arch cnn --epochs "$(pick 10 3)"
}

photos() { # PHOTOS, a network of photographs: the CIFAR-10 network of the benchmarks, in a quick run the cnn of the digits
  PHOTOS=$(dirname "${BASH_SOURCE[0]}")/../../benchmarks/models/cifar10-resnet18.safetensors
  if ! full; then
    net
    PHOTOS=net.safetensors
  fi
}

attack() { # NAME MODEL METHOD ...: NAME.h5, test images of the model under an attack
  made "$1.h5" attack --model "$2.safetensors" "${TEST[@]}" --method "${@:3}"
}
KINDS=(dnn lr svm tree knn)
declare -A ARCH=([dnn]="mlp --epochs $(pick 10 5)" [lr]="softmax --epochs 8" [svm]=svm [tree]=tree [knn]=knn)
declare -A AGAINST=( # as in the paper that it reviews: a step of 0.3 along signs, a longer way across the plane, the nearest leaf
  [dnn]="fgsm --eps 0.3" [lr]="fgsm --eps 0.3" [svm]="svm --norm linf --overshoot 5" [tree]="tree --norm linf"
  [knn]="knn --eps 0.3 --steps 1 --step-size eps --no-early-stop")

part() { # KIND NUMBER: KIND-NUMBER.safetensors, a model of one of five parts that share no image, and images made against it
  # shellcheck disable=SC2086  # the options are words
  made "$1-$2.safetensors" train --data "$GREY" --arch ${ARCH[$1]} --part "$2/5" --limit 10000
  # shellcheck disable=SC2086
  made "$1-$2.h5" attack --model "$1-$2.safetensors" --data "$GREY:test" --limit "$(pick 20 300)" --no-perturbations --method ${AGAINST[$1]}
}
