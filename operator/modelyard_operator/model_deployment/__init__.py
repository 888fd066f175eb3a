"""ModelDeployment: which version serves, and how a newer one earns its traffic.

                         new revision                        all pods ready
    Idle ───────────────────────────► Provisioning ────────────────────────────┐
     ▲ ▲                                │  │ first revision, or stable before: │ steps
     │ │                                │  │ no steps                          ▼
     │ └── Draining ◄── Promoting ◄─────┼──┴──────────────── Stepping: mirror (Shadowing),
     │     old pods      100 % applied  │   last step passed  weight (Ramping), pause (Paused)
     │     go            everywhere     │                        │  step applied everywhere
     │                                  │                        │  → counted → passed → next
     │  Superseded, RolledBack          ▼                        │
     ├──────────────────────────── Aborting ◄────────────────────┘ harm, deadline, person,
     │                              one traffic write              newer revision
     └── Aborted ◄──────────────────────┘
         until another revision is asked for, or `retry`

Read it in this order:

    observed    what is read                     target     which revision is asked for
    rollout     how an attempt moves             measuring  when requests are counted
    analysis    counters → findings              evidence   the statistics
    commands    what people ask for              cleaning   what drains and goes
    routes      state → route table, confirmed   render     state → Kubernetes objects
    explain     why it is so                     status     the story as a status
    plan        one pass                         news       transitions as Events

A revision's content never changes under its name, so promotion restarts nothing: it moves a pointer
and the weights.
"""
