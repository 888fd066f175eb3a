"""Watches models in service: collects sketches, keeps windows, runs the statistics, reports.

The path of a row: a serving pod counts it into its cumulative sketch; `collector` reads the sketch
of every pod; `ledger` takes the difference to the last snapshot of that boot and adds it to a
bucket, in one transaction; when a window closes, `closing` sums its buckets, `judge` tests them and
`episode` moves the state, in one transaction again; `reporting` tells the operator.

Pure: `layout`, `psi`, `shares`, `budget`, `judge`, `grid`, `episode`.  The clock is read in `clock`,
the environment in `settings`, the network in `collector`, the disk in `database` and its tables.
"""
