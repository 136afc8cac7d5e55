# What photographs and changes of light destroy: the fast, the iterative and the least-likely-class method (Kurakin et al.; S2-S4).
source "$(dirname "$0")/common.sh"
photos
sets=() plain=()
for method in fgsm bim illc; do
  how=()
  [ "$method" = fgsm ] || how=(--no-early-stop)
  made "$method.h5" attack --model "$PHOTOS" --data "$COLOUR:test" --limit "$(pick 40 200)" --no-perturbations --method "$method" \
    --eps "$(pick 0.2 2/255,4/255,8/255,16/255)" "${how[@]}"
  plain+=("$method.h5")
  for change in $(pick blur=1 "blur=0.5 blur=1 blur=2 quality=10 quality=30 quality=50 quality=90 noise=5/255
      noise=10/255 brightness=10/255 brightness=-10/255 brightness=30/255 brightness=-30/255 contrast=0.7 contrast=1.1
      contrast=1.3 photo=1"); do
    name=$method-${change//\//of}.h5
    made "$name" defend --method transform "--$change" "$method.h5"
    sets+=("$name")
  done
done
table physical_attacks "${plain[@]}" --model "$PHOTOS" --metric accuracy --metric success
table physical "${sets[@]}" --model "$PHOTOS" --metric destruction --metric accuracy
figure physical_figure destruction "${sets[@]}" --model "$PHOTOS"
