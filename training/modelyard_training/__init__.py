"""One training run: rows in, a judged model out.

The stages, in order, and what each may end the run with:

    request    run.json is read and checked as a whole            → 10 bad spec
    data       copied and digested, decoded, checked, split       → 11 bad data
    fit        a pipeline from the allow-list                     → 11 bad data
    export     ONNX, compared with the fitted pipeline            → 12 cannot convert
    judge      metrics and gates, on the exported model           → a verdict, never a failure
    commit     the bundle, into the store, once                   → 20 the store does not answer

A memory guard watches all of them (→ 13), SIGTERM ends any of them (→ 20), and anything else is a
bug (→ 1).  Whatever happens, the termination message is a `RunReport`.  A rejected model is a
successful run: the verdict is in the report and the exit code is 0.

ONNX and JSON are all that leaves a run; nothing is pickled.
"""
