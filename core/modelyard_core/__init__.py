"""What all programs agree on: the shapes that cross a process border, and the pure functions on them.

Standard library only.  Enter only when two rooms need it.  Every shape is a frozen dataclass;
`codec.encode` and `codec.decode` turn it into JSON and back, and refuse what they do not know.

Glossary: *version* (a ModelVersion), *revision* (what a ModelDeployment runs), *stable, canary,
shadow* (roles), *champion* (the version that serves), *run* (one training), *attempt* (one rollout
of one revision), *profile* (reference distribution), *sketch* (live counts), *window*, *episode*
(one drift from suspicion to calm), *bundle*, *digest*, *verdict*.
"""
