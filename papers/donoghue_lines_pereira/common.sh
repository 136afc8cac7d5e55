# Donoghue, Lines and Pereira: two networks of the families that they use, the attacks at their budgets, and both defenses.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
COUNT=$(pick 20 200) # test images; the paper has 50
FEW=$(pick 10 50)    # test images of attacks through the average, whose every gradient is that of many copies
SETS=()              # what the script has attacked; its table is of them
SWEEP=$(pick 0,0.025,0.1,0.3 0:0.3:0.025)
THREE=0.025,0.1,0.3
SMALL=$(pick 0,0.002,0.015,0.3 0,0.001,0.002,0.003,0.004,0.005,0.006,0.008,0.01,0.012,0.014,0.015,0.02,0.03,0.05)
TARGET=5 # the dogs of CIFAR-10, in the place of the English springers of Imagenette; the digit 5

wide() { # wide.safetensors: a small wide ResNet; in a quick run a small cnn
  local how=(--arch wrn-10-2 --epochs 5 --augment crop,flip --schedule onecycle)
  full || how=(--arch cnn --epochs 10)
  made wide.safetensors train --data "$COLOUR" "${how[@]}"
}

googlenet() { # googlenet.safetensors: a small GoogLeNet on fewer images; in a quick run a multilayer perceptron
  local how=(--arch googlenet-small --width 0.5 --limit 20000 --epochs 4 --augment flip --schedule onecycle)
  full || how=(--arch mlp --epochs 10)
  made googlenet.safetensors train --data "$COLOUR" "${how[@]}"
}

averaged() { # MODEL: averaged-MODEL.safetensors, decisions by the image and noisy copies of it
  made "averaged-$1.safetensors" defend --method average --model "$1.safetensors" --samples "$(pick 5 20)" --eps-max 0.3
}

trained() { # on-fgsm.safetensors or on-dgsm.safetensors: wide, trained again on FGSM, or on DGSM towards random classes
  local attack=fgsm:eps=8/255
  [ "$1" = fgsm ] || attack=dgsm:eps=8/255,steps=5,step_size=2/255,target=random
  wide
  made "on-$1.safetensors" train --data "$COLOUR" --arch "$(pick cnn wrn-10-2)" --weights wide.safetensors --limit "$(pick 500 10000)" \
    --epochs "$(pick 2 4)" --recipe adversarial --against "$attack"
}

attack() { # NAME MODEL COUNT METHOD ...: NAME.h5, so many test images of it under an attack; the script's table has it
  made "$1.h5" attack --model "$2.safetensors" --data "$COLOUR:test" --limit "$3" --method "${@:4}" --no-perturbations
  SETS+=("$1.h5")
}

fgsm() { # MODEL: fgsm-of-MODEL.h5, from 0 to 0.3
  attack "fgsm-of-$1" "$1" "$COUNT" fgsm --eps "$SWEEP"
}

pgd() { # MODEL: pgd-of-MODEL.h5, at the same budgets
  attack "pgd-of-$1" "$1" "$COUNT" pgd --eps "$SWEEP" --steps "$(pick 5 20)"
}

dgsm() { # MODEL: dgsm-of-MODEL.h5, towards the target class at small budgets
  attack "dgsm-of-$1" "$1" "$COUNT" dgsm --target "$TARGET" --eps "$SMALL" --steps "$(pick 5 40)" --step-size "$(pick eps/3 eps/10)"
}

through() { # MODEL: the same attacks through an average, at fewer budgets; each gradient is the mean of several draws
  attack "fgsm-of-$1" "$1" "$FEW" fgsm --eps "$THREE" --eot "$(pick 2 4)"
  attack "pgd-of-$1" "$1" "$FEW" pgd --eps "$THREE" --steps "$(pick 3 10)" --eot "$(pick 2 4)"
  attack "dgsm-of-$1" "$1" "$FEW" dgsm --target "$TARGET" --eps 0.015,0.1 --steps "$(pick 3 10)" --step-size eps/3 --eot "$(pick 2 4)"
}

judged() { # NAME MODELS... -- ...: NAME.csv, the models on clean images and on all sets of this script
  local models=() name=$1
  shift
  while [ "$1" != -- ]; do models+=(--model "$1.safetensors") && shift; done
  table "$name" "${models[@]}" --data "$COLOUR:test" --limit "$COUNT" "${SETS[@]}" "${@:2}"
}
