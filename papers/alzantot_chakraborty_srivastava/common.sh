# Alzantot, Chakraborty and Srivastava: the shallow network, FGSM images of it, and filters in front of it.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

TEST=(--data "$GREY:test" --no-perturbations)
BUDGETS=$(pick 0,0.05,0.1 0,0.02,0.05,0.075,0.1,0.15,0.2,0.25,0.3)
FGSM=(--method fgsm --eps "$BUDGETS" "${TEST[@]}" --limit "$(pick 100 10000)")

shallow() { # shallow.safetensors: one hidden layer, stopped at the paper's accuracy of the validation images
  made shallow.safetensors train --data "$GREY" --arch mlp --hidden "$(pick 64 128)" --stop-at 0.9516
}

fgsm() { # fgsm.h5: the test images at every budget
  shallow
  made fgsm.h5 attack --model shallow.safetensors "${FGSM[@]}"
}

behind() { # DEFENSE NUMBER: DEFENSE_NUMBER.safetensors, the shallow network behind a filter, without training
  case $1 in
    gaussian) words=(--sigma "$2") ;;
    *) words=(--radius "$2" --shape ideal) ;;
  esac
  made "$1_$2.safetensors" defend --model shallow.safetensors --method "$1" "${words[@]}"
}

cnn() { # cnn.safetensors: an undefended network, for the defenses that the paper cites
  made cnn.safetensors train --data "$GREY" --arch cnn --epochs "$(pick 8 4)"
}
