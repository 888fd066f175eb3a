"""The images: a local base where no registry answers, the six programs, the way into the node."""
