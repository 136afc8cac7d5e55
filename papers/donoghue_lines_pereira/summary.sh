# Both defenses, alone and together: clean, FGSM, DGSM and PGD, each made against the model that it is shown to.
source "$(dirname "$0")/common.sh"
trained fgsm
for one in wide on-fgsm; do
  SETS=()
  fgsm "$one"
  pgd "$one"
  dgsm "$one"
  judged "summary_$one" "$one" -- --metric accuracy
  SETS=()
  averaged "$one"
  through "averaged-$one"
  judged "summary_averaged-$one" "averaged-$one" -- --metric accuracy
done
