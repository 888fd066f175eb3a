"""How fast the model server is, measured beside other Python model servers on the same cores.

environments    a virtual environment for each peer, from its hash-locked requirements
models          the models, their bundles, and the rows with what they must be answered
requests        the same rows in each server's words, and the judge of the answers
servers         every server under test as processes of its own, on one core
load            the load generator (`bench/load`, Go), on another core
rounds          ours and one other in turn
cases           what is measured, and which bar holds for it
figures         medians of paired rounds
report, quote   rows → JSON, tables, the documentation, a few sentences
"""
