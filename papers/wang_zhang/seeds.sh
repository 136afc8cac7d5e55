# Section F.2: the integrated model over seeds, by the usual recipe and by that of their code: linear, drawn from N(0, 1).
source "$(dirname "$0")/common.sh"
six
names=()
for recipe in usual paper4; do
  for seed in $(pick 0 "0 1 2"); do
    stacked "$recipe-$seed" "$seed" "$recipe" "${SIX[@]}"
    attack "pgd-of-$recipe-$seed" "$recipe-$seed" "$SLOW" pgd --eps 0.3 --steps 20
    names+=("$recipe-$seed")
  done
done
judged seeds "${names[@]}" -- --metric accuracy
