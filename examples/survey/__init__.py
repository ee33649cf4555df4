"""A supervised team of processes that surveys a tree of Python source files.

    python -m examples.survey [PATH] [--chaos SEED] [--json] [--workers N] [--max-restarts N] [--dead-letters FILE]

Without PATH it is the running Python's own standard library: some two thousand files, and a few that are broken on
purpose. Whoever tries to measure one of those crashes, and that is the idea: the worker has no error handling, its
supervisor has it all.

    root (rest_for_one) ─┬─ ward            inspectors of files that were quarantined before, see `quarantine`
                         ├─ progress        shows where the survey stands (temporary)
                         ├─ aggregator      writes verdicts into the book
                         ├─ coordinator     hands out files, takes back those of lost workers
                         ├─ team (one_for_one, significant) ─┬─ worker-1 ── an interpreter of its own
                         │                                   ├─ worker-2 ── ...
                         │                                   └─ ...
                         └─ chaos           with --chaos: kills workers

They start from top to bottom, each needs only those above it, and they stop from bottom to top. What each end costs:

- A *worker* crashes or is killed: the team replaces it. The coordinator finds the file in its books as "in hand" and
  gives it to another worker; if this was the file's second crash, it is quarantined with the reason. A kill is not the
  file's fault and does not count. Nothing else notices.
- The *team* has used up its restarts: something is wrong that is not in the files. It is significant, so the root stops
  the rest in order; the program says so and ends with status 1.
- The *coordinator* crashes: who has which file is forgotten, so the workers are replaced with it (rest_for_one), and
  the new one starts from what the book says is left. Files that were in hand are measured again.
- The *aggregator* crashes: the same, and everything below is replaced. It has no state of its own.
- *chaos* crashes: it is replaced.
- *progress* crashes: the survey goes on without a display.

So one thing has to survive, the verdicts. They are in the `book`, which belongs to none of the processes and is passed
to those that need it. A verdict is written before the worker lets go of the file, and only the first one for a file
counts; the report is made from the book alone. That is why it comes out the same however many workers died.
"""
