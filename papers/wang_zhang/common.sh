# Wang and Zhang: networks that tell sixes from sevens, behind filters and after training, and adversarial images of them.
# A quick run leaves out what a full one repeats: transforms of every network, and the models of Table VI behind the last filter.
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
SIXES=(--classes 6,7)
COUNT=$(pick 40 1986) # test images; 1,986 are all of MNIST
SLOW=$(pick 10 500)   # test images under attacks that ask for hundreds of passes
TEST=(--data "$GREY:test" "${SIXES[@]}" --limit "$COUNT")
NET=$(pick cnn cleverhans-basic) # the second needs 28x28 pixels
SETS=()                          # what the script has attacked; its table is of them
METRICS=(--metric accuracy --metric per-class --positive 7)
declare -A FILTER=([gaussian]="sigma=$(pick 0.75 2)" [squeeze]="median=1x2") # of their code: sigma 2, the larger of two neighbours

trained() { # NAME FILTER ...: NAME.safetensors, their network behind a filter (none, gaussian, squeeze)
  local before=()
  [ "$2" = none ] || before=(--preprocess "$2:${FILTER[$2]}")
  made "$1.safetensors" train --data "$GREY" "${SIXES[@]}" --arch "$NET" --lr 0.001 --batch-size 128 --epochs "$(pick 10 6)" \
    "${before[@]}" "${@:3}"
}

plain() { # plain-FILTER.safetensors: without adversarial images, with their label smoothing
  trained "plain-$1" "$1" --label-smoothing 0.1
}

fgsm_trained() { # fgsm-FILTER.safetensors: half of the loss on FGSM images of the network's own predictions
  trained "fgsm-$1" "$1" --recipe adversarial --against fgsm:eps=0.3,label=pred --alpha 0.5
}

attack() { # NAME MODEL COUNT METHOD ...: NAME.h5, so many test images of it under an attack; the script's table has it
  made "$1.h5" attack --model "$2.safetensors" --data "$GREY:test" "${SIXES[@]}" --limit "$3" --method "${@:4}" --no-perturbations
  SETS+=("$1.h5")
}

fgsm() { # MODEL [NAME ...]: NAME.h5 or fgsm-of-MODEL.h5, their single step of 0.3 away from the network's own prediction
  attack "${2:-fgsm-of-$1}" "$1" "$COUNT" fgsm --eps 0.3 --label pred "${@:3}"
}

pgd() { # MODEL: pgd-of-MODEL.h5, many steps within the same 0.3
  attack "pgd-of-$1" "$1" "$COUNT" pgd --eps 0.3 --steps "$(pick 10 40)"
}

grid() { # MODEL: grid-of-MODEL.h5, the worst of 775 movements by up to 3 pixels and 30 degrees; in full runs
  if full; then attack "grid-of-$1" "$1" "$SLOW" spatial --grid 5,5,31; fi
}

jsma() { # jsma.h5: pixels of the network without defense set to white until it says the other class
  plain none
  attack jsma plain-none "$(pick 10 200)" jsma --theta 1 --gamma "$(pick 0.145 0.1)" --target other
}

moved() { # moved.h5: the movements of their code, by up to 10 pixels, made against the network of their kit and shown to all others
  made kit.safetensors train --data "$GREY" "${SIXES[@]}" --arch lenet-pool --lr "$(pick 0.001 0.0001)" --epochs 6
  local how=(--preset wang-zhang)
  full || how=(--max-shift 2 --max-rot 10 --grid "3,3,3") # its border leaves nothing of 8 pixels
  attack moved kit "$COUNT" spatial "${how[@]}"
}

black_box() { # NAME MODEL SPLIT SEED: NAME.h5, FGSM images of a substitute that learned the model's decisions on 150 images
  made "$1.h5" attack --model "$2.safetensors" --method substitute --data "$GREY:$3" "${SIXES[@]}" --limit "$(pick 100 11000)" \
    --eps 0.3 --fit-data "$GREY:val" --fit-limit "$(pick 26 150)" --rounds "$(pick 3 6)" --arch mlp:hidden=200,200 \
    --lambda-schedule wang-zhang --seed "$4" --no-perturbations
}

retrained() { # black-box-FILTER.safetensors: plain-FILTER trained again on transferred black-box images of its training split
  plain "$1"
  black_box "black-box-train-$1" "plain-$1" train 0
  trained "black-box-$1" "$1" --weights "plain-$1.safetensors" --augment-adv "black-box-train-$1.h5"
}

SIX=(fgsm-none fgsm-gaussian black-box-none)
full && SIX=({fgsm,black-box}-{none,gaussian,squeeze})

six() { # the models of Table VI
  for one in "${SIX[@]}"; do
    case $one in
      fgsm-*) fgsm_trained "${one#fgsm-}" ;;
      *) retrained "${one#black-box-}" ;;
    esac
  done
}

together() { # METHOD NAME MODELS... -- ...: NAME.safetensors, a defense of several models with its own words
  local members=(--model "$3.safetensors") method=$1 name=$2
  shift 3
  while [ "$1" != -- ]; do members+=(--member "$1.safetensors") && shift; done
  made "$name.safetensors" defend --method "$method" "${members[@]}" "${@:2}"
}

stacked() { # NAME SEED RECIPE MODELS...: one network that learned from the logits of the models, clean and under attack
  together stack "$1" "${@:4}" -- --hidden 256,256 --recipe "$3" --seed "$2" --limit "$(pick 60 2000)" \
    --against fgsm:eps=0.3 --against pgd:eps=0.3,steps=10
}

integrated() { # integrated.safetensors: the six models behind one network
  six
  stacked integrated 0 usual "${SIX[@]}"
}

judged() { # NAME MODELS... -- ...: NAME.csv, the models on clean images and on all sets of this script
  local models=() name=$1
  shift
  while [ "$1" != -- ]; do models+=(--model "$1.safetensors") && shift; done
  table "$name" "${models[@]}" "${TEST[@]}" "${SETS[@]}" "${@:2}"
}
