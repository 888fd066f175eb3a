"""How fast the model server is, measured beside other Python model servers on the same cores.

environments    a virtual environment for each peer, from its hash-locked requirements
models          the models, their bundles, and requests with the answers that they must get
servers         every server under test as processes of its own, on one core
load            the load generator (`bench/load`, Go), on another core
cases           what is measured, round by round, and which bar holds for it
figures         medians of paired rounds
report          rows → JSON and table
"""
