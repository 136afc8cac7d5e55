"""How lines without an order are told apart in a figure: by colours that colour-blind readers see, by dashes, and by marks.

The colours are those of Okabe and Ito, without yellow, which is pale on paper. Seven colours and four kinds of dashes have no
common divisor, so that 28 lines differ.
"""

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
MARKS = "osD^vPX*"
