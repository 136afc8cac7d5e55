# Section F.2: the integrated model over seeds, by the usual recipe and by that of their code: linear, drawn from N(0, 1).
source "$(dirname "$0")/common.sh"
integrated
pgd integrated
names=(integrated)
for one in $(pick paper4-0 "usual-1 usual-2 paper4-0 paper4-1 paper4-2"); do
  stacked "$one" "${one#*-}" "${one%-*}" "${SIX[@]}"
  attack "pgd-of-$one" "$one" "$SLOW" pgd --eps 0.3 --steps "$(pick 10 40)"
  names+=("$one")
done
judged seeds "${names[@]}" -- --metric accuracy
