"""One file per library: a function for each method that it has, `(model, parameters) -> (images, labels) -> images`.

A file also says which distribution it speaks for (PACKAGE), what had to be patched (PATCHES) and what should be known
(NOTES), how many images it is handed at once where that is not 64 (BATCH), whether it looks at its result itself
(CHECKS), and the steps between two looks of the early-stop loops around it (LOOPS).
"""
