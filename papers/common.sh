# What the scripts of all papers share: the data of this size, and where results go. Sourced, with SIZE, WORK and RESULTS set.
set -euo pipefail
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

if [ "$SIZE" = full ]; then
  GREY=mnist COLOUR=cifar10
else
  GREY=digits COLOUR=digits
fi

full() { [ "$SIZE" = full ]; }

pick() { # the first word in a quick run, the second in a full one
  if full; then echo "$2"; else echo "$1"; fi
}

table() { # NAME ...: a table of `advcli evaluate ...` as NAME.csv among the results
  [ -s "$RESULTS/$1.csv" ] || advcli evaluate "${@:2}" -o "$RESULTS/$1.csv"
}

figure() { # NAME FIGURE ...: a figure of `advcli stats ...` as NAME.png and NAME.csv among the results
  if [ ! -s "$RESULTS/$1.csv" ]; then
    advcli stats "${@:3}" --figure "$2" -o "$1" --force
    cp "$1/$2.png" "$RESULTS/$1.png"
    cp "$1/$2.csv" "$RESULTS/$1.csv"
  fi
}

made() { # FILE ...: `advcli ...` writes FILE, unless it is there
  [ -e "$1" ] || advcli "${@:2}" -o "$1"
}
