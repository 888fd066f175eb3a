"""The images: a local base where no registry answers, the five programs, the way into the node."""
