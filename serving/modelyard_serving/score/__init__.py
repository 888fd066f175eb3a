"""`modelyard-score`: the served model over files instead of requests, for many rows at once.

    settings      what the program is told
    places        where files are: folders and S3, behind one interface
    rows          the input in parts and chunks, by row groups (Parquet) or as a stream (CSV)
    columns       the cells of a chunk to what a request would carry
    scorer        a chunk through the contract and the model: the core that serves
    predictions   the model's outputs to columns
    folder        the output: part files that are whole or not there, and the manifest, last
    run           strings them together
    progress      what a person sees meanwhile
    __main__      how it ended: exit code, sentence, summary

A part is finished when its file is there with its mark in the footer: the mark names model, input
and settings, so that a run that was killed goes on where it was, and never mixes two models.
"""
