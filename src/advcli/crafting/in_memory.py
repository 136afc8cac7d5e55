"""The run of one attack command in memory: the header and the columns that its file would have, and no file."""

from advcli.crafting import trust
from advcli.crafting.run import Run, finished_header, joined
from advcli.files.imageset_in_memory import ImageSetInMemory
from advcli.runtime.reporter import Reporter
from advcli.search.batch import craft
from advcli.search.observer import COLUMNS


def crafted(run: Run, reporter: Reporter) -> ImageSetInMemory:
    """All rows of the set, batch by batch as for a file."""
    batches, won, seen, name = [], 0, 0, run.job.method.spec.name
    with reporter.progress(name, len(run.data), "images") as tick:
        for start in range(0, len(run.data), run.batch_size):
            stop = min(start + run.batch_size, len(run.data))
            batches.append(craft(run.job, run.data, start, stop))
            won += int(batches[-1]["success"].sum())
            seen += len(batches[-1]["success"])
            tick(stop - start, f"{won / seen:.0%} fooled")
    columns = joined(batches)
    header = finished_header(run, columns, lambda column: [columns[column]], reporter)
    trust.say(header["checks"], reporter)
    trust.say_of_clean(columns, run.data, reporter)
    return ImageSetInMemory(name, header, {key: rows for key, rows in columns.items() if key not in COLUMNS})
